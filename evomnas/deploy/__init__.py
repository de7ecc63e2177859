"""From a point on the front to a network that ships.

- `full`: the paper's full training on all training images, resumable; the test score.
- `saving`: weights, facts and the model card in a folder; `load_network`.
- `chosen`: which of a run's networks are trained, and where they go.
- `baselines`: networks from the shelf under the same recipe, data and device.
- `compression`: pruning, low-rank factorization, Huffman-coded sizes.
- `onnx_format`, `executorch_format`: files for devices, in float and int8.
- `exporting`: exports, each run on the test split and measured.
"""
