"""Evaluations of networks: what was measured and trained, or why that failed.

An evaluation has two halves that are kept apart because they depend on different things: the measurement
(costs and latency: network, device) and the training (accuracy: network, data, recipe). A changed number
of epochs needs new trainings but no new measurement.
"""

from __future__ import annotations

import math
import traceback
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from evomnas.core import remedies
from evomnas.problem.sections import PrecisionName, ScoreName
from evomnas.problem.tabular_space import TabularArchitecture
from evomnas.results.answers.mistakes import Answers
from evomnas.results.detection.findings import Findings

NORMAL_95 = 1.959963984540054  # 95 % of a normal distribution lie within so many standard deviations


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
    """The result of a candidate's training, or of its trainings with all folds.

    Attributes:
        accuracy: Share of the validation images that were classified correctly; None where things in them were found.
        losses: Mean training loss per epoch; with folds, of the first training.
        seconds: How long it took.
        score: What the search maximises, from 0 to 1; None where that is the accuracy.
        score_error: The standard error of the score; None where it is not known.
        loss: The mean cross-entropy of the validation images in nats; None where it is not known.
        trainings: How many trainings with different seeds it is the mean of.
        answers: The answers to the validation images; None where they are not at hand. They are kept beside the
            training, since older versions kept none.
        findings: What was found in the validation images; None where they were classified. They are kept beside the
            training as well.
    """

    accuracy: float | None
    losses: tuple[float, ...]
    seconds: float
    score: float | None = None
    score_error: float | None = None
    loss: float | None = None
    trainings: int = 1
    answers: Answers | None = field(default=None, repr=False, compare=False)
    findings: Findings | None = field(default=None, repr=False, compare=False)

    @property
    def quality(self) -> float:
        """The score, or the accuracy where that is the score."""
        quality = self.accuracy if self.score is None else self.score
        assert quality is not None  # one of both is always known
        return quality

    @property
    def error(self) -> float:
        """What the search minimises: 1 - score."""
        return 1.0 - self.quality


def mean_training(*trainings: Training) -> Training:
    """Return the mean of trainings of one network with different seeds.

    Args:
        trainings: At least one. Their standard errors count as independent of each other.

    Returns:
        The mean accuracy, score and loss, each None where one of the trainings has none, with the standard error of the
        mean; the seconds of all; the curve and the answers of the first one.
    """
    count = len(trainings)
    errors = [one.score_error for one in trainings]
    squares = None if None in errors else sum(error**2 for error in errors if error is not None)
    return replace(
        trainings[0],
        accuracy=_mean([one.accuracy for one in trainings]),
        seconds=sum(one.seconds for one in trainings),
        score=_mean([one.score for one in trainings]),
        score_error=None if squares is None else squares**0.5 / count,
        loss=_mean([one.loss for one in trainings]),
        trainings=sum(one.trainings for one in trainings),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None


@dataclass(frozen=True, slots=True)
class Cut:
    """The rest of a training that was cut off after its first epochs, as its network was dominated beyond doubt.

    It belongs to the run whose front dominated the network, and is no accuracy.

    Attributes:
        losses: Mean training loss of each epoch that was trained.
        error: The final error that those predict (`evomnas.training.early_stop`).
        seconds: How long it took.
    """

    losses: tuple[float, ...]
    error: float
    seconds: float

    def saved(self, epochs: int) -> float:
        """Return the seconds that the rest of the epochs would have taken, if all take the same time.

        Args:
            epochs: Of a whole training, or of those with all folds together.
        """
        return self.seconds * (epochs / len(self.losses) - 1)


@dataclass(frozen=True, slots=True)
class Score:
    """The number of test images that a finally trained network classified correctly, of all."""

    correct: int
    images: int

    @property
    def accuracy(self) -> float:
        """Their share."""
        return self.correct / self.images

    @property
    def interval(self) -> tuple[float, float]:
        """The accuracy's 95 % confidence interval: Wilson's score interval (1927) of a binomial share."""
        misses, square = self.images - self.correct, NORMAL_95**2
        middle = 2 * self.correct + square
        reach = NORMAL_95 * math.sqrt(4 * self.correct * misses / self.images + square)
        low, high = ((middle + side * reach) / (2 * (self.images + square)) for side in (-1, 1))
        return (low if self.correct else 0.0), (high if misses else 1.0)


@dataclass(frozen=True, slots=True)
class FullTraining:
    """The result of a full training.

    Attributes:
        score: On the test images; None of a network that finds things in them.
        losses: Mean training loss per epoch.
        seconds: How long it took.
        answers: The answers to the test images; None where an older version kept none.
        findings: What was found in the test images; None where they were classified.
    """

    score: Score | None
    losses: tuple[float, ...]
    seconds: float
    answers: Answers | None = field(default=None, repr=False, compare=False)
    findings: Findings | None = field(default=None, repr=False, compare=False)

    @property
    def images(self) -> int:
        """The number of test images."""
        if self.score is not None:
            return self.score.images
        return 0 if self.findings is None else self.findings.images

    def quality(self, name: ScoreName | PrecisionName) -> tuple[float, float, float] | None:
        """Return a score on the test images and the ends of its 95 % interval; None where it is not known.

        Args:
            name: The score.
        """
        if name == "ap" or name == "ap50":
            if self.findings is None:
                return None
            value = self.findings.score(name)
            return value, *(self.findings.interval(name) or (value, value))
        if name == "accuracy":
            return None if self.score is None else (self.score.accuracy, *self.score.interval)
        if self.answers is None:
            return None
        value, error = self.answers.confusion.score(name), self.answers.confusion.score_error(name)
        return value, max(0.0, value - 1.96 * error), min(1.0, value + 1.96 * error)


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
        """Return the failure that an exception means.

        Args:
            error: The exception.
        """
        kinds: list[tuple[type[BaseException] | tuple[type[BaseException], ...], str]] = [
            (TrainingDiverged, "diverged"),
            (RuntimeMismatch, "mismatch"),
            (MemoryError, "out-of-memory"),
        ]
        text = str(error).strip() or type(error).__name__
        kind = next((name for types, name in kinds if isinstance(error, types)), "error")
        if kind == "error" and any(sign in text.lower() for sign in _NO_MEMORY):
            kind = "out-of-memory"
        message = (remedies.explain(error) if kind == "error" else None) or text.splitlines()[0]
        return cls(kind, message, "".join(traceback.format_exception(error)))


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


class Evaluation(ABC):
    """All that is known of one network on one problem, of whatever kind.

    Attributes:
        architecture: The network.
        violation: Sum of its relative excesses over the limits of the problem (`evomnas.results.constraints`), 0 within
            them.
    """

    __slots__ = ()
    architecture: Any  # a `Candidate`; subclasses say which
    violation: float

    @property
    @abstractmethod
    def failure(self) -> Failure | None:
        """Why there is no result; None where nothing failed."""

    @property
    @abstractmethod
    def losses(self) -> tuple[float, ...] | None:
        """The minimised objectives: error, cost, and further ones; None unless all is known, went well, is feasible."""

    @property
    @abstractmethod
    def relative_losses(self) -> tuple[float, ...] | None:
        """The error, and all costs relative to the reference network's: the hypervolume's axes; None as `losses`."""

    @property
    @abstractmethod
    def quantities(self) -> Mapping[str, float]:
        """`accuracy`, `latency_ms`, `params` and `macs`, as far as they are known."""

    @abstractmethod
    def exceeding(self, violation: float) -> Self:
        """Return this evaluation of a network beyond a limit: it has no losses any more.

        Args:
            violation: Sum of the relative excesses, more than 0.
        """

    @property
    def expected_losses(self) -> tuple[float, ...] | None:
        """The losses, with the predicted error, of a network whose training was cut off; None of all others."""
        return None

    @property
    def further(self) -> tuple[float, ...]:
        """The objectives beside error and cost that follow from the network itself."""
        return ()

    @property
    def measured(self) -> Measurement | None:
        """The measurement that went well; None where there is none."""
        return None

    @property
    def trained(self) -> Training | None:
        """The training that went well, to the end; None where there is none."""
        return None

    @property
    def cut(self) -> Cut | None:
        """What is left of a training that was cut off; None where none was."""
        return None

    @property
    def latency_ci(self) -> tuple[float, float] | None:
        """The latency's 95 % confidence interval in milliseconds; None where it was not measured."""
        return None

    @property
    def score(self) -> float | None:
        """The score that the search maximises, from 0 to 1; None where it is not known."""
        return self.quantities.get("accuracy") if self.trained is None else self.trained.quality

    @property
    def score_error(self) -> float | None:
        """The standard error of the score; None where it is not known."""
        return None if self.trained is None else self.trained.score_error

    @property
    def seconds(self) -> float | None:
        """Seconds that measuring and training took, whichever run paid for them; None where one of them is missing."""
        return None

    @property
    def status(self) -> str:
        """`ok`, `failed`, `infeasible`, `cut`, or `stopped` where the run ended before the evaluation did."""
        if self.violation > 0:  # first: a run must not depend on what others found out about such a network
            return "infeasible"
        if self.expected_losses is not None:
            return "cut"
        if self.failure is not None:
            return "failed"
        return "ok" if self.losses is not None else "stopped"

    @property
    def ended(self) -> bool:
        """Whether it is over and counts against a budget: there are losses, a failure, or the start of a training."""
        return self.status in ("ok", "failed", "cut")


@dataclass(frozen=True, slots=True)
class NetworkEvaluation(Evaluation):
    """All that is known of a network that is measured and trained.

    Attributes:
        architecture: The network: an architecture, or an off-the-shelf network.
        measurement: Its first half, or why that failed; None where it is not there yet.
        training: Its second half, likewise.
        violation: See `Evaluation`.
        further: See `Evaluation.further`.
        further_ratios: The further objectives relative to the reference network's, in the same order.
    """

    architecture: Any
    measurement: Measurement | Failure | None = None
    training: Training | Cut | Failure | None = None
    violation: float = 0.0
    further: tuple[float, ...] = ()
    further_ratios: tuple[float, ...] = ()

    @property
    def measured(self) -> Measurement | None:
        """See `Evaluation.measured`."""
        return self.measurement if isinstance(self.measurement, Measurement) else None

    @property
    def trained(self) -> Training | None:
        """See `Evaluation.trained`."""
        return self.training if isinstance(self.training, Training) else None

    @property
    def cut(self) -> Cut | None:
        """See `Evaluation.cut`."""
        return self.training if isinstance(self.training, Cut) else None

    @property
    def failure(self) -> Failure | None:
        """The failure of the first half that failed."""
        halves = (self.measurement, self.training)
        return next((half for half in halves if isinstance(half, Failure)), None)

    @property
    def losses(self) -> tuple[float, ...] | None:
        """Error, latency in ms, and further objectives; see `Evaluation.losses`."""
        if self.violation > 0 or self.measured is None or self.trained is None:
            return None
        return self.trained.error, self.measured.latency_ms, *self.further

    @property
    def relative_losses(self) -> tuple[float, ...] | None:
        """See `Evaluation.relative_losses`."""
        if self.violation > 0 or self.measured is None or self.trained is None:
            return None
        return self.trained.error, self.measured.ratio, *self.further_ratios

    @property
    def expected_losses(self) -> tuple[float, ...] | None:
        """See `Evaluation.expected_losses`."""
        if self.violation > 0 or self.measured is None or self.cut is None:
            return None
        return self.cut.error, self.measured.latency_ms, *self.further

    @property
    def quantities(self) -> dict[str, float]:
        """See `Evaluation.quantities`."""
        known: dict[str, float] = {}
        if self.measured is not None:
            cost = self.measured.cost
            known = {"latency_ms": self.measured.latency_ms, "params": cost.params, "macs": cost.macs}
            if self.trained is not None and self.trained.accuracy is not None:
                known["accuracy"] = self.trained.accuracy
        return known

    @property
    def latency_ci(self) -> tuple[float, float] | None:
        """See `Evaluation.latency_ci`."""
        return None if self.measured is None else (self.measured.low_ms, self.measured.high_ms)

    @property
    def seconds(self) -> float | None:
        """See `Evaluation.seconds`."""
        training = self.trained or self.cut
        return None if self.measured is None or training is None else self.measured.seconds + training.seconds

    def exceeding(self, violation: float) -> NetworkEvaluation:
        """See `Evaluation.exceeding`."""
        return replace(self, violation=violation)


@dataclass(frozen=True, slots=True)
class TabularEvaluation(Evaluation):
    """The row of a table for a network.

    Attributes:
        architecture: The network.
        losses: See `Evaluation.losses`; None also where the table lacks one or was not asked yet.
        relative_losses: See `Evaluation.relative_losses`.
        quantities: See `Evaluation.quantities`; those that an objective of the table is.
        failure: See `Evaluation.failure`.
        violation: See `Evaluation`.
    """

    architecture: TabularArchitecture
    losses: tuple[float, ...] | None
    relative_losses: tuple[float, ...] | None
    quantities: Mapping[str, float]
    failure: Failure | None = None
    violation: float = 0.0

    def exceeding(self, violation: float) -> TabularEvaluation:
        """See `Evaluation.exceeding`."""
        return replace(self, violation=violation, losses=None, relative_losses=None)


def losses_and_violations(
    evaluations: Sequence[Evaluation], objectives: int = 2
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return evaluations as an algorithm is told of them.

    Args:
        evaluations: n of them.
        objectives: The number m of losses.

    Returns:
        Losses of shape (n, m), and violations of shape (n,). A failure has infinite losses and an infinite violation. A
        network beyond a limit has infinite losses, and the sum of its relative excesses as violation. A network whose
        training was cut off has the error that its learning curve predicts.
    """
    nothing = (np.inf,) * objectives
    known = [evaluation.losses or evaluation.expected_losses or nothing for evaluation in evaluations]
    losses = np.array(known, dtype=np.float64).reshape(-1, objectives)
    violations = [np.inf if evaluation.status == "failed" else evaluation.violation for evaluation in evaluations]
    return losses, np.array(violations, dtype=np.float64)
