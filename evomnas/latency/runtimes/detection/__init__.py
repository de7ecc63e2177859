"""Detectors as files of runtimes.

- `detector_graph`: the way through a detector, the same in every format.
- `onnx_detector`: ONNX files, with suppression where it is wanted.
- `litert_detector`: LiteRT files.
"""
