"""From an `Architecture` to a torch module.

What each choice builds (paper figure 4 and the published code; where both are silent, our choice):

- `mbconvN`: 1x1 expansion to N times the layer's input channels, BN, ReLU; depthwise kxk, BN, ReLU; SE;
  1x1 projection, BN, no activation (the linear bottleneck of MobileNetV2).
- `dconv`: the same without the expansion, the depthwise separable convolution of MnasNet's first block.
- `conv`: kxk convolution, BN, ReLU; SE. It keeps its activation, since a chain of plain convolutions
  without one would collapse into a single linear map.
- SE: global average, 1x1 convolution with bias to ratio x the layer's **input** channels, ReLU, 1x1
  convolution with bias, sigmoid gate.
- identity skip: added where a layer has stride 1 and keeps its channels (all layers but, usually, the first).
- pooling skip (ours, the paper leaves it open): like identity, and the layer that changes the shape gets
  a skip as well: average pooling over its stride, channels padded with zeros or cut. It adds no weights
  and gives every layer of the block a residual path, which an identity cannot.

Activations are ReLU throughout (published MobileNetV2 weights want ReLU6: `evomnas.networks.published_weights` sees
to that). Convolutions have no bias. BN epsilon is 1e-3, as in the published code. All convolutions pad by half
their kernel, so that a stride of s maps n pixels to ceil(n / s).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from evomnas.core.seeding import torch_generator
from evomnas.problem.architecture import Architecture, Block

BN_EPSILON = 1e-3


class SqueezeExcite(nn.Module):
    """Channel gate: (n, c, h, w) -> (n, c, h, w), with `squeeze` channels in between."""

    def __init__(self, channels: int, squeeze: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.reduce = nn.Conv2d(channels, squeeze, 1)
        self.relu = nn.ReLU(inplace=True)
        self.expand = nn.Conv2d(squeeze, channels, 1)
        self.gate = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        gate: Tensor = self.gate(self.expand(self.relu(self.reduce(self.pool(x)))))
        return x * gate


class PoolSkip(nn.Module):
    """Weightless shortcut (n, in, h, w) -> (n, out, ceil(h / stride), ceil(w / stride))."""

    def __init__(self, in_filters: int, filters: int, stride: int) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(stride, ceil_mode=True) if stride > 1 else nn.Identity()
        self.extra = filters - in_filters

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(x)
        if self.extra > 0:
            return F.pad(x, (0, 0, 0, 0, 0, self.extra))
        return x[:, : x.shape[1] + self.extra] if self.extra < 0 else x


class Layer(nn.Module):
    """One layer of a block: its operation and, where the block has one, its skip."""

    def __init__(self, block: Block, in_filters: int, stride: int, bn_momentum: float) -> None:
        super().__init__()
        self.body = nn.Sequential(*_operation(block, in_filters, stride, bn_momentum))
        shortcut = block.shortcut(in_filters, stride)
        self.skip: nn.Module | None = None
        if shortcut == "identity":
            self.skip = nn.Identity()
        elif shortcut == "pool":
            self.skip = PoolSkip(in_filters, block.filters, stride)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x)
        return y if self.skip is None else y + self.skip(x)


def _conv_bn(
    in_filters: int, filters: int, kernel: int, stride: int, groups: int, bn_momentum: float, relu: bool = True
) -> list[nn.Module]:
    convolution = nn.Conv2d(in_filters, filters, kernel, stride, kernel // 2, groups=groups, bias=False)
    norm = nn.BatchNorm2d(filters, eps=BN_EPSILON, momentum=bn_momentum)
    return [convolution, norm, nn.ReLU(inplace=True)] if relu else [convolution, norm]


def _operation(block: Block, in_filters: int, stride: int, bn_momentum: float) -> list[nn.Module]:
    squeeze = block.squeeze(in_filters)
    if block.op == "conv":
        modules = _conv_bn(in_filters, block.filters, block.kernel, stride, 1, bn_momentum)
        return [*modules, SqueezeExcite(block.filters, squeeze)] if block.se else modules
    wide = in_filters * block.expansion
    modules = _conv_bn(in_filters, wide, 1, 1, 1, bn_momentum) if block.expansion > 1 else []
    modules += _conv_bn(wide, wide, block.kernel, stride, wide, bn_momentum)
    if block.se:
        modules.append(SqueezeExcite(wide, squeeze))
    return modules + _conv_bn(wide, block.filters, 1, 1, 1, bn_momentum, relu=False)


class Network(nn.Module):
    """The torch module of an architecture: (n, channels, h, w) -> logits (n, classes)."""

    def __init__(
        self, architecture: Architecture, classes: int, channels: int, dropout: float, bn_momentum: float
    ) -> None:
        super().__init__()
        self.architecture = architecture
        stem = architecture.stem
        self.stem = nn.Sequential(*_conv_bn(channels, stem, 3, architecture.stem_stride, 1, bn_momentum))
        blocks: list[list[Layer]] = [[] for _ in architecture.blocks]
        for number, _, block, filters, stride in architecture.layers():
            blocks[number - 1].append(Layer(block, filters, stride, bn_momentum))
        self.blocks = nn.Sequential(*(nn.Sequential(*layers) for layers in blocks))
        last = architecture.blocks[-1].filters
        self.head = nn.Sequential(*_conv_bn(last, architecture.head, 1, 1, 1, bn_momentum))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(architecture.head, classes)

    def stages(self) -> list[nn.Module]:
        """The parts that an image passes one after another: stem, every layer, head, classifier."""
        layers = [layer for block in self.blocks for layer in cast(nn.Sequential, block)]
        classifier = nn.Sequential(self.pool, self.flatten, self.dropout, self.classifier)
        return [self.stem, *layers, self.head, classifier]

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.head(self.blocks(self.stem(x))))
        logits: Tensor = self.classifier(self.dropout(self.flatten(x)))
        return logits


def build_network(
    architecture: Architecture,
    classes: int = 1000,
    channels: int = 3,
    *,
    dropout: float = 0.0,
    bn_momentum: float = 0.1,
    seed: int | np.random.SeedSequence = 0,
) -> Network:
    """A network with freshly drawn weights, on the CPU.

    Args:
        architecture: What to build.
        classes: Number of logits.
        channels: Channels of the images.
        dropout: Probability before the classifier.
        bn_momentum: Weight of the newest batch in the running statistics (PyTorch's meaning: TensorFlow's
            0.99 is 0.01 here). Trainings of a few hundred steps need 0.1 or their statistics lag behind.
        seed: Draws the weights; the global generator is neither used nor changed.
    """
    with torch.device("meta"):  # skips torch's own initialisation, which would use the global generator
        network = Network(architecture, classes, channels, dropout, bn_momentum)
    network.to_empty(device="cpu")
    _initialise(network, torch_generator(seed))
    return network


def clip_activations(network: Network) -> None:
    """Make every activation outside squeeze-and-excite a ReLU6, as in MobileNetV2, in place."""
    for sequence in network.modules():
        if isinstance(sequence, nn.Sequential):
            for index, module in enumerate(sequence):
                if isinstance(module, nn.ReLU):
                    sequence[index] = nn.ReLU6(inplace=True)


def _initialise(network: nn.Module, generator: torch.Generator) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            # fan-out per group: torch's own would count a depthwise kernel once for every channel
            fan_out = math.prod(module.kernel_size) * module.out_channels // module.groups
            nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out), generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.01, generator=generator)
            nn.init.zeros_(module.bias)


class Parallel(nn.Module):
    """The sum of what its branches make of one input."""

    def __init__(self, branches: Iterable[nn.Module]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        first, *others = (branch(x) for branch in self.branches)
        for other in others:
            first = first + other
        return cast(Tensor, first)
