"""Runtimes: the libraries that run networks. They are registered by name in the entry-point group `evomnas.runtimes`.

- `base`: the interface of a runtime, and the check of its output.
- `onnx_runtime`, `onnx_graph`: ONNX Runtime, and our own writer of ONNX files.
- `executorch_xnnpack`: ExecuTorch with XNNPACK.
- `litert`, `litert_graph`: LiteRT with XNNPACK, and how its files are written.
- `openvino_runtime`: OpenVINO, which reads the same ONNX files.
- `ncnn_runtime`, `ncnn_graph`: ncnn, and how its files are written.
- `detection/`: how detectors are written.
- `torch_eager`: PyTorch itself, for comparison.
"""
