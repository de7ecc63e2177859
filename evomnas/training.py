"""Train a network on the proxy task and score it on the validation split (paper section 3).

On the CPU a training uses one thread, channels-last memory, flushed denormals and fused optimizer steps;
it is a function of the problem and the architecture alone, so that its result does not depend on what
else runs or in which order.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from evomnas.architecture import Architecture
from evomnas.augmentation import AUGMENTATIONS
from evomnas.data import Dataset
from evomnas.definition import DataSection, TrainingSection
from evomnas.device import choose_device
from evomnas.evaluation import Training, TrainingDiverged
from evomnas.network import Network, build_network, torch_generator

SCORING_BATCH = 512
STATISTICS_IMAGES = 2000  # about so many give the mean and deviation that images are normalised by


class _PointwiseConv2d(nn.Conv2d):
    """A 1x1 convolution as the matrix product that it is, for channels-last images on the CPU.

    On small images a convolution call costs more than its arithmetic; benchmarks/training_step.py says how
    much that is.
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x.permute(0, 2, 3, 1), self.weight.flatten(1), self.bias).permute(0, 3, 1, 2)


class ProxyTask:
    """A data set on a device, and the recipe by which networks are trained on it."""

    def __init__(self, dataset: Dataset, data: DataSection, recipe: TrainingSection, device: str = "auto") -> None:
        self.dataset = dataset
        self.recipe = recipe
        self.device = torch.device(choose_device(device))
        self.augmentations = [AUGMENTATIONS[name] for name in data.augment]
        pixels = dataset.train_images[:: max(1, len(dataset.train_images) // STATISTICS_IMAGES)]
        axes = (0, 2, 3)
        mean, std = pixels.mean(axes, dtype=np.float64), pixels.std(axes, dtype=np.float64)
        self._mean = self._on_device(mean.astype(np.float32)).view(1, -1, 1, 1)
        self._std = self._on_device(np.maximum(std, 1e-3).astype(np.float32)).view(1, -1, 1, 1)
        self._images = self._on_device(dataset.train_images)
        self._labels = self._on_device(dataset.train_labels)
        self._validation_images = self._on_device(dataset.validation_images)
        self._validation_labels = self._on_device(dataset.validation_labels)

    def _on_device(self, array: np.typing.NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(array).to(self.device)

    def _normalised(self, images: Tensor) -> Tensor:
        return ((images.float() - self._mean) / self._std).contiguous(memory_format=torch.channels_last)

    def train(self, architecture: Architecture) -> Training:
        """Train a fresh network of this architecture and score it on the validation images.

        Raises:
            TrainingDiverged: The loss became infinite or not a number.
        """
        started = time.perf_counter()
        weights, order, dropped = np.random.SeedSequence(self.recipe.seed).spawn(3)
        with _one_thread(self.device), torch.random.fork_rng(enabled=self.recipe.dropout > 0):
            if self.recipe.dropout > 0:  # torch's dropout knows the global generator alone: lend it one
                torch.manual_seed(torch_generator(dropped).initial_seed())
            network = build_network(
                architecture,
                len(self.dataset.classes),
                self.dataset.channels,
                dropout=self.recipe.dropout,
                bn_momentum=self.recipe.bn_momentum,
                seed=weights,
            )
            network = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
            if self.device.type == "cpu":
                _use_matrix_products(network)
            losses = self._fit(network, torch_generator(order))
            accuracy = self._score(network)
        return Training(accuracy, tuple(losses), time.perf_counter() - started)

    def _fit(self, network: Network, generator: torch.Generator) -> list[float]:
        recipe, count = self.recipe, len(self._labels)
        batch = min(recipe.batch, count)
        steps = count // batch
        optimizer = _optimizer(network, recipe, self.device)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, _cosine(recipe.warmup, recipe.epochs * steps))
        loss_function = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
        network.train()
        losses = []
        for _ in range(recipe.epochs):
            total = torch.zeros((), device=self.device)
            order = torch.randperm(count, generator=generator).to(self.device)
            for step in range(steps):
                chosen = order[step * batch : (step + 1) * batch]
                images = self._normalised(self._augmented(self._images[chosen], generator))
                with torch.autocast("cuda", enabled=self.device.type == "cuda"):
                    loss = loss_function(network(images), self._labels[chosen])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                total += loss.detach()
            losses.append(float(total) / steps)
            if not math.isfinite(losses[-1]):
                raise TrainingDiverged(f"the training loss became {losses[-1]} in epoch {len(losses)}")
        return losses

    def _augmented(self, images: Tensor, generator: torch.Generator) -> Tensor:
        images = images.float()
        for augment in self.augmentations:
            images = augment(images, generator)
        return images

    @torch.inference_mode()
    def _score(self, network: Network) -> float:
        network.eval()
        correct = 0
        for start in range(0, len(self._validation_labels), SCORING_BATCH):
            part = slice(start, start + SCORING_BATCH)
            logits = network(self._normalised(self._validation_images[part]))
            if not torch.isfinite(logits).all():
                raise TrainingDiverged("the trained network's logits are not finite")
            correct += int((logits.argmax(1) == self._validation_labels[part]).sum())
        return correct / len(self._validation_labels)


@contextmanager
def _one_thread(device: torch.device) -> Iterator[None]:
    """One thread and flushed denormals on the CPU; what the caller had set is restored."""
    threads = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(1)
        torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(False)


def _use_matrix_products(network: Network) -> None:
    for module in network.modules():
        if type(module) is nn.Conv2d and module.kernel_size == (1, 1):
            module.__class__ = _PointwiseConv2d


def _optimizer(network: nn.Module, recipe: TrainingSection, device: torch.device) -> torch.optim.Optimizer:
    rate, decay = recipe.learning_rate, recipe.weight_decay
    parameters = list(network.parameters())
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(parameters, rate, weight_decay=decay, fused=True)
    if recipe.optimizer == "rmsprop":  # decay and epsilon of the published training code
        return torch.optim.RMSprop(
            parameters, rate, alpha=0.9, eps=1e-3, momentum=recipe.momentum, weight_decay=decay, foreach=True
        )
    return torch.optim.SGD(
        parameters, rate, momentum=recipe.momentum, nesterov=recipe.momentum > 0, weight_decay=decay, fused=True
    )


class _cosine:
    """Learning rate over its peak: a linear rise over `warmup` of the steps, then half a cosine to 0."""

    def __init__(self, warmup: float, steps: int) -> None:
        self.rise, self.steps = warmup * steps, steps

    def __call__(self, step: int) -> float:
        if step < self.rise:
            return (step + 1) / (self.rise + 1)
        return 0.5 * (1 + math.cos(math.pi * (step - self.rise) / max(1.0, self.steps - self.rise)))
