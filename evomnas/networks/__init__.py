"""Architectures as torch modules.

- `network`: builds the torch module of an architecture.
- `narrowing`: networks with fewer channels: structured pruning.
- `published_weights`: copies weights that torchvision or timm published into such a module.
- `references/`: published networks that torchvision lacks.
- `torchvision_models`: off-the-shelf networks of torchvision, to compare searched ones with.
- `layer_costs`: counts parameters and MACs, layer by layer.
- `detection/`: SSDLite detectors on networks of the space.
- `pretrained/`: weights that are read from files, and transplanted into other architectures.
- `channels`: modules without weights that put channels in another order, or side by side.
- `fused`: convolutions together with the padding, batch norm and activation around them, for writers of files.
- `classifier`: a trained network as it ships, from pixels to logits.
- `fast_layers`: convolutions that train faster on the CPU than PyTorch's own.
"""
