"""A trained network as it ships: pixels in, logits out, the names of its classes beside it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Normalise(nn.Module):
    """Pixel values from 0 to 255, (n, c, h, w), by the mean and deviation of the training images."""

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.mean: Tensor
        self.std: Tensor
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32).view(1, -1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        return (images.float() - self.mean) / self.std


class Classifier(nn.Module):
    """Images with pixel values from 0 to 255, (n, channels, resolution, resolution), to logits (n, classes).

    Attributes:
        classes: Their names, in the order of the logits.
        resolution: Height and width in pixels that it was trained on.
        channels: 1 for grey images, 3 for colour.
    """

    def __init__(
        self, network: nn.Module, mean: Sequence[float], std: Sequence[float], classes: Sequence[str], resolution: int
    ) -> None:
        super().__init__()
        self.normalise = Normalise(mean, std)
        self.network = network
        self.classes, self.resolution, self.channels = tuple(classes), resolution, len(mean)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(self.normalise(images))
        return logits
