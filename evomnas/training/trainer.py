"""Batches on a device, the optimizer and the epochs, for every kind of training.

On the CPU a training uses one thread, channels-last memory, fused optimizer steps, denormal numbers that are flushed to
zero, and memory that is kept from step to step. Its result is a function of its arguments alone: it does not depend on
what else runs, or in which order networks are trained.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from evomnas.core.errors import InputError
from evomnas.core.seeding import torch_generator
from evomnas.core.system import lock
from evomnas.core.system.memory import keep_freed_memory
from evomnas.data.images import Labels
from evomnas.data.rows import ImageRows
from evomnas.problem.sections import Augmentation, Recipe
from evomnas.results.evaluation import TrainingDiverged
from evomnas.training.augmentation import AUGMENTATIONS
from evomnas.training.lessons import Lessons
from evomnas.training.pixels import Pixels
from evomnas.training.transforms import COLOUR_TRANSFORMS, MIXTURES, TRANSFORMS, Mixing

STATISTICS_IMAGES = 2000  # the mean and standard deviation of the images are taken from about this many
STATISTICS_PIXELS = 2**26  # of grey images, which are added up at once; those of more become parts
Normalisation = tuple[NDArray[np.float32], NDArray[np.float32]]  # mean and standard deviation of every channel
LossFunction = Callable[[Tensor, Tensor, Tensor], Tensor]  # from normalised images, logits and labels to a scalar


class TrainingBatches:
    """Training images and labels on a device, from which augmented and normalised batches are made.

    Attributes:
        device: The device on which networks are trained.
        pixels: The images.
        labels: Their classes, on the device, shape (n,).
        mean: The mean of every channel, in pixel values from 0 to 255, shape (channels,).
        std: The standard deviation of every channel, in the same unit, at least 0.001, shape (channels,).
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
        self.device = device
        self._augmentations = [(AUGMENTATIONS | TRANSFORMS)[name] for name in augment if name not in MIXTURES]
        mixtures = [name for name in augment if name in MIXTURES]
        self._mixing = Mixing(mixtures, classes) if mixtures else None
        self.mean, self.std = _statistics(images) if normalisation is None else normalisation
        self._mean, self._std = (self.to_device(values).view(1, -1, 1, 1) for values in (self.mean, self.std))
        self.pixels = Pixels(images, device)
        self.labels = self.to_device(labels)

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

    def make_batch(
        self, indices: Tensor, generator: torch.Generator, pixels: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Make a batch.

        Args:
            indices: The indices of its images, on the device, shape (batch,).
            generator: A generator on the CPU, from which the augmentations are drawn.
            pixels: The images, if they were taken before; None to take them now.

        Returns:
            Augmented, normalised images, float32, shape (batch, channels, h, w), and their labels, shape (batch,); of
            mixed images the share of every class, shape (batch, classes).
        """
        images = (self.pixels.take(indices) if pixels is None else pixels).float()
        for augment in self._augmentations:
            images = augment(images, generator)
        labels = self.labels[indices]
        if self._mixing is not None:
            images, labels = self._mixing(images, labels, generator)
        return self.normalise(images), labels


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


class Trainer:
    """A training under way.

    Attributes:
        network: The network, on the device of the batches.
        batches: The training images.
        generator: The generator of the images' order and of the augmentations.
        batch_size: The number of images in a batch.
        steps_per_epoch: The number of batches in an epoch. Images that are left over are not used in that epoch.
        optimizer: The optimizer.
        schedule: The learning rate's schedule, which advances with every step.
        losses: The mean loss of every epoch so far.
        waited_seconds: The time in which the training gave way to latency measurements, in seconds.
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
        lessons: Lessons | None = None,
    ) -> None:
        """Prepare a training.

        Args:
            network: The network, on the device of the batches. It is put into training mode.
            batches: The training images.
            recipe: The epochs, batch size, optimizer and label smoothing.
            schedule: A function that takes the number of all steps and returns another one, from a step to the
                learning rate relative to its peak.
            generator: A generator on the CPU for the images' order and the augmentations.
            loss: The loss function; None for cross-entropy with the recipe's label smoothing and class weights.
            average: An average of the network's weights that is updated after every step; None for none.
            lessons: A teacher's answers to the training images that are part of the loss; None for none.
        """
        self.network, self.batches, self.generator = network.train(), batches, generator
        if recipe.statistics == "frozen":
            freeze_statistics(network)
        self.batch_size, self.steps_per_epoch = recipe.batches(len(batches.labels))
        self.optimizer = _optimizer(network, recipe)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, schedule(recipe.epochs * self.steps_per_epoch)
        )
        self.losses: list[float] = []
        self.waited_seconds = 0.0
        self._loss = loss or cross_entropy(recipe, batches.labels)
        self._average, self._lessons = average, lessons

    def train_epoch(self) -> float:
        """Train for one epoch, a pass over the images in random order. Its mean loss is added to `losses`.

        Between two steps it gives way to latency measurements that wait.

        Returns:
            The mean loss of the epoch's batches.

        Raises:
            TrainingDiverged: The mean loss is infinite or not a number.
        """
        device = self.batches.device
        total = torch.zeros((), device=device)
        order = torch.randperm(len(self.batches.labels), generator=self.generator)
        order = order[: self.steps_per_epoch * self.batch_size]
        steps, on_device = (torch.split(numbers, self.batch_size) for numbers in (order, order.to(device)))
        for indices, pixels in zip(on_device, self.batches.pixels.in_turn(steps), strict=True):
            self.waited_seconds += lock.give_way()
            total += self._step(indices, pixels)
        self.losses.append(float(total) / self.steps_per_epoch)
        if not math.isfinite(self.losses[-1]):
            raise TrainingDiverged(f"the training loss became {self.losses[-1]} in epoch {len(self.losses)}")
        return self.losses[-1]

    def _step(self, indices: Tensor, pixels: Tensor | None = None) -> Tensor:
        """Train with a batch, whose images are given by their indices on the device, and return its loss."""
        images, labels = self.batches.make_batch(indices, self.generator, pixels)
        # bfloat16 has the range of float32, so that losses need no scaling
        is_cuda = self.batches.device.type == "cuda"
        with torch.autocast("cuda", torch.bfloat16, enabled=is_cuda):
            logits = self.network(images)
            loss = self._loss(images, logits, labels)
            if self._lessons is not None:
                loss = self._lessons.mix(loss, logits, indices)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.schedule.step()
        if self._average is not None:
            self._average.update_parameters(self.network)
        return loss.detach()

    def time_step(self) -> float:
        """Return the seconds of one more step, with the first images."""
        started = time.perf_counter()
        loss = self._step(torch.arange(self.batch_size, device=self.batches.device))
        float(loss)  # a GPU is waited for
        return time.perf_counter() - started


def freeze_statistics(network: nn.Module) -> None:
    """Let a network's batch norm use its running statistics from now on, and leave them as they are.

    Args:
        network: The network in training mode. Its weights are trained on.
    """
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


def renew_statistics(network: nn.Module, batches: TrainingBatches, batch_size: int) -> None:
    """Take the statistics of a network's batch norm anew: the means over batches of training images.

    Args:
        network: The network, on the device of the batches. It is left in training mode.
        batches: The training images, which are not augmented here.
        batch_size: About how many images a batch has.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
    count = len(batches.labels)
    chosen = torch.arange(0, count, max(1, count // STATISTICS_IMAGES), device=batches.device)
    with torch.no_grad():
        network.train()
        for indices in chosen.tensor_split(max(1, len(chosen) // batch_size)):
            network(batches.normalise(batches.pixels.take(indices)))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def cross_entropy(recipe: Recipe, labels: Tensor) -> LossFunction:
    """Return the cross-entropy between logits and labels as a loss function.

    With balanced class weights, the loss of an image is multiplied by the weight of its class. The weights of PyTorch's
    own loss multiply the smoothed targets instead: of an image of a common class, the little that label smoothing gives
    to a rare class would then outweigh the rest.

    Args:
        recipe: The recipe, for its label smoothing and class weights.
        labels: The classes of all training images, from which the weights follow, shape (n,).

    Returns:
        A function of normalised images (which it does not use), logits and labels, or the shares of classes.
    """
    if recipe.class_weights != "balanced":
        function = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
        return lambda images, logits, labels: function(logits, labels)
    by_image = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing, reduction="none")
    weights = balanced_weights(labels)

    def loss(images: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        by_label = labels @ weights if labels.is_floating_point() else weights[labels]
        mean: Tensor = (by_label * by_image(logits, labels)).mean()
        return mean

    return loss


def balanced_weights(labels: Tensor) -> Tensor:
    """Return weights with which every class has the same part in the loss, whatever its number of images.

    Args:
        labels: The classes of all training images, shape (n,).

    Returns:
        The weight of each class, inversely proportional to its images, shape (classes,). Their mean over all images is
        1, so that a recipe's learning rate suits them.
    """
    counts = torch.bincount(labels)
    return len(labels) / (counts * (counts > 0).sum()).clamp(min=1)


@contextmanager
def training_mode(device: torch.device, dropout_seed: np.random.SeedSequence | None) -> Iterator[None]:
    """Set up torch for a training inside the block.

    On the CPU it uses one thread, flushes denormal numbers to zero and keeps freed memory. Dropout can only use torch's
    global generator, which is therefore seeded. The number of threads and the generator are restored afterwards.

    Args:
        device: The device of the training.
        dropout_seed: The seed of dropout; None leaves the global generator alone.

    Yields:
        Nothing; the training runs in the block.
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


def _parameter_groups(network: nn.Module, recipe: Recipe) -> list[Any]:
    """Return the weights of a network, those of its classifier apart if they have a learning rate of their own."""
    if recipe.head_rate is None:
        return list(network.parameters())
    *_, classifier = (name for name, module in network.named_modules() if isinstance(module, nn.Linear))
    named = list(network.named_parameters())
    head = [parameter for name, parameter in named if name.startswith(f"{classifier}.")]
    body = [parameter for name, parameter in named if not name.startswith(f"{classifier}.")]
    return [{"params": body}, {"params": head, "lr": recipe.head_rate * recipe.learning_rate}]


def _optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    rate, decay = recipe.learning_rate, recipe.weight_decay
    parameters = _parameter_groups(network, recipe)
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(parameters, rate, weight_decay=decay, fused=True)
    if recipe.optimizer == "rmsprop":  # alpha is the decay in the published training code
        return torch.optim.RMSprop(
            parameters, rate, alpha=0.9, eps=recipe.rmsprop_epsilon, momentum=recipe.momentum, weight_decay=decay,
            foreach=True,
        )  # fmt: skip
    return torch.optim.SGD(
        parameters, rate, momentum=recipe.momentum, nesterov=recipe.momentum > 0, weight_decay=decay, fused=True
    )
