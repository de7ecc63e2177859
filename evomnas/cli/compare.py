"""Searches side by side: compare runs that exist, or run a whole benchmark of them."""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evomnas.cli.app import Terminated, app, debugging, reported
from evomnas.cli.options import (
    AlphaOption,
    BatchOption,
    BetaOption,
    BudgetOption,
    CandidateMemoryOption,
    CandidateTimeOption,
    DeviceOption,
    PopulationOption,
    RewardOption,
    SettingsOption,
    TargetsOption,
    TournamentOption,
    WorkersOption,
    algorithm_options,
    candidate_limits,
)
from evomnas.cli.output import LINE_EVERY_S, PlainFormat, print_columns
from evomnas.core import defaults
from evomnas.core.errors import InputError

if TYPE_CHECKING:  # imported where they are used, so that --help does not wait for torch
    from evomnas.report.comparison.benchmark import Standing
    from evomnas.report.comparison.comparison import Comparison

FormatOption = Annotated[PlainFormat, typer.Option("--format", help="How to print.")]


@app.command()
@reported
def compare(
    folders: Annotated[list[Path], typer.Argument(metavar="RUN", help="Folders of runs of one problem.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The page [default: comparison.html beside the first run]", show_default=False),
    ] = None,
    output: FormatOption = PlainFormat.TABLE,
) -> None:
    """Put runs side by side: hypervolume, fronts, attainment, and whether chance would do as much."""
    page = _page(folders[0], out)
    from evomnas.report.comparison.comparison import compare as compare_runs
    from evomnas.report.comparison.page import write_comparison

    comparison = compare_runs(folders)
    write_comparison(comparison, page)
    _print(comparison, page, output)


@app.command()
@reported
def benchmark(
    problem: Annotated[str, typer.Argument(help="A built-in problem or a .toml file.")] = "digits",
    algos: Annotated[
        list[str] | None,
        typer.Option(
            "--algo",
            help="Repeat it [default: nsga2-surrogate, nsga2, rl-weighted, evo-weighted, random]",
            show_default=False,
        ),
    ] = None,
    seeds: Annotated[
        int, typer.Option("--seeds", help="Runs of each algorithm, with the seeds 1, 2, ...")
    ] = defaults.SEEDS,
    budget: BudgetOption = defaults.BUDGET,
    workers: WorkersOption = None,
    settings: SettingsOption = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The benchmark's folder [default: runs/PROBLEM-benchmark]", show_default=False),
    ] = None,
    archive: Annotated[
        Path | None,
        typer.Option("--archive", help="The archive file [default: evomnas.sqlite in the folder]", show_default=False),
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
    output: FormatOption = PlainFormat.TABLE,
) -> None:
    """Run algorithms with several seeds under one budget, and compare them; again: go on where it stopped."""
    options = algorithm_options(target, reward, alpha, beta, population, tournament, batch)
    with _repeatable(), _display() as on_progress:
        from evomnas.evaluation.executors.factory import default_workers
        from evomnas.problem.loading import load_definition
        from evomnas.report.comparison.benchmark import ALGORITHMS, default_folder
        from evomnas.report.comparison.benchmark import benchmark as run_benchmark
        from evomnas.report.comparison.page import NAME

        definition = load_definition(problem, settings or [])
        folder = out or default_folder(definition)
        comparison = run_benchmark(
            definition, algos or ALGORITHMS, seeds=seeds, budget=budget, options=options, out=folder, archive=archive,
            workers=default_workers(device) if workers is None else workers, device=device,
            candidates=candidate_limits(candidate_time, candidate_memory), on_progress=on_progress,
        )  # fmt: skip
    _print(comparison, folder / NAME, output)


def _page(first: Path, out: Path | None) -> Path:
    """Where the page goes, as far as can be told before the work."""
    page = (first.resolve().parent / "comparison.html") if out is None else Path(os.path.expanduser(out))
    if out is not None and page.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"--out takes a name that ends in .html, not {page.name!r}")
    if page.is_dir() or (out is not None and not page.parent.is_dir()):
        raise InputError(f"there is {'a folder' if page.is_dir() else 'no folder for'} {page}: choose another --out")
    return page


def _print(comparison: Comparison, page: Path, output: PlainFormat) -> None:
    from evomnas.report.comparison import words as text

    if output is PlainFormat.JSON:
        typer.echo(json.dumps(comparison.to_dict(), indent=2))
        return
    for table in (text.summary_table(comparison), text.limits_table(comparison), text.pairs_table(comparison)):
        if table[1]:
            print_columns(*table, left=1)
            typer.echo()
    for note in text.notes(comparison):
        typer.echo(note)
    typer.echo(text.verdict(comparison))
    typer.echo(f"\nPage:    {page}")


@contextmanager
def _repeatable() -> Iterator[None]:
    """Say how to go on where a benchmark is interrupted."""
    try:
        yield
    except KeyboardInterrupt as error:
        if debugging():
            raise
        again = shlex.join(["evomnas", *sys.argv[1:]])
        typer.echo(f"Interrupted; every finished evaluation is kept. Go on with the same command: {again}", err=True)
        raise typer.Exit(143 if isinstance(error, Terminated) else 130) from None


@contextmanager
def _display() -> Iterator[Callable[[Standing], None]]:
    """A live line on a terminal; elsewhere a line per run and now and then. On standard error."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

    console = Console(stderr=True)
    columns = (
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(),
        TextColumn("{task.fields[facts]}"),
    )  # fmt: skip
    # No refresh thread, as in `run`: nothing is drawn while a latency is taken.
    bar = Progress(*columns, console=console, auto_refresh=False, transient=True)
    task = bar.add_task("importing", total=None, facts="")
    last = (0, time.monotonic())  # run and time of the last line

    def on_progress(standing: Standing) -> None:
        nonlocal last
        progress = standing.progress
        name = f"{standing.algorithm}, seed {standing.seed} (run {standing.run} of {standing.runs})"
        reused = f", {progress.reused} from the archive" if progress.reused else ""
        if console.is_terminal:
            total, facts = standing.runs * progress.budget, f"{progress.phase}, hypervolume {progress.hypervolume:.3f}"
            bar.update(
                task, description=name, completed=standing.evaluated, total=total, facts=facts + reused, refresh=True
            )
        elif standing.run != last[0] or time.monotonic() - last[1] >= LINE_EVERY_S:
            last = standing.run, time.monotonic()
            typer.echo(f"{name}: {progress.evaluated} of {progress.budget} evaluated{reused}", err=True)

    if console.is_terminal:
        bar.start()
    try:
        yield on_progress
    finally:
        if bar.live.is_started:
            bar.stop()
