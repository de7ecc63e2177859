"""Images on a device, from which augmented and normalised batches are made."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evomnas.core.errors import InputError
from evomnas.data.images import Labels
from evomnas.data.rows import ImageRows
from evomnas.problem.sections import Augmentation, Recipe
from evomnas.training.augmentation import AUGMENTATIONS
from evomnas.training.losses import LossFunction, cross_entropy
from evomnas.training.pixels import Pixels
from evomnas.training.transforms import COLOUR_TRANSFORMS, MIXTURES, TRANSFORMS, Mixing

STATISTICS_IMAGES = 2000  # the mean and standard deviation of the images are taken from about this many
STATISTICS_PIXELS = 2**26  # of grey images, which are added up at once; those of more become parts
Normalisation = tuple[NDArray[np.float32], NDArray[np.float32]]  # mean and standard deviation of every channel


class Batches(ABC):
    """Training images on a device, with what a network should answer to each.

    Attributes:
        device: The device on which networks are trained.
        pixels: The images.
        mean: The mean of every channel, in pixel values from 0 to 255, shape (channels,).
        std: The standard deviation of every channel, in the same unit, at least 0.001, shape (channels,).
    """

    def __init__(self, images: ImageRows, device: torch.device, normalisation: Normalisation | None = None) -> None:
        """Copy images to a device.

        Args:
            images: Pixel values from 0 to 255, uint8, shape (n, channels, h, w).
            device: The device.
            normalisation: The mean and the standard deviation of every channel by which images are normalised; None for
                those of the images.
        """
        self.device = device
        self.mean, self.std = _statistics(images) if normalisation is None else normalisation
        self._mean, self._std = (self.to_device(values).view(1, -1, 1, 1) for values in (self.mean, self.std))
        self.pixels = Pixels(images, device)

    def __len__(self) -> int:
        return len(self.pixels)

    def to_device(self, array: NDArray[np.generic]) -> Tensor:
        """Return an array as a tensor on the device.

        Args:
            array: An array of any shape.

        Returns:
            A tensor of the same shape and type.
        """
        return torch.from_numpy(array).to(self.device)

    def normalise(self, images: Tensor) -> Tensor:
        """Subtract the mean of the training images and divide by their standard deviation.

        Args:
            images: Pixel values from 0 to 255, on the device, shape (n, channels, h, w).

        Returns:
            Normalised images, float32, in channels-last memory, of the same shape.
        """
        return ((images.float() - self._mean) / self._std).contiguous(memory_format=torch.channels_last)

    @abstractmethod
    def make_batch(
        self, indices: Tensor, generator: torch.Generator, pixels: Tensor | None = None
    ) -> tuple[Tensor, Any]:
        """Make a batch.

        Args:
            indices: The indices of its images, on the device, shape (batch,).
            generator: A generator on the CPU, from which the augmentations are drawn.
            pixels: The images, if they were taken before; None to take them now.

        Returns:
            Augmented, normalised images, float32, shape (batch, channels, h, w), and what a network should answer.
        """

    @abstractmethod
    def loss(self, recipe: Recipe) -> LossFunction:
        """Return the loss by which networks are trained.

        Args:
            recipe: The recipe of the training.
        """


class TrainingBatches(Batches):
    """Training images with their classes; see `Batches` for more attributes.

    Attributes:
        labels: Their classes, on the device, shape (n,).
    """

    def __init__(
        self,
        images: ImageRows,
        labels: Labels,
        classes: int,
        augment: Sequence[str],
        device: torch.device,
        normalisation: Normalisation | None = None,
    ) -> None:
        """Copy images to a device.

        Args:
            images: Pixel values from 0 to 255, uint8, shape (n, channels, h, w).
            labels: Their classes, int64 from 0, shape (n,).
            classes: The number of classes.
            augment: The names of the augmentations, in the order in which they are applied. Mixtures come last.
            device: The device.
            normalisation: The mean and the standard deviation of every channel by which images are normalised; None for
                those of the images.

        Raises:
            InputError: An augmentation does not suit the images.
        """
        check_augmentations(augment, images.shape[1])
        super().__init__(images, device, normalisation)
        self._augmentations = [(AUGMENTATIONS | TRANSFORMS)[name] for name in augment if name not in MIXTURES]
        mixtures = [name for name in augment if name in MIXTURES]
        self._mixing = Mixing(mixtures, classes) if mixtures else None
        self.labels = self.to_device(labels)

    def make_batch(
        self, indices: Tensor, generator: torch.Generator, pixels: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Make a batch; see `Batches.make_batch`.

        Args:
            indices: See `Batches.make_batch`.
            generator: See `Batches.make_batch`.
            pixels: See `Batches.make_batch`.

        Returns:
            The images, and their labels, shape (batch,); of mixed images the share of every class, shape
            (batch, classes).
        """
        images = (self.pixels.take(indices) if pixels is None else pixels).float()
        for augment in self._augmentations:
            images = augment(images, generator)
        labels = self.labels[indices]
        if self._mixing is not None:
            images, labels = self._mixing(images, labels, generator)
        return self.normalise(images), labels

    def loss(self, recipe: Recipe) -> LossFunction:
        """Return cross-entropy with the recipe's label smoothing and class weights.

        Args:
            recipe: The recipe.
        """
        return cross_entropy(recipe, self.labels)


def check_augmentations(augment: Sequence[str], channels: int) -> None:
    """Check that augmentations suit images.

    Args:
        augment: The names of the augmentations.
        channels: The number of the images' channels.

    Raises:
        InputError: One of them changes colours, and the images are neither grey nor RGB.
    """
    wrong = next((name for name in augment if name in COLOUR_TRANSFORMS), None)
    if wrong is not None and channels not in (1, 3):
        allowed = ", ".join(name for name in get_args(Augmentation) if name not in COLOUR_TRANSFORMS)
        raise InputError(
            f"augment: {wrong} is for grey and RGB images, and these have {channels} channels: take {allowed}"
        )


def _statistics(images: ImageRows) -> Normalisation:
    """Return the mean and the standard deviation of every channel of images.

    A part of them is looked at at a time. Numpy adds up in the same order, so that it would return the same.
    """
    chosen = images.select(slice(None, None, max(1, len(images) // STATISTICS_IMAGES)))
    channels, height, width = images.shape[1:]
    count = len(chosen) * height * width
    mean = sum(part.sum((0, 2, 3), dtype=np.float64) for part in chosen.chunks()) / count
    if channels == 1 and count <= STATISTICS_PIXELS:
        std = chosen[:].std((0, 2, 3), dtype=np.float64)
    else:
        squares = np.zeros(channels)
        for image in chosen:
            squares += np.square(image - mean[:, None, None]).reshape(channels, -1).sum(1)
        std = np.sqrt(squares / count)
    return mean.astype(np.float32), np.maximum(std, 1e-3).astype(np.float32)
