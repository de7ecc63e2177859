"""Search: run and resume with their progress, and estimate the cost of a search."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evomnas.cli import completion
from evomnas.cli.app import RunArgument, app, debugging, interrupted, open_run, reported, run_folder
from evomnas.cli.display.search_output import SearchOutput
from evomnas.cli.display.verbosity import JsonLinesOption, QuietOption, VerboseOption, choose_verbosity
from evomnas.cli.options import (
    AcceptOption,
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
    ConfirmOption,
    DataOption,
    DeviceOption,
    DonorOption,
    EarlierRunsOption,
    EarlyStopOption,
    ExecutorKind,
    ExecutorOption,
    FormatOption,
    ImagesOption,
    LearnFromOption,
    MoreArguments,
    PopulationOption,
    ProblemArgument,
    RayAddressOption,
    RewardOption,
    SettingsOption,
    TargetsOption,
    TimeOption,
    TournamentOption,
    TrackOption,
    WorkersOption,
    algorithm_options,
    candidate_limits,
    load_problem,
    seconds,
)
from evomnas.cli.output import PlainFormat, print_columns, print_results
from evomnas.cli.progress import PHASES, ProgressDisplay, working
from evomnas.core import defaults, registry
from evomnas.core.errors import InputError, WorkersLost
from evomnas.core.system.shell import quote

if TYPE_CHECKING:  # imported where they are used, so that --help does not wait for torch
    from evomnas.cli.start.dry_run import SearchPlan
    from evomnas.evaluation.executors.base import Workers
    from evomnas.loop.fidelity.pilot import Pilot
    from evomnas.loop.launch import Progress
    from evomnas.problem.definition import Definition
    from evomnas.results.candidate_limits import CandidateLimits
    from evomnas.results.manifest import ImageData
    from evomnas.results.run import Result, Run


@app.command()
@reported
def run(
    problem: ProblemArgument = None,
    more: MoreArguments = None,
    data: ImagesOption = None,
    donor: DonorOption = None,
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
    learn_from: LearnFromOption = None,
    earlier_runs: EarlierRunsOption = True,
    confirm: ConfirmOption = 0.0,
    auto_fidelity: Annotated[
        bool,
        typer.Option("--auto-fidelity", help="Train as few epochs as a pilot shows to rank networks as well as all."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what the search would do, and train, measure and write nothing.")
    ] = False,
    track: TrackOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
    json_lines: JsonLinesOption = False,
) -> None:
    """Search a problem for its Pareto set of accuracy and measured latency."""
    options = algorithm_options(target, reward, alpha, beta, population, tournament, batch, assignments)
    limit = seconds(time_limit)
    output = SearchOutput(choose_verbosity(quiet, verbose, json_lines))
    chosen: list[str] = []
    definition = load_problem(problem, more, data, settings, donor, chosen.append)
    with output.display as display:
        from evomnas.loop.launch import archive_path, default_folder, search

        where = _workers(definition, executor, workers, device, ray_address, candidate_cpus, candidate_gpus)
        chosen += _device_choice(definition, where, device)
        folder = out or default_folder(definition, algo, seed)
        candidates = candidate_limits(candidate_time, candidate_memory)
        if dry_run:
            from evomnas.cli.start.dry_run import SearchPlan

            place = archive_path(archive, folder)
            plan = SearchPlan(
                definition, algo, options, budget, seed, where, folder, place, limit, candidates, early_stop,
                auto_fidelity, asynchronous, learn_from, confirm,
            )  # fmt: skip
            for name in track or ():
                registry.load("trackers", name)  # known; opened, it might write
            _say_plan(plan, chosen, output)
            return
        if auto_fidelity:
            definition, limit = _choose_fidelity(definition, folder, archive, where, device, candidates, limit, display)
        with _resumable(folder, where, display):
            finished = search(
                definition, algo, options=options, budget=budget, seed=seed, out=folder, archive=archive,
                time_limit_s=limit, workers=where, device=device,
                candidates=candidates, asynchronous=asynchronous,
                early_stop=early_stop, learn_from=learn_from,
                earlier_runs=earlier_runs, confirm=confirm, callbacks=output.callbacks(track or ()),
                on_progress=output.on_progress(definition), on_generation=_live_report(),
                on_begin=lambda begun: _say_beginning(begun, display, chosen),
            )  # fmt: skip
            _finish(finished, where, output)


def _say_plan(plan: SearchPlan, chosen: Sequence[str], output: SearchOutput) -> None:
    """Print what a search would do, after the settings that were chosen for its images."""
    from evomnas.cli.start.dry_run import describe_plan

    output.display.show("reading the images", 0, 1, "")
    lines = describe_plan(plan)
    output.display.stop()
    if output.lines is not None:
        output.lines.print_plan(lines)
        return
    for line in chosen:
        output.display.note(line)
    for title, text in lines:
        typer.echo(f"{title:10}{text}")


def _choose_fidelity(
    definition: Definition, folder: Path, archive: Path | None, where: Workers, device: str,
    candidates: CandidateLimits, limit: float | None, display: ProgressDisplay,
) -> tuple[Definition, float | None]:  # fmt: skip
    """Return the problem with the epochs that a pilot proposes, and the time that it leaves."""
    from evomnas.loop.fidelity.pilot import NETWORKS, check_pilot, run_pilot, with_epochs
    from evomnas.loop.launch import archive_path
    from evomnas.report.words import fidelity_lines
    from evomnas.results.manifest import check_free

    started = time.perf_counter()
    problem = check_pilot(definition)
    check_free(folder)
    with _pilot_kept():
        pilot = run_pilot(
            problem, archive_path(archive, folder), NETWORKS, workers=where, device=device, candidates=candidates,
            on_pilot=_PilotDisplay(display),
        )  # fmt: skip
    for line in fidelity_lines(pilot, problem):
        display.note(line)
    left = None if limit is None else max(1.0, limit - (time.perf_counter() - started))
    return with_epochs(problem, pilot.proposed), left


@app.command()
@reported
def resume(
    folder: RunArgument,
    budget: Annotated[
        int | None, typer.Option("--budget", help="New budget, larger than before.", show_default=False)
    ] = None,
    data: DataOption = None,
    accept_changes: AcceptOption = False,
    time_limit: TimeOption = None,
    workers: WorkersOption = None,
    device: DeviceOption = "auto",
    executor: ExecutorOption = ExecutorKind.LOCAL,
    ray_address: RayAddressOption = None,
    candidate_cpus: CandidateCpusOption = 1.0,
    candidate_gpus: CandidateGpusOption = 0.0,
    track: TrackOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
    json_lines: JsonLinesOption = False,
) -> None:
    """Go on with a run that was stopped, or raise its budget."""
    limit = seconds(time_limit)
    output = SearchOutput(choose_verbosity(quiet, verbose, json_lines))
    folder = run_folder(folder)
    with output.display as display:
        from evomnas.loop.launch import is_complete, own_device
        from evomnas.loop.launch import resume as resume_search

        opened = open_run(folder)
        own = own_device(opened, device) if executor is ExecutorKind.LOCAL else device
        where = _workers(opened.definition, executor, workers, own, ray_address, candidate_cpus, candidate_gpus)
        if is_complete(opened, budget):
            display.stop()
            _say_nothing_to_do(opened, where, output)
            return
        with _resumable(folder, where, display):
            finished = resume_search(
                folder, budget=budget, data=data, time_limit_s=limit, workers=where, device=own,
                accept_changes=accept_changes, callbacks=output.callbacks(track or ()),
                on_progress=output.on_progress(opened.definition), on_generation=_live_report(),
            )  # fmt: skip
            _finish(finished, where, output)


def _say_nothing_to_do(run: Run, where: Workers, output: SearchOutput) -> None:
    evaluations, budget = run.manifest.evaluations, run.manifest.budget
    if output.lines is not None:
        from evomnas.results.packing.content import REPORT

        output.lines.print_result(run, run.folder / REPORT)
        return
    if evaluations < budget:
        typer.echo(f"Nothing to do: {run.folder} has no more networks to ask for than the {evaluations} it evaluated.")
        return
    typer.echo(f"Nothing to do: {run.folder} has evaluated all {budget} networks of its budget.")
    typer.echo(f"Go on:   evomnas resume {run.argument} --budget {2 * budget}{_executor_options(where)}")


def _workers(
    definition: Definition, executor: ExecutorKind, workers: int | None, device: str, address: str | None, cpus: float,
    gpus: float,
) -> Workers:  # fmt: skip
    """Return the number of worker processes on this machine, or a cluster."""
    from evomnas.evaluation.executors.base import Cluster
    from evomnas.evaluation.executors.factory import default_workers

    if executor is ExecutorKind.LOCAL:
        if address is not None or (cpus, gpus) != (1.0, 0.0):
            raise InputError("--ray-address, --candidate-cpus and --candidate-gpus are a cluster's: add --executor ray")
        return default_workers(definition, device) if workers is None else workers
    if workers is not None or device != "auto":
        raise InputError(
            "--workers and --device are this machine's: a cluster trains as many candidates as it has room for, on "
            "GPUs with --candidate-gpus 1"
        )
    return Cluster(address, cpus, gpus)


def _device_choice(definition: Definition, where: Workers, device: str) -> list[str]:
    """Return a line that says so if candidates are trained on the processor although there is a GPU."""
    from evomnas.core.system.device import choose_device
    from evomnas.evaluation.executors.factory import search_device

    if not definition.trains or device != "auto" or not isinstance(where, int):
        return []
    if search_device(definition, device, where) == choose_device():
        return []
    return [f"--device cpu: {where} processes train networks of this size faster than a GPU, which --device cuda takes"]


@app.command()
@reported
def estimate(
    problem: ProblemArgument = None,
    more: MoreArguments = None,
    data: ImagesOption = None,
    donor: DonorOption = None,
    budget: BudgetOption = defaults.BUDGET,
    workers: WorkersOption = None,
    settings: SettingsOption = None,
    device: DeviceOption = "auto",
    fidelity: Annotated[
        bool, typer.Option("--fidelity", help="Find out by a pilot how few epochs rank networks as well as all.")
    ] = False,
    networks: Annotated[
        int | None,
        typer.Option("--networks", help="Networks of the pilot, 16 by default; more tell more.", show_default=False),
    ] = None,
    archive: Annotated[
        Path | None,
        typer.Option(
            "--archive",
            help="Archive file that keeps the pilot's trainings [default: runs/evomnas.sqlite]",
            show_default=False,
        ),
    ] = None,
    output: FormatOption = PlainFormat.TABLE,
) -> None:
    """Estimate the cost of a search on this machine.

    For that, a short search is run, which leaves nothing behind. With --fidelity, some networks are trained for
    different numbers of epochs instead, and these trainings are kept.
    """
    chosen: list[str] = []
    definition = load_problem(problem, more, data, settings, donor, chosen.append)
    if fidelity:
        _estimate_fidelity(definition, networks, archive, workers, device, output)
        return
    if networks is not None or archive is not None:
        raise InputError("--networks and --archive are a pilot's: add --fidelity")
    with working() as show_words:
        from evomnas.evaluation.executors.factory import default_workers
        from evomnas.loop.estimate import estimate as estimate_cost
        from evomnas.loop.launch import check_budget
        from evomnas.report.words import estimate_lines
        from evomnas.results.manifest import ImageData

        check_budget(budget)
        workers = default_workers(definition, device) if workers is None else workers
        cost = estimate_cost(definition, budget, workers, device, lambda now: show_words(_estimate_words(now)))
    _say_found(definition, ImageData.model_validate(cost.data), ProgressDisplay(""), chosen)
    if output is PlainFormat.JSON:
        typer.echo(json.dumps(asdict(cost), indent=2))
        return
    for line in estimate_lines(cost, workers):
        typer.echo(line)


def _estimate_fidelity(
    definition: Definition, networks: int | None, archive: Path | None, workers: int | None, device: str,
    output: PlainFormat,
) -> None:  # fmt: skip
    """Run a pilot, and print what it has shown."""
    with ProgressDisplay("starting", has_count=False) as display:
        from evomnas.evaluation.executors.factory import default_workers
        from evomnas.loop.fidelity.pilot import NETWORKS, run_pilot
        from evomnas.loop.launch import archive_path, default_folder

        path = archive_path(archive, default_folder(definition, defaults.ALGORITHM, 1))
        count = NETWORKS if networks is None else networks
        workers = default_workers(definition, device) if workers is None else workers
        with _pilot_kept():
            pilot = run_pilot(
                definition, path, count, workers=workers, device=device, on_pilot=_PilotDisplay(display)
            )  # fmt: skip
    if output is PlainFormat.JSON:
        typer.echo(json.dumps(_pilot_row(pilot), indent=2))
        return
    from evomnas.report.words import fidelity_lines, fidelity_table

    print_columns(*fidelity_table(pilot), left=0)
    for line in fidelity_lines(pilot, definition):
        typer.echo(line)


def _pilot_row(pilot: Pilot) -> dict[str, Any]:
    """Return a pilot as JSON has it."""
    return {
        "networks": pilot.networks,
        "failed": pilot.failed,
        "proposed_epochs": pilot.proposed,
        "worthwhile_budget": pilot.worthwhile_budget,
        "fidelities": [
            {"epochs": one.epochs, "seconds": one.seconds, **asdict(one.ranking)} for one in pilot.fidelities
        ],
    }


@contextmanager
def _pilot_kept() -> Iterator[None]:
    """Tell how to go on, if the pilot in the block is interrupted."""
    try:
        yield
    except KeyboardInterrupt as error:
        if debugging():
            raise
        typer.echo("Interrupted; every finished training is kept. The same command goes on.", err=True)
        raise typer.Exit(interrupted(error)) from None


class _PilotDisplay:
    """Shows where a pilot stands; in a log, a line now and then."""

    def __init__(self, display: ProgressDisplay) -> None:
        self._display = display

    def __call__(self, phase: str, done: int, count: int) -> None:
        step = PHASES.get(phase, phase)
        if phase == "training":
            step = f"pilot, training {min(done + 1, count)} of {count}"
        self._display.show(step, done, count, "")
        self._display.log(step, is_due=False)


def _say_beginning(begun: Run, display: ProgressDisplay, chosen: Sequence[str]) -> None:
    """Say what was found in the images, and what the search learns from first."""
    from evomnas.report.words import lessons_line

    _say_found(begun.definition, begun.image_data, display, chosen)
    learns = lessons_line(begun)
    if learns:
        display.note(learns)


def _say_found(definition: Definition, data: ImageData | None, display: ProgressDisplay, chosen: Sequence[str]) -> None:
    """Say what was found in a folder of images, which settings were chosen for it, how pictures are fitted, which score
    suits the classes, and whether pretrained weights do."""
    from evomnas.report.words import donor_proposal, fit_line

    for line in [] if data is None or data.found is None else data.found.describe():
        display.note(line)
    for line in chosen:
        display.note(line)
    fitted = "" if data is None else fit_line(definition, data)
    if fitted:
        display.note(fitted)
    _propose_score(definition, data, display)
    proposal = "" if data is None else donor_proposal(definition, data)
    if proposal:
        display.note(proposal)


def _propose_score(definition: Definition, data: ImageData | None, display: ProgressDisplay) -> None:
    """Say that another score would count small classes as well, where they are much smaller than others."""
    from evomnas.report.classes.class_words import score_proposal

    proposal = "" if data is None else score_proposal(definition, data)
    if proposal:
        display.note(proposal)


def _estimate_words(progress: Progress) -> str:
    return f"{PHASES[progress.phase]}, {progress.evaluated} of {progress.budget} networks"


def _live_report() -> Callable[[Run], None]:
    """Return a function that keeps the report up to date; it imports matplotlib after the first generation only."""
    reports: list[Callable[[Run], None]] = []

    def on_generation(run: Run) -> None:
        from evomnas.report.run_report import LiveReport

        if not reports:
            reports.append(LiveReport())
        reports[0](run)

    return on_generation


def _finish(finished: Run, where: Workers, output: SearchOutput) -> None:
    """Write the report, and print the result, its place and the commands that may follow."""
    from evomnas.report.history import read_trend
    from evomnas.report.run_report import write_report
    from evomnas.report.run_words import figure_notes, hypervolume_note
    from evomnas.report.words import cut_line, format_duration, goal_lines, headline, limits_line, reuse_line
    from evomnas.results.certainty.judged import judge

    results = judge(finished, finished.results())
    report_path = write_report(finished, results)
    output.display.stop()
    if output.lines is not None:
        output.lines.print_result(finished, report_path)
        return
    front = finished.front(results)
    print_results(finished, front)
    typer.echo(headline(finished, results))
    reference_point = finished.definition.reference_point
    trend = read_trend(results, reference_point).describe() if front else ""
    lines = (
        trend, limits_line(finished, results), reuse_line(finished), cut_line(finished, results), *goal_lines(finished)
    )  # fmt: skip
    for line in filter(None, lines):
        typer.echo(line)
    failed = sum(result.evaluation.failure is not None for result in results)
    if failed:
        typer.echo(
            f"{failed} candidate{'s' * (failed > 1)} failed; evomnas show {finished.argument} --failed says why."
        )
    if finished.manifest.status == "out of time":
        typer.echo(f"Out of time after {format_duration(finished.manifest.seconds.total)}.")
    for note in (*figure_notes(finished, front), hypervolume_note(finished.definition)) if front else ():
        typer.echo(note)
    typer.echo(f"\nReport:  {report_path}")
    _print_next(finished, results, where)


def _print_next(finished: Run, results: list[Result], where: Workers) -> None:
    """Print the commands that may follow a search."""
    from evomnas.report.reproduce import resume_command, train_command

    if finished.front(results) and finished.definition.trains:
        best = finished.best(results).evaluation.architecture.id
        if (training := train_command(finished, results)) is not None:
            typer.echo(f"Next:    {training[1]}  # {training[0]}")
        typer.echo(f"Look:    evomnas describe {best} --run {finished.argument}")
    go_on = resume_command(finished)
    if go_on is None:
        typer.echo("There is nothing more to ask for: a larger budget would change nothing.")
    else:
        typer.echo(f"Go on:   {go_on}{_executor_options(where)}")


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
