"""SSDLite detectors: from normalised images to what is learnt about every anchor."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from evomnas.core.arguments import Count, Natural, Share, checked
from evomnas.core.resolution import Pixels
from evomnas.core.seeding import torch_generator
from evomnas.networks.detection.features import Features
from evomnas.networks.detection.heads import Head
from evomnas.networks.network import Network, build_network
from evomnas.problem.architecture import Architecture
from evomnas.problem.detection.plan import DetectorPlan, plan_detector

INITIAL_STD = 0.03  # of the weights of extras and heads, in both published SSDLites


class Detector(nn.Module):
    """A detector of objects.

    Attributes:
        plan: Its construction.
        classes: The number of classes, without the background.
        features: The backbone and the extra layers.
        heads: The heads, one module for every feature map.
    """

    def __init__(self, network: Network, plan: DetectorPlan, classes: int, bn_momentum: float) -> None:
        """Put a detector on a network, with weights of PyTorch's own initialisation; `add_detector` draws better ones.

        Args:
            network: A network of the plan's architecture, whose modules become the detector's.
            plan: The plan.
            classes: The number of classes, without the background.
            bn_momentum: The weight of the newest batch in the running statistics of extras and heads.
        """
        super().__init__()
        self.plan, self.classes = plan, classes
        self.features = Features(network, plan, bn_momentum)
        self.heads = nn.ModuleList(Head(feature_map, classes + 1, bn_momentum) for feature_map in plan.maps)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Answer for every anchor.

        Args:
            x: Normalised images of the plan's resolution, shape (n, channels, h, w).

        Returns:
            Offsets, shape (n, plan.boxes, 4), and logits, shape (n, plan.boxes, classes + 1), the first of which is the
            background's.
        """
        answers = [head(feature_map) for head, feature_map in zip(self.heads, self.features(x), strict=True)]
        offsets, logits = zip(*answers, strict=True)
        return torch.cat(offsets, 1), torch.cat(logits, 1)


@checked
def build_detector(
    architecture: Architecture,
    classes: Count,
    resolution: Pixels = 320,
    channels: Count = 3,
    *,
    bn_momentum: Share = 0.1,
    seed: Natural | np.random.SeedSequence = 0,
) -> Detector:
    """Build the detector of an architecture with random weights, on the CPU.

    Args:
        architecture: The architecture of the backbone, such as `published("mnasnet-a1")`.
        classes: The number of classes, without the background.
        resolution: The size of the images in pixels, for a network without a resolution of its own.
        channels: The channels of the images.
        bn_momentum: The weight of the newest batch in the running statistics.
        seed: The seed of the weights. Torch's global generator is neither used nor changed.

    Returns:
        The detector, in training mode.

    Raises:
        InputError: The images do not suit; see `evomnas.problem.detection.plan.plan_detector`.
    """
    plan_detector(architecture, resolution)  # before any weights are drawn
    sequence = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
    backbone_seed, seed_of_heads = (
        np.random.SeedSequence(sequence.entropy, spawn_key=(*sequence.spawn_key, number)) for number in range(2)
    )
    network = build_network(architecture, 1, channels, bn_momentum=bn_momentum, seed=backbone_seed)
    return add_detector(network, classes, resolution, bn_momentum=bn_momentum, seed=seed_of_heads)


@checked
def add_detector(
    network: Network,
    classes: Count,
    resolution: Pixels = 320,
    *,
    bn_momentum: Share = 0.1,
    seed: Natural | np.random.SeedSequence = 0,
) -> Detector:
    """Put a detector on a network, such as a trained one.

    Args:
        network: The network. Its modules become the detector's, but for the classifier, so it cannot be used by itself
            any more.
        classes: The number of classes, without the background.
        resolution: The size of the images in pixels, for a network without a resolution of its own.
        bn_momentum: The weight of the newest batch in the running statistics of extras and heads.
        seed: The seed of the weights of extras and heads. Torch's global generator is neither used nor changed.

    Returns:
        The detector, in training mode.

    Raises:
        InputError: The images do not suit; see `evomnas.problem.detection.plan.plan_detector`.
    """
    plan = plan_detector(network.architecture, resolution)
    generator = torch_generator(seed)
    with torch.random.fork_rng(devices=[]):  # PyTorch's own initialisation uses the global generator
        detector = Detector(network, plan, classes, bn_momentum)
    for module in (*detector.features.extras.modules(), *detector.heads.modules()):
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=INITIAL_STD, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return detector.train()
