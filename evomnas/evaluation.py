"""One architecture in, one `Evaluation` out: what was measured and trained, or why that failed.

An evaluation has two halves that are kept apart because they depend on different things: the measurement
(costs and latency: network, device) and the training (accuracy: network, data, recipe). A changed number
of epochs needs new trainings but no new measurement.
"""

from __future__ import annotations

import traceback
from dataclasses import dataclass

from evomnas import registry
from evomnas.architecture import Architecture
from evomnas.cost import Cost, count_cost
from evomnas.data import Dataset
from evomnas.definition import ProblemDefinition
from evomnas.errors import InputError
from evomnas.latency.runtimes import Prepared, Runtime, RuntimeMismatch, prepare
from evomnas.training import ProxyTask, Training, TrainingDiverged


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a candidate has no result.

    Attributes:
        kind: `diverged`, `out-of-memory`, `mismatch`, `killed` or `error`.
        message: One line.
        trace: The traceback, where there was one.
    """

    kind: str
    message: str
    trace: str = ""

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """The failure that an exception means."""
        kinds: list[tuple[type[BaseException] | tuple[type[BaseException], ...], str]] = [
            (TrainingDiverged, "diverged"), (RuntimeMismatch, "mismatch"), (MemoryError, "out-of-memory"),
        ]
        text = str(error).strip() or type(error).__name__
        kind = next((name for types, name in kinds if isinstance(error, types)), "error")
        if kind == "error" and ("out of memory" in text.lower() or "not enough memory" in text.lower()):
            kind = "out-of-memory"
        trace = "".join(traceback.format_exception(error))
        return cls(kind, text.splitlines()[0], trace)


@dataclass(frozen=True, slots=True)
class Measurement:
    """Costs and latency of an architecture on the problem's device.

    Attributes:
        cost: Parameters and MACs.
        latency_ms: Latency in milliseconds, on the scale of the reference network's calibration.
        low_ms, high_ms: Its 95 % confidence interval.
        ratio: Latency relative to the reference network.
        samples: Ratio of every round.
        seconds: How long measuring took.
    """

    cost: Cost
    latency_ms: float
    low_ms: float
    high_ms: float
    ratio: float
    samples: tuple[float, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What is known of an architecture; a missing half is None (not there yet)."""

    architecture: Architecture
    measurement: Measurement | Failure | None = None
    training: Training | Failure | None = None

    @property
    def failure(self) -> Failure | None:
        """The failure of either half, if there is one."""
        halves = (self.measurement, self.training)
        return next((half for half in halves if isinstance(half, Failure)), None)

    @property
    def status(self) -> str:
        """`ok`, `failed`, or `stopped` where the run ended before the evaluation did."""
        if self.failure is not None:
            return "failed"
        return "ok" if self.losses is not None else "stopped"

    @property
    def losses(self) -> tuple[float, float] | None:
        """(error, latency in ms), both minimised; None unless the evaluation is complete and went well."""
        if isinstance(self.measurement, Measurement) and isinstance(self.training, Training):
            return 1.0 - self.training.accuracy, self.measurement.latency_ms
        return None

    @property
    def relative_losses(self) -> tuple[float, float] | None:
        """(error, latency relative to the reference network's): the axes of the hypervolume."""
        if isinstance(self.measurement, Measurement) and isinstance(self.training, Training):
            return 1.0 - self.training.accuracy, self.measurement.ratio
        return None


class Workbench:
    """What a process needs to prepare and train candidates: made once, used for all of them."""

    def __init__(self, definition: ProblemDefinition, dataset: Dataset, device: str = "auto") -> None:
        self.definition = definition
        self.task = ProxyTask(dataset, definition.data, definition.training, device)
        self.runtime: Runtime = registry.load("runtimes", definition.latency.runtime)()

    def prepare(self, architecture: Architecture) -> tuple[Cost, Prepared]:
        """Costs of an architecture, and its network made ready for the runtime."""
        classes, channels = len(self.task.dataset.classes), self.task.dataset.channels
        resolution = self.definition.latency_resolution
        prepared = prepare(self.runtime, architecture, classes, channels, resolution, self.definition.latency.batch)
        return count_cost(architecture, classes, channels, resolution), prepared

    def train(self, architecture: Architecture) -> Training:
        """Training on the proxy task and score on the validation split."""
        return self.task.train(architecture)

    def attempt(self, job: str, architecture: Architecture) -> tuple[Cost, Prepared] | Training | Failure:
        """Do `prepare` or `train`; an exception becomes a `Failure`, except for wrong input."""
        try:
            return self.prepare(architecture) if job == "prepare" else self.train(architecture)
        except InputError:
            raise
        except Exception as error:
            return Failure.of(error)
