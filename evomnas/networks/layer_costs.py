"""Parameters and multiply-accumulates (MACs), counted by ptflops on the built network.

One fused multiply-add is one MAC, as in the published figures. Convolutions and the linear layer are counted. The
convolutions of squeeze-and-excite modules are counted separately (`se_macs`), because the published figures of
MnasNet leave them out. Not counted are biases and other additions, batch norm (which is folded into the
convolutions when a network is deployed), activations, pooling, and the multiplication by a gate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import cast

import torch
from torch import nn

from evomnas.core.arguments import Count, checked
from evomnas.core.resolution import Pixels, Resolution, sides
from evomnas.networks.network import Layer, Network, SqueezeExcite
from evomnas.networks.torchvision_models import AnyNetwork, build_off_the_shelf
from evomnas.problem.architecture import Architecture
from evomnas.problem.ops.catalogue import operation
from evomnas.results.evaluation import Cost

_UNCOUNTED = [
    nn.BatchNorm2d, nn.ReLU, nn.ReLU6, nn.Hardswish, nn.Sigmoid, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.Dropout,
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class LayerCost:
    """The cost of one layer of a network.

    Attributes:
        name: The layer's place: `stem`, `block 2.1` for the first layer of the second block, `head`, `classifier`.
        operation: The layer's operation, kernel, squeeze-and-excite ratio and skip, for people.
        shape: The shape of its output for one image: (c, h, w), or (classes,).
        params: Its parameters.
        macs: Its MACs for one image, without those of squeeze-and-excite.
        se_macs: The MACs of its squeeze-and-excite module for one image.
    """

    name: str
    operation: str
    shape: tuple[int, ...]
    params: int
    macs: int
    se_macs: int


@checked
def count_cost(
    architecture: Architecture, classes: Count = 1000, channels: Count = 3, resolution: Pixels = 224
) -> Cost:
    """Count the parameters and MACs of an architecture's network for one image. No weights are created.

    Args:
        architecture: The architecture, such as `published("mnasnet-a1")`.
        classes: The number of logits.
        channels: The number of channels of the image.
        resolution: The image's size in pixels, one number for a square or (height, width), for a network without a
            resolution of its own.

    Returns:
        The parameters, the MACs, and separately the MACs of squeeze-and-excite.
    """
    network = _blank_network(architecture, classes, channels)
    return count_module(network, (channels, *sides(architecture.resolution or resolution)))


def count_any_cost(network: AnyNetwork, classes: int, channels: int, resolution: Resolution) -> Cost:
    """Count the parameters and MACs of any network for one image. No weights are created.

    The MACs of squeeze-and-excite are counted separately for architectures only.

    Args:
        network: An architecture or a network of torchvision's.
        classes: The number of logits.
        channels: The channels of the image.
        resolution: The image's size in pixels.

    Returns:
        The parameters, the MACs, and separately the MACs of squeeze-and-excite.

    Raises:
        RuntimeError: The network cannot run on such an image.
    """
    if isinstance(network, Architecture):
        return count_cost(network, classes, channels, resolution)
    size = network.resolution or resolution
    with torch.device("meta"):
        return count_module(build_off_the_shelf(network.name, classes, channels).eval(), (channels, *sides(size)))


def layer_costs(
    architecture: Architecture, classes: int = 1000, channels: int = 3, resolution: Resolution = 224
) -> list[LayerCost]:
    """Count what `count_cost` counts, layer by layer.

    Args:
        architecture: The architecture.
        classes: The number of logits.
        channels: The number of channels of the image.
        resolution: The image's size in pixels, one number for a square or (height, width), for a network without a
            resolution of its own.

    Returns:
        The costs from the stem to the classifier.
    """
    network = _blank_network(architecture, classes, channels)
    stem, *layers, head, classifier = network.stages()
    stages: list[tuple[str, str, nn.Module]] = [("stem", "conv k3", stem)]
    for (block_number, layer_number, block, _, _), layer in zip(architecture.layers(), layers, strict=True):
        se = f" se{block.se:g}" if block.se else ""
        skip = "" if cast(Layer, layer).skip is None else " +pool" if block.skip == "pool" else " +id"
        kernel = f" k{block.kernel}" if operation(block.op).has_kernel else ""
        stages.append((f"block {block_number}.{layer_number}", f"{block.op}{kernel}{se}{skip}", layer))
    ends = ("pool, conv k1", "linear") if architecture.traits.head == "late" else ("conv k1", "pool, linear")
    stages += [("head", ends[0], head), ("classifier", ends[1], classifier)]
    x = torch.empty(1, channels, *sides(architecture.resolution or resolution), device="meta")
    rows = []
    for name, description, module in stages:
        cost = count_module(module, tuple(x.shape[1:]))
        with torch.inference_mode():
            x = module(x)
        rows.append(LayerCost(name, description, tuple(x.shape[1:]), cost.params, cost.macs, cost.se_macs))
    return rows


def total_cost(layers: Sequence[LayerCost]) -> Cost:
    """Add up the costs of a network's layers.

    Args:
        layers: The costs of all layers, as `layer_costs` returns them.

    Returns:
        The cost of the network.
    """
    sums = [sum(map(attrgetter(name), layers)) for name in ("params", "macs", "se_macs")]
    return Cost(*sums)


def _blank_network(architecture: Architecture, classes: int, channels: int) -> Network:
    """Return a network that has shapes and no numbers, so that counting takes neither memory nor time."""
    with torch.device("meta"):
        return Network(architecture, classes, channels, dropout=0.0, bn_momentum=0.1).eval()


def count_module(module: nn.Module, shape: tuple[int, ...]) -> Cost:
    """Count the parameters and MACs of a module.

    Args:
        module: A network or a part of one that nobody needs afterwards: it loses its biases and batch norms.
        shape: The shape of its input for one image.

    Returns:
        The parameters, the MACs, and separately the MACs of squeeze-and-excite.

    Raises:
        RuntimeError: The module cannot run on such an input.
    """
    params = sum(parameter.numel() for parameter in module.parameters())
    for submodule in list(module.modules()):
        if isinstance(submodule, nn.Conv2d | nn.Linear):
            submodule.bias = None  # ptflops would count its addition
        for name, part in submodule.named_children():
            if isinstance(part, nn.BatchNorm2d):  # it counts nothing, and is most of the time without numbers
                setattr(submodule, name, nn.Identity())
    gates = [submodule for submodule in module.modules() if isinstance(submodule, SqueezeExcite)]
    se_macs = sum(_macs(gate, (gate.reduce.in_channels, 1, 1)) for gate in gates)
    return Cost(params, _macs(module, shape) - se_macs, se_macs)


def _macs(module: nn.Module, shape: tuple[int, ...]) -> int:
    from ptflops import get_model_complexity_info  # here: it imports torchvision's models, which takes seconds

    with torch.inference_mode():
        macs, _ = get_model_complexity_info(
            module,
            shape,
            as_strings=False,
            print_per_layer_stat=False,
            ignore_modules=_UNCOUNTED,
            backend_specific_config={"count_functional": False},
        )
    if not isinstance(macs, int):
        raise RuntimeError(f"ptflops could not count a network for inputs of shape {shape}")
    return macs
