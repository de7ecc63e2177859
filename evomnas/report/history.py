"""The history of a search: its networks, hypervolume, time and the algorithm's own figures, by generation.

And its trend: whether it is still improving.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from evomnas.problem.pareto import growing_front, hypervolume_curve
from evomnas.results.run import Result, Run

MIN_TREND_NETWORKS = 15  # of fewer networks, even random ones join the front so often that it says nothing
RECENT_PART = 3  # the last one of so many equal parts of the networks counts as recent
MIN_QUIET_NETWORKS = 10  # in a row that did not join the front, before the search counts as settled
MIN_GAIN = 0.005  # of the hypervolume by recent networks, relative to it; a smaller one is hardly any
MAX_TOLD_GAIN = 50.0  # beyond, the hypervolume before was nearly nothing, and the factor says nothing


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


@dataclass(frozen=True, slots=True)
class Trend:
    """The signs that a search is still improving, or no longer is.

    A network joins the front when none that was evaluated before it is as good in both objectives. It may have left the
    front since.

    Attributes:
        evaluated: Number of networks that were evaluated.
        recent: Number of the last ones of them that count as recent: a third. 0 of fewer than `MIN_TREND_NETWORKS`.
        joined: Number of the recent ones that joined the front.
        quiet: Number of networks since the last one that joined the front; all of them where none did.
        gain: The share by which the recent ones raised the hypervolume; None where it was 0 before them.
    """

    evaluated: int
    recent: int
    joined: int
    quiet: int
    gain: float | None

    def describe(self) -> str:
        """Return a sentence on whether the search is still improving, with the numbers that it rests on.

        It claims nothing where there are too few networks to tell.
        """
        count = f"{self.evaluated} network{'s' * (self.evaluated != 1)}"
        if not self.recent:
            return f"Too early to say whether the search is still improving: {count} are too few."
        if not self.joined and self.quiet < MIN_QUIET_NETWORKS:
            return f"None of the last {self.quiet} networks joined the front, too few to say whether others would."
        if not self.joined:
            return f"No new network on the front in the last {self.quiet}: the search may have found what it can."
        ago = f" (the last of them {self.quiet} networks ago)" if self.quiet >= MIN_QUIET_NETWORKS else ""
        joined = f"{self.joined} of the last {self.recent} networks joined the front{ago}"
        if self.gain is None:
            return f"Still improving: {joined}."
        if self.gain < MIN_GAIN:
            return f"Hardly improving any more: {joined} and raised its hypervolume by less than {MIN_GAIN:.1%}."
        return f"Still improving: {joined} and {_growth(self.gain)}."


def _growth(gain: float) -> str:
    """Return in words by which share a hypervolume grew."""
    if gain < 1:
        return f"raised its hypervolume by {gain:.1%}"
    if gain < MAX_TOLD_GAIN:
        return f"made its hypervolume {1 + gain:.2g} times as large"
    return "raised its hypervolume from nearly nothing"


def read_trend(results: Sequence[Result], reference_point: tuple[float, ...]) -> Trend:
    """Read the trend of a search from its results.

    Args:
        results: All results of a run, in the order of their first asks.
        reference_point: The reference point of the hypervolume.

    Returns:
        The trend.
    """
    ended = [result.evaluation for result in results if result.evaluation.ended]
    front = growing_front(len(reference_point))
    joins = [evaluation.losses is not None and front.add(evaluation.losses, None) for evaluation in ended]
    recent = len(ended) // RECENT_PART if len(ended) >= MIN_TREND_NETWORKS else 0
    nothing = (math.inf,) * len(reference_point)
    points = [evaluation.relative_losses or nothing for evaluation in ended]
    curve = hypervolume_curve(points, reference_point)
    before = float(curve[-recent - 1]) if recent else 0.0
    return Trend(
        evaluated=len(ended),
        recent=recent,
        joined=sum(joins[len(ended) - recent :]),
        quiet=next((place for place, has_joined in enumerate(reversed(joins)) if has_joined), len(ended)),
        gain=float(curve[-1]) / before - 1 if before > 0 else None,
    )


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
    def lessons(self) -> dict[int, int]:
        """The number of networks with results that the algorithm knew before a generation, by its number."""
        failed = accumulate(generation.failed for generation in self.generations)
        known = [generation.evaluated - lost for generation, lost in zip(self.generations, failed, strict=True)]
        return {generation.number: count for generation, count in zip(self.generations, [0, *known], strict=False)}

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
    nothing = (math.inf,) * run.objectives
    points = [evaluation.relative_losses or nothing for evaluation in ended]
    curve = hypervolume_curve(points, run.definition.reference_point)
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
