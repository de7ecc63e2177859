"""The optimizer and the epochs, for every kind of training.

On the CPU a training uses one thread, channels-last memory, fused optimizer steps, denormal numbers that are flushed to
zero, and memory that is kept from step to step. Its result is a function of its arguments alone: it does not depend on
what else runs, or in which order networks are trained.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from evomnas.core.seeding import torch_generator
from evomnas.core.system import lock
from evomnas.core.system.memory import keep_freed_memory
from evomnas.problem.sections import Recipe
from evomnas.results.evaluation import TrainingDiverged
from evomnas.training.batches import STATISTICS_IMAGES, Batches
from evomnas.training.lessons import Lessons
from evomnas.training.losses import LossFunction


class Trainer:
    """A training under way.

    Attributes:
        network: The network, on the device of the batches.
        forward: Computes logits by the network's weights: the network itself, or what stands for it for some epochs.
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
        batches: Batches,
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
            loss: The loss function; None for the one of the batches.
            average: An average of the network's weights that is updated after every step; None for none.
            lessons: A teacher's answers to the training images that are part of the loss; None for none.
        """
        self.network, self.batches, self.generator = network.train(), batches, generator
        self.forward: Callable[[Tensor], Tensor] = network
        if recipe.statistics == "frozen":
            freeze_statistics(network)
        self.batch_size, self.steps_per_epoch = recipe.batches(len(batches))
        self.optimizer = _optimizer(network, recipe)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, schedule(recipe.epochs * self.steps_per_epoch)
        )
        self.losses: list[float] = []
        self.waited_seconds = 0.0
        self._loss = loss or batches.loss(recipe)
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
        order = torch.randperm(len(self.batches), generator=self.generator)
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
        images, wanted = self.batches.make_batch(indices, self.generator, pixels)
        # bfloat16 has the range of float32, so that losses need no scaling
        is_cuda = self.batches.device.type == "cuda"
        with torch.autocast("cuda", torch.bfloat16, enabled=is_cuda):
            answers = self.forward(images)
            loss = self._loss(images, answers, wanted)
            if self._lessons is not None:
                loss = self._lessons.mix(loss, answers, indices)
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


def renew_statistics(network: nn.Module, batches: Batches, batch_size: int) -> None:
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
    count = len(batches)
    chosen = torch.arange(0, count, max(1, count // STATISTICS_IMAGES), device=batches.device)
    with torch.no_grad():
        network.train()
        for indices in chosen.tensor_split(max(1, len(chosen) // batch_size)):
            network(batches.normalise(batches.pixels.take(indices)))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


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
