"""Where a search stands, for those who watch it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from evomnas.evaluation.interface import Evaluator
from evomnas.loop.tally import Tally
from evomnas.problem.pareto import hypervolume
from evomnas.results.run import Run


@dataclass(frozen=True, slots=True)
class Progress:
    """The state of a search that goes on.

    Attributes:
        phase: `starting`, `preparing`, `waiting` (for another run's training or latency), `measuring` or `training`.
        evaluated: Distinct networks evaluated so far, of `budget`.
        budget: Distinct networks in all.
        generation: From 0.
        best_accuracy: On the validation split; None before the first.
        hypervolume: See `evomnas.problem.pareto.hypervolume`.
        failed: How many of the evaluated ones failed.
        cut: How many were cut off after their first epochs.
        reused: How many the archive knew from other runs.
        metrics: What the algorithm said of itself when it asked for the generation.
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


OnProgress = Callable[[Progress], None]
OnGeneration = Callable[[Run], None]


class ProgressReporter:
    """Tells those who watch a search where it stands, several times a second.

    Attributes:
        batch: Networks that are being evaluated, and not counted in the tally yet.
        generation: The generation that they belong to, from 0.
        reused: How many networks the archive knew from other runs.
        metrics: What the algorithm said of itself last.
    """

    def __init__(self, run: Run, evaluator: Evaluator, tally: Tally, on_progress: OnProgress) -> None:
        """Watch a run.

        Args:
            run: The run.
            evaluator: The run's evaluator.
            tally: What it has evaluated.
            on_progress: Told where it stands.
        """
        self._run, self._evaluator, self._tally, self._on_progress = run, evaluator, tally, on_progress
        self.batch: list[Any] = []
        self.generation, self.reused = 0, 0
        self.metrics: dict[str, float] = {}
        self._latest: tuple[tuple[int, ...], Progress] | None = None  # as of which state

    def report(self, phase: str) -> None:
        """Tell where the search stands; what it takes is worked out only where something has changed.

        Args:
            phase: What is being done; see `Progress`.
        """
        state = self._run.archive.changes, self.generation, self._tally.ended, self.reused, len(self.batch)
        if self._latest is None or self._latest[0] != state:
            self._latest = state, self._progress(phase)
        self._on_progress(replace(self._latest[1], phase=phase))

    def _progress(self, phase: str) -> Progress:
        batch = [self._evaluator.known(architecture) for architecture in self.batch]
        front = [result.evaluation for result in self._tally.front.items]
        accuracies = [1 - evaluation.losses[0] for evaluation in batch if evaluation.losses is not None]
        points = [evaluation.relative_losses for evaluation in (*front, *batch)]
        best = max([self._tally.best_accuracy, *accuracies])
        reference_point = self._run.definition.hypervolume.reference_point
        return Progress(
            phase,
            self._tally.ended + sum(evaluation.ended for evaluation in batch),
            self._run.manifest.budget,
            self.generation,
            best if best > -math.inf else None,
            hypervolume([point for point in points if point is not None], reference_point),
            self._tally.failed + sum(evaluation.failure is not None for evaluation in batch),
            self._tally.cut + sum(evaluation.status == "cut" for evaluation in batch),
            self.reused,
            self.metrics,
        )
