"""From an `Architecture` to a torch module.

Each choice of an architecture builds the following. The source is figure 4 of the paper and its published code; where
both leave something open, the choice is ours. BN is batch norm, SE is squeeze-and-excite.

- `mbconvN`: a 1x1 convolution that expands to N times the layer's input channels, BN, ReLU; a depthwise kxk
  convolution, BN, ReLU; SE; a 1x1 projection, BN. There is no activation at the end (the linear bottleneck of
  MobileNetV2).
- `dconv`: the same without the expansion. This is the depthwise separable convolution of MnasNet's first block.
- `conv`: a kxk convolution, BN, ReLU; SE. The activation stays, since a chain of plain convolutions without
  activations would be a single linear map.
- `fmbconvN`: the fused inverted bottleneck of EfficientNetV2: a kxk convolution to N times the channels, BN, ReLU; SE;
  a 1x1 projection, BN.
- `extradwN`, `convnextN`, `ffnN` and `uibNaK`: universal inverted bottlenecks of MobileNetV4, with both, the first or
  none of two depthwise convolutions. The first one stands before the expansion and has no activation; the second one is
  that of `mbconvN`. The first one of `uibNaK` has a kernel of its own size K.
- `shuffleN`, `fireN`, `condenseN`: units of ShuffleNet, SqueezeNet and CondenseNet (`evomnas.problem.ops.grouped`).
- `pass`: nothing, or a pooling skip alone where the block changes the shape.
- All operations, those of other packages as well, build what their steps say (`evomnas.problem.ops.base`).
- SE: global average, a 1x1 convolution with bias to ratio x the layer's **input** channels, ReLU, a 1x1 convolution
  with bias, a sigmoid, whose output multiplies the channels.
- Identity skip: the layer's input is added to its output, in every layer that has stride 1 and keeps the number of
  channels. These are usually all layers of a block but the first.
- Pooling skip (ours; the paper leaves it open): as the identity skip, but the layer that changes the shape gets a
  skip as well: average pooling over its stride, and channels that are padded with zeros or cut. It adds no weights,
  and gives every layer of the block a residual path.

By default activations are ReLU, BN's epsilon is 1e-3, as in the published code, and all convolutions pad by half their
kernel, so that a stride of s maps n pixels to ceil(n / s). An architecture's traits may say otherwise
(`evomnas.problem.pretrained.traits`). Published weights of MobileNetV2 need ReLU6, which
`evomnas.networks.published_weights` puts in. Convolutions have no bias.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from evomnas.core.arguments import Count, Natural, Share, checked
from evomnas.core.seeding import torch_generator
from evomnas.networks.channels import Branches, ChannelSelection, ChannelShuffle, Concatenated
from evomnas.problem.architecture import Architecture, Block
from evomnas.problem.ops.base import ChannelIndex, Convolution, Gate, Shortcut, Shuffle, Step
from evomnas.problem.pretrained.traits import Traits


class SamePad(nn.Module):
    """TensorFlow's SAME padding, with zeros, for the convolution behind it.

    Its amount depends on the size of the input: as little as lets the convolution map n pixels to ceil(n / stride).
    What is odd goes below and to the right.

    Attributes:
        kernel: The kernel size of the convolution.
        stride: The stride of the convolution.
    """

    def __init__(self, kernel: int, stride: int) -> None:
        """Store the sizes.

        Args:
            kernel: The kernel size of the convolution.
            stride: The stride of the convolution.
        """
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        """Pad a batch.

        Args:
            x: Shape (n, channels, h, w).

        Returns:
            The padded batch.
        """
        return F.pad(x, self.around(x))

    def around(self, x: Tensor) -> tuple[int, int, int, int]:
        """Return how many pixels are added left, right, above and below.

        Args:
            x: Shape (n, channels, h, w).
        """
        top, bottom = self._margins(x.shape[2])
        left, right = self._margins(x.shape[3])
        return left, right, top, bottom

    def _margins(self, size: int) -> tuple[int, int]:
        missing = max(0, (-(-size // self.stride) - 1) * self.stride + self.kernel - size)
        return missing // 2, missing - missing // 2


class SqueezeExcite(nn.Module):
    """Multiplies every channel by a factor from 0 to 1 that follows from the means of all channels."""

    def __init__(self, channels: int, squeeze: int) -> None:
        """Create the module.

        Args:
            channels: The channels of the input and of the output.
            squeeze: The channels between its two convolutions.
        """
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.reduce = nn.Conv2d(channels, squeeze, 1)
        self.relu = nn.ReLU(inplace=True)
        self.expand = nn.Conv2d(squeeze, channels, 1)
        self.gate = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """Scale the channels of a batch.

        Args:
            x: Shape (n, channels, h, w).

        Returns:
            The scaled batch, of the same shape.
        """
        gate: Tensor = self.gate(self.expand(self.relu(self.reduce(self.pool(x)))))
        return x * gate


class PoolSkip(nn.Module):
    """A skip without weights for a layer that changes the shape: pools, and pads or cuts the channels.

    Attributes:
        pool: Average pooling over the stride, or an identity.
        extra_channels: The number of channels of zeros that are added; if negative, that of channels that are cut.
    """

    def __init__(self, in_filters: int, filters: int, stride: int) -> None:
        """Create the skip.

        Args:
            in_filters: The channels of the layer's input.
            filters: The channels of the layer's output.
            stride: The layer's stride.
        """
        super().__init__()
        self.pool = nn.AvgPool2d(stride, ceil_mode=True) if stride > 1 else nn.Identity()
        self.extra_channels = filters - in_filters

    def forward(self, x: Tensor) -> Tensor:
        """Bring a layer's input to the shape of its output.

        Args:
            x: Shape (n, in_filters, h, w).

        Returns:
            Shape (n, filters, ceil(h / stride), ceil(w / stride)).
        """
        x = self.pool(x)
        if self.extra_channels > 0:
            return F.pad(x, (0, 0, 0, 0, 0, self.extra_channels))
        return x[:, : x.shape[1] + self.extra_channels] if self.extra_channels < 0 else x


class Layer(nn.Module):
    """One layer of a block.

    Attributes:
        body: The operation.
        skip: The module whose output is added to the operation's; None for no skip.
    """

    def __init__(self, block: Block, in_filters: int, stride: int, bn_momentum: float, traits: Traits) -> None:
        """Create the layer with weights of PyTorch's own initialisation.

        Args:
            block: The block to which it belongs.
            in_filters: The channels of its input.
            stride: Its stride: the block's for the first layer of a block, 1 for the others.
            bn_momentum: The weight of the newest batch in the running statistics.
            traits: Its network's.
        """
        super().__init__()
        steps, build = block.steps(in_filters, stride), _Builder(bn_momentum, traits)
        self.body = nn.Sequential(*build.modules(steps, block.squeeze(in_filters)))
        shortcut = block.shortcut(in_filters, stride)
        self.skip: nn.Module | None = None
        if shortcut == "identity":
            self.skip = nn.Identity()
        elif shortcut == "pool":
            self.skip = PoolSkip(in_filters, block.filters, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the operation and add the skip.

        Args:
            x: Shape (n, in_filters, h, w).

        Returns:
            Shape (n, filters, ceil(h / stride), ceil(w / stride)).
        """
        y: Tensor = self.body(x)
        return y if self.skip is None else y + self.skip(x)


@dataclass(frozen=True)
class _Builder:
    """Builds convolutions with batch norm.

    Attributes:
        bn_momentum: The weight of the newest batch in the running statistics.
        traits: The network's.
    """

    bn_momentum: float
    traits: Traits

    def conv_bn(
        self, in_filters: int, filters: int, kernel: int, stride: int = 1, groups: int = 1, active: bool = True
    ) -> list[nn.Module]:
        """Return a convolution and its batch norm, with what pads before and what activates behind them."""
        is_same = self.traits.padding == "same" and stride > 1
        padding = 0 if is_same else kernel // 2
        return [
            *([SamePad(kernel, stride)] if is_same else []),
            nn.Conv2d(in_filters, filters, kernel, stride, padding, groups=groups, bias=False),
            nn.BatchNorm2d(filters, eps=self.traits.epsilon, momentum=self.bn_momentum),
            *([_ACTIVATIONS[self.traits.activation](inplace=True)] if active else []),
        ]

    def modules(self, steps: Iterable[Step], squeeze: int) -> list[nn.Module]:
        """Return the modules of steps.

        Args:
            steps: The steps.
            squeeze: The channels inside of a squeeze-and-excite.
        """
        return [module for step in steps for module in self._step(step, squeeze)]

    def _step(self, step: Step, squeeze: int) -> list[nn.Module]:
        if isinstance(step, Convolution):
            return self.conv_bn(
                step.in_filters, step.filters, step.kernel, step.stride, step.groups, active=step.active
            )
        if isinstance(step, Gate):
            return [SqueezeExcite(step.filters, squeeze)]
        if isinstance(step, Shuffle):
            return [ChannelShuffle(step.filters, step.groups)] if step.groups > 1 else []
        if isinstance(step, ChannelIndex):
            return [ChannelSelection(step.filters, step.groups)]
        if isinstance(step, Shortcut):
            keeps_shape = step.stride == 1 and step.in_filters == step.filters
            return [] if keeps_shape else [PoolSkip(step.in_filters, step.filters, step.stride)]
        return [Concatenated(nn.Sequential(*self.modules(branch, squeeze)) for branch in step.branches)]


_ACTIVATIONS: dict[str, Callable[..., nn.Module]] = {"relu": nn.ReLU, "relu6": nn.ReLU6, "hswish": nn.Hardswish}


class Network(nn.Module):
    """The torch module of an architecture, from normalised images to logits.

    Attributes:
        architecture: The architecture.
        stem: The first convolution.
        blocks: The blocks, each a sequence of `Layer`.
        head: The last convolution, a 1x1 one, before the global average or, by the traits, behind it.
        classifier: The linear layer after these and dropout.
    """

    def __init__(
        self, architecture: Architecture, classes: int, channels: int, dropout: float, bn_momentum: float
    ) -> None:
        """Create the network with weights of PyTorch's own initialisation; `build_network` draws better ones.

        Args:
            architecture: The architecture.
            classes: The number of logits.
            channels: The channels of the images.
            dropout: The probability of dropout before the classifier.
            bn_momentum: The weight of the newest batch in the running statistics.
        """
        super().__init__()
        self.architecture = architecture
        build = _Builder(bn_momentum, architecture.traits)
        self.stem = nn.Sequential(*build.conv_bn(channels, architecture.stem, 3, architecture.stem_stride))
        blocks: list[list[Layer]] = [[] for _ in architecture.blocks]
        for block_number, _, block, in_filters, stride in architecture.layers():
            blocks[block_number - 1].append(Layer(block, in_filters, stride, bn_momentum, architecture.traits))
        self.blocks = nn.Sequential(*(nn.Sequential(*layers) for layers in blocks))
        last_filters = architecture.blocks[-1].filters
        head, pool = nn.Sequential(*build.conv_bn(last_filters, architecture.head, 1)), nn.AdaptiveAvgPool2d(1)
        if architecture.traits.head == "late":  # children are in the order in which an image passes them
            self.pool, self.head = pool, head
        else:
            self.head, self.pool = head, pool
        self.flatten = nn.Flatten()
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(architecture.head, classes)

    def stages(self) -> list[nn.Module]:
        """Return the parts that an image passes one after another: the stem, every layer, the head, the classifier."""
        layers = [layer for block in self.blocks for layer in cast(nn.Sequential, block)]
        end = [self.flatten, self.dropout, self.classifier]
        if self.architecture.traits.head == "late":
            return [self.stem, *layers, nn.Sequential(self.pool, self.head), nn.Sequential(*end)]
        return [self.stem, *layers, self.head, nn.Sequential(self.pool, *end)]

    def forward(self, x: Tensor) -> Tensor:
        """Compute logits.

        Args:
            x: Normalised images, shape (n, channels, h, w).

        Returns:
            The logits, shape (n, classes).
        """
        x = self.blocks(self.stem(x))
        is_late = self.architecture.traits.head == "late"
        x = self.head(self.pool(x)) if is_late else self.pool(self.head(x))
        logits: Tensor = self.classifier(self.dropout(self.flatten(x)))
        return logits


@checked
def build_network(
    architecture: Architecture,
    classes: Count = 1000,
    channels: Count = 3,
    *,
    dropout: Share = 0.0,
    bn_momentum: Share = 0.1,
    seed: Natural | np.random.SeedSequence = 0,
) -> Network:
    """Build the network of an architecture with random weights, on the CPU.

    Args:
        architecture: The architecture, such as `published("mnasnet-a1")`.
        classes: The number of logits.
        channels: The channels of the images.
        dropout: The probability of dropout before the classifier.
        bn_momentum: The weight of the newest batch in the running statistics. This is PyTorch's meaning: 0.99 in
            TensorFlow is 0.01 here. Trainings of a few hundred steps need 0.1, or their statistics lag behind.
        seed: The seed of the weights. Torch's global generator is neither used nor changed.

    Returns:
        The network, in training mode.
    """
    with torch.device("meta"):  # skips PyTorch's own initialisation, which would use the global generator
        network = Network(architecture, classes, channels, dropout, bn_momentum)
    network.to_empty(device="cpu")
    _initialise(network, torch_generator(seed))
    return network


def clip_activations(network: Network) -> None:
    """Replace every activation outside squeeze-and-excite by a ReLU6, as in MobileNetV2, in place.

    Args:
        network: The network to change.
    """
    for sequence in network.modules():
        if isinstance(sequence, nn.Sequential):
            for index, module in enumerate(sequence):
                if isinstance(module, nn.ReLU):
                    sequence[index] = nn.ReLU6(inplace=True)


def _initialise(network: nn.Module, generator: torch.Generator) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            # the fan-out per group; PyTorch's own would count a depthwise kernel once for every channel
            fan_out = math.prod(module.kernel_size) * module.out_channels // module.groups
            nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out), generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, ChannelSelection):
            module.reset()
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.01, generator=generator)
            nn.init.zeros_(module.bias)


class Parallel(Branches):
    """Several modules whose outputs, of equal shapes, are added."""

    def forward(self, x: Tensor) -> Tensor:
        """Apply all branches.

        Args:
            x: The input of every branch.

        Returns:
            The sum of their outputs.
        """
        total, *outputs = (branch(x) for branch in self.branches)
        for output in outputs:
            total = total + output
        return cast(Tensor, total)
