"""Search: run and resume, and what they show meanwhile."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evomnas.cli.app import RunArgument, app, debugging, interrupted, reported
from evomnas.cli.options import (
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
    PopulationOption,
    RayAddressOption,
    RewardOption,
    SettingsOption,
    TargetsOption,
    TimeOption,
    TournamentOption,
    WorkersOption,
    algorithm_options,
    candidate_limits,
    seconds,
)
from evomnas.cli.output import LINE_EVERY_S, PlainFormat, print_results, working
from evomnas.core import defaults
from evomnas.core.errors import InputError

if TYPE_CHECKING:  # imported where they are used, so that --help does not wait for torch
    from rich.progress import TaskID

    from evomnas.evaluation.executors.base import Workers
    from evomnas.loop.launch import Progress
    from evomnas.results.run import Run


@app.command()
@reported
def run(
    problem: Annotated[str, typer.Argument(help="A built-in problem or a .toml file.")] = "digits",
    algo: Annotated[
        str, typer.Option("--algo", help="Search algorithm; evomnas algorithms lists them.")
    ] = defaults.ALGORITHM,
    budget: BudgetOption = defaults.BUDGET,
    time_limit: TimeOption = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the algorithm.")] = 1,
    workers: WorkersOption = None,
    settings: SettingsOption = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The run's folder [default: runs/PROBLEM-ALGO-sSEED]", show_default=False),
    ] = None,
    archive: Annotated[
        Path | None,
        typer.Option("--archive", help="The archive file [default: evomnas.sqlite beside the run]", show_default=False),
    ] = None,
    device: DeviceOption = "auto",
    target: TargetsOption = None,
    reward: RewardOption = None,
    alpha: AlphaOption = None,
    beta: BetaOption = None,
    population: PopulationOption = None,
    tournament: TournamentOption = None,
    batch: BatchOption = None,
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
    options = algorithm_options(target, reward, alpha, beta, population, tournament, batch)
    limit = seconds(time_limit)
    with _display() as on_progress:
        from evomnas.loop.launch import default_folder, search
        from evomnas.problem.loading import load_definition

        definition = load_definition(problem, settings or [])
        where = _workers(executor, workers, device, ray_address, candidate_cpus, candidate_gpus)
        folder = out or default_folder(definition, algo, seed)
        with _resumable(folder, where):
            finished = search(
                definition, algo, options=options, budget=budget, seed=seed, out=folder, archive=archive,
                time_limit_s=limit, workers=where, device=device,
                candidates=candidate_limits(candidate_time, candidate_memory), asynchronous=asynchronous,
                early_stop=early_stop, on_progress=on_progress, on_generation=_live_report(),
            )  # fmt: skip
            _finish(finished, where)


@app.command()
@reported
def resume(
    folder: RunArgument,
    budget: Annotated[
        int | None, typer.Option("--budget", help="A larger budget than before.", show_default=False)
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
    with _display() as on_progress:
        from evomnas.loop.launch import resume as resume_search

        where = _workers(executor, workers, device, ray_address, candidate_cpus, candidate_gpus)
        with _resumable(folder, where):
            finished = resume_search(
                folder, budget=budget, data=data, time_limit_s=limit, workers=where, device=device,
                on_progress=on_progress, on_generation=_live_report(),
            )  # fmt: skip
            _finish(finished, where)


def _workers(
    executor: ExecutorKind, workers: int | None, device: str, address: str | None, cpus: float, gpus: float
) -> Workers:
    """Worker processes here, or a cluster."""
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
    problem: Annotated[str, typer.Argument(help="A built-in problem or a .toml file.")] = "digits",
    budget: BudgetOption = defaults.BUDGET,
    workers: WorkersOption = None,
    settings: SettingsOption = None,
    device: DeviceOption = "auto",
    output: Annotated[PlainFormat, typer.Option("--format", help="How to print.")] = PlainFormat.TABLE,
) -> None:
    """Say what a search would cost here, from some random networks that are trained and measured for it."""
    with working() as say:
        from evomnas.evaluation.executors.factory import default_workers
        from evomnas.loop.estimate import estimate as estimated
        from evomnas.loop.launch import check_budget
        from evomnas.problem.loading import load_definition
        from evomnas.report.words import estimate_lines

        check_budget(budget)
        definition = load_definition(problem, settings or [])
        workers = default_workers(device) if workers is None else workers
        found = estimated(definition, budget, workers, device, say)
    if output is PlainFormat.JSON:
        typer.echo(json.dumps(asdict(found), indent=2))
        return
    for line in estimate_lines(found, workers):
        typer.echo(line)


def _live_report() -> Callable[[Run], None]:
    """Keeps the report up to date after generations; what it is drawn with is imported when the first one is over."""
    reports: list[Callable[[Run], None]] = []

    def on_generation(run: Run) -> None:
        from evomnas.report.run_report import LiveReport

        if not reports:
            reports.append(LiveReport())
        reports[0](run)

    return on_generation


def _finish(finished: Run, where: Workers) -> None:
    """Write the report; say what came out, where it is and what to do next."""
    from evomnas.report.run_report import write_report
    from evomnas.report.words import cut_line, duration, goal_lines, headline, reuse_line

    results = finished.results()
    report_path = write_report(finished, results)
    _stop_display()
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
        typer.echo(f"Out of time after {duration(finished.manifest.seconds.total)}.")
    typer.echo(f"\nReport:  {report_path}")
    if front and finished.definition.trains:
        typer.echo(f"Look:    evomnas describe {front[-1].evaluation.architecture.id} --run {finished.argument}")
    manifest = finished.manifest
    if manifest.status == "finished" and manifest.evaluations < manifest.budget:
        typer.echo("There is nothing more to ask for: a larger budget would change nothing.")
        return
    more = manifest.budget * (1 if manifest.status == "out of time" else 2)
    typer.echo(f"Go on:   evomnas resume {finished.argument} --budget {more}{_there(where)}")


def _there(where: Workers) -> str:
    """The options by which a search goes on where it was."""
    from evomnas.evaluation.executors.base import Cluster

    if not isinstance(where, Cluster):
        return ""
    usual = Cluster()
    given = {"ray-address": where.address, "candidate-cpus": where.cpus, "candidate-gpus": where.gpus}
    defaults = {"ray-address": usual.address, "candidate-cpus": usual.cpus, "candidate-gpus": usual.gpus}
    changed = (f" --{name} {quote(str(value))}" for name, value in given.items() if value != defaults[name])
    return " --executor ray" + "".join(changed)


@contextmanager
def _resumable(folder: Path, where: Workers) -> Iterator[None]:
    """Say how to go on where a search is interrupted."""
    try:
        yield
    except KeyboardInterrupt as error:
        _stop_display()
        if debugging():
            raise
        if (folder / "run.json").is_file():
            typer.echo(
                f"Interrupted; every finished evaluation is kept. Go on with: evomnas resume {quote(str(folder))}"
                f"{_there(where)}",
                err=True,
            )
            _close_report(folder)
        else:
            typer.echo("Interrupted before the first evaluation.", err=True)
        raise typer.Exit(interrupted(error)) from None


def _close_report(folder: Path) -> None:
    """Write the report of what there is: a page that is open waits for nothing more."""
    from evomnas.report.run_report import write_report
    from evomnas.results.run import Run

    write_report(Run.open(folder))


_live: Any = None


def _stop_display() -> None:
    if _live is not None and _live.live.is_started:  # stopping what never started would print a line
        _live.stop()


@contextmanager
def _display() -> Iterator[Callable[[Progress], None]]:
    """A live line on a terminal; elsewhere a line per generation and now and then. On standard error."""
    global _live
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    columns = (
        SpinnerColumn(), TextColumn("{task.description:9}"), BarColumn(bar_width=24), MofNCompleteColumn(),
        TextColumn("{task.fields[facts]}"),
    )  # fmt: skip
    # No refresh thread: the line is drawn when something happened, never while a latency is taken.
    _live = Bar(*columns, console=console, auto_refresh=False, transient=True)
    started, task = time.monotonic(), _live.add_task("importing", total=None, facts="")
    last = (-1, -1, 0.0)  # generation, evaluated and time of the last line
    first: int | None = None
    importing: list[threading.Thread] = []

    def on_progress(progress: Progress) -> None:
        nonlocal first, last
        first = progress.evaluated if first is None or progress.phase == "starting" else first
        facts = _facts(progress, time.monotonic() - started, progress.evaluated - first)
        if progress.phase == "training" and not importing:
            importing.append(threading.Thread(target=import_module, args=("evomnas.report.run_report",), daemon=True))
            importing[0].start()  # matplotlib takes a second, and this process has nothing to do now
        if console.is_terminal:
            _show(_live, task, progress, facts)
        elif progress.phase != "starting" and (progress.generation, progress.evaluated) != last[:2]:
            soon = progress.generation == last[0] and time.monotonic() - last[2] < LINE_EVERY_S
            if soon and progress.evaluated < progress.budget:
                return
            last = progress.generation, progress.evaluated, time.monotonic()
            text = f"generation {progress.generation}: {progress.evaluated} of {progress.budget} evaluated"
            typer.echo(f"{text}, {facts}", err=True)

    if console.is_terminal:
        _live.start()
        _live.refresh()
    try:
        yield on_progress
    finally:
        _stop_display()
        _live = None


def _show(bar: Any, task: TaskID, progress: Progress, facts: str) -> None:
    bar.update(
        task, description=progress.phase, completed=progress.evaluated, total=progress.budget, facts=facts, refresh=True
    )


def _facts(progress: Progress, elapsed: float, evaluated: int) -> str:
    best = "" if progress.best_accuracy is None else f"best accuracy {progress.best_accuracy:.1%}, "
    left = elapsed / evaluated * (progress.budget - progress.evaluated) if evaluated > 0 else None
    failed = f", {progress.failed} failed" if progress.failed else ""
    cut = f", {progress.cut} cut off" if progress.cut else ""
    reused = f", {progress.reused} from the archive" if progress.reused else ""
    tau = progress.metrics.get("tau (error)")
    ranked = "" if tau is None else f", predictors' tau {tau:.2f}"
    batch = {name: count for name, count in progress.metrics.items() if name.startswith("batch (")}
    if ranked and batch:
        ranked += f", {batch.get('batch (predicted)', 0):.0f} of {sum(batch.values()):.0f} predicted"
    remaining = "" if left is None else f", {_clock(left)} left"
    return f"{best}hypervolume {progress.hypervolume:.3f}{ranked}{failed}{cut}{reused}, {_clock(elapsed)}{remaining}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"
