"""From a network on the front to a network that ships; the only room that may see test images.

- `testsplit`: the test images of every data set. No search can import it.
- `checkpoint`: the state of a training in a file, from which an interrupted one goes on.
- `full_training`: the paper's full training on all training images, and the score on the test images.
- `trained_networks`: which networks of a run are trained in full.
- `folders/`: the folders of a run's trained networks, and which training of a network is meant.
- `training_store`: full trainings whose networks are kept in folders and whose scores in an archive.
- `durations`: how long trainings will take, from what is known before they begin.
- `saving`: the folder of a trained network, and `load_network`.
- `cards/`: the details of a trained network, and the model card that shows them with its code.
- `baselines`: off-the-shelf networks by the same recipe, on the same data and device.
- `pretrained_baselines`: published networks fine-tuned from their weights, at every resolution of a problem's space.
- `compression`: pruning of weights and channels, low-rank factorization, and sizes after Huffman coding.
- `formats/`: files for devices, in float and int8, the code that runs them, and the table of those of a network.
- `detection/`: trained networks as the backbones of detectors.
- `hubs/`: trained networks on the Hugging Face Hub, and as models of timm.
- `export`: exports, each run on the test images and measured.
- `prediction`: the classes of pictures, by a trained network or an exported file.
"""
