"""Operations whose convolutions share their work among groups of channels or among branches.

[1] Zhang et al., "ShuffleNet: An Extremely Efficient Convolutional Neural Network for Mobile Devices", CVPR 2018,
    figure 2.
[2] Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size", 2016,
    figure 1.
[3] Huang et al., "CondenseNet: An Efficient DenseNet using Learned Group Convolutions", CVPR 2018, figure 4.

The units of the papers are made for any shape, with this package's order of convolution, batch norm and activation and
its skips. Where the channels are no multiple of the groups, there are fewer groups: their largest common divisor.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd

from evomnas.core.errors import InputError
from evomnas.problem.ops.base import (
    ChannelIndex,
    Concatenation,
    Convolution,
    Gate,
    LayerShape,
    Operation,
    Shuffle,
    Step,
)

MAX_NUMBER = 99
_BOTTLENECK = 4  # of ShuffleNet: the 3x3 convolution has a quarter of the unit's channels


class _Numbered(Operation):
    """An operation whose name ends in a number.

    Attributes:
        number: The number.
    """

    family: str  # the name without the number
    title: str  # the label without the number
    meaning: str  # of the number

    def __init__(self, number: int | None = None) -> None:
        """Make the operation.

        Args:
            number: The number.

        Raises:
            InputError: There is none, or it is out of range.
        """
        if number is None or not 2 <= number <= MAX_NUMBER:
            raise InputError(f"{self.family} needs {self.meaning} from 2 to {MAX_NUMBER}, as in {self.family}4")
        self.number = number
        self.name, self.label = f"{self.family}{number}", f"{self.title}{number}"


class ShuffleUnit(_Numbered):
    """`shuffleN`: ShuffleNet's unit with N groups [1].

    A 1x1 convolution in groups to a quarter of the filters, a shuffle of the channels, a depthwise convolution without
    activation, a 1x1 convolution in groups without activation. The paper's activation behind the addition is left out,
    and so is its concatenation at a stride: skips are the block's.
    """

    family, title, meaning = "shuffle", "Shuffle", "a number of groups"

    def steps(self, layer: LayerShape) -> Sequence[Step]:
        """See `Operation.steps`."""
        inner = self.number * -(-layer.filters // (_BOTTLENECK * self.number))
        first, last = gcd(self.number, layer.in_filters), gcd(self.number, layer.filters)
        return [
            Convolution(layer.in_filters, inner, 1, groups=first),
            Shuffle(inner, first),
            Convolution(inner, inner, layer.kernel, layer.stride, inner, active=False),
            *([Gate(inner)] if layer.gated else []),
            Convolution(inner, layer.filters, 1, groups=last, active=False),
        ]


class Fire(_Numbered):
    """`fireN`: SqueezeNet's Fire module [2].

    A 1x1 convolution squeezes to 1/N of the filters. A 1x1 and a kxk convolution expand side by side to a half each,
    with the stride. SqueezeNet's N is 8.
    """

    family, title, meaning = "fire", "Fire", "a factor"

    def steps(self, layer: LayerShape) -> Sequence[Step]:
        """See `Operation.steps`."""
        squeezed, half = -(-layer.filters // self.number), layer.filters // 2
        squeeze = Convolution(layer.in_filters, squeezed, 1)
        spatial = Convolution(squeezed, layer.filters - half, layer.kernel, layer.stride)
        pointwise = Convolution(squeezed, half, 1, layer.stride)
        expand: Step = Concatenation(((pointwise,), (spatial,))) if half else spatial
        return [squeeze, expand, *([Gate(layer.filters)] if layer.gated else [])]


class CondensedConvolution(_Numbered):
    """`condenseN`: CondenseNet's layer in its condensed form, with N groups and a condensation by N [3].

    An index layer, a 1x1 convolution in groups, a shuffle of the channels, a kxk convolution in groups without
    activation. CondenseNet learns the index by pruning while it trains. Here a new network has a fixed one.
    """

    family, title, meaning = "condense", "Cond", "a number of groups"

    def steps(self, layer: LayerShape) -> Sequence[Step]:
        """See `Operation.steps`."""
        groups, last = gcd(self.number, layer.in_filters, layer.filters), gcd(self.number, layer.filters)
        return [
            ChannelIndex(layer.in_filters, groups),
            Convolution(layer.in_filters, layer.filters, 1, groups=groups),
            Shuffle(layer.filters, groups),
            Convolution(layer.filters, layer.filters, layer.kernel, layer.stride, last, active=False),
            *([Gate(layer.filters)] if layer.gated else []),
        ]
