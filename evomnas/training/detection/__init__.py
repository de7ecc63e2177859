"""Training of detectors on images with boxes, and what they find.

- `targets`: the boxes of a batch, and its random changes.
- `loss`: which anchor should answer for which box, and the loss of SSD.
- `detection_batches`: images with boxes on a device, from which batches are made.
- `detector_training`: the training of a detector.
- `finding`: the boxes that a detector finds in images.
- `detection_task`: the proxy task: a short training, scored by average precision.
"""
