"""The history of a search: its networks, hypervolume, time and the algorithm's own figures, by generation."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evomnas.problem.pareto import hypervolume_curve
from evomnas.results.run import Result, Run


@dataclass(frozen=True, slots=True)
class Generation:
    """One generation of a run.

    Attributes:
        number: Its number, from 0.
        asked: Number of networks that the algorithm asked for.
        new: Number of those that it had not asked for before.
        failed: Number of the new networks that failed.
        infeasible: Number of the new networks that are beyond a limit of the problem.
        cut: Number of the new networks whose training was cut off after its first epochs.
        evaluated: Number of distinct networks that were evaluated by its end, since the start of the run.
        best_loss: The smallest first loss by its end; None before there is one.
        hypervolume: The hypervolume by its end.
        seconds: The run's wall clock at its end, or when the budget was spent. None where the generation is not over,
            or where an older version of evomnas ran it.
        metrics: The algorithm's own figures, by name.
    """

    number: int
    asked: int
    new: int
    failed: int
    infeasible: int
    cut: int
    evaluated: int
    best_loss: float | None
    hypervolume: float
    seconds: float | None
    metrics: dict[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """The history of a run.

    Attributes:
        generations: The generations, in their order.
        curve: The hypervolume after each evaluation, shape (evaluations,).
        failures: Number of candidates that failed, by kind of failure, the most frequent kind first.
        repeated: Number of asks for a network that had been asked for before.
        saved_seconds: Seconds that it would have taken to evaluate the networks of those asks again.
    """

    generations: tuple[Generation, ...]
    curve: NDArray[np.float64]
    failures: dict[str, int]
    repeated: int
    saved_seconds: float

    @property
    def generation_ends(self) -> list[int]:
        """The number of evaluations by the end of each generation."""
        return [generation.evaluated for generation in self.generations]

    def over_time(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return seconds and hypervolume at the end of each generation whose time is known, both of shape (k,)."""
        known = [
            (generation.seconds, generation.hypervolume)
            for generation in self.generations
            if generation.seconds is not None
        ]
        pairs = np.array(known, dtype=np.float64).reshape(-1, 2)
        return np.maximum.accumulate(pairs[:, 0]), pairs[:, 1]  # a killed session did not store its clock at the end

    def metric_series(self) -> dict[str, dict[str, list[tuple[int, float]]]]:
        """Return the algorithm's own figures as lines of plots.

        Returns:
            Lines by name, by the name of their plot. A metric called `reward (target 1)` is the line `target 1` of the
            plot `reward`; one without parentheses is the line with the empty name. A line is a list of pairs of a
            generation's number and a value.
        """
        plots: dict[str, dict[str, list[tuple[int, float]]]] = {}
        for generation in self.generations:
            for name, value in generation.metrics.items():
                plot, _, line = name.rstrip(")").partition(" (")
                plots.setdefault(plot, {}).setdefault(line, []).append((generation.number, value))
        return plots


def read_history(run: Run, results: Sequence[Result]) -> History:
    """Read the history of a run from its archive.

    Args:
        run: The run.
        results: Its results, in the order of their first asks.

    Returns:
        The history.
    """
    asks = run.asks
    ended = [result.evaluation for result in results if result.evaluation.ended]
    points = [evaluation.relative_losses or (math.inf, math.inf) for evaluation in ended]
    curve = hypervolume_curve(points, run.definition.hypervolume.reference_point)
    first_losses = np.array([evaluation.losses[0] if evaluation.losses else math.inf for evaluation in ended])
    best_losses = np.minimum.accumulate(first_losses) if len(first_losses) else first_losses
    asks_by_generation = Counter(ask.generation for ask in asks)
    by_generation: dict[int, list[Result]] = {number: [] for number in asks_by_generation}
    for result in results:
        by_generation.setdefault(result.generation, []).append(result)
    records = {record.generation: record for record in run.archive.generations(run.record.id)}
    generations: list[Generation] = []
    evaluated = 0
    for number in sorted(by_generation):
        new = [result.evaluation for result in by_generation[number]]
        statuses = Counter(evaluation.status for evaluation in new)
        evaluated += sum(evaluation.ended for evaluation in new)
        record = records.get(number)
        best_loss = float(best_losses[evaluated - 1]) if evaluated else math.inf
        generations.append(
            Generation(
                number=number,
                asked=asks_by_generation[number],
                new=len(new),
                failed=statuses["failed"],
                infeasible=statuses["infeasible"],
                cut=statuses["cut"],
                evaluated=evaluated,
                best_loss=best_loss if math.isfinite(best_loss) else None,
                hypervolume=float(curve[evaluated - 1]) if evaluated else 0.0,
                seconds=None if record is None else record.seconds,
                metrics={} if record is None else record.metrics,
            )
        )
    seconds = {str(result.evaluation.architecture): result.evaluation.seconds or 0.0 for result in results}
    asks_by_network = Counter(ask.architecture for ask in asks)
    kinds = Counter(result.evaluation.failure.kind for result in results if result.evaluation.failure is not None)
    return History(
        generations=tuple(generations),
        curve=curve,
        failures=dict(kinds.most_common()),
        repeated=len(asks) - len(asks_by_network),
        saved_seconds=sum((count - 1) * seconds.get(name, 0.0) for name, count in asks_by_network.items()),
    )
