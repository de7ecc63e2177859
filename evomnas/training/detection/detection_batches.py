"""Images with boxes on a device, from which augmented and normalised batches are made."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from evomnas.core.errors import InputError
from evomnas.core.resolution import sides
from evomnas.data.boxes.boxes import Boxes
from evomnas.data.rows import ImageRows
from evomnas.networks.detection.boxes import anchor_tensor
from evomnas.problem.detection.plan import DetectorPlan
from evomnas.problem.sections import Recipe
from evomnas.training.batches import Batches, Normalisation
from evomnas.training.detection.loss import DetectionLoss
from evomnas.training.detection.targets import BOX_AUGMENTATIONS, BatchTargets
from evomnas.training.losses import LossFunction


class DetectionBatches(Batches):
    """Training images with their boxes; see `Batches` for the attributes."""

    def __init__(
        self,
        images: ImageRows,
        boxes: Boxes,
        plan: DetectorPlan,
        augment: Sequence[str],
        device: torch.device,
        normalisation: Normalisation | None = None,
    ) -> None:
        """Copy images and boxes to a device.

        Args:
            images: Pixel values from 0 to 255, uint8, of the plan's resolution, shape (n, channels, h, w).
            boxes: Their boxes in pixels of these images. Those around crowds have been left out.
            plan: The plan of the detector that is trained.
            augment: The names of the augmentations, of `BOX_AUGMENTATIONS`, in the order in which they are applied.
            device: The device.
            normalisation: The mean and the standard deviation of every channel by which images are normalised; None for
                those of the images.

        Raises:
            InputError: A box has no area.
        """
        super().__init__(images, device, normalisation)
        height, width = sides(plan.resolution)
        assert images.shape[2:] == (height, width)
        flat = (boxes.corners[:, 2:] <= boxes.corners[:, :2]).any(1)
        if flat.any():
            place = int(np.flatnonzero(flat)[0])
            raise InputError(f"a box of image {boxes.images[place]} has no area: {boxes.corners[place].tolist()}")
        self._augmentations = [BOX_AUGMENTATIONS[name] for name in augment]
        self._anchors = anchor_tensor(plan).to(device)
        self._corners = self.to_device((boxes.corners / (width, height, width, height)).astype(np.float32))
        self._labels = self.to_device(boxes.labels)
        self._starts = self.to_device(boxes.starts)

    def make_batch(
        self, indices: Tensor, generator: torch.Generator, pixels: Tensor | None = None
    ) -> tuple[Tensor, BatchTargets]:
        """Make a batch; see `Batches.make_batch`.

        Args:
            indices: See `Batches.make_batch`.
            generator: See `Batches.make_batch`.
            pixels: See `Batches.make_batch`.

        Returns:
            The images, and their boxes.
        """
        images = (self.pixels.take(indices) if pixels is None else pixels).float()
        targets = self._targets(indices)
        for augment in self._augmentations:
            images, targets = augment(images, targets, generator)
        return self.normalise(images), targets

    def _targets(self, indices: Tensor) -> BatchTargets:
        """Return the boxes of some images."""
        starts, counts = self._starts[indices], self._starts[indices + 1] - self._starts[indices]
        images = torch.repeat_interleave(torch.arange(len(indices), device=self.device), counts)
        before = counts.cumsum(0) - counts  # the boxes of the images before each in the batch
        places = torch.arange(len(images), device=self.device) - before[images] + starts[images]
        return BatchTargets(self._corners[places], self._labels[places], images)

    def loss(self, recipe: Recipe) -> LossFunction:
        """Return the loss of SSD.

        Args:
            recipe: Not used.
        """
        return DetectionLoss(self._anchors)
