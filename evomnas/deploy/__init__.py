"""From a network of the front to one that ships; the only room that may see test images.

- `testsplit`: the test images of the built-in data sets.
- `full_training`: the paper's full training on all training images, resumable, and the test score.
- `trained_networks`: which of a run's networks are trained, and where they go.
- `baselines`: off-the-shelf networks under the same recipe, on the same data and device.
- `saving`, `card`: weights, manifest and model card in a folder; `load_network`.
- `compression`: pruning, low-rank factorization, Huffman-coded sizes.
- `onnx_format`, `executorch_format`: files for devices, in float and int8.
- `export`: exports, each run on the test split and measured.
"""
