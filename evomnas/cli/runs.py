"""Runs as a whole: list them, and pack one to take it elsewhere."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evomnas.cli import completion
from evomnas.cli.app import RunArgument, app, open_run, reported
from evomnas.cli.output import Format, print_columns, print_csv
from evomnas.core import defaults
from evomnas.core.system.shell import quote

if TYPE_CHECKING:  # imported where they are used, so that --help is quick
    from evomnas.results.overview import RunSummary


@app.command("list")
@reported
def list_runs(
    folder: Annotated[
        Path | None,
        typer.Argument(
            help="Folder of runs [default: runs, or this folder]", show_default=False, autocompletion=completion.runs
        ),
    ] = None,
    output: Annotated[Format, typer.Option("--format", help="Output format.")] = Format.TABLE,
) -> None:
    """List runs: their problem, algorithm, evaluations, state and best network; the latest last."""
    from evomnas.results.overview import list_runs as find_runs

    usual = Path(defaults.RUNS)
    place = folder.expanduser() if folder is not None else usual if usual.is_dir() else Path()
    summaries = find_runs(place)
    rows: list[dict[str, Any]] = [asdict(run) | {"folder": str(run.folder)} for run in summaries]
    if output is Format.JSON:
        typer.echo(json.dumps(rows, indent=2))
    elif output is Format.CSV:
        print_csv(rows)
    elif rows:
        _print_summaries(summaries)
    else:
        typer.echo(f"There is no run in {'this folder' if place == Path() else place}: evomnas run makes one.")


def _print_summaries(summaries: list[RunSummary]) -> None:
    cells = [
        (
            str(run.folder), run.problem or "-", run.algorithm or "-",
            "-" if run.evaluations is None else f"{run.evaluations} of {run.budget}",
            "unfinished" if run.status in ("running", "interrupted") else run.status, _best(run), _begun(run),
        )
        for run in summaries
    ]  # fmt: skip
    print_columns(("run", "problem", "algorithm", "evaluated", "state", "best in the search", "begun"), cells, left=7)
    for run in summaries:
        if run.fault is not None:
            typer.echo(f"{run.folder}: {run.fault}")


def _best(run: RunSummary) -> str:
    """Return the network with the best score in words; the hypervolume where there are no scores."""
    from evomnas.problem.sections import SCORE_WORDS

    if run.best_score is None:
        return f"hypervolume {run.hypervolume:.3f}" if run.hypervolume else "-"
    latency = "" if run.best_latency_ms is None else f" at {run.best_latency_ms:.4g} ms"
    words = next((f" {words}" for name, words in SCORE_WORDS.items() if name == run.score_name != "accuracy"), "")
    return f"{run.best_score:.1%}{words}{latency}"


def _begun(run: RunSummary) -> str:
    try:
        return datetime.fromisoformat(run.created or "").astimezone().strftime("%Y-%m-%d %H:%M")
    except ValueError:
        return "-"


@app.command()
@reported
def pack(
    folder: RunArgument,
    out: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE.zip]", show_default=False,
            help="Zip file, or a new folder [default: a zip file beside the run, of its name]",
        ),
    ] = None,
) -> None:  # fmt: skip
    """Pack a run with all that is needed of it into one file, which every command takes in its place."""
    from evomnas.results.packing.pack import pack as pack_run

    opened = open_run(folder)
    place = opened.folder.resolve()
    packed = pack_run(opened, place.with_name(f"{place.name}.zip") if out is None else out.expanduser())
    trained = f", {packed.trained} of them with weights" if packed.trained else ""
    typer.echo(f"{_shown(packed.path)}: {packed.bytes / 1e6:.1f} MB, {packed.networks} networks{trained}.")
    data = getattr(opened.definition, "data", None)
    if data is not None and data.path is not None:
        typer.echo(f"The images are not in it ({data.path}): train and export take them elsewhere with --data PATH.")
    if packed.left_out_bytes:
        typer.echo(f"Nor are trainings that have not ended ({packed.left_out_bytes / 1e6:.1f} MB).")
    typer.echo(f"\nLook:    evomnas show {quote(str(_shown(packed.path)))}")


def _shown(path: Path) -> Path:
    """Return a path from here, if it is below."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
