"""Traces: runs as a comparison reads them, and the check that they can be compared.

A trace holds the evaluations of a run in the order in which the algorithm asked for them.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evomnas.core.errors import InputError
from evomnas.core.system.shell import quote
from evomnas.problem.definition import Definition
from evomnas.problem.loading import flat
from evomnas.results.archive import Archive
from evomnas.results.run import Run

MAX_LISTED_DIFFERENCES = 4  # in the message of an error


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """One run: its settings, and its evaluations in the order in which the algorithm asked for them.

    Attributes:
        folder: The run's folder.
        run: The run's id in the archive.
        algorithm: The name of the algorithm.
        options: The algorithm's options that are not its defaults; also `steady state` and `early stop`, where the run
            has them, and `rules`, where it began by later ones than the first.
        seed: The algorithm's seed.
        status: `finished`, or the reason why the run is not.
        budget: Number of evaluations that the run may make.
        losses: All losses of each evaluation, shape (evaluations, m); infinite for failed candidates. Networks beyond
            a limit are left out.
        relative: The same, with the second loss relative to that of the reference network, shape (evaluations, 2). The
            hypervolume is computed from these.
        seconds: Seconds of measuring and training, whichever run paid for them, shape (evaluations,). They are 0 for
            failed candidates, since the archive does not keep their time. None on tables.
        own_seconds: Seconds that the algorithm itself took in the whole run.
        reference_cost: The second loss of the reference network; None where it was never measured.
        true_hypervolume: The hypervolume of the true front, where the problem is a complete table; else None.
        true_front: The losses of the true front, shape (k, m), where the problem is a complete table; else None.
        definition: The problem.
        settings: The settings that runs must share to be comparable, by flat names.
    """

    folder: Path
    run: str
    algorithm: str
    options: dict[str, Any]
    seed: int
    status: str
    budget: int
    losses: NDArray[np.float64]
    relative: NDArray[np.float64]
    seconds: NDArray[np.float64] | None
    own_seconds: float
    reference_cost: float | None
    true_hypervolume: float | None
    true_front: NDArray[np.float64] | None
    definition: Definition
    settings: dict[str, Any]

    @property
    def evaluations(self) -> int:
        """The number of distinct networks that were evaluated."""
        return len(self.losses)

    @property
    def horizon(self) -> int:
        """The number of evaluations up to which the run can be compared.

        For a finished run this is its budget. A finished run with fewer evaluations had nothing more to ask for, so its
        results would stay as they are.
        """
        return max(self.budget, self.evaluations) if self.status == "finished" else self.evaluations


def read_trace(run: Run | Path | str) -> Trace:
    """Read the trace of a run.

    Args:
        run: The run, or its folder.

    Returns:
        The trace.

    Raises:
        InputError: The folder holds no run, or its archive is gone.
    """
    with _open_run(run) as opened:
        evaluations = [result.evaluation for result in opened.results() if result.evaluation.ended]
        failed = (np.inf,) * opened.objectives
        losses = [evaluation.losses or failed for evaluation in evaluations]
        relative = [evaluation.relative_losses or failed for evaluation in evaluations]
        seconds = [evaluation.seconds or 0.0 for evaluation in evaluations]
        record, manifest, true_front = opened.record, opened.manifest, opened.manifest.true_front
        return Trace(
            folder=opened.folder,
            run=record.id,
            algorithm=record.algorithm,
            options=opened.options | _mode_options(opened),
            seed=record.seed,
            status=manifest.status,
            budget=manifest.budget,
            losses=_rows(losses, opened.objectives),
            relative=_rows(relative, opened.objectives),
            seconds=np.array(seconds) if opened.definition.trains else None,
            own_seconds=manifest.seconds.algorithm,
            reference_cost=opened.reference_cost(),
            true_hypervolume=true_front.hypervolume if true_front else None,
            true_front=_rows(true_front.losses, opened.objectives) if true_front else None,
            definition=opened.definition,
            settings=comparable_settings(
                opened.definition, opened.archive, record.training_context, record.measurement_context
            ),
        )


def _rows(losses: Sequence[tuple[float, ...]], objectives: int) -> NDArray[np.float64]:
    """Return losses as an array of shape (n, objectives), also where there are none."""
    return np.array(losses, dtype=np.float64).reshape(-1, objectives)


def _mode_options(run: Run) -> dict[str, str]:
    """Return what sets the mode of a run and its algorithm's rules apart, as options."""
    modes = {"steady state": run.mode.asynchronous, "early stop": run.mode.early_stop}
    versions = sorted({run.record.rules, run.rules})
    rules = {"rules": " and ".join(map(str, versions))} if versions != [1] else {}
    return {name: "yes" for name, value in modes.items() if value} | rules


@contextmanager
def _open_run(run: Run | Path | str) -> Iterator[Run]:
    """Open a run for the block, if it is not open yet. Then its archive is closed, since many runs may be compared."""
    if isinstance(run, Run):
        yield run
        return
    opened = Run.open(Path(run))
    try:
        yield opened
    finally:
        opened.archive.close()


def comparable_settings(
    definition: Definition, archive: Archive, training_context: str, measurement_context: str
) -> dict[str, Any]:
    """Return the settings that runs must share to be comparable.

    These are the images or the table, the recipe, the device, the space, the limits, and the reference point of the
    hypervolume. The places of files and the name of the problem do not matter.

    Args:
        definition: The problem.
        archive: The archive that has the contexts.
        training_context: The archive's context of trainings, or of the table.
        measurement_context: The archive's context of measurements, or of the table.

    Returns:
        Values by flat names such as `training.epochs`.
    """
    shared = definition.comparable_settings | archive.context(training_context)
    if measurement_context != training_context:  # a table has one context for both
        shared |= {"latency": archive.context(measurement_context)}
    return dict(flat(shared))


def describe_differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> str:
    """Describe in which settings two runs differ.

    Args:
        first: The settings of the first run, by flat names.
        second: The settings of the second run, by flat names.

    Returns:
        The first `MAX_LISTED_DIFFERENCES` names with both values, and the number of further ones; empty where the
        settings are equal.
    """
    missing = object()
    names = [name for name in dict(first) | dict(second) if first.get(name, missing) != second.get(name, missing)]
    parts = [f"{name} is {_shorten(first.get(name))} and {_shorten(second.get(name))}" for name in names]
    more = len(parts) - MAX_LISTED_DIFFERENCES
    return "; ".join(parts[:MAX_LISTED_DIFFERENCES]) + (f"; and {more} more" if more > 0 else "")


def _shorten(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def check_comparable(traces: Sequence[Trace]) -> None:
    """Check that runs can be compared.

    Args:
        traces: The runs.

    Raises:
        InputError: There are fewer than two, they are not of the same problem, one of them is there twice or is the
            same search as another one, or one has no evaluation yet. The message names the runs in one line.
    """
    if len(traces) < 2:
        raise InputError("a comparison needs at least two runs: evomnas compare RUN RUN...")
    for trace in traces[1:]:
        difference = describe_differences(traces[0].settings, trace.settings)
        if difference:
            raise InputError(f"{traces[0].folder} and {trace.folder} are not runs of the same problem: {difference}")
    known: dict[Any, Trace] = {}
    for trace in traces:
        if trace.run in known:
            raise InputError(f"{known[trace.run].folder} and {trace.folder} are the same run: name it once")
        known[trace.run] = trace
        search = *_search_key(trace), trace.seed
        if search in known:
            raise InputError(
                f"{known[search].folder} and {trace.folder} are the same search, {trace.algorithm} with seed "
                f"{trace.seed}: it counts once, leave one of them out"
            )
        known[search] = trace
        if not trace.evaluations:
            resume = f"evomnas resume {quote(str(trace.folder))}"
            raise InputError(f"{trace.folder} has no evaluation yet: {resume}, or leave it out")


def group_names(traces: Sequence[Trace]) -> list[str]:
    """Return the name of the group that each run belongs to in a comparison.

    Args:
        traces: The runs.

    Returns:
        For each run its algorithm, with the options in which the runs of this algorithm differ.
    """
    differing: dict[str, set[str]] = {}  # names of options, by algorithm
    searches = {_search_key(trace): trace for trace in traces}
    for first, second in itertools.combinations(searches.values(), 2):
        if first.algorithm == second.algorithm:
            names = first.options | second.options
            differing.setdefault(first.algorithm, set()).update(
                name for name in names if first.options.get(name) != second.options.get(name)
            )
    return [_group_name(trace, sorted(differing.get(trace.algorithm, ()))) for trace in traces]


def _search_key(trace: Trace) -> tuple[str, str]:
    return trace.algorithm, json.dumps(trace.options, sort_keys=True)


def _group_name(trace: Trace, options: Sequence[str]) -> str:
    parts = [f"{name} {_format_option(trace.options[name])}" for name in options if name in trace.options]
    return f"{trace.algorithm} ({', '.join(parts)})" if parts else trace.algorithm


def _format_option(value: Any) -> str:
    if isinstance(value, list):
        return "+".join(map(_format_option, value))
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)
