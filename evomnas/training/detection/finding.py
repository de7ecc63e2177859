"""The boxes that a detector finds in images."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from evomnas.data.boxes.detections import Detections
from evomnas.networks.detection.suppression import suppress
from evomnas.results.evaluation import TrainingDiverged
from evomnas.training.pixels import Pixels
from evomnas.training.trainer import training_mode

FINDING_BATCH = 32  # images that are looked at at once


@torch.inference_mode()
def find_boxes(answer: Callable[[Tensor], tuple[Tensor, Tensor]], images: Pixels) -> Detections:
    """Find boxes in images.

    Args:
        answer: Returns boxes from 0 to 1, shape (n, anchors, 4), and scores, shape (n, anchors, classes), of pixel
            values on the device, shape (n, channels, h, w).
        images: At least one image.

    Returns:
        The boxes of all images in pixels of the images, those of an image in the order of their scores.

    Raises:
        TrainingDiverged: The detector's answers are not finite.
    """
    height, width = images.images.shape[2:]
    size = torch.tensor([width, height, width, height])
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    with training_mode(images.device, None):
        for places in torch.split(torch.arange(len(images)), FINDING_BATCH):
            boxes, scores = (part.float().cpu() for part in answer(images.take(places)))
            if not (torch.isfinite(boxes).all() and torch.isfinite(scores).all()):
                raise TrainingDiverged("the trained detector's answers are not finite")
            found += [suppress(*image) for image in zip(boxes, scores, strict=True)]
    counts = [len(corners) for corners, _, _ in found]
    corners, scores, labels = (torch.cat(parts) for parts in zip(*found, strict=True))
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return Detections((corners * size).double().numpy(), scores.double().numpy(), labels.numpy(), starts)
