"""What a search needs of an evaluator."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

from evomnas.evaluation.executors.base import CandidateLimits
from evomnas.evaluation.stopwatch import Spent
from evomnas.problem.definition import AnyDefinition
from evomnas.results.archive import Archive
from evomnas.results.evaluation import AnyEvaluation
from evomnas.training.early_stop import ThresholdFor, no_threshold


class OnPhase(Protocol):
    """Called with `preparing`, `waiting`, `measuring` or `training` whenever something may have changed."""

    def __call__(self, phase: str, /) -> None:
        """What is being done."""


class AnyEvaluator(Protocol):
    """What a search needs of an `Evaluator` or a `TableEvaluator`."""

    archive: Archive
    candidates: CandidateLimits
    run: str | None
    on_progress: OnPhase
    spent: Spent

    @property
    def definition(self) -> AnyDefinition:
        """The problem."""
        ...

    @property
    def proxy_key(self) -> str:
        """The archive's context of its trainings."""
        ...

    @property
    def device_key(self) -> str:
        """The archive's context of its measurements."""
        ...

    def known(self, architecture: Any) -> AnyEvaluation:
        """What the archive has of an architecture."""
        ...

    def evaluate(self, architectures: Sequence[Any], threshold_for: ThresholdFor = no_threshold) -> list[AnyEvaluation]:
        """Evaluate what is not known yet; returns one evaluation per architecture, in their order."""
        ...

    def measure(self, architectures: Sequence[Any]) -> None:
        """Take the first half of evaluations, where it is not known yet: all that needs no training."""
        ...

    def train(self, architectures: Iterable[Any | None], threshold_for: ThresholdFor = no_threshold) -> Iterator[Any]:
        """Take the second half; yields each architecture when its evaluation has ended.

        They are drawn one by one, when there is room for another; None stands for none before the next has ended. Where
        `threshold_for` has a threshold for one by then, its training is cut off if it misses that, which counts for
        `run` alone.
        """
        ...

    def price(self, evaluations: Sequence[Any]) -> float:
        """What knowing a network's cost takes, relative to a whole evaluation, as these evaluations say.

        0 where it is free, infinite where it cannot be known or nothing was evaluated yet.
        """
        ...

    def costs(self, architectures: Sequence[Any]) -> list[float]:
        """Second losses without the first ones; infinite where a network fails or is beyond a limit."""
        ...

    def reference_cost(self) -> float:
        """The reference network's second objective: its calibrated latency in milliseconds, or a table's cost."""
        ...

    def check_limits(self) -> None:
        """Raise InputError where no network can meet the problem's limits."""
        ...

    def describe(self) -> dict[str, Any]:
        """What stands in run.json about the data, and a table's true front where it is known."""
        ...

    def close(self) -> None:
        """Leave the device."""
        ...
