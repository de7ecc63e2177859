"""Convolutions that train faster on the CPU than PyTorch's own, for images in channels-last memory.

They compute the same functions and gradients. benchmarks/training_step.py measures what each of them saves.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

# oneDNN computes the weight gradient of a depthwise kernel by vector instructions up to this number of columns
MAX_FAST_COLUMNS = 3


class _PointwiseConv2d(nn.Conv2d):
    """A 1x1 convolution, computed as a matrix product. On small images the call of a convolution costs more."""

    def _conv_forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.linear(x.permute(0, 2, 3, 1), weight.flatten(1), bias).permute(0, 3, 1, 2)


class _DepthwiseConv2d(nn.Conv2d):
    """A depthwise convolution whose weight gradient is put together from the gradients of narrow kernels.

    oneDNN has a fast implementation of that gradient for kernels of at most 3 columns and images that are not lower
    than the kernel. In all other cases its general implementation takes up to a hundred times as long, which is more
    than the rest of a network takes.
    """

    def _conv_forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        (rows, columns), (padding, _) = self.kernel_size, cast(tuple[int, int], self.padding)
        if columns <= MAX_FAST_COLUMNS and rows <= x.shape[2] and padding <= 1:
            return F.conv2d(x, weight, bias, self.stride, padding, groups=self.groups)
        convolved: Tensor = _Depthwise.apply(x, weight, bias, self.stride[0], padding)
        return convolved


class _Depthwise(torch.autograd.Function):
    """PyTorch's depthwise convolution with a weight gradient of our own."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding, ctx.has_bias = stride, padding, bias is not None
        return F.conv2d(x, weight, bias, stride, padding, groups=len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        needs_x, needs_weight, needs_bias = ctx.needs_input_grad[:3]
        x_gradient = _convolution_backward(gradient, x, weight, ctx.stride, ctx.padding, 0) if needs_x else None
        weight_gradient = _weight_gradient(gradient, x, weight, ctx.stride, ctx.padding) if needs_weight else None
        bias_gradient = gradient.sum((0, 2, 3)) if ctx.has_bias and needs_bias else None
        return x_gradient, weight_gradient, bias_gradient, None, None


def _weight_gradient(gradient: Tensor, x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """Compute the weight gradient of a depthwise convolution, one strip of the kernel's columns after another.

    The kernel's rows and columns that only ever meet padding have the gradient 0 and are left out.

    Args:
        gradient: The gradient of the output, shape (n, c, h_out, w_out).
        x: The input, shape (n, c, h, w).
        weight: The kernels, shape (c, 1, rows, columns).
        stride: The stride in both directions.
        padding: The padding with zeros on all four sides, in pixels.

    Returns:
        The gradient of the weight, in its shape.
    """
    rows, columns = (  # those that meet the image
        range(max(0, padding - (output_size - 1) * stride), min(kernel_size, input_size + padding))
        for kernel_size, input_size, output_size in zip(weight.shape[2:], x.shape[2:], gradient.shape[2:], strict=True)
    )
    result = torch.zeros_like(weight)
    if not rows:
        return result
    # from the first to the last position of the kernel's corner, in pixels
    height, width = ((output_size - 1) * stride for output_size in gradient.shape[2:])
    for start in range(columns.start, columns.stop, MAX_FAST_COLUMNS):
        strip = weight[:, :, rows.start : rows.stop, start : min(start + MAX_FAST_COLUMNS, columns.stop)]
        top, bottom = padding - rows.start, height + rows.stop - padding - x.shape[2]
        left, right = padding - start, width + start + strip.shape[3] - padding - x.shape[3]
        strip_input = F.pad(x, (left, right, top, bottom))  # negative padding crops
        strip_gradient = _convolution_backward(gradient, strip_input, strip, stride, 0, 1)
        result[:, :, rows.start : rows.stop, start : start + strip.shape[3]] = strip_gradient
    return result


def _convolution_backward(
    gradient: Tensor, x: Tensor, weight: Tensor, stride: int, padding: int, argument: int
) -> Tensor:
    """Return PyTorch's gradient of a depthwise convolution by one argument: 0 is the input, 1 the weight."""
    output_mask = [argument == 0, argument == 1, False]
    gradients = torch.ops.aten.convolution_backward(
        gradient, x, weight, None, [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], len(weight), output_mask
    )
    result: Tensor = gradients[argument]
    return result


def use_fast_layers(network: nn.Module) -> None:
    """Replace the 1x1 and depthwise convolutions of a network by the fast ones of this module, in place.

    Other convolutions stay as they are, and so do all names and values of the weights.

    Args:
        network: Any module.
    """
    for module in network.modules():
        if type(module) is nn.Conv2d:
            if module.kernel_size == module.stride == (1, 1) and module.groups == 1 and module.padding == (0, 0):
                module.__class__ = _PointwiseConv2d
            elif module.groups == module.in_channels == module.out_channels > 1 and _is_symmetric(module):
                module.__class__ = _DepthwiseConv2d


def _is_symmetric(convolution: nn.Conv2d) -> bool:
    """Return whether stride and padding are equal in height and width, padding is with zeros, and nothing is dilated.

    Only for such convolutions the weight gradient above is right.
    """
    return (
        len(set(convolution.stride)) == len(set(convolution.padding)) == 1
        and convolution.dilation == (1, 1)
        and convolution.padding_mode == "zeros"
    )
