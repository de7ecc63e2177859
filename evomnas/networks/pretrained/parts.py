"""The names of a network's weights by what they do, whatever their place in a sequence of modules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import nn

from evomnas.networks.network import Layer, Network, SqueezeExcite
from evomnas.problem.architecture import Architecture, Block


class LayerNames(NamedTuple):
    """The names of one layer's modules in a network's state dict; None where it has no such module.

    Attributes:
        block: The block to which the layer belongs.
        block_number: That block's number, from 0.
        number: The layer's number within its block, from 0.
        in_filters: The channels of its input.
        shortcut: Its kind of skip: `none`, `identity` or `pool`.
        expand: The convolution that expands, with its batch norm.
        depthwise: The depthwise convolution, with its batch norm.
        gate: Squeeze-and-excite.
        project: The projection, with its batch norm.
    """

    block: Block
    block_number: int
    number: int
    in_filters: int
    shortcut: str
    expand: tuple[str, str] | None
    depthwise: tuple[str, str]
    gate: str | None
    project: tuple[str, str]


class NetworkNames(NamedTuple):
    """The names of a network's modules in its state dict.

    Attributes:
        stem: The first convolution, with its batch norm.
        layers: All layers of the blocks, from input to output.
        head: The last convolution, with its batch norm.
    """

    stem: tuple[str, str]
    layers: tuple[LayerNames, ...]
    head: tuple[str, str]


def name_parts(architecture: Architecture) -> NetworkNames:
    """Return the names of the modules of an architecture's network.

    Args:
        architecture: An architecture without plain convolutions (`conv`).

    Returns:
        The names.
    """
    with torch.device("meta"):
        network = Network(architecture, classes=1, channels=3, dropout=0.0, bn_momentum=0.1)
    modules = [layer for block in network.blocks for layer in block.children()]
    layers = []
    for (number, layer, block, in_filters, stride), module in zip(architecture.layers(), modules, strict=True):
        assert isinstance(module, Layer)
        *expand, depthwise, project = _convolutions(module.body, f"blocks.{number - 1}.{layer - 1}.body")
        gate = next(_named(module.body, SqueezeExcite), None)
        layers.append(
            LayerNames(
                block, number - 1, layer - 1, in_filters, block.shortcut(in_filters, stride),
                expand[0] if expand else None, depthwise,
                None if gate is None else f"blocks.{number - 1}.{layer - 1}.body.{gate}", project,
            )
        )  # fmt: skip
    [stem], [head] = _convolutions(network.stem, "stem"), _convolutions(network.head, "head")
    return NetworkNames(stem, tuple(layers), head)


def _named(sequence: nn.Module, kind: type[nn.Module]) -> Iterator[str]:
    return (name for name, module in sequence.named_children() if isinstance(module, kind))


def _convolutions(sequence: nn.Module, prefix: str) -> list[tuple[str, str]]:
    """Return the names of a sequence's convolutions, each with that of the batch norm behind it."""
    pairs = zip(_named(sequence, nn.Conv2d), _named(sequence, nn.BatchNorm2d), strict=True)
    return [(f"{prefix}.{convolution}", f"{prefix}.{norm}") for convolution, norm in pairs]
