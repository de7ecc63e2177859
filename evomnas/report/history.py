"""How a search went, generation by generation: what was asked, what came of it, when, and what the algorithm said."""

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
    """One generation.

    Attributes:
        number: From 0.
        asked: Networks that the algorithm asked for.
        new: Of those, networks that it had not asked for before.
        failed, infeasible, cut: Of the new ones; cut off after their first epochs.
        evaluated: Distinct networks evaluated by its end.
        loss: The least first loss by its end; None before there is any.
        hypervolume: By its end.
        seconds: The run's wall clock at its end or the budget's; None where it is not over, or an older version ran it.
        metrics: What the algorithm said of itself, by name.
    """

    number: int
    asked: int
    new: int
    failed: int
    infeasible: int
    cut: int
    evaluated: int
    loss: float | None
    hypervolume: float
    seconds: float | None
    metrics: dict[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """A run's history.

    Attributes:
        generations: In order.
        curve: Hypervolume after each evaluation, shape (n,).
        failures: How many candidates failed, by kind, the most frequent first.
        repeated: Asks for a network that had been asked for before.
        saved_seconds: What evaluating those again would have taken.
    """

    generations: tuple[Generation, ...]
    curve: NDArray[np.float64]
    failures: dict[str, int]
    repeated: int
    saved_seconds: float

    @property
    def ends(self) -> list[int]:
        """Evaluations by the end of each generation."""
        return [one.evaluated for one in self.generations]

    def over_time(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Seconds and hypervolume at the end of every generation whose end is known, both shape (k,)."""
        known = [(one.seconds, one.hypervolume) for one in self.generations if one.seconds is not None]
        pairs = np.array(known, dtype=np.float64).reshape(-1, 2)
        return np.maximum.accumulate(pairs[:, 0]), pairs[:, 1]  # a killed session's clock was not kept to its end

    def series(self) -> dict[str, dict[str, list[tuple[int, float]]]]:
        """What the algorithm said of itself: plots by name, lines by the end in parentheses, (generation, value)."""
        found: dict[str, dict[str, list[tuple[int, float]]]] = {}
        for generation in self.generations:
            for name, value in generation.metrics.items():
                plot, _, line = name.rstrip(")").partition(" (")
                found.setdefault(plot, {}).setdefault(line, []).append((generation.number, value))
        return found


def history(run: Run, results: Sequence[Result]) -> History:
    """The history of a run with these `results`, which are in the order of their first asks."""
    asks = run.asks
    ended = [one for one in results if one.evaluation.ended]
    points = [one.evaluation.relative_losses or (math.inf, math.inf) for one in ended]
    curve = hypervolume_curve(points, run.definition.hypervolume.reference_point)
    firsts = np.array([one.evaluation.losses[0] if one.evaluation.losses else math.inf for one in ended])
    best = np.minimum.accumulate(firsts) if len(firsts) else firsts
    asked = Counter(ask.generation for ask in asks)
    by_generation: dict[int, list[Result]] = {number: [] for number in asked}
    for result in results:
        by_generation.setdefault(result.generation, []).append(result)
    records = {record.generation: record for record in run.archive.generations(run.record.id)}
    generations: list[Generation] = []
    evaluated = 0
    for number in sorted(by_generation):
        members = by_generation[number]
        evaluated += sum(one.evaluation.ended for one in members)
        record = records.get(number)
        loss = float(best[evaluated - 1]) if evaluated else math.inf
        generations.append(
            Generation(
                number=number,
                asked=asked[number],
                new=len(members),
                failed=sum(one.evaluation.status == "failed" for one in members),
                infeasible=sum(one.evaluation.status == "infeasible" for one in members),
                cut=sum(one.evaluation.status == "cut" for one in members),
                evaluated=evaluated,
                loss=loss if math.isfinite(loss) else None,
                hypervolume=float(curve[evaluated - 1]) if evaluated else 0.0,
                seconds=None if record is None else record.seconds,
                metrics={} if record is None else record.metrics,
            )
        )
    known = {str(one.evaluation.architecture): one.evaluation.seconds or 0.0 for one in results}
    times = Counter(ask.architecture for ask in asks)
    kinds = Counter(one.evaluation.failure.kind for one in results if one.evaluation.failure is not None)
    return History(
        generations=tuple(generations),
        curve=curve,
        failures=dict(kinds.most_common()),
        repeated=len(asks) - len(times),
        saved_seconds=sum((count - 1) * known.get(name, 0.0) for name, count in times.items()),
    )
