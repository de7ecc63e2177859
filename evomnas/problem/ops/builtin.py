"""The operations of this package.

[1] Tan et al., "MnasNet: Platform-Aware Neural Architecture Search for Mobile", CVPR 2019, figure 4.
[2] Tan and Le, "EfficientNetV2: Smaller Models and Faster Training", ICML 2021, figure 2.
[3] Qin et al., "MobileNetV4: Universal Models for the Mobile Ecosystem", ECCV 2024, figure 4.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from evomnas.core.errors import InputError
from evomnas.problem.ops.base import Convolution, Gate, LayerShape, Operation, Step

MAX_EXPANSION = 99


def _gate(layer: LayerShape, filters: int) -> list[Step]:
    return [Gate(filters)] if layer.gated else []


def _depthwise(filters: int, kernel: int, stride: int = 1, active: bool = True) -> Convolution:
    return Convolution(filters, filters, kernel, stride, filters, active)


class _Plain(Operation):
    """An operation whose name has no number."""

    def __init__(self, number: int | None = None) -> None:
        """Make the operation.

        Args:
            number: What stands behind the name; nothing is allowed.

        Raises:
            InputError: A number does.
        """
        if number is not None:
            raise InputError(f"{self.name} takes no number, got {self.name}{number}")


class PlainConvolution(_Plain):
    """`conv`: a plain convolution. It is active at its end, or a chain of such layers would be a single linear map."""

    name = "conv"
    label = "Conv"

    def steps(self, layer: LayerShape) -> Sequence[Step]:
        """See `Operation.steps`."""
        conv = Convolution(layer.in_filters, layer.filters, layer.kernel, layer.stride)
        return [conv, *_gate(layer, layer.filters)]


class _Widening(Operation):
    """An operation whose name ends in the factor by which it widens its input.

    Attributes:
        factor: The factor.
    """

    family: str  # the name without the factor
    title: str  # the label without the factor

    def __init__(self, number: int | None = None) -> None:
        """Make the operation.

        Args:
            number: The factor.

        Raises:
            InputError: There is none, or it is out of range.
        """
        if number is None or not 2 <= number <= MAX_EXPANSION:
            raise InputError(f"{self.family} needs a factor from 2 to {MAX_EXPANSION}, as in {self.family}6")
        self.factor = number
        self.name, self.label = f"{self.family}{number}", f"{self.title}{number}"


class SeparableConvolution(_Plain):
    """`dconv`: a depthwise separable convolution [1], which is an inverted bottleneck without expansion."""

    name = "dconv"
    label = "SepConv"
    inherits = True

    def steps(self, layer: LayerShape) -> Sequence[Step]:
        """See `Operation.steps`."""
        depthwise = _depthwise(layer.in_filters, layer.kernel, layer.stride)
        project = Convolution(layer.in_filters, layer.filters, 1, active=False)
        return [depthwise, *_gate(layer, layer.in_filters), project]


class InvertedBottleneck(_Widening):
    """`mbconvN`: expansion by N, depthwise convolution, projection without activation [1]."""

    family = "mbconv"
    title = "MBConv"
    inherits = True

    def __init__(self, number: int | None = None) -> None:
        """Make the operation.

        Args:
            number: The factor.

        Raises:
            InputError: There is none, or it is out of range.
        """
        super().__init__(number)
        self.expansion = self.factor

    def steps(self, layer: LayerShape) -> Sequence[Step]:
        """See `Operation.steps`."""
        wide = layer.in_filters * self.factor
        expand = Convolution(layer.in_filters, wide, 1)
        depthwise = _depthwise(wide, layer.kernel, layer.stride)
        return [expand, depthwise, *_gate(layer, wide), Convolution(wide, layer.filters, 1, active=False)]


class FusedInvertedBottleneck(_Widening):
    """`fmbconvN`: a plain convolution takes the place of expansion and depthwise convolution [2]."""

    family = "fmbconv"
    title = "FusedMBConv"

    def steps(self, layer: LayerShape) -> Sequence[Step]:
        """See `Operation.steps`."""
        wide = layer.in_filters * self.factor
        fused = Convolution(layer.in_filters, wide, layer.kernel, layer.stride)
        return [fused, *_gate(layer, wide), Convolution(wide, layer.filters, 1, active=False)]


class ExtraDepthwise(_Widening):
    """`extradwN`: the universal inverted bottleneck with both depthwise convolutions [3], of one kernel size.

    The first one has neither stride nor activation.
    """

    family = "extradw"
    title = "ExtraDW"

    def steps(self, layer: LayerShape) -> Sequence[Step]:
        """See `Operation.steps`."""
        start = _depthwise(layer.in_filters, layer.kernel, active=False)
        wide = layer.in_filters * self.factor
        expand = Convolution(layer.in_filters, wide, 1)
        depthwise = _depthwise(wide, layer.kernel, layer.stride)
        return [start, expand, depthwise, *_gate(layer, wide), Convolution(wide, layer.filters, 1, active=False)]


class ConvNext(_Widening):
    """`convnextN`: the universal inverted bottleneck whose depthwise convolution stands before the expansion [3]."""

    family = "convnext"
    title = "ConvNext"

    def steps(self, layer: LayerShape) -> Sequence[Step]:
        """See `Operation.steps`."""
        start = _depthwise(layer.in_filters, layer.kernel, layer.stride, active=False)
        wide = layer.in_filters * self.factor
        expand = Convolution(layer.in_filters, wide, 1)
        return [start, expand, *_gate(layer, wide), Convolution(wide, layer.filters, 1, active=False)]


BUILT_IN: dict[str, Callable[[int | None], Operation]] = {
    "conv": PlainConvolution,
    "dconv": SeparableConvolution,
    "mbconv": InvertedBottleneck,
    "fmbconv": FusedInvertedBottleneck,
    "extradw": ExtraDepthwise,
    "convnext": ConvNext,
}
