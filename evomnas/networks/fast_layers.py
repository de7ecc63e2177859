"""Layers that train faster on the CPU than PyTorch's own: the same functions of batches of channels-last images.

benchmarks/training_step.py says what each brings.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

WIDEST = 3  # columns of a depthwise kernel whose weight gradient oneDNN computes by vector instructions


class _PointwiseConv2d(nn.Conv2d):
    """A 1x1 convolution as the matrix product that it is: on small images a convolution call costs more than that."""

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x.permute(0, 2, 3, 1), self.weight.flatten(1), self.bias).permute(0, 3, 1, 2)


class _DepthwiseConv2d(nn.Conv2d):
    """A depthwise convolution whose weight gradient is put together from those of narrow kernels.

    oneDNN's fast kernel for it takes at most 3 columns, and no image that is lower than the kernel; for all others its
    general one takes up to a hundred times as long, more than all the rest of a network together.
    """

    def forward(self, x: Tensor) -> Tensor:
        (rows, columns), (padding, _) = self.kernel_size, cast(tuple[int, int], self.padding)
        if columns <= WIDEST and rows <= x.shape[2] and padding <= 1:
            return super().forward(x)
        convolved: Tensor = _Depthwise.apply(x, self.weight, self.bias, self.stride[0], padding)
        return convolved


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding, ctx.biased = stride, padding, bias is not None
        return F.conv2d(x, weight, bias, stride, padding, groups=len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        wanted_x, wanted_weight, wanted_bias = ctx.needs_input_grad[:3]
        of_x = _convolution_backward(gradient, x, weight, ctx.stride, ctx.padding, 0) if wanted_x else None
        of_weight = _weight_gradient(gradient, x, weight, ctx.stride, ctx.padding) if wanted_weight else None
        of_bias = gradient.sum((0, 2, 3)) if ctx.biased and wanted_bias else None
        return of_x, of_weight, of_bias, None, None


def _weight_gradient(gradient: Tensor, x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """By strips of the kernel's columns; rows and columns that never meet the image have none.

    Args:
        gradient: Of the output, (n, c, h', w').
        x: The input, (n, c, h, w).
        weight: (c, 1, rows, columns), as is what is returned.
    """
    rows, columns = (
        range(max(0, padding - (after - 1) * stride), min(size, before + padding))
        for size, before, after in zip(weight.shape[2:], x.shape[2:], gradient.shape[2:], strict=True)
    )
    result = torch.zeros_like(weight)
    if not rows:
        return result
    high, wide = ((after - 1) * stride for after in gradient.shape[2:])
    for left in range(columns.start, columns.stop, WIDEST):
        strip = weight[:, :, rows.start : rows.stop, left : min(left + WIDEST, columns.stop)]
        top, bottom = padding - rows.start, high + rows.stop - padding - x.shape[2]
        before, after = padding - left, wide + left + strip.shape[3] - padding - x.shape[3]
        seen = F.pad(x, (before, after, top, bottom))  # crops where negative
        part = _convolution_backward(gradient, seen, strip, stride, 0, 1)
        result[:, :, rows.start : rows.stop, left : left + strip.shape[3]] = part
    return result


def _convolution_backward(gradient: Tensor, x: Tensor, weight: Tensor, stride: int, padding: int, of: int) -> Tensor:
    """The gradient of the input (0) or of the weight (1) of a depthwise convolution."""
    wanted = [of == 0, of == 1, False]
    both = torch.ops.aten.convolution_backward(
        gradient, x, weight, None, [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], len(weight), wanted
    )
    result: Tensor = both[of]
    return result


def use_fast_layers(network: nn.Module) -> None:
    """Make 1x1 and depthwise convolutions the ones of this module, in place."""
    for module in network.modules():
        if type(module) is nn.Conv2d:
            if module.kernel_size == module.stride == (1, 1) and module.groups == 1 and module.padding == (0, 0):
                module.__class__ = _PointwiseConv2d
            elif module.groups == module.in_channels == module.out_channels > 1 and _alike_both_ways(module):
                module.__class__ = _DepthwiseConv2d


def _alike_both_ways(convolution: nn.Conv2d) -> bool:
    """Whether height and width are strided and padded by the same, with zeros, and nothing is dilated."""
    return (
        len(set(convolution.stride)) == len(set(convolution.padding)) == 1
        and convolution.dilation == (1, 1)
        and convolution.padding_mode == "zeros"
    )
