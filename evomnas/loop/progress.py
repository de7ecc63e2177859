"""Where a search stands, for those who watch it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from evomnas.evaluation.interface import Evaluator
from evomnas.loop.run_clock import Pace
from evomnas.loop.tally import Tally
from evomnas.problem.pareto import hypervolume
from evomnas.results.run import Result, Run


@dataclass(frozen=True, slots=True)
class Progress:
    """The state of a search that goes on.

    Attributes:
        phase: `starting`, or as `evomnas.evaluation.interface.OnPhase` has it.
        evaluated: Distinct networks evaluated so far, and those of them that were trained once more, of `budget`.
        budget: Evaluations in all.
        generation: From 0.
        best_accuracy: The best accuracy, or other score that the search maximises, on the validation split; None before
            the first.
        hypervolume: See `evomnas.problem.pareto.hypervolume`.
        failed: How many of the evaluated ones failed.
        cut: How many were cut off after their first epochs.
        reused: How many the archive knew from other runs.
        metrics: What the algorithm said of itself when it asked for the generation.
        best: The losses of the most accurate network; None before the first.
        batch: Networks that are being evaluated.
        seconds_left: An estimate of the seconds until the budget is spent or the time is up; None where too little was
            evaluated for one.
    """

    phase: str
    evaluated: int
    budget: int
    generation: int = 0
    best_accuracy: float | None = None
    hypervolume: float = 0.0
    failed: int = 0
    cut: int = 0
    reused: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)
    best: tuple[float, ...] | None = None
    batch: int = 0
    seconds_left: float | None = None


OnProgress = Callable[[Progress], None]
OnGeneration = Callable[[Run], None]
OnEvaluation = Callable[[Run, Result], None]


class ProgressReporter:
    """Tells those who watch a search where it stands, several times a second.

    Attributes:
        batch: Networks that are being evaluated, and not counted in the tally yet.
        generation: The generation that they belong to, from 0.
        reused: How many networks the archive knew from other runs.
        metrics: What the algorithm said of itself last.
    """

    def __init__(
        self, run: Run, evaluator: Evaluator, tally: Tally, on_progress: OnProgress, deadline: float | None = None
    ) -> None:
        """Watch a run.

        Args:
            run: The run.
            evaluator: The run's evaluator.
            tally: What it has evaluated.
            on_progress: Told where it stands.
            deadline: A reading of `time.perf_counter` at which it ends; None for no time limit.
        """
        self._run, self._evaluator, self._tally, self._on_progress = run, evaluator, tally, on_progress
        self._pace, self._deadline = Pace(evaluator.stopwatch), deadline
        self.batch: list[Any] = []
        self.generation, self.reused = 0, 0
        self.metrics: dict[str, float] = {}
        self._latest: tuple[tuple[int, ...], Progress] | None = None  # as of which state

    def report(self, phase: str) -> None:
        """Tell where the search stands; what it takes is worked out only where something has changed.

        Args:
            phase: What is being done; see `Progress`.
        """
        state = self._run.archive.changes, self.generation, self._tally.spent, self.reused, len(self.batch)
        if self._latest is None or self._latest[0] != state:
            self._latest = state, self._progress(phase)
        self._on_progress(replace(self._latest[1], phase=phase))

    def _progress(self, phase: str) -> Progress:
        batch = [self._evaluator.known(architecture) for architecture in self.batch]
        front = [result.evaluation for result in self._tally.front.items]
        points = [evaluation.relative_losses for evaluation in (*front, *batch)]
        best = min((evaluation.losses for evaluation in (*front, *batch) if evaluation.losses), default=None)
        reference_point = self._run.definition.reference_point
        evaluated = self._tally.spent + sum(evaluation.ended for evaluation in batch)
        measured = sum(evaluation.measured is not None and not evaluation.ended for evaluation in batch)
        return Progress(
            phase,
            evaluated,
            self._run.manifest.budget,
            self.generation,
            None if best is None else 1 - best[0],
            hypervolume([point for point in points if point is not None], reference_point),
            self._tally.failed + sum(evaluation.failure is not None for evaluation in batch),
            self._tally.cut + sum(evaluation.status == "cut" for evaluation in batch),
            self.reused,
            self.metrics,
            best,
            len(self.batch),
            self._seconds_left(evaluated, measured),
        )

    def _seconds_left(self, evaluated: int, measured: int) -> float | None:
        """Return an estimate of the seconds until the budget is spent or the time is up."""
        seconds = self._pace.seconds(self._run.manifest.budget - evaluated, measured)
        if seconds is None or self._deadline is None:
            return seconds
        return min(seconds, max(0.0, self._deadline - time.perf_counter()))
