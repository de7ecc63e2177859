"""Published networks that are neither architectures of a search space nor in torchvision, as torch modules.

- `catalogue`: their names.
- `mobilenet_v1`, `nasnet`, `condensenet`: the networks.
"""
