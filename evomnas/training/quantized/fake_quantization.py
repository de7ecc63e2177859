"""A network that computes in float what its int8 file will compute: quantization-aware training [1].

Every weight and every value that passes from one operation to the next is rounded to one of the numbers that int8 has
for it. The rounding follows the files that `evomnas.latency.quantization` writes: weights are symmetric with a scale
for each output channel, batch norm is folded into them before that, and a value has one scale and one zero point,
from the smallest and largest number that it has on calibration images. Gradients pass the rounding unchanged [2].

Batch norm keeps its statistics, so that what is folded is what ships. Modules of other libraries stay in float.

[1] Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", CVPR
    2018, section 3.
[2] Bengio, Leonard and Courville, "Estimating or Propagating Gradients Through Stochastic Neurons", 2013.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from evomnas.networks.channels import ChannelSelection, ChannelShuffle, Concatenated
from evomnas.networks.fused import FusedConvolution, fuse
from evomnas.networks.network import Layer, Network, Parallel, PoolSkip, SamePad, SqueezeExcite
from evomnas.results.evaluation import TrainingDiverged

WEIGHT_STEPS = 127  # of the largest weight of a channel
VALUE_STEPS = 255  # of the range of a value, which holds 0
MIN_RANGE = 1e-6  # of a value or weight that is the same for all images


@dataclass(frozen=True, slots=True)
class Range:
    """The smallest and the largest number that a value has on the calibration images."""

    low: float
    high: float

    def union(self, other: Range) -> Range:
        """Return the smallest range that holds two.

        Args:
            other: The other one.
        """
        return Range(min(self.low, other.low), max(self.high, other.high))

    def round(self, x: Tensor) -> Tensor:
        """Round numbers to those that int8 has for this range; 0 is one of them. What is outside is cut off.

        Args:
            x: Float numbers, any shape.

        Returns:
            The rounded numbers. The gradient is that of the identity inside of the range, and 0 outside.
        """
        low, high = min(self.low, 0.0), max(self.high, 0.0)
        scale = max(high - low, MIN_RANGE) / VALUE_STEPS
        return torch.fake_quantize_per_tensor_affine(x.float(), scale, round(-low / scale), 0, VALUE_STEPS)


def round_weight(weight: Tensor) -> Tensor:
    """Round the weights of a convolution or of a linear layer to those that int8 has for each of its output channels.

    Args:
        weight: Float weights, shape (filters, ...).

    Returns:
        The rounded weights. The gradient is that of the identity.
    """
    largest = weight.detach().flatten(1).abs().amax(1)
    scale = largest.clamp(min=MIN_RANGE) / WEIGHT_STEPS
    zero = torch.zeros(len(scale), dtype=torch.int32, device=scale.device)
    return torch.fake_quantize_per_channel_affine(weight, scale, zero, 0, -WEIGHT_STEPS, WEIGHT_STEPS)


class FakeQuantized:
    """A network whose weights and values are rounded as in its int8 file.

    Its weights are those of the network itself, so that training one trains the other. It must be calibrated first, and
    from time to time while its weights change.

    Attributes:
        network: The network, which takes normalised images.
        ranges: The ranges of the values, in the order in which they are computed.
    """

    def __init__(self, network: nn.Module) -> None:
        """Name the network, which is not changed.

        Args:
            network: The network.
        """
        self.network = network
        self.ranges: list[Range] = []

    @torch.no_grad()
    def calibrate(self, parts: Iterable[Tensor]) -> None:
        """Take the range of every value anew, in float, as the calibration of an int8 file does.

        Args:
            parts: Normalised images, each of shape (n, c, h, w).

        Raises:
            TrainingDiverged: A value is infinite or not a number.
        """
        modes = [(module, module.training) for module in self.network.modules()]
        self.network.eval()
        self.ranges = []
        for images in parts:
            found: list[Range] = []
            _Pass(found).run(self.network, images)
            self.ranges = [one.union(two) for one, two in zip(self.ranges or found, found, strict=True)]
        for module, is_training in modes:
            module.training = is_training

    def __call__(self, images: Tensor) -> Tensor:
        """Compute logits.

        Args:
            images: Normalised images, shape (n, c, h, w).

        Returns:
            The logits, shape (n, classes).
        """
        return _Pass(iter(self.ranges)).run(self.network, images)


@dataclass(frozen=True)
class _Pass:
    """A pass of images through a network, operation by operation as in its file.

    Attributes:
        ranges: The ranges that values are rounded to, or a list that gets those that they have.
    """

    ranges: Iterator[Range] | list[Range]

    def run(self, network: nn.Module, images: Tensor) -> Tensor:
        return self._module(network, self._value(images))

    def _value(self, x: Tensor) -> Tensor:
        if isinstance(self.ranges, list):
            found = Range(float(x.min()), float(x.max()))
            if not math.isfinite(found.high - found.low):
                raise TrainingDiverged("the network computes numbers that are not finite for the calibration images")
            self.ranges.append(found)
            return x
        return next(self.ranges).round(x)

    def _weight(self, weight: Tensor) -> Tensor:
        return weight if isinstance(self.ranges, list) else round_weight(weight)

    def _module(self, module: nn.Module | FusedConvolution, x: Tensor) -> Tensor:
        if isinstance(module, FusedConvolution):
            return self._convolution(module, x)
        if isinstance(module, Network | nn.Sequential):
            parts = fuse(module.children(), (nn.ReLU, nn.ReLU6))
            return functools.reduce(lambda y, part: self._module(part, y), parts, x)
        if isinstance(module, Layer):
            y = self._module(module.body, x)
            return y if module.skip is None else self._value(y + self._module(module.skip, x))
        if isinstance(module, PoolSkip):
            return self._value(module(x))
        if isinstance(module, SqueezeExcite):
            return self._squeeze_excite(module, x)
        if isinstance(module, Concatenated):
            return self._value(torch.cat([self._module(branch, x) for branch in module.branches], 1))
        if isinstance(module, Parallel):
            outputs = [self._module(branch, x) for branch in module.branches]
            return functools.reduce(lambda total, output: self._value(total + output), outputs)
        if isinstance(module, nn.Linear):
            return self._value(F.linear(x, self._weight(module.weight), module.bias))
        if isinstance(module, nn.Identity | nn.Flatten | nn.Dropout | ChannelShuffle | ChannelSelection):
            return cast(Tensor, module(x))  # the numbers are those of its input, or in training larger ones
        return self._value(module(x))

    def _convolution(self, fused: FusedConvolution, x: Tensor) -> Tensor:
        conv = fused.conv
        weight, bias = fused.parameters()
        if fused.is_same:
            x = SamePad(conv.kernel_size[0], conv.stride[0])(x)
        y = conv._conv_forward(x, self._weight(weight), bias)
        return self._value(y if fused.activation is None else fused.activation(y))

    def _squeeze_excite(self, gate: SqueezeExcite, x: Tensor) -> Tensor:
        pooled = self._value(gate.pool(x))
        squeezed = self._convolution(FusedConvolution(gate.reduce, activation=gate.relu), pooled)
        factor = gate.gate(self._convolution(FusedConvolution(gate.expand), squeezed))
        return self._value(x * self._value(factor))
