"""A benchmark of searches: algorithms by seeds, under one budget and on one archive, and their comparison.

Like a run, a benchmark is carried on by doing it again: finished runs are taken as they are, others go on where they
stopped. No network is trained twice, whichever run asks for it, and none is cut off: a run must not depend on which
others trained the same networks before it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from evomnas.algorithms.base import option_names
from evomnas.core import defaults, registry
from evomnas.core.errors import EverythingFailed, InputError
from evomnas.core.files import write_atomically
from evomnas.evaluation.factory import open_evaluator
from evomnas.evaluation.interface import Evaluator
from evomnas.loop.launch import (
    ARCHIVE,
    Progress,
    begin,
    carry_on,
    check_candidates,
    check_options,
    check_settings,
    settled_options,
)
from evomnas.problem.definition import Definition
from evomnas.problem.loading import load_definition
from evomnas.report.comparison.comparison import Comparison, compare
from evomnas.report.comparison.page import NAME, write_comparison
from evomnas.report.comparison.traces import comparable_settings, differences
from evomnas.results.archive import Archive
from evomnas.results.candidate_limits import CandidateLimits
from evomnas.results.run import MANIFEST, Run

ALGORITHMS = ("nsga2-surrogate", "nsga2", "rl-weighted", "evo-weighted", "random")
MOST_SEEDS = 1000


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a benchmark stands: in which of how many runs, and where that one stands.

    Attributes:
        run: From 1.
        runs: In all.
        algorithm, seed: Of the run.
        evaluated: Distinct networks in all runs so far, each counted in each run that asked for it.
        progress: The run's.
    """

    run: int
    runs: int
    algorithm: str
    seed: int
    evaluated: int
    progress: Progress


@dataclass(frozen=True, slots=True)
class _Planned:
    """One run of a benchmark."""

    folder: Path
    algorithm: str
    seed: int
    budget: int
    options: dict[str, Any]


def benchmark(
    problem: str | Path | Definition = "digits",
    algorithms: Sequence[str] = ALGORITHMS,
    *,
    seeds: int = defaults.SEEDS,
    budget: int = defaults.BUDGET,
    options: Mapping[str, Any] | None = None,
    overrides: Sequence[str] = (),
    out: Path | str | None = None,
    archive: Path | str | None = None,
    workers: int = 0,
    device: str = "auto",
    candidates: CandidateLimits = CandidateLimits(),
    on_progress: Callable[[Standing], None] = lambda standing: None,
) -> Comparison:
    """Search a problem with every algorithm and seed, and compare the runs.

    Each run has its folder `OUT/ALGORITHM-sSEED`; `OUT/comparison.html` and `OUT/comparison.json` hold the comparison.
    The same call again goes on where it was interrupted; a larger budget or more seeds extend what is there.

    Args:
        problem, overrides, budget, workers, device, candidates: As for `evomnas.search`.
        algorithms: Registered algorithms.
        seeds: Each algorithm runs with the seeds 1 to `seeds`.
        options: Options of algorithms; each goes to all algorithms that have it.
        out: The benchmark's folder; `runs/PROBLEM-benchmark` by default.
        archive: The archive file of all runs; `evomnas.sqlite` in the folder by default.
        on_progress: Called whenever something may have changed.

    Raises:
        InputError: An argument is wrong, or the folder holds runs of another problem, of other options or of a larger
            budget.
        EverythingFailed: No candidate of a generation gave a result.
    """
    definition = load_definition(problem, overrides) if isinstance(problem, str | Path) else problem
    check_settings(budget, 1, None, workers)
    check_candidates(candidates, workers)
    _check_size(algorithms, seeds)
    folder = default_folder(definition) if out is None else Path(out)
    found = _existing(folder)
    chosen = _options(definition, algorithms, {} if options is None else options)
    path = _archive_path(folder, found, archive)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open_evaluator(definition, Archive(path), workers, device, candidates) as evaluator:
        settled = {algorithm: settled_options(evaluator, algorithm, given) for algorithm, given in chosen.items()}
        plan = [
            _Planned(folder / f"{algorithm}-s{seed}", algorithm, seed, budget, each)
            for seed in range(1, seeds + 1)
            for algorithm, each in settled.items()
        ]
        _check_found(found, plan, evaluator)
        comparison = compare(_run_all(plan, evaluator, on_progress))
    write_comparison(comparison, folder / NAME)
    write_atomically((folder / NAME).with_suffix(".json"), json.dumps(comparison.to_dict(), indent=2) + "\n")
    return comparison


def default_folder(definition: Definition) -> Path:
    """Where a benchmark goes that names no folder: `runs/PROBLEM-benchmark`."""
    return Path("runs") / f"{definition.name}-benchmark"


def _check_size(algorithms: Sequence[str], seeds: int) -> None:
    """Raise InputError where there is no such algorithm, or no sensible number of runs."""
    for algorithm in algorithms:
        registry.check("algorithms", algorithm)
    if len(set(algorithms)) < len(algorithms):
        raise InputError(f"an algorithm is named twice: {', '.join(algorithms)}")
    if not 1 <= seeds <= MOST_SEEDS or seeds * len(algorithms) < 2:
        raise InputError(f"a benchmark needs 2 runs or more and takes up to {MOST_SEEDS} seeds, got {seeds}: --seeds 5")


def _options(
    definition: Definition, algorithms: Sequence[str], options: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """The options of each algorithm, all checked."""
    names = {algorithm: option_names(algorithm) for algorithm in algorithms}
    for name in options:
        if not any(name in known for known in names.values()):
            raise InputError(f"none of {', '.join(algorithms)} has an option {name}")
    chosen = {one: {name: options[name] for name in options if name in known} for one, known in names.items()}
    for algorithm, each in chosen.items():
        check_options(definition, algorithm, each)
    return chosen


def _existing(folder: Path) -> list[Run]:
    """The runs that a benchmark's folder holds already; their archives are closed.

    Raises:
        InputError: The folder is a file or a run's own, or one of its runs cannot be read.
    """
    if (folder / MANIFEST).exists() or (folder.exists() and not folder.is_dir()):
        raise InputError(
            f"{folder} is {'a run' if folder.is_dir() else 'a file'}: choose another folder with --out DIR"
        )
    runs = [Run.open(path.parent) for path in sorted(folder.glob(f"*/{MANIFEST}"))]
    for run in runs:
        run.archive.close()
    return runs


def _archive_path(folder: Path, found: Sequence[Run], archive: Path | str | None) -> Path:
    """Where the archive is: that of the runs that are there, the one named, or one in the folder."""
    there = {Path(run.archive.path): run for run in found}
    path = Path(archive).resolve() if archive is not None else next(iter(there), folder.resolve() / ARCHIVE)
    for other, run in there.items():
        if other != path:
            raise InputError(
                f"{run.folder} has its archive at {other}, not at {path}: choose another --out or --archive"
            )
    return path


def _check_found(found: Sequence[Run], plan: Sequence[_Planned], evaluator: Evaluator) -> None:
    """Raise InputError that names the difference where a folder's runs do not belong to this benchmark."""
    archive = evaluator.archive
    contexts = evaluator.training_context, evaluator.measurement_context
    new = comparable_settings(evaluator.definition, archive, *contexts)
    planned = {one.folder: one for one in plan}
    for run in found:
        record = run.record
        old = comparable_settings(run.definition, archive, record.training_context, record.measurement_context)
        difference = differences(old, new)
        if difference:
            raise InputError(
                f"{run.folder} is a run of another problem or machine, there and now: {difference}; choose another "
                "folder with --out DIR"
            )
        if run.folder in planned:
            _check_settings(run, planned[run.folder], evaluator.candidates)


def _check_settings(run: Run, planned: _Planned, candidates: CandidateLimits) -> None:
    """Raise InputError where a folder's run is not the one that belongs there."""
    record = run.record
    old = {"algorithm": record.algorithm, "seed": record.seed} | dict(record.options)
    old |= asdict(record.candidates)
    new = {"algorithm": planned.algorithm, "seed": planned.seed} | planned.options | asdict(candidates)
    difference = differences(old, new)
    if difference:
        raise InputError(f"{run.folder} is another run, there and now: {difference}; choose another --out DIR")
    if run.manifest.budget > planned.budget:
        raise InputError(
            f"{run.folder} has a budget of {run.manifest.budget} already: --budget can only raise it, or choose "
            "another folder with --out DIR"
        )


def _run_all(plan: Sequence[_Planned], evaluator: Evaluator, on_progress: Callable[[Standing], None]) -> list[Run]:
    runs: list[Run] = []
    evaluated = 0
    for number, planned in enumerate(plan, start=1):
        tell = partial(_tell, on_progress, (number, len(plan)), planned, evaluated)
        try:
            runs.append(_run(planned, evaluator, tell))
        except EverythingFailed as error:
            raise EverythingFailed(f"{planned.algorithm} with seed {planned.seed}: {error}") from error
        evaluated += runs[-1].manifest.evaluations
    return runs


def _tell(
    on_progress: Callable[[Standing], None],
    place: tuple[int, int],
    planned: _Planned,
    before: int,
    progress: Progress,
) -> None:
    on_progress(Standing(*place, planned.algorithm, planned.seed, before + progress.evaluated, progress))


def _run(planned: _Planned, evaluator: Evaluator, on_progress: Callable[[Progress], None]) -> Run:
    """One run, taken up to its budget from wherever it stands."""
    started = time.perf_counter()
    budget = planned.budget
    if not (planned.folder / MANIFEST).exists():
        on_progress(Progress("starting", 0, budget))
        run = begin(evaluator, planned.folder, planned.algorithm, planned.seed, budget, planned.options)
        return carry_on(run, evaluator, started, on_progress=on_progress)
    run = Run.open(planned.folder)
    run.archive.close()
    run.archive = evaluator.archive  # one connection for all runs
    on_progress(Progress("starting", run.manifest.evaluations, budget))
    if run.manifest.status == "finished" and run.manifest.budget == budget:
        return run
    run.manifest.budget = budget
    return carry_on(run, evaluator, started, on_progress=on_progress)
