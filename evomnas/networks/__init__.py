"""Architectures as torch modules.

- `network`: from an architecture to a module.
- `published_weights`: weights that others trained.
- `torchvision_models`: torchvision's networks beside architectures.
- `layer_costs`: parameters and MACs, layer by layer.
- `classifier`: a trained network as it ships.
- `fast_layers`: gradients of depthwise kernels, faster.
"""
