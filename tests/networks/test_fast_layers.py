"""Layers that train faster are the same functions, forwards and backwards."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from evomnas.networks.fast_layers import use_fast_layers


def trained_alike(slow: nn.Module, x: torch.Tensor) -> nn.Module:
    """The fast twin of a module, after checking that outputs and all gradients are those of PyTorch's own layers."""
    fast = copy.deepcopy(slow)
    use_fast_layers(fast)
    inputs, outputs = [], []
    for module in (slow, fast):
        inputs.append(x.clone().requires_grad_())
        outputs.append(module(inputs[-1]))
        outputs[-1].backward(torch.linspace(-1, 1, outputs[-1].numel(), dtype=x.dtype).view_as(outputs[-1]))
    torch.testing.assert_close(outputs[1], outputs[0])
    torch.testing.assert_close(inputs[1].grad, inputs[0].grad)
    for ours, theirs in zip(fast.parameters(), slow.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)
    return fast


def images(channels: int, height: int, width: int) -> torch.Tensor:
    values = torch.sin(torch.arange(3 * channels * height * width, dtype=torch.float64))
    return values.view(3, channels, height, width).contiguous(memory_format=torch.channels_last)


@given(
    st.integers(2, 9), st.integers(1, 12), st.integers(1, 12), st.sampled_from([2, 3, 4, 5, 7]), st.integers(1, 3),
    st.integers(0, 3), st.booleans(),
)  # fmt: skip
def test_depthwise_convolutions_give_what_pytorch_s_give(channels, height, width, kernel, stride, padding, bias):
    x = images(channels, height + kernel, width + kernel)  # no smaller than a kernel without padding
    trained_alike(nn.Conv2d(channels, channels, kernel, stride, padding, groups=channels, bias=bias).double(), x)


@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize("kernel", [3, 5, 7])
def test_kernels_that_reach_beyond_the_image_are_right(size, kernel):
    convolution = nn.Conv2d(10, 10, kernel, 1, kernel // 2, groups=10).double()
    trained_alike(convolution, images(10, size, size))


def test_a_kernel_none_of_whose_rows_meets_the_image_has_no_gradient():
    trained_alike(nn.Conv2d(8, 8, 2, stride=4, padding=2, groups=8).double(), images(8, 1, 6))


def test_pointwise_convolutions_give_what_pytorch_s_give():
    trained_alike(nn.Conv2d(6, 10, 1).double(), images(6, 5, 4))


@pytest.mark.parametrize(
    "convolution",
    [
        nn.Conv2d(8, 8, (1, 5), padding=(0, 2), groups=8),
        nn.Conv2d(8, 8, 5, padding=4, dilation=2, groups=8),
        nn.Conv2d(8, 8, 5, padding=2, padding_mode="reflect", groups=8),
        nn.Conv2d(8, 8, 5, padding="same", groups=8),
        nn.Conv2d(8, 16, 5, groups=8),
        nn.Conv2d(8, 8, 3, groups=2),
        nn.Conv2d(8, 8, 1, stride=2),
        nn.Conv2d(8, 8, 1, padding=1),
    ],
)
def test_other_convolutions_stay_as_they_are(convolution):
    fast = trained_alike(convolution.double(), images(8, 9, 9))
    assert type(fast) is nn.Conv2d


def test_what_is_not_asked_for_is_not_computed():
    convolution = nn.Conv2d(6, 6, 5, padding=2, groups=6)
    use_fast_layers(convolution)
    convolution.weight.requires_grad_(False)
    x = images(6, 4, 4).float().requires_grad_()
    convolution(x).sum().backward()
    assert x.grad is not None
    assert convolution.weight.grad is None
