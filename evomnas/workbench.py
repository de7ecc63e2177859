"""Where candidates are made ready and trained: what one process needs for it, made once, used for all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from evomnas.core.errors import InputError
from evomnas.core.memory import release_freed_memory
from evomnas.core.seeding import torch_generator
from evomnas.data.datasets import Dataset
from evomnas.latency.layers.prepare_layers import prepare_parts
from evomnas.latency.layers.stages import Parts
from evomnas.latency.runtimes.base import Prepared, Runtime, open_runtime
from evomnas.networks.layer_costs import count_cost
from evomnas.networks.torchvision_models import AnyNetwork, build
from evomnas.problem.architecture import Architecture
from evomnas.problem.definition import ProblemDefinition
from evomnas.results.evaluation import Cost, Cut, Failure, Training
from evomnas.training.early_stop import Bar
from evomnas.training.proxy_task import ProxyTask

PROBE_SEED = 0


def prepare(
    runtime: Runtime, network: AnyNetwork, classes: int, channels: int, resolution: int, batch: int = 1
) -> Prepared:
    """Build the network with random weights and convert it for the runtime.

    Its batch statistics are taken from random images first: without them the signal of a deep untrained
    network dies out, its logits say nothing and denormal numbers slow it down.
    """
    module = build(network, classes, channels, dropout=0.0, bn_momentum=1.0, seed=PROBE_SEED)
    with _probe(module, channels, resolution, batch) as images:
        return _converted(runtime, module, images)


def _converted(runtime: Runtime, module: nn.Module, images: torch.Tensor) -> Prepared:
    return Prepared(runtime.convert(module, images), images.numpy(), module(images).numpy())


@contextmanager
def _probe(network: nn.Module, channels: int, resolution: int, batch: int) -> Iterator[torch.Tensor]:
    """Images for a network with random weights, which is made ready for inference; in one thread."""
    generator = torch_generator(PROBE_SEED)
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.momentum = 1.0  # of torchvision's networks, too
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.no_grad():
            count = max(8, 256 // resolution)
            network.train()(torch.randn(count, channels, resolution, resolution, generator=generator))
            network.eval()
            yield torch.randn(batch, channels, resolution, resolution, generator=generator)
    finally:
        torch.set_num_threads(threads)


class Workbench:
    """Prepares and trains candidates of one problem."""

    def __init__(self, definition: ProblemDefinition, dataset: Dataset, device: str = "auto") -> None:
        self.definition = definition
        self.task = ProxyTask(dataset, definition.data, definition.training, device)
        self.runtime: Runtime = open_runtime(definition.latency.runtime)

    def prepare(self, architecture: Architecture) -> tuple[Cost, Prepared]:
        """Costs of an architecture, and its network made ready for the runtime."""
        classes, channels = len(self.task.dataset.classes), self.task.dataset.channels
        resolution, batch = self.definition.latency_resolution, self.definition.latency.batch
        return self.cost(architecture), prepare(self.runtime, architecture, classes, channels, resolution, batch)

    def prepare_parts(self, parts: Parts) -> list[Prepared]:
        """Stages of a network, and surroundings, made ready for the runtime."""
        classes, channels = len(self.task.dataset.classes), self.task.dataset.channels
        resolution, batch = self.definition.latency_resolution, self.definition.latency.batch
        return prepare_parts(self.runtime, parts, classes, channels, resolution, batch)

    def cost(self, architecture: Architecture) -> Cost:
        """Parameters and MACs of an architecture."""
        classes, channels = len(self.task.dataset.classes), self.task.dataset.channels
        return count_cost(architecture, classes, channels, self.definition.latency_resolution)

    def train(self, candidate: Architecture | tuple[Architecture, Bar]) -> Training | Cut:
        """Training on the proxy task and score on the validation split; cut off where it misses the bar, if any."""
        return self.task.train(*candidate) if isinstance(candidate, tuple) else self.task.train(candidate)

    def attempt(self, job: str, item: Any) -> Any:
        """Do `prepare`, `prepare_parts`, `cost` or `train`; an exception becomes a `Failure`, unless input is wrong."""
        try:
            return getattr(self, job)(item)
        except InputError:
            raise
        except Exception as error:
            failure = Failure.of(error)
        release_freed_memory()  # now that the candidate's own is freed
        return failure
