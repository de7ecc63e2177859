"""What runs a network: by name through the entry-point group `evomnas.runtimes`.

- `base`: what a runtime is, and how its output is checked.
- `onnx_runtime`, `onnx_graph`: ONNX Runtime, and our own writer of its files.
- `executorch_xnnpack`: ExecuTorch with XNNPACK.
- `torch_eager`: PyTorch itself, to compare with.
"""
