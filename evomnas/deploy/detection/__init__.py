"""Trained networks as the backbones of detectors that ship.

- `starting_weights`: the trained networks from which trainings of detectors start.
- `detection_training`: images with boxes, the training of detectors on them, and the score on the test images.
- `detector_latency`: the latency of detectors, without suppression.
- `detector_files`: the folder of a trained detector, and `load_detector`.
- `detector_card`: the model card of a detector.
- `detector_formats`: files of detectors for devices.
- `detectors`: the detectors of a run, on networks that were trained before.
- `detector_store`: full trainings of detectors that a search found.
- `detector_baselines`: published networks as backbones, to compare with.
- `exported_detectors`: the table of a detector's exported files.
- `detector_export`: exports of a trained detector, each scored and measured.
- `detector_prediction`: the things in pictures, by a detector or an exported file.
"""
