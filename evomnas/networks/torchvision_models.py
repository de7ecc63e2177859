"""Networks from the shelf: torchvision's, as they are, beside which a searched one has to stand.

They start from random weights, as a searched network does. The first convolution takes as many channels as the
images have, the last layer gives as many logits as there are classes; all else is torchvision's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from evomnas.core.errors import InputError, unknown
from evomnas.core.seeding import torch_generator
from evomnas.networks.layer_costs import count_cost, module_cost
from evomnas.networks.network import build_network
from evomnas.problem.architecture import Architecture
from evomnas.problem.published import NETWORKS, fitted, published
from evomnas.results.evaluation import Cost

TORCHVISION: dict[str, dict[str, Any]] = {  # by torchvision's name, and what is not its default
    "squeezenet1_1": {},
    "shufflenet_v2_x1_0": {},
    "mobilenet_v3_small": {},
    "resnet18": {},
    "resnext50_32x4d": {},
    "wide_resnet50_2": {},
    "densenet121": {},
    "googlenet": {"aux_logits": False, "init_weights": True},
}


@dataclass(frozen=True, slots=True)
class ShelfNetwork:
    """One of torchvision's networks, by its name there."""

    name: str

    @property
    def id(self) -> str:
        """Eight hexadecimal digits that stand for it, as those of an `Architecture`."""
        return hashlib.blake2b(str(self).encode(), digest_size=4).hexdigest()

    def __str__(self) -> str:
        return f"torchvision:{self.name}"


AnyNetwork = Architecture | ShelfNetwork


def parse_network(notation: str) -> AnyNetwork:
    """The network that `str` of it names.

    Raises:
        InputError: It is neither an architecture nor a network of torchvision's that is known here.
    """
    library, _, name = notation.partition(":")
    if library != "torchvision":
        return Architecture.parse(notation)
    if name not in TORCHVISION:
        raise unknown("network of torchvision", name, TORCHVISION)
    return ShelfNetwork(name)


def from_shelf(name: str, resolution: int) -> AnyNetwork:
    """A reference network by the name that users type; published architectures are fitted to the resolution.

    Raises:
        InputError: There is no such network, or a wrong width multiplier.
    """
    if name in TORCHVISION:
        return ShelfNetwork(name)
    if name.partition("@")[0] not in NETWORKS:
        raise unknown("reference network", name, [*NETWORKS, *TORCHVISION])
    return fitted(published(name), resolution)


def reason_against(network: AnyNetwork, channels: int, resolution: int) -> str | None:
    """Why a network cannot take images of a resolution; None if it can. Nothing is computed."""
    try:
        if isinstance(network, Architecture):
            network.check_resolution(resolution)
        else:
            with torch.device("meta"):
                _torchvision(network.name, 2, channels)(torch.empty(2, channels, resolution, resolution))
    except (InputError, RuntimeError, ValueError) as error:
        return f"it cannot take images of {resolution} pixels: {str(error).splitlines()[0]}"
    return None


def cost(network: AnyNetwork, classes: int, channels: int, resolution: int) -> Cost:
    """Parameters and MACs of a network for one image of `resolution` pixels squared.

    Those of squeeze-and-excite are counted apart in architectures alone, as `evomnas.networks.layer_costs` does it.
    """
    if isinstance(network, Architecture):
        return count_cost(network, classes, channels, resolution)
    with torch.device("meta"):
        return module_cost(_torchvision(network.name, classes, channels), channels, resolution)


def build(
    network: AnyNetwork, classes: int, channels: int, *, dropout: float, bn_momentum: float, seed: Any
) -> nn.Module:
    """A network with freshly drawn weights, on the CPU; arguments as of `build_network`.

    A network of torchvision's keeps its own places and rates of dropout and its own batch norm.
    """
    if isinstance(network, Architecture):
        return build_network(network, classes, channels, dropout=dropout, bn_momentum=bn_momentum, seed=seed)
    with torch.random.fork_rng():  # torchvision's initialisation uses the global generator: lend it one
        torch.manual_seed(torch_generator(seed).initial_seed())
        return _torchvision(network.name, classes, channels)


def _torchvision(name: str, classes: int, channels: int) -> nn.Module:
    import torchvision

    make: Callable[..., nn.Module] = getattr(torchvision.models, name)
    network = make(weights=None, num_classes=classes, **TORCHVISION[name])
    first = next(module for module in network.modules() if isinstance(module, nn.Conv2d))
    if channels != first.in_channels:
        first.in_channels = channels
        first.weight = nn.Parameter(first.weight[:, :channels].detach().clone())
    return network
