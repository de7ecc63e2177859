"""The training of a detector: the same trainer, schedules and layers as for classifiers."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from evomnas.core.seeding import torch_generator
from evomnas.networks.detection.detector import Detector
from evomnas.networks.fast_layers import use_fast_layers
from evomnas.problem.sections import Recipe
from evomnas.training.detection.detection_batches import DetectionBatches
from evomnas.training.schedules import CosineSchedule
from evomnas.training.trainer import Trainer, training_mode

RECIPE = Recipe(epochs=20, batch=8, learning_rate=0.03, warmup=0.3, weight_decay=4e-5, label_smoothing=0.0)
AUGMENT = ("flip", "zoom")


def train_detector(
    detector: Detector,
    batches: DetectionBatches,
    recipe: Recipe,
    seed: np.random.SeedSequence,
    on_epoch: Callable[[int, int, float], None] = lambda epoch, epochs, loss: None,
) -> tuple[float, ...]:
    """Train a detector, in place.

    Args:
        detector: The detector. It is left on the CPU and in evaluation mode.
        batches: The training images and their boxes.
        recipe: The recipe; its label smoothing, dropout and class weights are for classifiers.
        seed: The seed of the images' order and of the augmentations.
        on_epoch: Called after every epoch with the number of epochs so far, the number of all epochs, and the mean loss
            of the last one.

    Returns:
        The mean loss of every epoch.

    Raises:
        TrainingDiverged: The loss became infinite or not a number.
    """
    with training_mode(batches.device, None):
        trainer = detector_trainer(copy.deepcopy(detector), batches, recipe, seed)
        for epoch in range(1, recipe.epochs + 1):
            on_epoch(epoch, recipe.epochs, trainer.train_epoch())
    detector.load_state_dict(trainer.network.state_dict())
    detector.eval()
    return tuple(trainer.losses)


def detector_trainer(
    detector: Detector,
    batches: DetectionBatches,
    recipe: Recipe,
    seed: np.random.SeedSequence,
    average: torch.optim.swa_utils.AveragedModel | None = None,
) -> Trainer:
    """Return the training of a detector before its first epoch.

    Args:
        detector: The detector. It is moved to the device of the batches, and its layers become faster ones.
        batches: The training images and their boxes.
        recipe: The recipe.
        seed: The seed of the images' order and of the augmentations.
        average: An average of the detector's weights that is updated after every step; None for none.
    """
    detector = detector.to(batches.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if batches.device.type == "cpu":
        use_fast_layers(detector)
    schedule = partial(CosineSchedule, recipe.warmup)
    return Trainer(detector, batches, recipe, schedule, torch_generator(seed), average=average)
