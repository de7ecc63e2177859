"""Parameters and multiply-accumulates (MACs), counted by ptflops on the built network.

One fused multiply-add is one MAC, as in the published figures. Counted are convolutions and the linear
layer. The convolutions of squeeze-and-excite modules are counted apart (`se_macs`), because published
MnasNet figures leave them out. Not counted: biases and other additions, batch norm (folded into the
convolutions when a network is deployed), activations, pooling, and the product with a gate.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import cast

import torch
from torch import nn

from evomnas.networks.network import Layer, Network, SqueezeExcite
from evomnas.problem.architecture import Architecture
from evomnas.results.evaluation import Cost

_UNCOUNTED = [nn.BatchNorm2d, nn.ReLU, nn.Sigmoid, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.Dropout]


@dataclass(frozen=True, slots=True)
class LayerCost:
    """One row of a network's table: a layer's name, operation, output shape (c, h, w) and cost."""

    name: str
    operation: str
    shape: tuple[int, ...]
    params: int
    macs: int
    se_macs: int


def count_cost(architecture: Architecture, classes: int = 1000, channels: int = 3, resolution: int = 224) -> Cost:
    """Parameters and MACs of an architecture's network for one image of `resolution` pixels squared."""
    network = _blank_network(architecture, classes, channels)
    return _count(network, (channels, resolution, resolution))


def module_cost(module: nn.Module, channels: int, resolution: int) -> Cost:
    """Parameters and MACs of a network that was built without numbers, on the device `meta`; it is spent afterwards.

    Squeeze-and-excite is counted apart in networks of `build_network` alone.
    """
    return _count(module.eval(), (channels, resolution, resolution))


def layer_costs(
    architecture: Architecture, classes: int = 1000, channels: int = 3, resolution: int = 224
) -> list[LayerCost]:
    """The costs of `count_cost` layer by layer, from the stem to the classifier."""
    network = _blank_network(architecture, classes, channels)
    first, *layers, head, classifier = network.stages()
    stages: list[tuple[str, str, nn.Module]] = [("stem", "conv k3", first)]
    for (number, place, block, _, _), layer in zip(architecture.layers(), layers, strict=True):
        se = f" se{block.se:g}" if block.se else ""
        skip = "" if cast(Layer, layer).skip is None else " +pool" if block.skip == "pool" else " +id"
        stages.append((f"block {number}.{place}", f"{block.op} k{block.kernel}{se}{skip}", layer))
    stages += [("head", "conv k1", head), ("classifier", "pool, linear", classifier)]
    x = torch.empty(1, channels, resolution, resolution, device="meta")
    rows = []
    for name, operation, module in stages:
        cost = _count(module, tuple(x.shape[1:]))
        with torch.inference_mode():
            x = module(x)
        rows.append(LayerCost(name, operation, tuple(x.shape[1:]), cost.params, cost.macs, cost.se_macs))
    return rows


def total_cost(layers: list[LayerCost]) -> Cost:
    """The sum of a network's layers."""
    sums = [sum(map(attrgetter(name), layers)) for name in ("params", "macs", "se_macs")]
    return Cost(*sums)


def _blank_network(architecture: Architecture, classes: int, channels: int) -> Network:
    """A network of shapes without numbers: counting takes no memory and no time, whatever the resolution."""
    with torch.device("meta"):
        return Network(architecture, classes, channels, dropout=0.0, bn_momentum=0.1).eval()


def _count(module: nn.Module, shape: tuple[int, ...]) -> Cost:
    params = sum(parameter.numel() for parameter in module.parameters())
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            part.bias = None  # ptflops would count its addition
    gates = [part for part in module.modules() if isinstance(part, SqueezeExcite)]
    se_macs = sum(_macs(gate, (gate.reduce.in_channels, 1, 1)) for gate in gates)
    return Cost(params, _macs(module, shape) - se_macs, se_macs)


def _macs(module: nn.Module, shape: tuple[int, ...]) -> int:
    from ptflops import get_model_complexity_info  # imports torchvision's models, which takes seconds

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
