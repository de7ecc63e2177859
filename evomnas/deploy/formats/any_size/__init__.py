"""Files that take images of any size, or any number of images at once.

- `sampling`: how a picture of any size becomes the input of a network, as arithmetic that every runtime has.
- `onnx_sizes`, `litert_sizes`: an ONNX or LiteRT file, float or int8, with that before its first operation.
"""
