"""What a run has evaluated so far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evomnas.algorithms.base import Losses
from evomnas.core.errors import EverythingFailed
from evomnas.problem.candidate import Candidate
from evomnas.problem.pareto import Front, growing_front
from evomnas.results.evaluation import Evaluation, losses_and_violations
from evomnas.results.records import Ask
from evomnas.results.run import Result
from evomnas.training.early_stop import EarlyStop, ThresholdFor, no_threshold


class Tally:
    """The evaluations of a run, counted.

    Attributes:
        evaluations: By network, in the order in which they were told.
        ended: How many count against the budget; networks beyond a limit do not.
        failed: How many of those failed.
        cut: How many of those were cut off.
        confirmed: How many networks were trained once more, each of which counts against the budget, too.
        objectives: The number of losses.
        front: The Pareto front so far.
        threshold_for: Says what a candidate must reach to be trained to the end.
    """

    def __init__(self, epochs: int, early_stop: bool, objectives: int = 2) -> None:
        """Begin with nothing.

        Args:
            epochs: Of a candidate's training.
            early_stop: Whether candidates may be cut off.
            objectives: The number of losses.
        """
        self.evaluations: dict[Candidate, Evaluation] = {}
        self.ended, self.failed, self.cut, self.confirmed = 0, 0, 0, 0
        self.objectives = objectives
        self.front: Front[Result] = growing_front(objectives)
        self._early_stop = EarlyStop(epochs, self.front) if early_stop else None
        self.threshold_for: ThresholdFor = no_threshold if self._early_stop is None else self._early_stop.threshold

    @property
    def spent(self) -> int:
        """How much of the budget is spent."""
        return self.ended + self.confirmed

    def add(self, ask: Ask, evaluation: Evaluation) -> None:
        """Count the evaluation of a network.

        Args:
            ask: The first ask for it.
            evaluation: What came of it.
        """
        self.evaluations[evaluation.architecture] = evaluation
        self.ended += evaluation.ended
        self.failed += evaluation.failure is not None
        self.cut += evaluation.status == "cut"
        if self._early_stop is not None:
            self._early_stop.learn(evaluation)
        if evaluation.losses is not None:
            self.front.add(evaluation.losses, Result(ask.position, ask.generation, evaluation, on_front=True))

    def of(self, architectures: Sequence[Any]) -> list[Evaluation]:
        """Return the evaluations of networks.

        Args:
            architectures: Networks that were added before.
        """
        return [self.evaluations[architecture] for architecture in architectures]

    def told(self, evaluations: Sequence[Evaluation]) -> tuple[Losses, Losses]:
        """Return evaluations as an algorithm is told of them; see `losses_and_violations`.

        Args:
            evaluations: n of them.
        """
        return losses_and_violations(evaluations, self.objectives)

    def check_failures(self) -> None:
        """Check that not all have failed.

        Raises:
            EverythingFailed: They have; it names the most frequent cause.
        """
        if self.failed and self.failed == self.ended:
            failures = (evaluation.failure for evaluation in self.evaluations.values())
            causes = [failure.message for failure in failures if failure is not None]
            most_frequent = max(set(causes), key=causes.count)
            raise EverythingFailed(f"all candidates failed ({len(causes)}), most often with: {most_frequent}")
