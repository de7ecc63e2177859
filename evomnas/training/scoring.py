"""The classes that a trained network gives to images."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from evomnas.results.evaluation import TrainingDiverged
from evomnas.training.pixels import Pixels
from evomnas.training.trainer import training_mode

SCORING_BATCH = 512  # images that are classified at once
MAX_CALIBRATION_IMAGES = 256


class Predictions(NamedTuple):
    """Answers to images.

    Attributes:
        classes: The class of each image by number, shape (n,).
        confidences: The probability that the network gives to it, shape (n,).
        losses: The cross-entropy of each image with its own class in nats, without label smoothing, shape (n,).
    """

    classes: NDArray[np.int64]
    confidences: NDArray[np.float32]
    losses: NDArray[np.float32]


@torch.inference_mode()
def classify(
    logits_of: Callable[[Tensor], Tensor], images: Pixels, labels: NDArray[np.int64], device: torch.device
) -> Predictions:
    """Return the classes that a network gives to images.

    Args:
        logits_of: Returns logits, shape (n, classes), of images on the device, shape (n, channels, h, w).
        images: At least one image.
        labels: Their classes, from 0, shape (n,).
        device: The device of the network.

    Raises:
        TrainingDiverged: The network's logits are not finite.
    """
    parts = []
    with training_mode(device, None):
        for start in range(0, len(images), SCORING_BATCH):
            places = torch.arange(start, min(len(images), start + SCORING_BATCH))
            logits = logits_of(images.take(places)).float()
            if not torch.isfinite(logits).all():
                raise TrainingDiverged("the trained network's logits are not finite")
            classes = logits.argmax(1)
            confidences = logits.softmax(1).gather(1, classes[:, None])[:, 0]
            own = torch.from_numpy(labels[start : start + SCORING_BATCH]).to(device)
            losses = F.cross_entropy(logits, own, reduction="none")
            parts.append((classes.cpu().numpy(), confidences.cpu().numpy(), losses.cpu().numpy()))
    return Predictions(*map(np.concatenate, zip(*parts, strict=True)))


def calibration_places(count: int) -> NDArray[np.int64]:
    """Return the places of the training images that show the range of activations, by which a network becomes int8.

    Args:
        count: The number of training images, at least 1.

    Returns:
        At most `MAX_CALIBRATION_IMAGES` places, spread evenly over all of them, shape (n,).
    """
    return np.linspace(0, count - 1, min(MAX_CALIBRATION_IMAGES, count)).astype(np.int64)
