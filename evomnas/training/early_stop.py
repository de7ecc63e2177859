"""Early stop: which candidates may end their training before its last epoch.

A candidate stops when it is dominated beyond doubt, that is, when some network on the run's front is no slower, no
worse in any further objective, and has a lower error than the candidate can be expected to reach at best.

1. The completed trainings of a run show how the final error follows from the mean training loss of an epoch. The
   model is a power law: a straight line through the logarithms of both, fitted by least squares, one per epoch.
2. A candidate's latency is known before it is trained. So the lowest error on the front at that latency or less is
   known, too. This is the rival's error.
3. After every epoch but the last, the candidate stops if the lower bound of its final error is above the rival's
   error. `LossThreshold` holds the losses at which the two are equal.

The lower bound is the lower one of two bounds:

- Student's t prediction bound. It is right where the deviations from the line are normal.
- The largest downward deviation of any completed training from the line through all others. It shows where the
  deviations are not normal.

The front consists of the luckiest trainings, and the more networks were trained, the luckier these are. So the level
of Student's t bound is divided by the number of completed trainings (Bonferroni).

A threshold follows from the completed trainings and the front alone, never from the time at which something ended. So
a run that is played again has the same thresholds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from evomnas.problem.pareto import Front
from evomnas.results.evaluation import Evaluation

# the probability that any of n errors ends below its lower bound, where n is the number of completed trainings
FAMILYWISE_ERROR_RATE = 0.1
MIN_COMPLETED_TRAININGS = 10  # before them, no candidate stops early
ERROR_FLOOR = 1e-3  # added to errors before their logarithm: a validation split cannot tell smaller ones apart


@dataclass(frozen=True, slots=True)
class PowerLaw:
    """A power law between the loss after an epoch and the final error: a line through their logarithms.

    Attributes:
        mean_log_loss: The mean logarithm of the losses that it was fitted to.
        mean_log_error: The mean logarithm of the final errors, each plus `ERROR_FLOOR`.
        slope: The slope of the error's logarithm over the loss's.
        spread: The sum of the squared deviations of the losses' logarithms from their mean.
        count: The number of trainings that it was fitted to.
        margin: How far the lower bound of the error's logarithm is below the line, divided by
            sqrt(1 + 1 / count + x^2 / spread), where x is the loss's logarithm less its mean.
    """

    mean_log_loss: float
    mean_log_error: float
    slope: float
    spread: float
    count: int
    margin: float

    @classmethod
    def fit(cls, log_losses: NDArray[np.float64], log_errors: NDArray[np.float64]) -> PowerLaw:
        """Fit a power law to completed trainings.

        Args:
            log_losses: The logarithms of their losses after one epoch, shape (n,), n > 2.
            log_errors: The logarithms of their final errors, each plus `ERROR_FLOOR`, shape (n,).

        Returns:
            The power law. Its slope is 0 if all losses are equal.
        """
        count = len(log_losses)
        x, y = log_losses - log_losses.mean(), log_errors - log_errors.mean()
        spread = float(x @ x)
        slope = float(x @ y) / spread if spread > 0 else 0.0
        residuals = y - slope * x
        deviation = math.sqrt(float(residuals @ residuals) / (count - 2))
        leverage = 1 / count + (x * x / spread if spread > 0 else 0.0)
        # the deviation of each point from the line through all others, divided by that line's own square root as in
        # `margin`
        lowest = float((residuals / np.sqrt(np.maximum(1 - leverage, 1e-9))).min())
        margin = max(-float(stdtrit(count - 2, FAMILYWISE_ERROR_RATE / count)) * deviation, -lowest)
        return cls(float(log_losses.mean()), float(log_errors.mean()), slope, spread, count, margin)

    def predict_error(self, loss: float) -> float:
        """Predict a training's final error.

        Args:
            loss: Its loss after the epoch.

        Returns:
            The expected error, from 0 to 1.
        """
        log_error = self.mean_log_error + self.slope * (_logarithm(loss) - self.mean_log_loss)
        return max(0.0, math.exp(min(log_error, 0.0)) - ERROR_FLOOR)

    def max_loss(self, error: float) -> float:
        """Return the largest loss at which a training may still end at an error or below.

        With x for the loss's logarithm less its mean, and c = 1 + 1 / count, the lower bound of the error's logarithm
        is mean + slope x - margin sqrt(c + x^2 / spread). If the slope is above 0 beyond doubt, the bound rises with
        the loss for ever. The largest loss is then where slope x - goal = margin sqrt(c + x^2 / spread), squared and
        solved for x.

        Args:
            error: The error to reach, from 0 to 1.

        Returns:
            The loss. It is infinite if the slope may be 0, since then no loss excludes any error.
        """
        if self.spread <= 0 or self.slope <= self.margin / math.sqrt(self.spread):
            return math.inf
        goal = math.log(error + ERROR_FLOOR) - self.mean_log_error
        curvature = self.slope**2 - self.margin**2 / self.spread
        root = math.sqrt(goal**2 / self.spread + curvature * (1 + 1 / self.count))
        log_loss = self.mean_log_loss + (self.slope * goal + self.margin * root) / curvature
        return math.exp(log_loss) if log_loss < 700 else math.inf


@dataclass(frozen=True, slots=True)
class LossThreshold:
    """The losses that a candidate must not exceed in order to be trained to the end.

    Attributes:
        power_laws: The power law of every epoch but the last.
        max_losses: The largest loss after each of these epochs with which the candidate may still reach the front.
    """

    power_laws: tuple[PowerLaw, ...]
    max_losses: tuple[float, ...]

    def should_stop(self, losses: Sequence[float]) -> bool:
        """Return whether a training should stop now.

        Args:
            losses: Its mean loss of every epoch so far, at least one.

        Returns:
            True if the last loss exceeds its epoch's threshold; always False after the last epoch.
        """
        return len(losses) <= len(self.max_losses) and losses[-1] > self.max_losses[len(losses) - 1]

    def predict_error(self, losses: Sequence[float]) -> float:
        """Predict a training's final error.

        Args:
            losses: Its mean loss of every epoch so far, at least one and not all.

        Returns:
            The expected error, from 0 to 1.
        """
        return self.power_laws[len(losses) - 1].predict_error(losses[-1])


ThresholdFor = Callable[[Evaluation], LossThreshold | None]


def no_threshold(evaluation: Evaluation) -> None:
    """Return None, the threshold of a search that trains every candidate to the end.

    Args:
        evaluation: A candidate's evaluation so far; not used.
    """


class EarlyStop:
    """Finds the loss thresholds of candidates from a run's completed trainings."""

    def __init__(self, epochs: int, front: Front[Any]) -> None:
        """Begin without any completed training.

        Args:
            epochs: The epochs of a whole training.
            front: The front of the run's evaluations by their losses. The caller keeps it up to date.
        """
        self._epochs, self._front = epochs, front
        self._log_losses: list[list[float]] = []  # of each completed training, after all epochs but the last
        self._log_errors: list[float] = []
        self._power_laws: tuple[PowerLaw, ...] | None = None

    def learn(self, evaluation: Evaluation) -> None:
        """Take in an evaluation. It is ignored if its training failed or was not completed.

        Args:
            evaluation: An evaluation that has ended.
        """
        training = evaluation.trained
        if training is not None and len(training.losses) == self._epochs:
            self._log_losses.append([_logarithm(loss) for loss in training.losses[:-1]])
            self._log_errors.append(math.log(training.error + ERROR_FLOOR))
            self._power_laws = None

    def threshold(self, evaluation: Evaluation) -> LossThreshold | None:
        """Return the losses that a candidate must not exceed.

        Args:
            evaluation: The candidate's evaluation so far, with its latency.

        Returns:
            The threshold. It is None if the candidate must be trained to the end: too few trainings are complete, its
            latency is unknown, or no network on the front is surely as fast.
        """
        measured = evaluation.measured
        if measured is None or len(self._log_errors) < MIN_COMPLETED_TRAININGS:
            return None
        rival_error = self._front.least_first_loss((measured.low_ms, *evaluation.further))
        if rival_error is None:
            return None
        power_laws = self._fit_power_laws()
        return LossThreshold(power_laws, tuple(power_law.max_loss(rival_error) for power_law in power_laws))

    def _fit_power_laws(self) -> tuple[PowerLaw, ...]:
        if self._power_laws is None:
            log_losses, log_errors = np.array(self._log_losses), np.array(self._log_errors)
            self._power_laws = tuple(PowerLaw.fit(of_one_epoch, log_errors) for of_one_epoch in log_losses.T)
        return self._power_laws


def _logarithm(loss: float) -> float:
    return math.log(max(loss, 1e-300))  # a loss may be 0
