"""Off-the-shelf networks of torchvision, the baselines that a searched network has to beat.

They start from random weights, as a searched network does. The first convolution gets as many channels as the images
have, and the last layer as many logits as there are classes. Everything else is torchvision's.
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
from evomnas.problem.published import PUBLISHED_NETWORKS, fit_to_resolution, published
from evomnas.results.evaluation import Cost

# torchvision's name, and the arguments that differ from torchvision's defaults
TORCHVISION_MODELS: dict[str, dict[str, Any]] = {
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
class TorchvisionNetwork:
    """One of torchvision's networks.

    Attributes:
        name: Torchvision's name of it, one of `TORCHVISION_MODELS`.
    """

    name: str

    @property
    def id(self) -> str:
        """Eight hexadecimal digits that identify the network, as `Architecture.id`."""
        return hashlib.blake2b(str(self).encode(), digest_size=4).hexdigest()

    def __str__(self) -> str:
        """The network's notation in archives and files, as `torchvision:resnet18`."""
        return f"torchvision:{self.name}"


AnyNetwork = Architecture | TorchvisionNetwork


def parse_network(notation: str) -> AnyNetwork:
    """Return the network that has a notation.

    Args:
        notation: The notation: `str(network)` of an architecture or of a network of torchvision's.

    Returns:
        The network.

    Raises:
        InputError: The notation is neither that of an architecture nor that of a known network of torchvision's.
    """
    library, _, name = notation.partition(":")
    if library != "torchvision":
        return Architecture.parse(notation)
    if name not in TORCHVISION_MODELS:
        raise unknown("network of torchvision", name, TORCHVISION_MODELS)
    return TorchvisionNetwork(name)


def baseline_network(name: str, resolution: int) -> AnyNetwork:
    """Return the baseline network that has a name, as users type it.

    Args:
        name: A published architecture such as `mnasnet-a1@0.5`, or one of `TORCHVISION_MODELS`.
        resolution: The height and width of the images in pixels. Published architectures get fewer strides if they
            reduce images of that size to less than a pixel.

    Returns:
        The network.

    Raises:
        InputError: There is no such network, or the width multiplier after `@` is wrong.
    """
    if name in TORCHVISION_MODELS:
        return TorchvisionNetwork(name)
    if name.partition("@")[0] not in PUBLISHED_NETWORKS:
        raise unknown("reference network", name, [*PUBLISHED_NETWORKS, *TORCHVISION_MODELS])
    return fit_to_resolution(published(name), resolution)


def explain_incompatibility(network: AnyNetwork, channels: int, resolution: int) -> str | None:
    """Return why a network cannot take images of a resolution. Nothing is computed, only shapes are tried.

    Args:
        network: The network.
        channels: The channels of the images.
        resolution: Their height and width in pixels.

    Returns:
        The reason in one line, or None if the network can take them.
    """
    try:
        if isinstance(network, Architecture):
            network.check_resolution(resolution)
        else:
            with torch.device("meta"):
                _build_torchvision(network.name, 2, channels)(torch.empty(2, channels, resolution, resolution))
    except (InputError, RuntimeError, ValueError) as error:
        return f"it cannot take images of {resolution} pixels: {str(error).splitlines()[0]}"
    return None


def count_any_cost(network: AnyNetwork, classes: int, channels: int, resolution: int) -> Cost:
    """Count the parameters and MACs of a network for one image.

    The MACs of squeeze-and-excite are counted separately for architectures only, see `evomnas.networks.layer_costs`.

    Args:
        network: An architecture or a network of torchvision's.
        classes: The number of logits.
        channels: The channels of the image.
        resolution: The height and width of the image in pixels.

    Returns:
        The parameters and MACs.
    """
    if isinstance(network, Architecture):
        return count_cost(network, classes, channels, resolution)
    with torch.device("meta"):
        return module_cost(_build_torchvision(network.name, classes, channels), channels, resolution)


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
        return _build_torchvision(network.name, classes, channels)


def _build_torchvision(name: str, classes: int, channels: int) -> nn.Module:
    import torchvision

    create: Callable[..., nn.Module] = getattr(torchvision.models, name)
    network = create(weights=None, num_classes=classes, **TORCHVISION_MODELS[name])
    stem = next(module for module in network.modules() if isinstance(module, nn.Conv2d))
    if channels != stem.in_channels:
        stem.in_channels = channels
        stem.weight = nn.Parameter(stem.weight[:, :channels].detach().clone())
    return network
