"""The proxy task: a short training that scores a candidate on the validation images (paper section 3).

Its result is a function of the problem and the architecture alone, see `evomnas.training.trainer`.
"""

from __future__ import annotations

import time
from functools import partial

import numpy as np
import torch

from evomnas.core.seeding import torch_generator
from evomnas.core.system.device import choose_device
from evomnas.data.images import Dataset
from evomnas.networks.fast_layers import use_fast_layers
from evomnas.networks.network import Network, build_network
from evomnas.problem.architecture import Architecture
from evomnas.problem.sections import DataSection, TrainingSection
from evomnas.results.evaluation import Cut, Training, TrainingDiverged
from evomnas.training.early_stop import LossThreshold
from evomnas.training.schedules import CosineSchedule
from evomnas.training.trainer import Trainer, TrainingBatches, training_mode

SCORING_BATCH = 512  # validation images that are classified at once


class ProxyTask:
    """A data set on a device, and the recipe by which candidates are trained on it.

    Attributes:
        dataset: The training and validation images.
        recipe: The recipe of the short training.
        device: The device on which candidates are trained.
        batches: The training images on that device.
    """

    def __init__(self, dataset: Dataset, data: DataSection, recipe: TrainingSection, device: str = "auto") -> None:
        """Copy the images to a device.

        Args:
            dataset: The training and validation images.
            data: The problem's data section, for its augmentations.
            recipe: The recipe of the short training.
            device: `cpu`, `cuda`, or `auto` for a GPU if there is one.

        Raises:
            InputError: The device is unknown, or it is `cuda` and there is no GPU.
        """
        self.dataset = dataset
        self.recipe = recipe
        self.device = torch.device(choose_device(device))
        self.batches = TrainingBatches(dataset.train_images, dataset.train_labels, data.augment, self.device)
        self._validation_images = self.batches.to_device(dataset.validation_images)
        self._validation_labels = self.batches.to_device(dataset.validation_labels)

    def train(self, architecture: Architecture, threshold: LossThreshold | None = None) -> Training | Cut:
        """Train a new network of an architecture and score it on the validation images.

        Args:
            architecture: The architecture.
            threshold: The losses at which the training stops early; None trains to the end.

        Returns:
            The accuracy, the losses and the time in seconds; or a `Cut` with the losses so far and the predicted error,
            if the training was stopped early. Time in which it gave way to latency measurements does not count.

        Raises:
            TrainingDiverged: A loss or a logit became infinite or not a number.
        """
        started = time.perf_counter()
        recipe = self.recipe
        weights_seed, order_seed, dropout_seed = np.random.SeedSequence(recipe.seed).spawn(3)
        with training_mode(self.device, dropout_seed if recipe.dropout > 0 else None):
            network = build_network(
                architecture,
                len(self.dataset.classes),
                self.dataset.channels,
                dropout=recipe.dropout,
                bn_momentum=recipe.bn_momentum,
                seed=weights_seed,
            )
            network = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
            if self.device.type == "cpu":
                use_fast_layers(network)
            trainer = Trainer(
                network, self.batches, recipe, partial(CosineSchedule, recipe.warmup), torch_generator(order_seed)
            )
            for _ in range(recipe.epochs):
                trainer.train_epoch()
                if threshold is not None and threshold.should_stop(trainer.losses):
                    seconds = time.perf_counter() - started - trainer.waited_seconds
                    return Cut(tuple(trainer.losses), threshold.predict_error(trainer.losses), seconds)
            accuracy = self._score(network)
        return Training(accuracy, tuple(trainer.losses), time.perf_counter() - started - trainer.waited_seconds)

    @torch.inference_mode()
    def _score(self, network: Network) -> float:
        network.eval()
        correct = 0
        for start in range(0, len(self._validation_labels), SCORING_BATCH):
            part = slice(start, start + SCORING_BATCH)
            logits = network(self.batches.normalise(self._validation_images[part]))
            if not torch.isfinite(logits).all():
                raise TrainingDiverged("the trained network's logits are not finite")
            correct += int((logits.argmax(1) == self._validation_labels[part]).sum())
        return correct / len(self._validation_labels)
