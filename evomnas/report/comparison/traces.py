"""Runs as a comparison sees them: what each evaluated and in which order, and whether they may stand side by side."""

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
from evomnas.problem.definition import Definition
from evomnas.problem.loading import flat
from evomnas.results.archive import Archive
from evomnas.results.run import Run

MOST_DIFFERENCES = 4  # that an error lists


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """One run: its settings, and its evaluations in the order in which the algorithm asked for them.

    Attributes:
        folder: The run's.
        algorithm, options, seed: What searched; in steady state or with an early stop is among the options.
        status: `finished`, or why the run stands where it stands.
        budget: Evaluations that the run may make.
        losses: Both objectives, shape (n, 2); infinite for failed candidates. Networks beyond a limit are left out.
        relative: The same, the second relative to the reference network's: the hypervolume's axes.
        seconds: What measuring and training took, whichever run paid for it, shape (n,); 0 for failed candidates,
            whose time nobody kept; None on tables.
        own_seconds: What the algorithm itself took in the whole run.
        reference_cost: The reference network's second objective; None where it was never measured.
        true_hypervolume, true_front: Of a complete table, the front of shape (k, 2); else None.
        definition: The problem.
        settings: What runs must share to be comparable, by flat names.
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
        """Distinct networks that were evaluated."""
        return len(self.losses)

    @property
    def horizon(self) -> int:
        """Evaluations up to which the run can be compared: its budget where it is finished.

        A finished run with fewer evaluations has nothing more to ask: its results stay as they are.
        """
        return max(self.budget, self.evaluations) if self.status == "finished" else self.evaluations


def trace(run: Run | Path | str) -> Trace:
    """Read a run, given itself or by its folder.

    Raises:
        InputError: The folder holds no run, or its archive is gone.
    """
    with _opened(run) as opened:
        evaluations = [result.evaluation for result in opened.results() if result.evaluation.ended]
        nothing = (np.inf, np.inf)
        losses = np.array([one.losses or nothing for one in evaluations], dtype=np.float64).reshape(-1, 2)
        relative = np.array([one.relative_losses or nothing for one in evaluations], dtype=np.float64).reshape(-1, 2)
        record, manifest, true = opened.record, opened.manifest, opened.manifest.true_front
        return Trace(
            folder=opened.folder,
            run=record.id,
            algorithm=record.algorithm,
            options=opened.options | _manner(opened),
            seed=record.seed,
            status=manifest.status,
            budget=manifest.budget,
            losses=losses,
            relative=relative,
            seconds=np.array([one.seconds or 0.0 for one in evaluations]) if opened.definition.trains else None,
            own_seconds=manifest.seconds.algorithm,
            reference_cost=opened.reference_cost(),
            true_hypervolume=true.hypervolume if true else None,
            true_front=np.array(true.losses, dtype=np.float64).reshape(-1, 2) if true else None,
            definition=opened.definition,
            settings=comparable_settings(
                opened.definition, opened.archive, record.training_context, record.measurement_context
            ),
        )


def _manner(run: Run) -> dict[str, str]:
    """What sets a run's manner apart, as options."""
    found = {"steady state": run.mode.asynchronous, "early stop": run.mode.early_stop}
    return {name: "yes" for name, value in found.items() if value}


@contextmanager
def _opened(run: Run | Path | str) -> Iterator[Run]:
    """A run; the archive of one that was opened here is closed again, since many may be compared."""
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
    """What runs must share to be comparable, by flat names such as `training.epochs`.

    The images or table, the recipe, the device, the space, the limits and the hypervolume's reference point. Where a
    file lies and what the problem is called do not matter.
    """
    shared = definition.comparable_settings | archive.context(training_context)
    if measurement_context != training_context:  # a table has one context, which says all
        shared |= {"latency": archive.context(measurement_context)}
    return dict(flat(shared))


def differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> str:
    """In what two `comparable_settings` differ, in words; empty where they do not."""
    missing = object()
    names = [name for name in dict(first) | dict(second) if first.get(name, missing) != second.get(name, missing)]
    parts = [f"{name} is {_short(first.get(name))} and {_short(second.get(name))}" for name in names]
    more = len(parts) - MOST_DIFFERENCES
    return "; ".join(parts[:MOST_DIFFERENCES]) + (f"; and {more} more" if more > 0 else "")


def _short(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def check_comparable(traces: Sequence[Trace]) -> None:
    """Raise InputError, with one line that names the runs, where they cannot stand side by side."""
    if len(traces) < 2:
        raise InputError("a comparison needs at least two runs: evomnas compare RUN RUN...")
    for one in traces[1:]:
        found = differences(traces[0].settings, one.settings)
        if found:
            raise InputError(f"{traces[0].folder} and {one.folder} are not runs of the same problem: {found}")
    known: dict[Any, Trace] = {}
    for one in traces:
        if one.run in known:
            raise InputError(f"{known[one.run].folder} and {one.folder} are the same run: name it once")
        known[one.run] = one
        search = *_search(one), one.seed
        if search in known:
            raise InputError(
                f"{known[search].folder} and {one.folder} are the same search, {one.algorithm} with seed {one.seed}: "
                "it counts once, leave one of them out"
            )
        known[search] = one
        if not one.evaluations:
            raise InputError(f"{one.folder} has no evaluation yet: evomnas resume {one.folder}, or leave it out")


def labels(traces: Sequence[Trace]) -> list[str]:
    """What each run is called in a comparison: its algorithm, with the options in which its runs differ."""
    names: dict[str, set[str]] = {}
    for first, second in itertools.combinations({_search(one): one for one in traces}.values(), 2):
        if first.algorithm == second.algorithm:
            keys = first.options | second.options
            differing = {key for key in keys if first.options.get(key) != second.options.get(key)}
            names.setdefault(first.algorithm, set()).update(differing)
    return [_label(one, sorted(names.get(one.algorithm, ()))) for one in traces]


def _search(one: Trace) -> tuple[str, str]:
    return one.algorithm, json.dumps(one.options, sort_keys=True)


def _label(one: Trace, names: Sequence[str]) -> str:
    parts = [f"{name} {_value(one.options[name])}" for name in names if name in one.options]
    return f"{one.algorithm} ({', '.join(parts)})" if parts else one.algorithm


def _value(value: Any) -> str:
    if isinstance(value, list):
        return "+".join(map(_value, value))
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)
