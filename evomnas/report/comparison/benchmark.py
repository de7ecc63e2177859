"""Benchmarks: several algorithms search with several seeds, on one budget and one archive, and are compared.

The same call again continues an interrupted benchmark: it takes finished runs as they are and carries the others on. No
network is trained twice, whichever run asks for it. No training is cut off, since a run must not depend on which other
runs trained the same networks before it.
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
from evomnas.core.arguments import checked
from evomnas.core.errors import EverythingFailed, InputError
from evomnas.core.files import check_place, write_atomically
from evomnas.data.first_look import check_images
from evomnas.data.suited import load_definition
from evomnas.evaluation.factory import open_evaluator
from evomnas.evaluation.interface import Evaluator
from evomnas.loop.asking import settled_options
from evomnas.loop.launch import (
    ARCHIVE,
    Progress,
    begin,
    carry_on,
    check_candidates,
    check_options,
    check_rules,
    check_runtime,
    check_settings,
    folder_name,
)
from evomnas.problem.definition import Definition
from evomnas.report.comparison.comparison import Comparison, compare
from evomnas.report.comparison.page import COMPARISON_NAME, write_comparison
from evomnas.report.comparison.traces import comparable_settings, describe_differences
from evomnas.results.archive import Archive
from evomnas.results.candidate_limits import CandidateLimits
from evomnas.results.manifest import MANIFEST
from evomnas.results.run import Run

ALGORITHMS = ("nsga2-surrogate", "nsga2", "rl-weighted", "evo-weighted", "random")
MAX_SEEDS = 1000


@dataclass(frozen=True, slots=True)
class BenchmarkProgress:
    """The progress of a benchmark.

    Attributes:
        run: The number of the current run, from 1.
        runs: The number of all runs.
        algorithm: The algorithm of the current run.
        seed: The seed of the current run.
        evaluated: Distinct networks that were evaluated in all runs so far. A network counts in each run that asked for
            it.
        progress: How far the current run is.
    """

    run: int
    runs: int
    algorithm: str
    seed: int
    evaluated: int
    progress: Progress


@dataclass(frozen=True, slots=True)
class _PlannedRun:
    """One run of a benchmark, as it should be in the end."""

    folder: Path
    algorithm: str
    seed: int
    budget: int
    options: dict[str, Any]


@checked
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
    on_progress: Callable[[BenchmarkProgress], None] = lambda progress: None,
) -> Comparison:
    """Search a problem with every algorithm and every seed, and compare the runs.

    Each run has the folder `OUT/ALGORITHM-sSEED`. The comparison is in `OUT/comparison.html` and `OUT/comparison.json`.
    The same call again goes on where it was interrupted. A larger budget or more seeds extend what is there.

    Args:
        problem: The name of a built-in problem, the path of a problem file, or a checked definition.
        algorithms: Names of registered algorithms.
        seeds: The number of seeds. Each algorithm runs with the seeds 1 to `seeds`.
        budget: Networks that each run evaluates.
        options: Options of algorithms by name; each goes to all algorithms that have it. None for the defaults.
        overrides: Settings on top of the problem, such as `training.epochs=2`, where it is a name or a path.
        out: The folder of the benchmark; None for `runs/PROBLEM-benchmark`.
        archive: The archive file of all runs; None for that of the runs that are there, or `evomnas.sqlite` in the
            folder.
        workers: Processes that train candidates; 0 trains them in this process.
        device: The device that trains them: `auto`, `cpu` or `cuda`.
        candidates: Limits of the time and memory of each candidate.
        on_progress: Called whenever the progress may have changed.

    Returns:
        The comparison.

    Raises:
        InputError: An argument is wrong, or the folder holds runs of another problem, of other options or of a larger
            budget.
        EverythingFailed: No candidate of a generation gave a result.
    """
    definition = load_definition(problem, overrides) if isinstance(problem, str | Path) else problem
    check_settings(budget, 1, None, workers)
    check_candidates(candidates, workers)
    _check_size(algorithms, seeds)
    check_images(definition)
    check_runtime(definition)
    folder = default_folder(definition) if out is None else Path(out)
    existing_runs = _open_existing_runs(folder)
    check_place(folder / COMPARISON_NAME, "--out DIR")
    options_by_algorithm = _algorithm_options(definition, algorithms, {} if options is None else options)
    path = _archive_path(folder, existing_runs, archive)
    with open_evaluator(definition, Archive(path, late=True), workers, device, candidates) as evaluator:
        settled = {
            algorithm: settled_options(evaluator, algorithm, algorithm_options)
            for algorithm, algorithm_options in options_by_algorithm.items()
        }
        plan = [
            _PlannedRun(folder / f"{algorithm}-s{seed}", algorithm, seed, budget, algorithm_options)
            for seed in range(1, seeds + 1)
            for algorithm, algorithm_options in settled.items()
        ]
        _check_existing_runs(existing_runs, plan, evaluator)
        comparison = compare(_run_all(plan, evaluator, on_progress))
    write_comparison(comparison, folder / COMPARISON_NAME)
    write_atomically((folder / COMPARISON_NAME).with_suffix(".json"), json.dumps(comparison.to_dict(), indent=2) + "\n")
    return comparison


def default_folder(definition: Definition) -> Path:
    """Return the folder of a benchmark for which none is given.

    Args:
        definition: The problem.

    Returns:
        `runs/PROBLEM-benchmark`.
    """
    return Path(defaults.RUNS) / f"{folder_name(definition)}-benchmark"


def _check_size(algorithms: Sequence[str], seeds: int) -> None:
    """Raise InputError where an algorithm is unknown or named twice, or where there are too few or too many runs."""
    for algorithm in algorithms:
        registry.check("algorithms", algorithm)
    if not algorithms:
        raise InputError(f"a benchmark needs an algorithm: {', '.join(registry.available('algorithms'))}")
    if len(set(algorithms)) < len(algorithms):
        raise InputError(f"an algorithm is named twice: {', '.join(algorithms)}")
    if not 1 <= seeds <= MAX_SEEDS or seeds * len(algorithms) < 2:
        raise InputError(f"a benchmark needs 2 runs or more and takes up to {MAX_SEEDS} seeds, got {seeds}: --seeds 5")


def _algorithm_options(
    definition: Definition, algorithms: Sequence[str], options: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Return the options of each algorithm.

    Raises:
        InputError: No algorithm has an option of that name, or a value is wrong.
    """
    names = {algorithm: option_names(algorithm) for algorithm in algorithms}
    for name in options:
        if not any(name in known for known in names.values()):
            allowed = ", ".join(dict.fromkeys(option for known in names.values() for option in known)) or "none"
            raise InputError(f"none of {', '.join(algorithms)} has an option {name}: they take {allowed}")
    options_by_algorithm = {
        algorithm: {name: options[name] for name in options if name in known} for algorithm, known in names.items()
    }
    for algorithm, algorithm_options in options_by_algorithm.items():
        check_options(definition, algorithm, algorithm_options)
    return options_by_algorithm


def _open_existing_runs(folder: Path) -> list[Run]:
    """Return the runs that the folder of a benchmark holds already, with their archives closed.

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


def _archive_path(folder: Path, existing_runs: Sequence[Run], archive: Path | str | None) -> Path:
    """Return the path of the archive: the given one, that of the existing runs, or the default one in the folder.

    Raises:
        InputError: An existing run has another archive.
    """
    existing = {Path(run.archive.path): run for run in existing_runs}
    path = Path(archive).resolve() if archive is not None else next(iter(existing), folder.resolve() / ARCHIVE)
    for other, run in existing.items():
        if other != path:
            raise InputError(
                f"{run.folder} has its archive at {other}, not at {path}: choose another --out or --archive"
            )
    return path


def _check_existing_runs(existing_runs: Sequence[Run], plan: Sequence[_PlannedRun], evaluator: Evaluator) -> None:
    """Raise InputError, which names the difference, where an existing run does not belong to this benchmark."""
    archive = evaluator.archive
    contexts = evaluator.training_context, evaluator.measurement_context
    new = comparable_settings(evaluator.definition, archive, *contexts)
    planned = {planned_run.folder: planned_run for planned_run in plan}
    for run in existing_runs:
        record = run.record
        old = comparable_settings(run.definition, archive, record.training_context, record.measurement_context)
        difference = describe_differences(old, new)
        if difference:
            raise InputError(
                f"{run.folder} is a run of another problem or machine, there and now: {difference}; choose another "
                "folder with --out DIR"
            )
        if run.folder in planned:
            _check_settings(run, planned[run.folder], evaluator.candidates)


def _check_settings(run: Run, planned: _PlannedRun, candidates: CandidateLimits) -> None:
    """Raise InputError where an existing run has other settings than the run that is planned in its folder."""
    record = run.record
    old = {"algorithm": record.algorithm, "seed": record.seed} | dict(record.options)
    old |= asdict(record.candidates)
    new = {"algorithm": planned.algorithm, "seed": planned.seed} | planned.options | asdict(candidates)
    difference = describe_differences(old, new)
    if difference:
        raise InputError(f"{run.folder} is another run, there and now: {difference}; choose another --out DIR")
    if run.manifest.budget > planned.budget:
        raise InputError(
            f"{run.folder} has a budget of {run.manifest.budget} already: --budget can only raise it, or choose "
            "another folder with --out DIR"
        )
    if not _is_complete(run, planned.budget):
        check_rules(run)


def _run_all(
    plan: Sequence[_PlannedRun], evaluator: Evaluator, on_progress: Callable[[BenchmarkProgress], None]
) -> list[Run]:
    runs: list[Run] = []
    evaluated = 0
    for number, planned in enumerate(plan, start=1):
        report = partial(_report_progress, on_progress, (number, len(plan)), planned, evaluated)
        try:
            runs.append(_complete_run(planned, evaluator, report))
        except EverythingFailed as error:
            raise EverythingFailed(f"{planned.algorithm} with seed {planned.seed}: {error}") from error
        evaluated += runs[-1].manifest.evaluations
    return runs


def _report_progress(
    on_progress: Callable[[BenchmarkProgress], None],
    run_of_runs: tuple[int, int],
    planned: _PlannedRun,
    evaluated_before: int,
    progress: Progress,
) -> None:
    evaluated = evaluated_before + progress.evaluated
    on_progress(BenchmarkProgress(*run_of_runs, planned.algorithm, planned.seed, evaluated, progress))


def _is_complete(run: Run, budget: int) -> bool:
    """Return whether there is nothing to do for a run to reach a budget."""
    return run.manifest.status == "finished" and run.manifest.budget == budget


def _complete_run(planned: _PlannedRun, evaluator: Evaluator, on_progress: Callable[[Progress], None]) -> Run:
    """Begin a planned run, or carry it on from where it stopped, up to its budget."""
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
    if _is_complete(run, budget):
        return run
    run.manifest.budget = budget
    return carry_on(run, evaluator, started, on_progress=on_progress)
