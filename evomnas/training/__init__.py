"""Training networks on images.

- `augmentation`: random changes of the training images, of whole batches at once.
- `transforms`: those of torchvision, and mixtures of images.
- `schedules`: learning rates over the steps of a training.
- `pixels`: what batches are taken from: the device, memory or a mapped file.
- `batches`: images on a device, and the batches that are made of them.
- `losses`: cross-entropy, with which every class may weigh the same.
- `trainer`: the optimizer and the epochs, for every kind of training.
- `parts`: the images of each training on a device, at the resolution of each network.
- `lessons`: a teacher's answers as part of the loss.
- `scoring`: the classes that a trained network gives to images, and the images by which it becomes int8.
- `early_stop`: which candidates may end their training before its last epoch.
- `proxy_task`: the short training by which a search scores a candidate.
- `quantized/`: training for int8: what a network's int8 file would compute, in float.
- `detection/`: training of detectors on images with boxes, and what they find.
"""
