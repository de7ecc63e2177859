"""Where candidates are made ready and trained: what one process needs for it, made once, used for all."""

from __future__ import annotations

from typing import Any

from evomnas.core.errors import InputError
from evomnas.core.memory import release_freed_memory
from evomnas.data.images import Dataset
from evomnas.latency.layers.prepare_layers import prepare_parts
from evomnas.latency.layers.stages import Parts
from evomnas.latency.prepare import prepare
from evomnas.latency.runtimes.base import Prepared, Runtime, open_runtime
from evomnas.networks.layer_costs import count_cost
from evomnas.problem.architecture import Architecture
from evomnas.problem.definition import ProblemDefinition
from evomnas.results.evaluation import Cost, Cut, Failure, Training
from evomnas.training.early_stop import LossThreshold
from evomnas.training.proxy_task import ProxyTask


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

    def train(self, candidate: Architecture | tuple[Architecture, LossThreshold]) -> Training | Cut:
        """Train on the proxy task and score on the validation split; cut off where it misses the threshold, if any."""
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
