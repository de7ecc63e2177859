"""The operations of this package.

[1] Tan et al., "MnasNet: Platform-Aware Neural Architecture Search for Mobile", CVPR 2019, figure 4.
[2] Tan and Le, "EfficientNetV2: Smaller Models and Faster Training", ICML 2021, figure 2.
[3] Qin et al., "MobileNetV4: Universal Models for the Mobile Ecosystem", ECCV 2024, figure 4.

Those whose units differ from inverted bottlenecks in more than their convolutions are in `grouped`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from evomnas.core.errors import InputError
from evomnas.problem.ops.base import Convolution, Gate, LayerShape, Operation, Shortcut, Step
from evomnas.problem.ops.grouped import CondensedConvolution, Fire, ShuffleUnit

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
    least_factor = 2

    def __init__(self, number: int | None = None) -> None:
        """Make the operation.

        Args:
            number: The factor.

        Raises:
            InputError: There is none, or it is out of range.
        """
        if number is None or not self.least_factor <= number <= MAX_EXPANSION:
            allowed = f"from {self.least_factor} to {MAX_EXPANSION}"
            raise InputError(f"{self.family} needs a factor {allowed}, as in {self.family}6")
        self.factor = number
        self.name, self.label = f"{self.family}{number}", f"{self.title}{number}"


class SeparableConvolution(_Plain):
    """`dconv`: a depthwise separable convolution [1], which is an inverted bottleneck without expansion."""

    name = "dconv"
    label = "SepConv"

    def steps(self, layer: LayerShape) -> Sequence[Step]:
        """See `Operation.steps`."""
        depthwise = _depthwise(layer.in_filters, layer.kernel, layer.stride)
        project = Convolution(layer.in_filters, layer.filters, 1, active=False)
        return [depthwise, *_gate(layer, layer.in_filters), project]


class InvertedBottleneck(_Widening):
    """`mbconvN`: expansion by N, depthwise convolution, projection without activation [1]."""

    family = "mbconv"
    title = "MBConv"

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


class _UniversalInvertedBottleneck(_Widening):
    """The universal inverted bottleneck [3]: an inverted bottleneck with two optional depthwise convolutions.

    The first one stands before the expansion and has no activation. The second one takes the stride where both are
    there. With the second one alone it is `mbconvN`.

    Attributes:
        starts: Whether it has the first one.
        goes_on: Whether it has the second one.
        start_kernel: The kernel size of the first one; None for that of the block.
    """

    least_factor = 1
    starts = goes_on = False
    start_kernel: int | None = None

    def steps(self, layer: LayerShape) -> Sequence[Step]:
        """See `Operation.steps`."""
        wide, kernel = layer.in_filters * self.factor, self.start_kernel or layer.kernel
        stride = 1 if self.goes_on else layer.stride
        start = [_depthwise(layer.in_filters, kernel, stride, active=False)] if self.starts else []
        expand = Convolution(layer.in_filters, wide, 1, 1 if self.starts or self.goes_on else stride)
        middle = [_depthwise(wide, layer.kernel, layer.stride)] if self.goes_on else []
        return [*start, expand, *middle, *_gate(layer, wide), Convolution(wide, layer.filters, 1, active=False)]


class ExtraDepthwise(_UniversalInvertedBottleneck):
    """`extradwN`: with both depthwise convolutions, of one kernel size."""

    family, title = "extradw", "ExtraDW"
    starts = goes_on = True


class ConvNext(_UniversalInvertedBottleneck):
    """`convnextN`: with the first depthwise convolution alone."""

    family, title = "convnext", "ConvNext"
    starts = True


class FeedForward(_UniversalInvertedBottleneck):
    """`ffnN`: without a depthwise convolution, so that it has no kernel. The expansion takes the stride."""

    family, title = "ffn", "FFN"

    def canonical(self, kernel: int) -> tuple[str, int]:
        """See `Operation.canonical`."""
        return self.name, 1


class UniversalInvertedBottleneck(_UniversalInvertedBottleneck):
    """`uibNaK`: with both depthwise convolutions, the first of kernel size K, the second of the block's."""

    family, title = "uib", "UIB"
    starts = goes_on = True

    def __init__(self, number: int | None = None, start_kernel: int | None = None) -> None:
        """Make the operation.

        Args:
            number: The factor.
            start_kernel: The kernel size of the first depthwise convolution, odd.

        Raises:
            InputError: One is missing or out of range.
        """
        super().__init__(number)
        if start_kernel is None or start_kernel % 2 == 0:
            raise InputError("uib needs a factor and an odd kernel size, as in uib4a3")
        self.start_kernel = start_kernel
        self.name, self.label = f"{self.name}a{start_kernel}", f"{self.label}/{start_kernel}"

    def canonical(self, kernel: int) -> tuple[str, int]:
        """See `Operation.canonical`: with equal kernels it is `extradwN`."""
        return (f"extradw{self.factor}" if kernel == self.start_kernel else self.name), kernel


class Pass(_Plain):
    """`pass`: no layer at all, or a shortcut without weights where the block changes the shape."""

    name = "pass"
    label = "Pass"
    is_weightless = True

    def canonical(self, kernel: int) -> tuple[str, int]:
        """See `Operation.canonical`."""
        return self.name, 1

    def steps(self, layer: LayerShape) -> Sequence[Step]:
        """See `Operation.steps`."""
        return [Shortcut(layer.in_filters, layer.filters, layer.stride)]


BUILT_IN: dict[str, Callable[..., Operation]] = {
    "conv": PlainConvolution,
    "dconv": SeparableConvolution,
    "mbconv": InvertedBottleneck,
    "fmbconv": FusedInvertedBottleneck,
    "extradw": ExtraDepthwise,
    "convnext": ConvNext,
    "ffn": FeedForward,
    "uib": UniversalInvertedBottleneck,
    "shuffle": ShuffleUnit,
    "fire": Fire,
    "condense": CondensedConvolution,
    "pass": Pass,
}
NUMBERED = [family for family, kind in BUILT_IN.items() if not (isinstance(kind, type) and issubclass(kind, _Plain))]
