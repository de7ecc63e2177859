"""Off-the-shelf networks of torchvision and of `references`, the baselines that a searched network has to beat.

They start from random weights, as a searched network does, or from torchvision's own
(`evomnas.networks.pretrained.planting`). The first convolution gets as many channels as the images
have, and the last layer as many logits as there are classes. Everything else is torchvision's. Published networks that
torchvision lacks are built by `evomnas.networks.references`, and start from random weights only.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import nn

from evomnas.core.errors import InputError, unknown
from evomnas.core.resolution import Resolution, format_resolution, parse_resolution, sides
from evomnas.core.seeding import torch_generator
from evomnas.networks.network import build_network
from evomnas.networks.references.catalogue import REFERENCES
from evomnas.problem.architecture import Architecture

# torchvision's name, and the arguments that differ from torchvision's defaults
TORCHVISION_MODELS: dict[str, dict[str, Any]] = {
    "squeezenet1_1": {},
    "shufflenet_v2_x1_0": {},
    "mobilenet_v3_small": {},
    "mobilenet_v3_large": {},
    "resnet18": {},
    "resnext50_32x4d": {},
    "wide_resnet50_2": {},
    "densenet121": {},
    "googlenet": {"aux_logits": False, "init_weights": True},
    "inception_v3": {"aux_logits": False, "init_weights": True},
    "alexnet": {},
}
OFF_THE_SHELF = (*TORCHVISION_MODELS, *REFERENCES)  # the names of all that are no architectures
_NOTATION = re.compile(r"(?:([1-9]\d{0,3}(?:x[1-9]\d{0,3})?)px-)?(torchvision|reference):(.*)", re.ASCII)


@dataclass(frozen=True, slots=True)
class TorchvisionNetwork:
    """One of torchvision's networks.

    Attributes:
        name: Torchvision's name of it, one of `TORCHVISION_MODELS`.
        resolution: The size of its images in pixels; None for that of the problem.
    """

    library: ClassVar[str] = "torchvision"  # in the notation

    name: str
    resolution: Resolution | None = None

    @property
    def id(self) -> str:
        """Eight hexadecimal digits that identify the network, as `Architecture.id`."""
        return hashlib.blake2b(str(self).encode(), digest_size=4).hexdigest()

    def __str__(self) -> str:
        """The network's notation in archives and files, as `torchvision:resnet18` or `64px-torchvision:resnet18`."""
        size = "" if self.resolution is None else f"{format_resolution(self.resolution)}px-"
        return f"{size}{self.library}:{self.name}"


@dataclass(frozen=True, slots=True)
class ReferenceNetwork(TorchvisionNetwork):
    """One of `REFERENCES`, which takes the same places as torchvision's networks. Its notation is `reference:NAME`."""

    library: ClassVar[str] = "reference"


def off_the_shelf(name: str) -> TorchvisionNetwork:
    """Return the off-the-shelf network of a name.

    Args:
        name: One of `OFF_THE_SHELF`.
    """
    return ReferenceNetwork(name) if name in REFERENCES else TorchvisionNetwork(name)


AnyNetwork = Architecture | TorchvisionNetwork


def parse_network(notation: str) -> AnyNetwork:
    """Return the network that has a notation.

    Args:
        notation: The notation: `str(network)` of an architecture or of an off-the-shelf network.

    Returns:
        The network.

    Raises:
        InputError: The notation is neither that of an architecture nor that of a known off-the-shelf network.
    """
    match = _NOTATION.fullmatch(notation)
    if match is None:
        return Architecture.parse(notation)
    resolution, library, name = match.groups()
    if library == ReferenceNetwork.library and name not in REFERENCES:
        raise unknown("reference network", name, REFERENCES)
    if library == TorchvisionNetwork.library and name not in TORCHVISION_MODELS:
        raise unknown("network of torchvision", name, TORCHVISION_MODELS)
    return replace(off_the_shelf(name), resolution=None if resolution is None else parse_resolution(resolution))


def explain_incompatibility(network: AnyNetwork, channels: int, resolution: Resolution) -> str | None:
    """Return why a network cannot take images of a resolution. Nothing is computed, only shapes are tried.

    Args:
        network: The network.
        channels: The channels of the images.
        resolution: Their size in pixels.

    Returns:
        The reason in one line, or None if the network can take them.
    """
    try:
        if isinstance(network, Architecture):
            network.check_resolution(resolution)
        else:
            with torch.device("meta"):
                build_off_the_shelf(network.name, 2, channels)(torch.empty(2, channels, *sides(resolution)))
    except (InputError, RuntimeError, ValueError) as error:
        return f"it cannot take images of {format_resolution(resolution)} pixels: {str(error).splitlines()[0]}"
    return None


def build_any_network(
    network: AnyNetwork, classes: int, channels: int, *, dropout: float, bn_momentum: float, seed: Any
) -> nn.Module:
    """Build a network with random weights, on the CPU.

    A network of torchvision's keeps its own dropout and batch norm; for it, `dropout` and `bn_momentum` are ignored.

    Args:
        network: An architecture or a network of torchvision's.
        classes: The number of logits.
        channels: The channels of the images.
        dropout: The probability of dropout before the classifier.
        bn_momentum: The weight of the newest batch in the running statistics.
        seed: The seed of the weights, a number or a numpy seed sequence. Torch's global generator is left as it was.

    Returns:
        The network, in training mode.
    """
    if isinstance(network, Architecture):
        return build_network(network, classes, channels, dropout=dropout, bn_momentum=bn_momentum, seed=seed)
    with torch.random.fork_rng():  # torchvision's initialisation uses the global generator; restored afterwards
        torch.manual_seed(torch_generator(seed).initial_seed())
        return build_off_the_shelf(network.name, classes, channels)


def build_off_the_shelf(name: str, classes: int, channels: int) -> nn.Module:
    """Build an off-the-shelf network, with random weights of torch's global generator, on torch's default device.

    Args:
        name: One of `OFF_THE_SHELF`.
        classes: The number of logits.
        channels: The channels of the images.

    Returns:
        The network, in training mode.
    """
    return REFERENCES[name](classes, channels) if name in REFERENCES else build_torchvision(name, classes, channels)


def build_torchvision(name: str, classes: int, channels: int) -> nn.Module:
    """Build a network of torchvision's, with random weights of torch's global generator, on torch's default device.

    Args:
        name: One of `TORCHVISION_MODELS`.
        classes: The number of logits.
        channels: The channels of the images.

    Returns:
        The network, in training mode.
    """
    import torchvision

    create: Callable[..., nn.Module] = getattr(torchvision.models, name)
    network = create(weights=None, num_classes=classes, **TORCHVISION_MODELS[name])
    stem = next(module for module in network.modules() if isinstance(module, nn.Conv2d))
    if channels != stem.in_channels:
        stem.in_channels = channels
        stem.weight = nn.Parameter(stem.weight[:, :channels].detach().clone())
    return network
