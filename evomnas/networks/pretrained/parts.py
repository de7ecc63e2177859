"""The names of a network's weights by what they do, whatever their place in a sequence of modules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import nn

from evomnas.networks.channels import ChannelSelection
from evomnas.networks.network import Layer, Network, SqueezeExcite
from evomnas.problem.architecture import Architecture, Block
from evomnas.problem.ops.base import Step


class LayerNames(NamedTuple):
    """The names of one layer's modules in a network's state dict; None where it has no such module.

    Attributes:
        block: The block to which the layer belongs.
        block_number: That block's number, from 0.
        number: The layer's number within its block, from 0.
        in_filters: The channels of its input.
        stride: Its stride.
        convolutions: Its convolutions from input to output, those of branches one branch after another, each with its
            batch norm. Those of squeeze-and-excite are left out.
        gate: Squeeze-and-excite.
        selections: The stored orders of channels.
    """

    block: Block
    block_number: int
    number: int
    in_filters: int
    stride: int
    convolutions: tuple[tuple[str, str], ...]
    gate: str | None
    selections: tuple[str, ...]

    @property
    def steps(self) -> Sequence[Step]:
        """The steps of its computation."""
        return self.block.steps(self.in_filters, self.stride)

    @property
    def shortcut(self) -> str:
        """Its kind of skip: `none`, `identity` or `pool`."""
        return self.block.shortcut(self.in_filters, self.stride)

    @property
    def expand(self) -> tuple[str, str] | None:
        """The convolution of an inverted bottleneck that expands; None where none does."""
        return self.convolutions[0] if len(self.convolutions) > 2 else None

    @property
    def depthwise(self) -> tuple[str, str]:
        """The depthwise convolution of an inverted bottleneck."""
        return self.convolutions[-2]

    @property
    def project(self) -> tuple[str, str]:
        """The projection of an inverted bottleneck."""
        return self.convolutions[-1]


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
        architecture: The architecture.

    Returns:
        The names.
    """
    with torch.device("meta"):
        network = Network(architecture, classes=1, channels=3, dropout=0.0, bn_momentum=0.1)
    modules = [layer for block in network.blocks for layer in block.children()]
    layers = []
    for (number, layer, block, in_filters, stride), module in zip(architecture.layers(), modules, strict=True):
        assert isinstance(module, Layer)
        prefix = f"blocks.{number - 1}.{layer - 1}.body"
        gate = next(_named(module.body, prefix, SqueezeExcite), None)
        layers.append(
            LayerNames(
                block, number - 1, layer - 1, in_filters, stride, _convolutions(module.body, prefix), gate,
                tuple(f"{name}.index" for name in _named(module.body, prefix, ChannelSelection)),
            )
        )  # fmt: skip
    [stem], [head] = _convolutions(network.stem, "stem"), _convolutions(network.head, "head")
    return NetworkNames(stem, tuple(layers), head)


def _named(sequence: nn.Module, prefix: str, kind: type[nn.Module]) -> Iterator[str]:
    """Yield the names of a sequence's modules of a kind, in their order, outside of squeeze-and-excite."""
    gates = tuple(f"{name}." for name, module in sequence.named_modules() if isinstance(module, SqueezeExcite))
    for name, module in sequence.named_modules():
        if isinstance(module, kind) and not name.startswith(gates):
            yield f"{prefix}.{name}"


def _convolutions(sequence: nn.Module, prefix: str) -> tuple[tuple[str, str], ...]:
    """Return the names of a sequence's convolutions, each with that of the batch norm behind it."""
    return tuple(zip(_named(sequence, prefix, nn.Conv2d), _named(sequence, prefix, nn.BatchNorm2d), strict=True))
