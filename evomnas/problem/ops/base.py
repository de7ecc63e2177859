"""The interface of an operation.

An operation is a list of steps, which depends on a layer's shape alone. Everything else follows from the steps:
`evomnas.networks.network` builds their torch modules, `evomnas.problem.counting` counts them in closed form,
`evomnas.latency.layers` estimates with their weights, and every runtime's file writer knows the modules. So the parts
of this package cannot disagree about an operation, and a new one is a new list.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from evomnas.core.resolution import Resolution, divided


class LayerShape(NamedTuple):
    """The shape of a layer.

    Attributes:
        in_filters: Channels of its input.
        filters: Channels of its output.
        kernel: Kernel size in pixels, odd.
        stride: Its stride.
        gated: Whether it has a squeeze-and-excite module.
    """

    in_filters: int
    filters: int
    kernel: int
    stride: int = 1
    gated: bool = False


@dataclass(frozen=True, slots=True)
class Convolution:
    """A step: a convolution without bias, padded by half its kernel, and its batch norm.

    Attributes:
        in_filters: Channels of its input.
        filters: Channels of its output.
        kernel: Kernel size in pixels.
        stride: Its stride.
        groups: Groups of channels; as many as there are channels make it depthwise.
        active: Whether the network's activation follows.
    """

    in_filters: int
    filters: int
    kernel: int
    stride: int = 1
    groups: int = 1
    active: bool = True


@dataclass(frozen=True, slots=True)
class Gate:
    """A step: squeeze-and-excite.

    Attributes:
        filters: The channels that it multiplies.
    """

    filters: int


@dataclass(frozen=True, slots=True)
class Shuffle:
    """A step: the channels of all groups are interleaved, one of each group after another (ShuffleNet).

    Attributes:
        filters: The channels.
        groups: The groups of neighbouring channels, which divide them.
    """

    filters: int
    groups: int


@dataclass(frozen=True, slots=True)
class ChannelIndex:
    """A step: channels are put in another order, which is stored with the weights (CondenseNet's index layer).

    A new network has the order of `Shuffle`. A state dict brings its own.

    Attributes:
        filters: The channels.
        groups: The groups of the order that a new network has.
    """

    filters: int
    groups: int


@dataclass(frozen=True, slots=True)
class Concatenation:
    """A step: several chains of convolutions read the same input, and their outputs are put one behind another.

    Attributes:
        branches: The chains, at least two, each with at least one convolution. All have the same stride.
    """

    branches: tuple[tuple[Convolution, ...], ...]

    @property
    def filters(self) -> int:
        """Channels of its output."""
        return sum(branch[-1].filters for branch in self.branches)


@dataclass(frozen=True, slots=True)
class Shortcut:
    """A step without weights: the pooling skip of `evomnas.networks.network`, or nothing where the shape stays.

    Attributes:
        in_filters: Channels of its input.
        filters: Channels of its output.
        stride: Its stride.
    """

    in_filters: int
    filters: int
    stride: int


Step = Convolution | Gate | Shuffle | ChannelIndex | Concatenation | Shortcut


def sized_convolutions(steps: Iterable[Step], size: Resolution) -> Iterator[tuple[Convolution, Resolution]]:
    """Yield the convolutions of steps, those of branches as well.

    Args:
        steps: The steps.
        size: The size of the first one's input in pixels.

    Yields:
        Each convolution and the size of its output.
    """
    for step in steps:
        if isinstance(step, Convolution):
            size = divided(size, step.stride)
            yield step, size
        elif isinstance(step, Concatenation):
            inside = [list(sized_convolutions(branch, size)) for branch in step.branches]
            for convolutions in inside:
                yield from convolutions
            size = inside[0][-1][1]
        elif isinstance(step, Shortcut):
            size = divided(size, step.stride)


class Operation(ABC):
    """The computation of a block's layers, apart from their skip.

    Attributes:
        name: Its canonical name, as in an architecture's notation. Equal operations have equal names.
        label: Its name in drawings.
        expansion: The factor by which a 1x1 convolution widens the input before all other steps; 1 where none does.
        is_weightless: Whether it has no weights. Then its blocks have one layer, neither squeeze-and-excite nor a skip.
    """

    name: str
    label: str
    expansion: int = 1
    is_weightless: bool = False

    @property
    def has_kernel(self) -> bool:
        """Whether it depends on the kernel size."""
        return self.canonical(1)[1] != self.canonical(3)[1]

    def canonical(self, kernel: int) -> tuple[str, int]:
        """Return the name and the kernel size by which the operation is known at a kernel size.

        Args:
            kernel: The kernel size that a block gives it.

        Returns:
            The two. They differ from the operation's own where it does not depend on the kernel size, which is then 1,
            and where it is equal to another operation at that size.
        """
        return self.name, kernel

    @abstractmethod
    def steps(self, layer: LayerShape) -> Sequence[Step]:
        """Return the steps of a layer, from input to output.

        Args:
            layer: Its shape; every number of channels, kernel and stride must be possible.

        Returns:
            The steps. A layer that is gated has one `Gate`, any other one has none. The kernel size is used unless
            `canonical` says otherwise, since the networks of a space count as different where their kernels differ.
        """
