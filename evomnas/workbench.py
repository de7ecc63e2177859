"""Where candidates are made ready and trained: what one process needs for it, made once, used for all."""

from __future__ import annotations

import torch

from evomnas.architecture import Architecture
from evomnas.cost import count_cost
from evomnas.data import Dataset
from evomnas.definition import ProblemDefinition
from evomnas.errors import InputError
from evomnas.evaluation import Cost, Failure, Training
from evomnas.latency import lock
from evomnas.latency.runtimes import Prepared, Runtime, open_runtime
from evomnas.network import build_network, torch_generator
from evomnas.training import ProxyTask

PROBE_SEED = 0


def prepare(
    runtime: Runtime, architecture: Architecture, classes: int, channels: int, resolution: int, batch: int = 1
) -> Prepared:
    """Build the network with random weights and convert it for the runtime.

    Its batch statistics are taken from random images first: without them the signal of a deep untrained
    network dies out, its logits say nothing and denormal numbers slow it down.
    """
    generator = torch_generator(PROBE_SEED)
    network = build_network(architecture, classes, channels, bn_momentum=1.0, seed=PROBE_SEED)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.no_grad():
            count = max(8, 256 // resolution)
            network.train()(torch.randn(count, channels, resolution, resolution, generator=generator))
            network.eval()
            images = torch.randn(batch, channels, resolution, resolution, generator=generator)
            logits = network(images)
            return Prepared(runtime.convert(network, images), images.numpy(), logits.numpy())
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
        resolution = self.definition.latency_resolution
        prepared = prepare(self.runtime, architecture, classes, channels, resolution, self.definition.latency.batch)
        return count_cost(architecture, classes, channels, resolution), prepared

    def train(self, architecture: Architecture) -> Training:
        """Training on the proxy task and score on the validation split; never while a latency is taken."""
        with lock.training():
            return self.task.train(architecture)

    def attempt(self, job: str, architecture: Architecture) -> tuple[Cost, Prepared] | Training | Failure:
        """Do `prepare` or `train`; an exception becomes a `Failure`, except for wrong input."""
        try:
            return self.prepare(architecture) if job == "prepare" else self.train(architecture)
        except InputError:
            raise
        except Exception as error:
            return Failure.of(error)
