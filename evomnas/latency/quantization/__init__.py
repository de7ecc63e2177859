"""Files with int8 weights and activations, from float ones and calibration images.

- `onnx_int8`: ONNX files, by ONNX Runtime's static quantization.
- `litert_int8`: LiteRT files, by Google's AI Edge Quantizer.
- `executorch_int8`: graphs for ExecuTorch, by PyTorch's quantization for XNNPACK.
- `scoring`: networks that are scored as int8 files while a search trains them; and which runtimes have such files.
"""
