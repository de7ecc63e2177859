"""Search: run and resume with their progress, and estimate the cost of a search."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evomnas.cli import completion
from evomnas.cli.app import RunArgument, app, debugging, interrupted, reported
from evomnas.cli.options import (
    AlgorithmOption,
    AlphaOption,
    AsyncOption,
    BatchOption,
    BetaOption,
    BudgetOption,
    CandidateCpusOption,
    CandidateGpusOption,
    CandidateMemoryOption,
    CandidateTimeOption,
    DataOption,
    DeviceOption,
    EarlyStopOption,
    ExecutorKind,
    ExecutorOption,
    FormatOption,
    ImagesOption,
    MoreArguments,
    PopulationOption,
    ProblemArgument,
    RayAddressOption,
    RewardOption,
    SettingsOption,
    TargetsOption,
    TimeOption,
    TournamentOption,
    WorkersOption,
    algorithm_options,
    candidate_limits,
    load_problem,
    seconds,
)
from evomnas.cli.output import PlainFormat, print_results
from evomnas.cli.progress import ProgressDisplay, working
from evomnas.core import defaults
from evomnas.core.errors import InputError, WorkersLost
from evomnas.core.system.shell import quote

if TYPE_CHECKING:  # imported where they are used, so that --help does not wait for torch
    from evomnas.evaluation.executors.base import Workers
    from evomnas.loop.launch import Progress
    from evomnas.results.run import Run


@app.command()
@reported
def run(
    problem: ProblemArgument = None,
    more: MoreArguments = None,
    data: ImagesOption = None,
    algo: Annotated[
        str,
        typer.Option(
            "--algo", help="Search algorithm. evomnas algorithms lists them.", autocompletion=completion.algorithms
        ),
    ] = defaults.ALGORITHM,
    budget: BudgetOption = defaults.BUDGET,
    time_limit: TimeOption = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the algorithm.")] = 1,
    workers: WorkersOption = None,
    settings: SettingsOption = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for the run [default: runs/PROBLEM-ALGO-sSEED]", show_default=False),
    ] = None,
    archive: Annotated[
        Path | None,
        typer.Option("--archive", help="Archive file [default: evomnas.sqlite beside the run]", show_default=False),
    ] = None,
    device: DeviceOption = "auto",
    target: TargetsOption = None,
    reward: RewardOption = None,
    alpha: AlphaOption = None,
    beta: BetaOption = None,
    population: PopulationOption = None,
    tournament: TournamentOption = None,
    batch: BatchOption = None,
    assignments: AlgorithmOption = None,
    candidate_time: CandidateTimeOption = None,
    candidate_memory: CandidateMemoryOption = None,
    executor: ExecutorOption = ExecutorKind.LOCAL,
    ray_address: RayAddressOption = None,
    candidate_cpus: CandidateCpusOption = 1.0,
    candidate_gpus: CandidateGpusOption = 0.0,
    asynchronous: AsyncOption = False,
    early_stop: EarlyStopOption = True,
) -> None:
    """Search a problem for its Pareto set of accuracy and measured latency."""
    options = algorithm_options(target, reward, alpha, beta, population, tournament, batch, assignments)
    limit = seconds(time_limit)
    definition = load_problem(problem, more, data, settings)
    with ProgressDisplay("importing") as display:
        from evomnas.loop.launch import default_folder, search

        where = _workers(executor, workers, device, ray_address, candidate_cpus, candidate_gpus)
        folder = out or default_folder(definition, algo, seed)
        with _resumable(folder, where, display):
            finished = search(
                definition, algo, options=options, budget=budget, seed=seed, out=folder, archive=archive,
                time_limit_s=limit, workers=where, device=device,
                candidates=candidate_limits(candidate_time, candidate_memory), asynchronous=asynchronous,
                early_stop=early_stop, on_progress=_SearchDisplay(display), on_generation=_live_report(),
            )  # fmt: skip
            _finish(finished, where, display)


@app.command()
@reported
def resume(
    folder: RunArgument,
    budget: Annotated[
        int | None, typer.Option("--budget", help="New budget, larger than before.", show_default=False)
    ] = None,
    data: DataOption = None,
    time_limit: TimeOption = None,
    workers: WorkersOption = None,
    device: DeviceOption = "auto",
    executor: ExecutorOption = ExecutorKind.LOCAL,
    ray_address: RayAddressOption = None,
    candidate_cpus: CandidateCpusOption = 1.0,
    candidate_gpus: CandidateGpusOption = 0.0,
) -> None:
    """Go on with a run that was stopped, or raise its budget."""
    limit = seconds(time_limit)
    with ProgressDisplay("importing") as display:
        from evomnas.loop.launch import is_complete
        from evomnas.loop.launch import resume as resume_search
        from evomnas.results.run import Run

        where = _workers(executor, workers, device, ray_address, candidate_cpus, candidate_gpus)
        opened = Run.open(folder)
        if is_complete(opened, budget):
            display.stop()
            _say_nothing_to_do(opened, where)
            return
        with _resumable(folder, where, display):
            finished = resume_search(
                folder, budget=budget, data=data, time_limit_s=limit, workers=where, device=device,
                on_progress=_SearchDisplay(display), on_generation=_live_report(),
            )  # fmt: skip
            _finish(finished, where, display)


def _say_nothing_to_do(run: Run, where: Workers) -> None:
    evaluations, budget = run.manifest.evaluations, run.manifest.budget
    if evaluations < budget:
        typer.echo(f"Nothing to do: {run.folder} has no more networks to ask for than the {evaluations} it evaluated.")
        return
    typer.echo(f"Nothing to do: {run.folder} has evaluated all {budget} networks of its budget.")
    typer.echo(f"Go on:   evomnas resume {run.argument} --budget {2 * budget}{_executor_options(where)}")


def _workers(
    executor: ExecutorKind, workers: int | None, device: str, address: str | None, cpus: float, gpus: float
) -> Workers:
    """Return the number of worker processes on this machine, or a cluster."""
    from evomnas.evaluation.executors.base import Cluster
    from evomnas.evaluation.executors.factory import default_workers

    if executor is ExecutorKind.LOCAL:
        if address is not None or (cpus, gpus) != (1.0, 0.0):
            raise InputError("--ray-address, --candidate-cpus and --candidate-gpus are a cluster's: add --executor ray")
        return default_workers(device) if workers is None else workers
    if workers is not None or device != "auto":
        raise InputError(
            "--workers and --device are this machine's: a cluster trains as many candidates as it has room for, on "
            "GPUs with --candidate-gpus 1"
        )
    return Cluster(address, cpus, gpus)


@app.command()
@reported
def estimate(
    problem: ProblemArgument = None,
    more: MoreArguments = None,
    data: ImagesOption = None,
    budget: BudgetOption = defaults.BUDGET,
    workers: WorkersOption = None,
    settings: SettingsOption = None,
    device: DeviceOption = "auto",
    output: FormatOption = PlainFormat.TABLE,
) -> None:
    """Estimate the cost of a search on this machine.

    For that, some random networks are trained and measured.
    """
    definition = load_problem(problem, more, data, settings)
    with working() as show_words:
        from evomnas.evaluation.executors.factory import default_workers
        from evomnas.loop.estimate import estimate as estimate_cost
        from evomnas.loop.launch import check_budget
        from evomnas.report.words import estimate_lines

        check_budget(budget)
        workers = default_workers(device) if workers is None else workers
        cost = estimate_cost(definition, budget, workers, device, show_words)
    if output is PlainFormat.JSON:
        typer.echo(json.dumps(asdict(cost), indent=2))
        return
    for line in estimate_lines(cost, workers):
        typer.echo(line)


def _live_report() -> Callable[[Run], None]:
    """Return a function that keeps the report up to date; it imports matplotlib after the first generation only."""
    reports: list[Callable[[Run], None]] = []

    def on_generation(run: Run) -> None:
        from evomnas.report.run_report import LiveReport

        if not reports:
            reports.append(LiveReport())
        reports[0](run)

    return on_generation


def _finish(finished: Run, where: Workers, display: ProgressDisplay) -> None:
    """Write the report, and print the result, its place and the commands that may follow."""
    from evomnas.report.run_report import write_report
    from evomnas.report.words import cut_line, format_duration, goal_lines, headline, reuse_line

    results = finished.results()
    report_path = write_report(finished, results)
    display.stop()
    front = finished.front(results)
    print_results(finished, front)
    typer.echo(headline(finished, results))
    for line in filter(None, (reuse_line(finished), cut_line(finished, results), *goal_lines(finished))):
        typer.echo(line)
    failed = sum(result.evaluation.failure is not None for result in results)
    if failed:
        typer.echo(
            f"{failed} candidate{'s' * (failed > 1)} failed; evomnas show {finished.argument} --failed says why."
        )
    if finished.manifest.status == "out of time":
        typer.echo(f"Out of time after {format_duration(finished.manifest.seconds.total)}.")
    typer.echo(f"\nReport:  {report_path}")
    if front and finished.definition.trains:
        typer.echo(f"Look:    evomnas describe {front[-1].evaluation.architecture.id} --run {finished.argument}")
    manifest = finished.manifest
    if manifest.status == "finished" and manifest.evaluations < manifest.budget:
        typer.echo("There is nothing more to ask for: a larger budget would change nothing.")
        return
    more = manifest.budget * (1 if manifest.status == "out of time" else 2)
    typer.echo(f"Go on:   evomnas resume {finished.argument} --budget {more}{_executor_options(where)}")


def _executor_options(where: Workers) -> str:
    """Return the options of `evomnas resume` by which a search goes on on the same cluster; empty without one."""
    from evomnas.evaluation.executors.base import Cluster

    if not isinstance(where, Cluster):
        return ""
    usual = Cluster()
    values = {
        "--ray-address": (where.address, usual.address),
        "--candidate-cpus": (where.cpus, usual.cpus),
        "--candidate-gpus": (where.gpus, usual.gpus),
    }
    changed = (f" {flag} {quote(str(value))}" for flag, (value, default) in values.items() if value != default)
    return " --executor ray" + "".join(changed)


@contextmanager
def _resumable(folder: Path, where: Workers, display: ProgressDisplay) -> Iterator[None]:
    """Tell how to go on, if the search in the block is interrupted or loses its workers."""
    how = (
        f"every finished evaluation is kept. Go on with: evomnas resume {quote(str(folder))}{_executor_options(where)}"
    )
    try:
        yield
    except WorkersLost as error:
        display.stop()
        if not (folder / "run.json").is_file():
            raise
        _close_report(folder)
        raise WorkersLost(f"{error}; {how}") from None
    except KeyboardInterrupt as error:
        display.stop()
        if debugging():
            raise
        if (folder / "run.json").is_file():
            typer.echo(f"Interrupted; {how}", err=True)
            _close_report(folder)
        else:
            typer.echo("Interrupted before the first evaluation.", err=True)
        raise typer.Exit(interrupted(error)) from None


def _close_report(folder: Path) -> None:
    """Write the report of an interrupted search, so that an open page no longer waits for more."""
    from evomnas.report.run_report import write_report
    from evomnas.results.run import Run

    write_report(Run.open(folder))


class _SearchDisplay:
    """Shows where a search stands; in a log, a line per generation and now and then."""

    def __init__(self, display: ProgressDisplay) -> None:
        self._display = display
        self._started_s = time.monotonic()
        self._known: int | None = None  # networks that were evaluated before this search began
        self._logged = (-1, -1)  # generation and evaluated networks of the last line
        self._importing: threading.Thread | None = None

    def __call__(self, progress: Progress) -> None:
        if self._known is None or progress.phase == "starting":
            self._known = progress.evaluated
        if progress.phase == "training" and self._importing is None:
            # matplotlib takes a second, and this process has nothing else to do now
            self._importing = threading.Thread(target=import_module, args=("evomnas.report.run_report",), daemon=True)
            self._importing.start()
        detail = format_progress(progress, time.monotonic() - self._started_s, progress.evaluated - self._known)
        self._display.show(progress.phase, progress.evaluated, progress.budget, detail)
        generation, evaluated = progress.generation, progress.evaluated
        if progress.phase == "starting" or (generation, evaluated) == self._logged:
            return
        is_due = generation != self._logged[0] or evaluated >= progress.budget
        text = f"generation {generation}: {evaluated} of {progress.budget} evaluated, {detail}"
        if self._display.log(text, is_due=is_due):
            self._logged = generation, evaluated


def format_progress(progress: Progress, elapsed_s: float, newly_evaluated: int) -> str:
    """Return where a search stands, in words, without the count of evaluated networks.

    Args:
        progress: Where it stands.
        elapsed_s: Seconds since the search began or was resumed.
        newly_evaluated: Networks that were evaluated in that time.

    Returns:
        The words, such as `best accuracy 93.1%, hypervolume 0.812, 1:05, 2:10 left`.
    """
    remaining = progress.budget - progress.evaluated
    parts = [
        "" if progress.best_accuracy is None else f"best accuracy {progress.best_accuracy:.1%}",
        f"hypervolume {progress.hypervolume:.3f}",
        *_format_predictors(progress.metrics),
        f"{progress.failed} failed" if progress.failed else "",
        f"{progress.cut} cut off" if progress.cut else "",
        f"{progress.reused} from the archive" if progress.reused else "",
        format_clock(elapsed_s),
        f"{format_clock(elapsed_s / newly_evaluated * remaining)} left" if newly_evaluated > 0 else "",
    ]
    return ", ".join(filter(None, parts))


def _format_predictors(metrics: Mapping[str, float]) -> list[str]:
    """Return how well predictors rank, and how many networks of the batch they chose; empty without predictors."""
    tau = metrics.get("tau (error)")
    if tau is None:
        return []
    batch = {name: count for name, count in metrics.items() if name.startswith("batch (")}
    share = f"{batch.get('batch (predicted)', 0):.0f} of {sum(batch.values()):.0f} predicted"
    return [f"predictors' tau {tau:.2f}", *([share] if batch else [])]


def format_clock(seconds: float) -> str:
    """Return a time as clocks show it.

    Args:
        seconds: The time in seconds.

    Returns:
        Minutes and seconds, such as `4:05`, with hours in front where it takes as long.
    """
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"
