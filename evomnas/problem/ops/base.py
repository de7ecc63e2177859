"""The interface of an operation.

An operation is a list of steps, which depends on a layer's shape alone. Everything else follows from the steps:
`evomnas.networks.network` builds their torch modules, `evomnas.problem.counting` counts them in closed form,
`evomnas.latency.layers` estimates with their weights, and every runtime's file writer knows the modules. So the parts
of this package cannot disagree about an operation, and a new one is a new list.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


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


Step = Convolution | Gate


class Operation(ABC):
    """The computation of a block's layers, apart from their skip.

    Attributes:
        name: Its canonical name, as in an architecture's notation. Equal operations have equal names.
        label: Its name in drawings.
        expansion: The factor by which a 1x1 convolution widens the input before all other steps; 1 where none does.
        inherits: Whether its layers can take the weights of a donor. Donors consist of inverted bottlenecks.
    """

    name: str
    label: str
    expansion: int = 1
    inherits: bool = False

    @abstractmethod
    def steps(self, layer: LayerShape) -> Sequence[Step]:
        """Return the steps of a layer, from input to output.

        Args:
            layer: Its shape; every number of channels, kernel and stride must be possible.

        Returns:
            The steps. A layer that is gated has one `Gate`, any other one has none. The kernel size is used, since the
            networks of a space count as different where their kernels differ.
        """
