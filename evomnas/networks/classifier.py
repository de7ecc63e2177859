"""A trained network as it ships: pixels in, logits out, with the names of its classes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from evomnas.core.resolution import Resolution
from evomnas.data.photographs import Preprocessing
from evomnas.problem.sections import Fit


class Normalise(nn.Module):
    """Subtracts the training images' mean from pixel values and divides by their standard deviation."""

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """Store the statistics.

        Args:
            mean: The mean of each channel, in pixel values from 0 to 255.
            std: The standard deviation of each channel, in the same unit.
        """
        super().__init__()
        self.mean: Tensor
        self.std: Tensor
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32).view(1, -1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Normalise images.

        Args:
            images: Pixel values from 0 to 255, of any type, shape (n, channels, h, w).

        Returns:
            Normalised images, float32, of the same shape.
        """
        return (images.float() - self.mean) / self.std


class Classifier(nn.Module):
    """A network with its normalisation: takes pixel values and returns logits.

    Attributes:
        normalise: Makes the network's input from pixel values.
        network: The network, which takes normalised images.
        classes: The names of the classes, in the order of the logits.
        resolution: The size of the images that it was trained on, in pixels: one number for squares, else (height,
            width).
        channels: The number of channels of the images: 1 for grey, 3 for colour.
        preprocessing: What is done with an image file before it is classified; `preprocessing.read` does it.
    """

    def __init__(
        self,
        network: nn.Module,
        mean: Sequence[float],
        std: Sequence[float],
        classes: Sequence[str],
        resolution: Resolution,
        fit: Fit = "crop",
    ) -> None:
        """Put a classifier together.

        Args:
            network: A network of normalised images.
            mean: The mean of each channel of the training images, in pixel values from 0 to 255.
            std: The standard deviation of each channel, in the same unit.
            classes: The names of the classes, in the order of the logits.
            resolution: The size of the images in pixels.
            fit: How pictures of other proportions get those of the images.
        """
        super().__init__()
        self.normalise = Normalise(mean, std)
        self.network = network
        self.classes, self.resolution, self.channels = tuple(classes), resolution, len(mean)
        self.preprocessing = Preprocessing(channels=self.channels, resolution=resolution, fit=fit)

    def forward(self, images: Tensor) -> Tensor:
        """Classify images.

        Args:
            images: Pixel values from 0 to 255, of any type, shape (n, channels, h, w).

        Returns:
            The logits, float32, shape (n, number of classes).
        """
        logits: Tensor = self.network(self.normalise(images))
        return logits
