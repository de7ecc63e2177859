"""What an evaluation of an architecture says: what was measured and trained, or why that failed.

An evaluation has two halves that are kept apart because they depend on different things: the measurement
(costs and latency: network, device) and the training (accuracy: network, data, recipe). A changed number
of epochs needs new trainings but no new measurement.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evomnas.problem.architecture import Architecture
from evomnas.problem.tabular_space import TabularArchitecture


class TrainingDiverged(ArithmeticError):
    """The loss became infinite or not a number."""


class RuntimeMismatch(ArithmeticError):
    """The runtime computes other logits than the network."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Trainable parameters, MACs without squeeze-and-excite, and its MACs, for one image."""

    params: int
    macs: int
    se_macs: int


@dataclass(frozen=True, slots=True)
class Training:
    """What a training gave.

    Attributes:
        accuracy: Share of the validation images that were classified correctly.
        losses: Mean training loss per epoch.
        seconds: How long it took.
    """

    accuracy: float
    losses: tuple[float, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Cut:
    """What is left of a training that was cut off after its first epochs: its network was dominated beyond doubt.

    It belongs to the run whose front dominated it, and is no accuracy.

    Attributes:
        losses: Mean training loss of each epoch that was trained.
        error: The final error that those foretell (`evomnas.training.early_stop`).
        seconds: How long it took.
    """

    losses: tuple[float, ...]
    error: float
    seconds: float

    def saved(self, epochs: int) -> float:
        """Seconds that the rest of so many epochs would have taken, if they take the same time."""
        return self.seconds * (epochs / len(self.losses) - 1)


@dataclass(frozen=True, slots=True)
class Score:
    """How many of the test images a finally trained network classified correctly."""

    correct: int
    images: int

    @property
    def accuracy(self) -> float:
        """Their share."""
        return self.correct / self.images

    @property
    def interval(self) -> tuple[float, float]:
        """The accuracy's 95 % confidence interval: Wilson's score interval (1927) of a binomial share."""
        from scipy.stats import binomtest

        found = binomtest(self.correct, self.images).proportion_ci(0.95, method="wilson")
        return float(found.low), float(found.high)


@dataclass(frozen=True, slots=True)
class FullTraining:
    """What a full training gave.

    Attributes:
        score: On the test images.
        losses: Mean training loss per epoch.
        seconds: How long it took.
    """

    score: Score
    losses: tuple[float, ...]
    seconds: float


_NO_MEMORY = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory", "bad_alloc")


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a candidate has no result.

    Attributes:
        kind: `diverged`, `out-of-memory`, `time-out`, `mismatch`, `killed`, `connection`, `missing` (in a table) or
            `error`.
        message: One line.
        trace: The traceback, where there was one.
        tries: How often it was tried.
    """

    kind: str
    message: str
    trace: str = ""
    tries: int = 1

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """The failure that an exception means."""
        kinds: list[tuple[type[BaseException] | tuple[type[BaseException], ...], str]] = [
            (TrainingDiverged, "diverged"),
            (RuntimeMismatch, "mismatch"),
            (MemoryError, "out-of-memory"),
        ]
        text = str(error).strip() or type(error).__name__
        kind = next((name for types, name in kinds if isinstance(error, types)), "error")
        if kind == "error" and any(sign in text.lower() for sign in _NO_MEMORY):
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
        precise: Whether the interval came within 1 %; else the time limit ended the measurement.
        load: Cores busy with something else meanwhile; None where the system does not tell.
    """

    cost: Cost
    latency_ms: float
    low_ms: float
    high_ms: float
    ratio: float
    samples: tuple[float, ...]
    seconds: float
    precise: bool = True
    load: float | None = None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What is known of an architecture; a missing half is None (not there yet).

    `violation` is the sum of its relative excesses over the problem's limits (`evomnas.results.constraints`).
    """

    architecture: Architecture
    measurement: Measurement | Failure | None = None
    training: Training | Cut | Failure | None = None
    violation: float = 0.0

    @property
    def failure(self) -> Failure | None:
        """The failure of either half, if there is one."""
        halves = (self.measurement, self.training)
        return next((half for half in halves if isinstance(half, Failure)), None)

    @property
    def status(self) -> str:
        """`ok`, `failed`, `infeasible`, `cut`, or `stopped` where the run ended before the evaluation did."""
        return "cut" if self.expected_losses is not None else _status(self)

    @property
    def ended(self) -> bool:
        """Whether it is over and counts against a budget: losses, a failure, or the start of a training."""
        return self.status in ("ok", "failed", "cut")

    @property
    def expected_losses(self) -> tuple[float, float] | None:
        """(foretold error, latency in ms) of a network whose training was cut off; None of all others."""
        if self.violation > 0:
            return None
        if isinstance(self.measurement, Measurement) and isinstance(self.training, Cut):
            return self.training.error, self.measurement.latency_ms
        return None

    @property
    def losses(self) -> tuple[float, float] | None:
        """(error, latency in ms), both minimised; None unless the evaluation is complete, went well and is feasible."""
        if self.violation > 0:
            return None
        if isinstance(self.measurement, Measurement) and isinstance(self.training, Training):
            return 1.0 - self.training.accuracy, self.measurement.latency_ms
        return None

    @property
    def relative_losses(self) -> tuple[float, float] | None:
        """(error, latency relative to the reference network's): the axes of the hypervolume; None as `losses`."""
        if self.violation > 0:
            return None
        if isinstance(self.measurement, Measurement) and isinstance(self.training, Training):
            return 1.0 - self.training.accuracy, self.measurement.ratio
        return None

    @property
    def quantities(self) -> dict[str, float]:
        """What is known of the network, by the names that `TabularEvaluation` gives them."""
        known: dict[str, float] = {}
        if isinstance(self.measurement, Measurement):
            cost = self.measurement.cost
            known = {"latency_ms": self.measurement.latency_ms, "params": cost.params, "macs": cost.macs}
        if isinstance(self.measurement, Measurement) and isinstance(self.training, Training):
            known["accuracy"] = self.training.accuracy
        return known

    @property
    def latency_ci(self) -> tuple[float, float] | None:
        """The latency's 95 % confidence interval in milliseconds."""
        return (
            (self.measurement.low_ms, self.measurement.high_ms) if isinstance(self.measurement, Measurement) else None
        )

    @property
    def seconds(self) -> float | None:
        """What measuring and training took, whichever run paid for it; None where one of them is missing."""
        if isinstance(self.measurement, Measurement) and isinstance(self.training, Training | Cut):
            return self.measurement.seconds + self.training.seconds
        return None


@dataclass(frozen=True, slots=True)
class TabularEvaluation:
    """What a table says of a network: the counterpart of `Evaluation`.

    Attributes:
        architecture: The network.
        losses: The two objectives, minimised; None where the table lacks one or was not asked yet, or the network is
            beyond a limit.
        relative_losses: The same with the second relative to the reference network's.
        quantities: `accuracy`, `latency_ms`, `params` or `macs`, where an objective is one of them.
        failure: Why there are no losses.
        violation: Sum of the relative excesses over the problem's limits.
    """

    architecture: TabularArchitecture
    losses: tuple[float, float] | None
    relative_losses: tuple[float, float] | None
    quantities: Mapping[str, float]
    failure: Failure | None = None
    violation: float = 0.0

    expected_losses = None
    latency_ci = None
    seconds = None

    @property
    def status(self) -> str:
        """`ok`, `failed`, `infeasible`, or `stopped` where the table was not asked yet."""
        return _status(self)

    @property
    def ended(self) -> bool:
        """Whether it is over and counts against a budget: there are losses, or a failure."""
        return _status(self) in ("ok", "failed")


def _status(evaluation: Evaluation | TabularEvaluation) -> str:
    if evaluation.violation > 0:  # first: what another problem's run found out beyond this must not matter
        return "infeasible"
    if evaluation.failure is not None:
        return "failed"
    return "ok" if evaluation.losses is not None else "stopped"


AnyArchitecture = Architecture | TabularArchitecture
AnyEvaluation = Evaluation | TabularEvaluation


def told(evaluations: Sequence[AnyEvaluation]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What an algorithm is told: losses (n, 2), and violations (n,).

    Failures have infinite losses and violations; networks beyond a limit have infinite losses and the sum of their
    relative excesses as violation. Of a training that was cut off, the error is the one that its curve foretells.
    """
    nothing = (np.inf, np.inf)
    known = [one.losses or one.expected_losses or nothing for one in evaluations]
    losses = np.array(known, dtype=np.float64).reshape(-1, 2)
    violations = [np.inf if one.status == "failed" else one.violation for one in evaluations]
    return losses, np.array(violations, dtype=np.float64)
