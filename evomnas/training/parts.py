"""The images of each training on a device, resized once for each resolution that networks have of their own."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from evomnas.core.resolution import Resolution
from evomnas.data.images import Dataset, Labels
from evomnas.training.batches import Normalisation, TrainingBatches
from evomnas.training.pixels import Pixels

MAX_KEPT_BYTES = 512 * 2**20  # of images beside those of the first training, which are kept in any case


@dataclass(frozen=True, eq=False)
class Part:
    """The images of one training at one resolution.

    Attributes:
        batches: The training images.
        validation_images: The images that score the network.
        validation_labels: Their classes, shape (n,).
        places: The places of the validation images in `Dataset.validated`, shape (n,).
    """

    batches: TrainingBatches
    validation_images: Pixels
    validation_labels: Labels
    places: Labels

    @property
    def size(self) -> int:
        """The memory that its images take, in bytes."""
        return self.batches.pixels.nbytes + self.validation_images.nbytes


class Parts:
    """The images of all trainings of a data set.

    What was asked for last is kept, up to `MAX_KEPT_BYTES`, so that images are not resized for every network.

    Attributes:
        first: The images of the first training, at the data set's own resolution.
    """

    def __init__(
        self, dataset: Dataset, augment: Sequence[str], device: torch.device, normalisation: Normalisation | None
    ) -> None:
        """Copy the images of the first training to a device.

        Args:
            dataset: The training and validation images.
            augment: The names of the augmentations, in the order in which they are applied.
            device: The device.
            normalisation: The mean and the standard deviation of every channel; None for those of the images.

        Raises:
            InputError: An augmentation does not suit the images.
        """
        self._dataset, self._augment, self._device, self._normalisation = dataset, augment, device, normalisation
        self._kept: OrderedDict[tuple[int, Resolution], Part] = OrderedDict()
        self._own_resolution = dataset.resolution
        self.first = self._place(0, self._own_resolution)

    def get(self, number: int, resolution: Resolution | None) -> Part:
        """Return the images of a training.

        Args:
            number: The training, from 0; there are several with folds.
            resolution: The size in pixels; None for the data set's own.
        """
        key = number, resolution or self._own_resolution
        if key == (0, self._own_resolution):
            return self.first
        part = self._kept.pop(key, None) or self._place(*key)
        self._kept[key] = part
        while sum(one.size for one in self._kept.values()) > MAX_KEPT_BYTES:
            self._kept.popitem(last=False)
        return part

    def _place(self, number: int, resolution: Resolution) -> Part:
        """Put the images of a training on the device."""
        split = self._dataset.split(number)
        batches = TrainingBatches(
            split.train_images.resize(resolution), split.train_labels, len(self._dataset.classes), self._augment,
            self._device, self._normalisation,
        )  # fmt: skip
        validation = Pixels(split.validation_images.resize(resolution), self._device)
        return Part(batches, validation, split.validation_labels, split.places)
