"""Comparison of several runs of one problem, in numbers.

Runs are grouped by algorithm, and by its options where these differ. Every run is cut to the number of evaluations that
all runs have, in the order in which its algorithm asked. docs/comparison.md explains how to read the numbers.
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

from evomnas.core.arguments import checked
from evomnas.core.showing.markup import heading, table
from evomnas.problem.definition import Definition
from evomnas.problem.pareto import attainment, hypervolume, hypervolume_curve, non_dominated
from evomnas.report.comparison.significance import Pair, compare_pairs, seeds_needed
from evomnas.report.comparison.traces import Trace, check_comparable, group_names, read_trace
from evomnas.results.run import Run

Floats = NDArray[np.float64]

HYPERVOLUME_SHARES = (0.90, 0.95, 0.99)  # of the best known hypervolume
COST_LIMITS = (0.5, 0.75, 1.0, 1.5)  # relative to the cost of the reference network
TIME_STEPS = 200  # of the curves of hypervolume over time


@dataclass(frozen=True, slots=True, eq=False)
class Spread:
    """Median and quartiles of n values over the runs of an algorithm.

    Attributes:
        low: The lower quartile, shape (n,).
        median: The median, shape (n,).
        high: The upper quartile, shape (n,).
    """

    low: Floats
    median: Floats
    high: Floats

    @classmethod
    def of(cls, values: Floats) -> Spread:
        """Return the spread of values over runs.

        Args:
            values: Shape (runs, n).

        Returns:
            Median and quartiles, each of shape (n,). Quantiles between two runs are interpolated.
        """
        return cls(*np.quantile(values, (0.25, 0.5, 0.75), axis=0))

    def to_dict(self) -> dict[str, list[float]]:
        """Return the three quantiles as lists, by name."""
        return {"low": self.low.tolist(), "median": self.median.tolist(), "high": self.high.tolist()}


@dataclass(frozen=True, slots=True)
class CensoredMedian:
    """The median of a value that some runs of an algorithm may not reach.

    A run that does not reach it counts as infinite. So there is no median where half of the runs or more do not.

    Attributes:
        median: The median over all runs; None where it is infinite.
        runs: Number of runs that reach the value.
    """

    median: float | None
    runs: int

    @classmethod
    def of(cls, values: Sequence[float]) -> CensoredMedian:
        """Return the median of some values.

        Args:
            values: One value per run, infinite where the run does not reach it.

        Returns:
            The median, and the number of finite values.
        """
        middle = statistics.median(values)
        return cls(middle if math.isfinite(middle) else None, sum(math.isfinite(value) for value in values))


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """The runs of one algorithm with one set of options.

    Attributes:
        name: The algorithm, with the options in which it differs from other groups.
        algorithm: The name of the algorithm.
        options: Its options that are not its defaults.
        seeds: The seed of each run.
        finals: The hypervolume at which each run ends, shape (runs,).
        curve: The hypervolume after 1, 2, ... evaluations, each quantile of shape (evaluations,).
        over_time: Seconds up to the end of the shortest run, shape (steps,), and the hypervolume at these times, each
            quantile of shape (steps,). None on tables.
        to_reach: For each of `HYPERVOLUME_SHARES`, the number of evaluations until a run has that share.
        under: For each of `COST_LIMITS`, the best first loss of a network within the limit.
        surfaces: Attainment surfaces by name, each as its corners in losses, shape (k, 2): what at least one run
            (`best`), at least half of the runs (`median`) and all runs (`worst`) attain.
        own_seconds: Seconds that the algorithm itself takes in a whole run, the median over runs.
        own_share: The share of these in the time of the algorithm and the run's networks together, the median over
            runs. None on tables.
        own_per_evaluation: The algorithm's own seconds per evaluation, the median over runs.
    """

    name: str
    algorithm: str
    options: dict[str, Any]
    seeds: tuple[int, ...]
    finals: Floats
    curve: Spread
    over_time: tuple[Floats, Spread] | None
    to_reach: tuple[CensoredMedian, ...]
    under: tuple[CensoredMedian, ...]
    surfaces: dict[str, Floats]
    own_seconds: float
    own_share: float | None
    own_per_evaluation: float

    @property
    def final(self) -> Spread:
        """Median and quartiles of `finals`, each of shape (1,)."""
        return Spread.of(self.finals[:, None])

    @property
    def median(self) -> float:
        """The median of `finals`."""
        return float(self.final.median[0])

    def to_dict(self) -> dict[str, Any]:
        """Return the group as values that JSON can hold."""
        final = {name: value for name, [value] in self.final.to_dict().items()}
        over_time = self.over_time and {"seconds": self.over_time[0].tolist()} | self.over_time[1].to_dict()
        return {
            "name": self.name,
            "algorithm": self.algorithm,
            "options": self.options,
            "seeds": list(self.seeds),
            "hypervolume": {"runs": self.finals.tolist()} | final,
            "over_evaluations": self.curve.to_dict(),
            "over_time": over_time,
            "evaluations_to": _medians_by_name(HYPERVOLUME_SHARES, self.to_reach),
            "best_under": _medians_by_name(COST_LIMITS, self.under),
            "attainment": {name: corners.tolist() for name, corners in self.surfaces.items()},
            "own_seconds": self.own_seconds,
            "own_share": self.own_share,
            "own_seconds_per_evaluation": self.own_per_evaluation,
        }


def _medians_by_name(numbers: Sequence[float], medians: Sequence[CensoredMedian]) -> dict[str, dict[str, Any]]:
    return {f"{number:g}": asdict(median) for number, median in zip(numbers, medians, strict=True)}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Comparison:
    """Several runs of one problem, compared.

    Attributes:
        definition: The problem.
        evaluations: Number of evaluations of each run that are compared.
        best_known: The largest hypervolume that is known.
        complete: True where that is the hypervolume of the true front, of a complete table. Otherwise it is that of all
            runs together.
        best_front: The losses of the front with that hypervolume, shape (k, 2): of the first two objectives, where
            there are more.
        best_under: For each of `COST_LIMITS`, the best first loss on that front within the limit; None where no network
            is within it.
        reference_cost: The second loss of the reference network; None where it was never measured.
        groups: The groups of runs, from the largest median hypervolume to the smallest.
        pairs: The comparison of every two groups, in the same order.
        seeds_needed: Number of runs that each group needs before a difference can be told from chance.
        runs: The compared runs in their given order, each after the name of its group.
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

    def __repr__(self) -> str:
        groups = ", ".join(f"{group.name} {group.median:.3f}" for group in self.groups)
        return f"Comparison({self._describe()}; median hypervolume: {groups})"

    def _describe(self) -> str:
        """Return what was compared."""
        return f"{self.definition.name}, {len(self.runs)} runs of {self.evaluations} networks"

    def _repr_html_(self) -> str:
        """Return the comparison for a notebook: hypervolumes by algorithm, and whether they differ by chance."""
        spreads = [
            [float(values[0]) for values in (one.final.low, one.final.median, one.final.high)] for one in self.groups
        ]
        finals = [
            (group.name, str(len(group.seeds)), f"{median:.3f}", f"{low:.3f} to {high:.3f}")
            for group, (low, median, high) in zip(self.groups, spreads, strict=True)
        ]
        pairs = [
            (f"{one.first} and {one.second}", "too few seeds" if one.p is None else f"{one.p:.3g}")
            for one in self.pairs
        ]
        shown = heading("Comparison", self._describe())
        shown += table(("algorithm", "runs", "median hypervolume", "quartiles"), finals)
        return shown + (table(("pair", "p"), pairs) if pairs else "")

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison as `evomnas compare --format json` prints it; None stands for what is not known."""
        return {
            "problem": self.definition.name,
            "objectives": [*self.definition.axes, *(axis.label for axis in self.definition.further)],
            "evaluations": self.evaluations,
            "reference_point": list(self.definition.reference_point),
            "reference_cost": self.reference_cost,
            "best_known": {
                "hypervolume": self.best_known,
                "of": "true front" if self.complete else "all compared runs",
                "losses": self.best_front.tolist(),
                "best_under": {f"{limit:g}": loss for limit, loss in zip(COST_LIMITS, self.best_under, strict=True)},
            },
            "algorithms": [group.to_dict() for group in self.groups],
            "pairs": [asdict(pair) | {"significant": pair.significant} for pair in self.pairs],
            "seeds_needed": self.seeds_needed,
            "runs": [
                {"folder": str(run.folder), "name": name, "seed": run.seed, "status": run.status,
                 "evaluations": run.evaluations, "budget": run.budget}
                for name, run in self.runs
            ],
        }  # fmt: skip


@checked
def compare(runs: Sequence[Run | Path | str]) -> Comparison:
    """Compare runs. Nothing is evaluated.

    Args:
        runs: The runs, or their folders.

    Returns:
        The comparison.

    Raises:
        InputError: There are fewer than two runs, they are not of the same problem, one of them is there twice or has
            no evaluation yet, or one cannot be read.
    """
    traces = [read_trace(run) for run in runs]
    check_comparable(traces)
    evaluations = min(trace.horizon for trace in traces)
    named_traces = tuple(zip(group_names(traces), traces, strict=True))
    first = traces[0]
    if first.true_hypervolume is not None and first.true_front is not None:
        best, front = first.true_hypervolume, _plane_front(first.true_front)
    else:
        reference_point = first.definition.reference_point
        best = hypervolume(np.concatenate([trace.relative for trace in traces]), reference_point)
        front = _plane_front(np.concatenate([trace.losses for trace in traces]))
    costs = [trace.reference_cost for trace in traces if trace.reference_cost is not None]
    reference_cost = costs[0] if costs else None
    members: dict[str, list[Trace]] = {}
    for name, trace in named_traces:
        members.setdefault(name, []).append(trace)
    groups = [_make_group(name, group_traces, evaluations, best) for name, group_traces in members.items()]
    groups.sort(key=lambda group: -group.median)
    return Comparison(
        definition=first.definition,
        evaluations=evaluations,
        best_known=best,
        complete=first.true_hypervolume is not None,
        best_front=front,
        best_under=_best_known_under(front, reference_cost),
        reference_cost=reference_cost,
        groups=tuple(groups),
        pairs=tuple(compare_pairs({group.name: group.finals.tolist() for group in groups})),
        seeds_needed=seeds_needed(len(groups)),
        runs=named_traces,
    )


def _make_group(name: str, traces: Sequence[Trace], evaluations: int, best_known: float) -> Group:
    curves = np.stack([_hypervolume_curve(trace, evaluations) for trace in traces])
    fronts = [_plane_front(trace.losses[:evaluations]) for trace in traces]
    levels = {"best": 1, "median": math.ceil(len(fronts) / 2), "worst": len(fronts)}
    totals = [trace.own_seconds + trace.seconds.sum() for trace in traces if trace.seconds is not None]
    shares = [trace.own_seconds / total for trace, total in zip(traces, totals, strict=False) if total > 0]
    return Group(
        name=name,
        algorithm=traces[0].algorithm,
        options=traces[0].options,
        seeds=tuple(trace.seed for trace in traces),
        finals=curves[:, -1],
        curve=Spread.of(curves),
        over_time=_over_time(traces, curves),
        to_reach=tuple(
            CensoredMedian.of([_evaluations_until(curve, share * best_known) for curve in curves])
            for share in HYPERVOLUME_SHARES
        ),
        under=tuple(
            CensoredMedian.of([_best_under(trace, evaluations, limit) for trace in traces]) for limit in COST_LIMITS
        ),
        surfaces={title: attainment(fronts, level) for title, level in levels.items()},
        own_seconds=statistics.median(trace.own_seconds for trace in traces),
        own_share=statistics.median(shares) if shares else None,
        own_per_evaluation=statistics.median(trace.own_seconds / trace.evaluations for trace in traces),
    )


def _hypervolume_curve(trace: Trace, evaluations: int) -> Floats:
    """Return the hypervolume after each evaluation, shape (evaluations,).

    It stays constant where a finished run has nothing more to ask.
    """
    curve = hypervolume_curve(trace.relative[:evaluations], trace.definition.reference_point)
    return np.pad(curve, (0, evaluations - len(curve)), mode="edge")


def _evaluations_until(curve: Floats, value: float) -> float:
    """Return the number of evaluations until a curve reaches a value.

    It is infinite where the curve does not reach the value, or where the value is 0.
    """
    reached = np.flatnonzero(curve >= value * (1 - 1e-12)) if value > 0 else np.zeros(0)
    return float(reached[0] + 1) if len(reached) else math.inf


def _best_under(trace: Trace, evaluations: int, limit: float) -> float:
    """Return the best first loss of a run's networks within a relative cost limit; infinite where none is within it."""
    relative = trace.relative[:evaluations]
    return float(trace.losses[:evaluations, 0].min(where=relative[:, 1] <= limit, initial=math.inf))


def _best_known_under(front: Floats, reference_cost: float | None) -> tuple[float | None, ...]:
    """Return the best first loss of a front within each of `COST_LIMITS`."""
    if reference_cost is None:
        return (None,) * len(COST_LIMITS)
    within = (front[front[:, 1] <= limit * reference_cost, 0] for limit in COST_LIMITS)
    return tuple(float(losses.min()) if len(losses) else None for losses in within)


def _plane_front(losses: Floats) -> Floats:
    """Return the distinct points that no other dominates in the first two losses, shape (k, 2).

    Infinite points, of failures, are left out.
    """
    points = np.unique(losses[np.isfinite(losses).all(axis=1), :2], axis=0)
    return points[non_dominated(points)]


def _over_time(traces: Sequence[Trace], curves: Floats) -> tuple[Floats, Spread] | None:
    """Return the hypervolume against the time of a run's networks and of its algorithm; None on tables.

    A network's time counts in every run that asked for it, whichever run paid for it. The algorithm's own seconds are
    spread evenly over its evaluations.
    """
    clocks = []
    for trace in traces:
        if trace.seconds is None:
            return None
        seconds = trace.seconds[: curves.shape[1]]
        clocks.append(np.cumsum(seconds + trace.own_seconds / trace.evaluations))
    times = np.linspace(0, min(clock[-1] for clock in clocks), TIME_STEPS + 1)
    values = [
        np.concatenate([[0.0], curve])[np.searchsorted(clock, times, side="right")]
        for clock, curve in zip(clocks, curves, strict=True)
    ]
    return times, Spread.of(np.stack(values))
