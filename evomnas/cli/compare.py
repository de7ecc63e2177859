"""Compare runs that exist, or run a whole benchmark and compare its runs."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evomnas.cli import completion
from evomnas.cli.app import app, repeatable, reported, run_folder
from evomnas.cli.display.search_output import ignore_note
from evomnas.cli.display.verbosity import QuietOption
from evomnas.cli.options import (
    AlgorithmOption,
    AlphaOption,
    BatchOption,
    BetaOption,
    BudgetOption,
    CandidateMemoryOption,
    CandidateTimeOption,
    DeviceOption,
    DonorOption,
    FormatOption,
    ImagesOption,
    MoreArguments,
    PopulationOption,
    ProblemArgument,
    RewardOption,
    SettingsOption,
    TargetsOption,
    TournamentOption,
    WorkersOption,
    algorithm_options,
    candidate_limits,
    load_problem,
)
from evomnas.cli.output import PlainFormat, print_columns
from evomnas.cli.progress import PHASES, ProgressDisplay
from evomnas.core import defaults
from evomnas.core.errors import InputError
from evomnas.core.files import check_place, writing

if TYPE_CHECKING:  # imported where they are used, so that --help does not wait for torch
    from evomnas.report.comparison.benchmark import BenchmarkProgress
    from evomnas.report.comparison.comparison import Comparison


@app.command()
@reported
def compare(
    folders: Annotated[
        list[Path],
        typer.Argument(metavar="RUN", help="Folders of runs of one problem.", autocompletion=completion.runs),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="HTML file [default: comparison.html beside the first run]", show_default=False),
    ] = None,
    output: FormatOption = PlainFormat.TABLE,
) -> None:
    """Compare runs: hypervolume, fronts, attainment, and whether the differences could be chance."""
    folders = [run_folder(folder) for folder in folders]
    page = _page(folders[0], out)
    from evomnas.report.comparison.comparison import compare as compare_runs
    from evomnas.report.comparison.page import write_comparison

    comparison = compare_runs(folders)
    with writing(page, "--out FILE.html"):
        write_comparison(comparison, page)
    _print_comparison(comparison, page, output)


@app.command()
@reported
def benchmark(
    problem: ProblemArgument = None,
    more: MoreArguments = None,
    data: ImagesOption = None,
    donor: DonorOption = None,
    algos: Annotated[
        list[str] | None,
        typer.Option(
            "--algo",
            help="Search algorithm. Can be repeated. "
            "[default: nsga2-surrogate, nsga2, rl-weighted, evo-weighted, random]",
            show_default=False,
            autocompletion=completion.algorithms,
        ),
    ] = None,
    seeds: Annotated[
        int, typer.Option("--seeds", help="Number of runs of each algorithm, with the seeds 1, 2, ...")
    ] = defaults.SEEDS,
    budget: BudgetOption = defaults.BUDGET,
    workers: WorkersOption = None,
    settings: SettingsOption = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for the benchmark [default: runs/PROBLEM-benchmark]", show_default=False),
    ] = None,
    archive: Annotated[
        Path | None,
        typer.Option("--archive", help="Archive file [default: evomnas.sqlite in the folder]", show_default=False),
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
    output: FormatOption = PlainFormat.TABLE,
    quiet: QuietOption = False,
) -> None:
    """Run algorithms with several seeds under one budget, and compare them.

    The same command again goes on where it stopped.
    """
    options = algorithm_options(target, reward, alpha, beta, population, tournament, batch, assignments)
    display = ProgressDisplay("importing", note_to=ignore_note if quiet else None)
    definition = load_problem(problem, more, data, settings, donor, display.note)
    with repeatable("every finished evaluation is kept"), display:
        from evomnas.evaluation.executors.factory import default_workers
        from evomnas.report.comparison.benchmark import ALGORITHMS, default_folder
        from evomnas.report.comparison.benchmark import benchmark as run_benchmark
        from evomnas.report.comparison.page import COMPARISON_NAME

        folder = out or default_folder(definition)
        comparison = run_benchmark(
            definition, algos or ALGORITHMS, seeds=seeds, budget=budget, options=options, out=folder, archive=archive,
            workers=default_workers(definition, device) if workers is None else workers, device=device,
            candidates=candidate_limits(candidate_time, candidate_memory), on_progress=_BenchmarkDisplay(display),
        )  # fmt: skip
    _print_comparison(comparison, folder / COMPARISON_NAME, output)


def _page(first: Path, out: Path | None) -> Path:
    """Return the file of the page, and refuse before the work what could not be written after it."""
    page = (first.resolve().parent / "comparison.html") if out is None else Path(os.path.expanduser(out))
    if out is not None and page.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"--out takes a name that ends in .html, not {page.name!r}")
    if page.is_dir() or (out is not None and not page.parent.is_dir()):
        raise InputError(f"there is {'a folder' if page.is_dir() else 'no folder for'} {page}: choose another --out")
    check_place(page, "--out FILE.html")
    return page


def _print_comparison(comparison: Comparison, page: Path, output: PlainFormat) -> None:
    from evomnas.report.comparison import words as text

    if output is PlainFormat.JSON:
        typer.echo(json.dumps(comparison.to_dict(), indent=2))
        return
    print_columns(*text.summary_table(comparison), left=1)
    for note in text.summary_notes(comparison):
        typer.echo(note)
    typer.echo()
    for table in (text.limits_table(comparison), text.pairs_table(comparison)):
        if table[1]:
            print_columns(*table, left=1)
            typer.echo()
    for note in text.notes(comparison):
        typer.echo(note)
    typer.echo(text.verdict(comparison))
    typer.echo(f"\nPage:    {page}")


class _BenchmarkDisplay:
    """Shows where a benchmark stands; in a log, a line per run and now and then."""

    def __init__(self, display: ProgressDisplay) -> None:
        self._display = display
        self._logged_run = 0

    def __call__(self, standing: BenchmarkProgress) -> None:
        progress = standing.progress
        name = f"{standing.algorithm}, seed {standing.seed} (run {standing.run} of {standing.runs})"
        reused = f", {progress.reused} from the archive" if progress.reused else ""
        detail = f"{PHASES.get(progress.phase, progress.phase)}, hypervolume {progress.hypervolume:.3f}{reused}"
        self._display.show(name, standing.evaluated, standing.runs * progress.budget, detail)
        is_new_run, self._logged_run = standing.run != self._logged_run, standing.run
        self._display.log(f"{name}: {progress.evaluated} of {progress.budget} evaluated{reused}", is_due=is_new_run)
