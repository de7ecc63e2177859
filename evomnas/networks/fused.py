"""Convolutions together with what runtimes compute in the same operation: padding, batch norm, activation."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar, cast

import torch
from torch import Tensor, nn

from evomnas.networks.network import SamePad

ModuleT = TypeVar("ModuleT", bound=nn.Module)


@dataclass(frozen=True, eq=False)
class FusedConvolution:
    """A convolution with its neighbours.

    Attributes:
        conv: The convolution.
        norm: The batch norm behind it; None for none.
        activation: The activation behind both; None for none.
        is_same: Whether TensorFlow's padding is before it, in place of the convolution's own.
    """

    conv: nn.Conv2d
    norm: nn.BatchNorm2d | None = None
    activation: nn.Module | None = None
    is_same: bool = False

    def parameters(self) -> tuple[Tensor, Tensor | None]:
        """Return the weight and the bias of the convolution with its batch norm folded in.

        Returns:
            The weight, shape (filters, channels / groups, kernel, kernel), and the bias, shape (filters,); None if
            there is neither a bias nor a batch norm.
        """
        weight, bias = self.conv.weight, self.conv.bias
        if self.norm is None:
            return weight, bias
        mean, variance = cast(Tensor, self.norm.running_mean), cast(Tensor, self.norm.running_var)
        scale = self.norm.weight / torch.sqrt(variance + self.norm.eps)
        shift = self.norm.bias + scale * ((0 if bias is None else bias) - mean)
        return weight * scale[:, None, None, None], shift


def fuse(
    modules: Iterable[nn.Module], activations: tuple[type[nn.Module], ...] = ()
) -> Iterator[nn.Module | FusedConvolution]:
    """Yield modules one after another, each convolution as one with its neighbours.

    Args:
        modules: The modules of a sequence.
        activations: The kinds of activations that become part of a convolution before them.

    Yields:
        A convolution with its neighbours, or any other module.
    """
    rest = deque(modules)

    def take(*kinds: type[ModuleT]) -> ModuleT | None:
        return cast(ModuleT, rest.popleft()) if rest and isinstance(rest[0], kinds) else None

    while rest:
        padding = take(SamePad)
        conv = take(nn.Conv2d)
        if conv is not None:
            yield FusedConvolution(conv, take(nn.BatchNorm2d), take(*activations), padding is not None)
        else:
            yield rest.popleft() if padding is None else padding
