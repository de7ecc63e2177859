"""Which candidates may stop before their last epoch: those that are dominated beyond doubt after the first ones.

The trainings that a run has completed say how the final error follows from the mean training loss of each epoch: a
power law, fitted by least squares to the logarithms of both, one line per epoch. A candidate's latency is known before
it is trained, and so is the best error on the front at its latency or less. The candidate stops after an epoch where
even the lower bound of its final error is beyond that one. The bound is the more careful one of two: Student's t
prediction bound, which holds where deviations are normal, and the largest deviation downwards of any completed training
from the line of all others, which shows where they are not. The front is made of the luckiest of all, and the more were
trained the luckier they are: so the level of the former is divided by the number of completed trainings (Bonferroni).

A rule follows from completed trainings and a front alone, never from when something ended: a run that is played again
has the same rules.
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
from evomnas.results.evaluation import Evaluation, Measurement, Training

# the chance that one of as many errors as there are completed trainings ends below its bound
FAMILYWISE_ERROR_RATE = 0.1
MIN_COMPLETED_TRAININGS = 10  # completed trainings before anything stops
ERROR_FLOOR = 1e-3  # added to errors before their logarithm: a validation split does not tell smaller ones apart


@dataclass(frozen=True, slots=True)
class PowerLaw:
    """A power law between the loss after an epoch and the final error: a straight line through their logarithms.

    Attributes:
        loss, error: Means of both logarithms.
        slope: Of the error's over the loss's.
        spread: Sum of the squared deviations of the loss's logarithm.
        count: Trainings that it was fitted to.
        margin: How far below the line an error may end, for a training in the middle of those.
    """

    loss: float
    error: float
    slope: float
    spread: float
    count: int
    margin: float

    @classmethod
    def fit(cls, losses: NDArray[np.float64], errors: NDArray[np.float64]) -> PowerLaw:
        """The line through logarithms of losses and final errors, both of shape (n,), n > 2."""
        count = len(losses)
        x, y = losses - losses.mean(), errors - errors.mean()
        spread = float(x @ x)
        slope = float(x @ y) / spread if spread > 0 else 0.0
        left = y - slope * x
        deviation = math.sqrt(float(left @ left) / (count - 2))
        leverage = 1 / count + (x * x / spread if spread > 0 else 0.0)
        lowest = float((left / np.sqrt(np.maximum(1 - leverage, 1e-9))).min())  # each from the line of all others
        margin = max(-float(stdtrit(count - 2, FAMILYWISE_ERROR_RATE / count)) * deviation, -lowest)
        return cls(float(losses.mean()), float(errors.mean()), slope, spread, count, margin)

    def predict_error(self, loss: float) -> float:
        """The error to be expected of a training with this loss; in [0, 1]."""
        logarithm = self.error + self.slope * (_logarithm(loss) - self.loss)
        return max(0.0, math.exp(min(logarithm, 0.0)) - ERROR_FLOOR)

    def max_loss(self, error: float) -> float:
        """The largest loss whose lower bound is at most `error`; infinite where losses tell too little.

        The lower bound rises with the loss for ever if the slope is beyond doubt itself. Then it is where
        slope x - goal = margin sqrt(c + x^2 / spread), squared and solved for x.
        """
        if self.spread <= 0 or self.slope <= self.margin / math.sqrt(self.spread):
            return math.inf
        goal = math.log(error + ERROR_FLOOR) - self.error
        curvature = self.slope**2 - self.margin**2 / self.spread
        root = math.sqrt(goal**2 / self.spread + curvature * (1 + 1 / self.count))
        x = self.loss + (self.slope * goal + self.margin * root) / curvature
        return math.exp(x) if x < 700 else math.inf


@dataclass(frozen=True, slots=True)
class LossThreshold:
    """What a candidate has to reach to be trained to the end.

    Attributes:
        lines: Of every epoch but the last.
        max_losses: The largest loss after each of them with which there is hope.
    """

    lines: tuple[PowerLaw, ...]
    max_losses: tuple[float, ...]

    def should_stop(self, losses: Sequence[float]) -> bool:
        """Whether a training with these losses, of the epochs so far, is hopeless."""
        return len(losses) <= len(self.max_losses) and losses[-1] > self.max_losses[len(losses) - 1]

    def predict_error(self, losses: Sequence[float]) -> float:
        """The final error to be expected of it."""
        return self.lines[len(losses) - 1].predict_error(losses[-1])


ThresholdFor = Callable[[Evaluation], LossThreshold | None]


def no_threshold(evaluation: Evaluation) -> None:
    """Train every candidate to the end."""


class EarlyStop:
    """What a run's completed trainings say about those to come."""

    def __init__(self, epochs: int, front: Front[Any]) -> None:
        """`front` holds (error, latency in ms) of what the run has evaluated, and is kept up to date by its owner."""
        self._epochs, self._front = epochs, front
        self._curves: list[list[float]] = []  # logarithms of the losses of all epochs but the last
        self._errors: list[float] = []
        self._lines: tuple[PowerLaw, ...] | None = None

    def learn(self, evaluation: Evaluation) -> None:
        """Take in an evaluation that has ended; what was not trained to the end says nothing."""
        training = evaluation.training
        if isinstance(training, Training) and len(training.losses) == self._epochs:
            self._curves.append([_logarithm(loss) for loss in training.losses[:-1]])
            self._errors.append(math.log(1 - training.accuracy + ERROR_FLOOR))
            self._lines = None

    def threshold(self, evaluation: Evaluation) -> LossThreshold | None:
        """What a measured candidate has to reach; None where it must be trained to the end."""
        measured = evaluation.measurement
        if not isinstance(measured, Measurement) or len(self._errors) < MIN_COMPLETED_TRAININGS:
            return None
        rival = self._front.least_first(measured.low_ms)
        if rival is None:
            return None
        lines = self._fitted()
        return LossThreshold(lines, tuple(line.max_loss(rival) for line in lines))

    def _fitted(self) -> tuple[PowerLaw, ...]:
        if self._lines is None:
            curves, errors = np.array(self._curves), np.array(self._errors)
            self._lines = tuple(PowerLaw.fit(losses, errors) for losses in curves.T)
        return self._lines


def _logarithm(loss: float) -> float:
    return math.log(max(loss, 1e-300))  # a loss may vanish
