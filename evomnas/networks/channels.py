"""Modules without weights that put channels in another order, or side by side."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


def shuffled(channels: int, groups: int) -> Tensor:
    """Return the order of channels that a shuffle gives: one of each group after another.

    Args:
        channels: The channels.
        groups: The groups, which divide them.

    Returns:
        Indices of channels, shape (channels,).
    """
    return torch.arange(channels, device="cpu").reshape(groups, -1).T.flatten()


class ChannelShuffle(nn.Module):
    """Interleaves the channels of all groups.

    Attributes:
        channels: The channels.
        groups: The groups of neighbouring channels.
    """

    def __init__(self, channels: int, groups: int) -> None:
        """Create the module.

        Args:
            channels: The channels.
            groups: The groups, which divide them.
        """
        super().__init__()
        self.channels, self.groups = channels, groups

    @property
    def order(self) -> Tensor:
        """The channels of the output, shape (channels,)."""
        return shuffled(self.channels, self.groups)

    def forward(self, x: Tensor) -> Tensor:
        """Shuffle the channels of a batch.

        Args:
            x: Shape (n, channels, h, w).

        Returns:
            The batch with its channels in another order.
        """
        count, _, height, width = x.shape
        return x.reshape(count, self.groups, -1, height, width).transpose(1, 2).reshape(x.shape)


class ChannelSelection(nn.Module):
    """Selects channels by an index that is stored with the weights.

    Attributes:
        groups: The groups of the shuffle that a new module computes.
        index: The channels of the output, shape (channels,).
    """

    index: Tensor

    def __init__(self, channels: int, groups: int) -> None:
        """Create the module.

        Args:
            channels: The channels.
            groups: The groups, which divide them.
        """
        super().__init__()
        self.groups = groups
        self.register_buffer("index", torch.empty(channels, dtype=torch.int64))
        self.reset()

    def reset(self) -> None:
        """Take the order of a shuffle."""
        if not self.index.is_meta:
            self.index.copy_(shuffled(len(self.index), self.groups))

    def forward(self, x: Tensor) -> Tensor:
        """Select the channels of a batch.

        Args:
            x: Shape (n, channels, h, w).

        Returns:
            The selected channels, in the order of the index.
        """
        return x.index_select(1, self.index)


class Branches(nn.Module):
    """Several modules that get the same input.

    Attributes:
        branches: The modules.
    """

    def __init__(self, branches: Iterable[nn.Module]) -> None:
        """Put the modules side by side.

        Args:
            branches: The modules, at least one; their outputs have equal sizes.
        """
        super().__init__()
        self.branches = nn.ModuleList(branches)


class Concatenated(Branches):
    """Several modules whose outputs are put one behind another, by channels."""

    def forward(self, x: Tensor) -> Tensor:
        """Apply all branches.

        Args:
            x: The input of every branch.

        Returns:
            Their outputs, shape (n, the sum of their channels, h, w).
        """
        return torch.cat([branch(x) for branch in self.branches], 1)
