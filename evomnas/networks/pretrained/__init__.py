"""Pretrained weights: read from a file, sorted, and transplanted into other architectures.

- `weights`: a donor's weights in memory, and the one place where files of weights are read.
- `parts`: the names of a network's weights by what they do.
- `sorting`: a network's channels in the order of their importance, without a change of what it computes.
- `transplant`: weights for another architecture.
- `planting`: the weights that a training begins with, those of torchvision's networks included.
- `descent`: weights of trained networks in a file, and networks that begin with them.
"""
