"""What all trainings share: images on a device, the optimizer, and one epoch after another.

On the CPU a training uses one thread, channels-last memory, flushed denormals, fused optimizer steps and memory that
it keeps from step to step; it is a function of its arguments alone, so that its result does not depend on what else
runs or in which order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from evomnas.core import lock
from evomnas.core.memory import keep_freed_memory
from evomnas.core.seeding import torch_generator
from evomnas.data.images import Images, Labels
from evomnas.problem.definition import Recipe
from evomnas.results.evaluation import TrainingDiverged
from evomnas.training.augmentation import AUGMENTATIONS

STATISTICS_IMAGES = 2000  # about so many give the mean and deviation that images are normalised by
LossFunction = Callable[[Tensor, Tensor, Tensor], Tensor]  # of normalised images, logits and labels


class TrainingBatches:
    """Images and labels on a device, normalised by the images' own mean and deviation, and augmented.

    Attributes:
        mean, std: Of every channel, in pixel values from 0 to 255, shape (channels,).
    """

    def __init__(self, images: Images, labels: Labels, augment: Sequence[str], device: torch.device) -> None:
        self.device = device
        self._augmentations = [AUGMENTATIONS[name] for name in augment]
        pixels = images[:: max(1, len(images) // STATISTICS_IMAGES)]
        axes = (0, 2, 3)
        self.mean = pixels.mean(axes, dtype=np.float64).astype(np.float32)
        self.std = np.maximum(pixels.std(axes, dtype=np.float64), 1e-3).astype(np.float32)
        self._mean, self._std = (self.to_device(one).view(1, -1, 1, 1) for one in (self.mean, self.std))
        self.images = self.to_device(images) if _fits(images, device) else torch.from_numpy(images)
        self.labels = self.to_device(labels)

    def to_device(self, array: NDArray[np.generic]) -> Tensor:
        """An array as a tensor on the device."""
        return torch.from_numpy(array).to(self.device)

    def normalise(self, images: Tensor) -> Tensor:
        """Images of pixel values, (n, c, h, w), as networks are trained on them."""
        return ((images.float() - self._mean) / self._std).contiguous(memory_format=torch.channels_last)

    def make_batch(self, indices: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Augmented, normalised images and the labels of some indices."""
        images = self.images[indices.to(self.images.device)].to(self.device).float()
        for augment in self._augmentations:
            images = augment(images, generator)
        return self.normalise(images), self.labels[indices]


def _fits(images: Images, device: torch.device) -> bool:
    """Whether a device has room for images beside a training; from elsewhere they come batch by batch."""
    return device.type == "cpu" or images.nbytes < torch.cuda.mem_get_info(device)[0] / 2


class Trainer:
    """A training under way.

    Attributes:
        steps_per_epoch: Batches of one pass over the images.
        waited_seconds: Seconds in which it gave way to measurements.
    """

    def __init__(
        self,
        network: nn.Module,
        batches: TrainingBatches,
        recipe: Recipe,
        schedule: Callable[[int], Callable[[int], float]],
        generator: torch.Generator,
        loss: LossFunction | None = None,
        average: torch.optim.swa_utils.AveragedModel | None = None,
    ) -> None:
        """Set it up.

        Args:
            network: What is trained, on the batches' device; it stays in training mode.
            batches: The images.
            recipe: Batch, optimizer and label smoothing.
            schedule: Takes the number of all steps and returns the learning rate over its peak, by the step.
            generator: Of the order and of augmentations.
            loss: In place of cross-entropy.
            average: Follows the network step by step.
        """
        self.network, self.batches, self.generator = network.train(), batches, generator
        self.batch_size = min(recipe.batch, len(batches.labels))
        self.steps_per_epoch = len(batches.labels) // self.batch_size
        self.optimizer = _optimizer(network, recipe)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, schedule(recipe.epochs * self.steps_per_epoch)
        )
        self.losses: list[float] = []
        self.waited_seconds = 0.0
        self._loss = loss or cross_entropy(recipe)
        self._average = average

    def train_epoch(self) -> float:
        """One pass over the images; returns its mean loss, which is added to `losses`.

        Raises:
            TrainingDiverged: It is infinite or not a number.
        """
        device = self.batches.device
        total = torch.zeros((), device=device)
        order = torch.randperm(len(self.batches.labels), generator=self.generator).to(device)
        for step in range(self.steps_per_epoch):
            self.waited_seconds += lock.give_way()
            images, labels = self.batches.make_batch(
                order[step * self.batch_size : (step + 1) * self.batch_size], self.generator
            )
            with torch.autocast("cuda", torch.bfloat16, enabled=device.type == "cuda"):  # needs no loss scaling
                loss = self._loss(images, self.network(images), labels)
            self.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            self.schedule.step()
            if self._average is not None:
                self._average.update_parameters(self.network)
            total += loss.detach()
        self.losses.append(float(total) / self.steps_per_epoch)
        if not math.isfinite(self.losses[-1]):
            raise TrainingDiverged(f"the training loss became {self.losses[-1]} in epoch {len(self.losses)}")
        return self.losses[-1]


def cross_entropy(recipe: Recipe) -> LossFunction:
    """The usual loss, with the recipe's label smoothing."""
    function = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
    return lambda images, logits, labels: function(logits, labels)


@contextmanager
def training_mode(device: torch.device, dropout_seed: np.random.SeedSequence | None) -> Iterator[None]:
    """One thread and flushed denormals on the CPU, and a generator for dropout; what the caller had set is restored.

    Dropout knows torch's global generator alone, so it is lent one that follows from `dropout_seed`.
    """
    threads = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(1)
        torch.set_flush_denormal(True)
        keep_freed_memory()
    try:
        with torch.random.fork_rng(enabled=dropout_seed is not None):
            if dropout_seed is not None:
                torch.manual_seed(torch_generator(dropout_seed).initial_seed())
            yield
    finally:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(False)


def _optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    rate, decay = recipe.learning_rate, recipe.weight_decay
    parameters = list(network.parameters())
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(parameters, rate, weight_decay=decay, fused=True)
    if recipe.optimizer == "rmsprop":  # decay of the published training code
        return torch.optim.RMSprop(
            parameters, rate, alpha=0.9, eps=recipe.rmsprop_epsilon, momentum=recipe.momentum, weight_decay=decay,
            foreach=True,
        )  # fmt: skip
    return torch.optim.SGD(
        parameters, rate, momentum=recipe.momentum, nesterov=recipe.momentum > 0, weight_decay=decay, fused=True
    )
