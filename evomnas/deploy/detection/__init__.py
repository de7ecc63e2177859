"""Trained networks as the backbones of detectors that ship.

- `starting_weights`: the trained networks from which trainings of detectors start.
- `detection_training`: images with boxes, the training of detectors on them, and the score on the test images.
- `detector_latency`: the latency of detectors, without suppression.
- `detector_files`: the folder of a trained detector, and `load_detector`.
- `detector_card`: the model card of a detector.
- `detector_formats`: files of detectors for devices.
- `detectors`: the detectors of a run.
"""
