"""The genes of a search space: their names, their choices, and which genes a network has.

- `space`: the interface that every search space has.
- `block_genes`: the six genes of a block.
- `mobilenet_v4`: the space of MobileNetV4.
- `network_genes`: the genes of a whole network, behind those of its blocks: resolution, width, activation.
"""
