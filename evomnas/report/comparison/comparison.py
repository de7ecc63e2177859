"""Several runs of one problem side by side: what the figures of a comparison are, as numbers.

Runs are grouped by algorithm, and by its options where these differ. Every number is of the first evaluations that
all runs have in common, in the order in which each algorithm asked. docs/comparison.md says how to read them.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evomnas.problem.definition import Definition
from evomnas.problem.pareto import attainment, hypervolume, hypervolume_curve, non_dominated
from evomnas.report.comparison.significance import Pair, compare_pairs, seeds_needed
from evomnas.report.comparison.traces import Trace, check_comparable, labels, trace
from evomnas.results.run import Run

Floats = NDArray[np.float64]

SHARES = (0.90, 0.95, 0.99)  # of the best known hypervolume, that a search may reach
LIMITS = (0.5, 0.75, 1.0, 1.5)  # of the cost, relative to the reference network's
TIME_STEPS = 200


@dataclass(frozen=True, slots=True, eq=False)
class Spread:
    """Over an algorithm's runs: the quartiles `low` and `high`, and the `median`; each of shape (n,)."""

    low: Floats
    median: Floats
    high: Floats

    @classmethod
    def of(cls, values: Floats) -> Spread:
        """Of `values` of shape (runs, n); quantiles between two runs are interpolated."""
        return cls(*np.quantile(values, (0.25, 0.5, 0.75), axis=0))

    def to_dict(self) -> dict[str, list[float]]:
        """Lists by name."""
        return {"low": self.low.tolist(), "median": self.median.tolist(), "high": self.high.tolist()}


@dataclass(frozen=True, slots=True)
class Reached:
    """How many of an algorithm's runs reached something, and the median of their values.

    A run that did not counts as infinite, so that the median is None where half of the runs or more did not.
    """

    median: float | None
    runs: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Reached:
        """Of one value per run, infinite where it was not reached."""
        middle = statistics.median(values)
        return cls(middle if math.isfinite(middle) else None, sum(math.isfinite(value) for value in values))


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """The runs of one algorithm, with one set of options.

    Attributes:
        name: The algorithm, with the options in which it differs from other groups.
        algorithm, options: What searched.
        seeds: One per run.
        finals: The hypervolume at which each run ends, shape (runs,).
        curve: Hypervolume after 1, 2, ... evaluations, shape (evaluations,).
        over_time: Seconds, shape (steps,), up to the end of the shortest run, and the hypervolume then; None on tables.
        to_reach: Per share of `SHARES`, evaluations until it is reached.
        under: Per limit of `LIMITS`, the best first loss of a network that keeps it.
        surfaces: What at least one, at least half and all of the runs attain (`best`, `median`, `worst`): corners in
            losses, shape (k, 2).
        own_seconds: What the algorithm itself took in all of a run, the median.
        own_share: Its share of all that the run's networks and the algorithm took, the median; None on tables.
        own_per_evaluation: The algorithm's own seconds per evaluation, the median.
    """

    name: str
    algorithm: str
    options: dict[str, Any]
    seeds: tuple[int, ...]
    finals: Floats
    curve: Spread
    over_time: tuple[Floats, Spread] | None
    to_reach: tuple[Reached, ...]
    under: tuple[Reached, ...]
    surfaces: dict[str, Floats]
    own_seconds: float
    own_share: float | None
    own_per_evaluation: float

    @property
    def final(self) -> Spread:
        """Quartiles of `finals`, shape (1,)."""
        return Spread.of(self.finals[:, None])

    @property
    def median(self) -> float:
        """The median of `finals`."""
        return float(self.final.median[0])

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        final = {name: value for name, [value] in self.final.to_dict().items()}
        timed = self.over_time and {"seconds": self.over_time[0].tolist()} | self.over_time[1].to_dict()
        return {
            "name": self.name,
            "algorithm": self.algorithm,
            "options": self.options,
            "seeds": list(self.seeds),
            "hypervolume": {"runs": self.finals.tolist()} | final,
            "over_evaluations": self.curve.to_dict(),
            "over_time": timed,
            "evaluations_to": {f"{share:g}": asdict(one) for share, one in zip(SHARES, self.to_reach, strict=True)},
            "best_under": {f"{limit:g}": asdict(one) for limit, one in zip(LIMITS, self.under, strict=True)},
            "attainment": {name: corners.tolist() for name, corners in self.surfaces.items()},
            "own_seconds": self.own_seconds,
            "own_share": self.own_share,
            "own_seconds_per_evaluation": self.own_per_evaluation,
        }


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Runs of one problem side by side.

    Attributes:
        definition: The problem.
        evaluations: So many of each run are compared.
        best_known: The largest hypervolume that is known.
        complete: Whether that is the true front's, of a complete table; else it is that of all runs together.
        best_front: The front with that hypervolume, in losses of shape (k, 2).
        best_under: Per limit of `LIMITS`, the best first loss on that front that keeps it; None where none does.
        reference_cost: The reference network's second loss; None where it was never measured.
        groups: From the largest median of hypervolume to the smallest.
        pairs: Every two groups, in that order.
        seeds_needed: Runs that each group needs before a difference can be told from chance.
        runs: The compared runs, as they were given, each with the name of its group.
    """

    definition: Definition
    evaluations: int
    best_known: float
    complete: bool
    best_front: Floats
    best_under: tuple[float | None, ...]
    reference_cost: float | None
    groups: tuple[Group, ...]
    pairs: tuple[Pair, ...]
    seeds_needed: int
    runs: tuple[tuple[str, Trace], ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: what `evomnas compare --format json` prints. What is unknown or was not reached is None."""
        return {
            "problem": self.definition.name,
            "objectives": list(self.definition.axes),
            "evaluations": self.evaluations,
            "reference_point": list(self.definition.hypervolume.reference_point),
            "reference_cost": self.reference_cost,
            "best_known": {
                "hypervolume": self.best_known,
                "of": "true front" if self.complete else "all compared runs",
                "losses": self.best_front.tolist(),
                "best_under": {f"{limit:g}": loss for limit, loss in zip(LIMITS, self.best_under, strict=True)},
            },
            "algorithms": [group.to_dict() for group in self.groups],
            "pairs": [asdict(pair) | {"significant": pair.significant} for pair in self.pairs],
            "seeds_needed": self.seeds_needed,
            "runs": [
                {"folder": str(one.folder), "name": name, "seed": one.seed, "status": one.status,
                 "evaluations": one.evaluations, "budget": one.budget}
                for name, one in self.runs
            ],
        }  # fmt: skip


def compare(runs: Sequence[Run | Path | str]) -> Comparison:
    """Put runs side by side, given themselves or by their folders; nothing is evaluated.

    Raises:
        InputError: There are fewer than two, they are not of the same problem, one of them has no evaluation yet or
            stands there twice, or cannot be read.
    """
    traces = [trace(one) for one in runs]
    check_comparable(traces)
    evaluations = min(one.horizon for one in traces)
    named = tuple(zip(labels(traces), traces, strict=True))
    first = traces[0]
    if first.true_hypervolume is not None and first.true_front is not None:
        best, front = first.true_hypervolume, first.true_front
    else:
        reference_point = first.definition.hypervolume.reference_point
        best = hypervolume(np.concatenate([one.relative for one in traces]), reference_point)
        front = _front(np.concatenate([one.losses for one in traces]))
    costs = [one.reference_cost for one in traces if one.reference_cost is not None]
    reference_cost = costs[0] if costs else None
    members = {name: [one for other, one in named if other == name] for name in dict.fromkeys(labels(traces))}
    groups = [_group(name, chosen, evaluations, best) for name, chosen in members.items()]
    groups.sort(key=lambda group: -group.median)
    return Comparison(
        definition=first.definition,
        evaluations=evaluations,
        best_known=best,
        complete=first.true_hypervolume is not None,
        best_front=front,
        best_under=_known_under(front, reference_cost),
        reference_cost=reference_cost,
        groups=tuple(groups),
        pairs=tuple(compare_pairs({group.name: group.finals.tolist() for group in groups})),
        seeds_needed=seeds_needed(len(groups)),
        runs=named,
    )


def _group(name: str, traces: Sequence[Trace], evaluations: int, best_known: float) -> Group:
    curves = np.stack([_curve(one, evaluations) for one in traces])
    fronts = [_front(one.losses[:evaluations]) for one in traces]
    levels = {"best": 1, "median": math.ceil(len(fronts) / 2), "worst": len(fronts)}
    spent = [one.own_seconds + one.seconds.sum() for one in traces if one.seconds is not None]
    shares = [one.own_seconds / total for one, total in zip(traces, spent, strict=False) if total > 0]
    return Group(
        name=name,
        algorithm=traces[0].algorithm,
        options=traces[0].options,
        seeds=tuple(one.seed for one in traces),
        finals=curves[:, -1],
        curve=Spread.of(curves),
        over_time=_over_time(traces, curves),
        to_reach=tuple(Reached.of([_first(curve, share * best_known) for curve in curves]) for share in SHARES),
        under=tuple(Reached.of([_best_under(one, evaluations, limit) for one in traces]) for limit in LIMITS),
        surfaces={title: attainment(fronts, level) for title, level in levels.items()},
        own_seconds=statistics.median(one.own_seconds for one in traces),
        own_share=statistics.median(shares) if shares else None,
        own_per_evaluation=statistics.median(one.own_seconds / one.evaluations for one in traces),
    )


def _curve(one: Trace, evaluations: int) -> Floats:
    """Hypervolume after each evaluation; it stays where a finished run has nothing more to ask."""
    curve = hypervolume_curve(one.relative[:evaluations], one.definition.hypervolume.reference_point)
    return np.pad(curve, (0, evaluations - len(curve)), mode="edge")


def _first(curve: Floats, value: float) -> float:
    """Evaluations until a curve reaches a value, infinite where it does not or where there is nothing to reach."""
    there = np.flatnonzero(curve >= value * (1 - 1e-12)) if value > 0 else np.zeros(0)
    return float(there[0] + 1) if len(there) else math.inf


def _best_under(one: Trace, evaluations: int, limit: float) -> float:
    relative = one.relative[:evaluations]
    return float(one.losses[:evaluations, 0].min(where=relative[:, 1] <= limit, initial=math.inf))


def _known_under(front: Floats, reference_cost: float | None) -> tuple[float | None, ...]:
    if reference_cost is None:
        return (None,) * len(LIMITS)
    kept = (front[front[:, 1] <= limit * reference_cost, 0] for limit in LIMITS)
    return tuple(float(losses.min()) if len(losses) else None for losses in kept)


def _front(losses: Floats) -> Floats:
    """The distinct points of shape (k, 2) that nothing dominates; failed candidates are none."""
    points = np.unique(losses[np.isfinite(losses).all(axis=1)], axis=0)
    return points[non_dominated(points)]


def _over_time(traces: Sequence[Trace], curves: Floats) -> tuple[Floats, Spread] | None:
    """Hypervolume against the seconds of a run's networks, whichever run paid for them, and of its algorithm.

    The algorithm's own seconds are spread evenly over its evaluations.
    """
    clocks = []
    for one in traces:
        if one.seconds is None:
            return None
        seconds = one.seconds[: curves.shape[1]]
        clocks.append(np.cumsum(seconds + one.own_seconds / one.evaluations))
    times = np.linspace(0, min(clock[-1] for clock in clocks), TIME_STEPS + 1)
    values = [
        np.concatenate([[0.0], curve])[np.searchsorted(clock, times, side="right")]
        for clock, curve in zip(clocks, curves, strict=True)
    ]
    return times, Spread.of(np.stack(values))
