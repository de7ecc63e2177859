"""The command `evomnas`: the one place that prints.

Results go to standard output, progress and errors to standard error. Exit codes: 0 done, 1 failed, 2 wrong
usage, 130 interrupted and 143 terminated, both with every finished evaluation saved.
"""

from __future__ import annotations

import functools
import json
import math
import os
import re
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, ParamSpec, TypeVar

import typer

from evomnas.errors import InputError, unknown

if TYPE_CHECKING:  # imported where they are used, so that --help does not wait for torch
    from rich.progress import TaskID

    from evomnas.architecture import Architecture
    from evomnas.runs import Run
    from evomnas.search import Progress

P = ParamSpec("P")
T = TypeVar("T")

app = typer.Typer(
    add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None,
    help="Search MnasNet's space for networks that are accurate on your images and fast on your device.",
)  # fmt: skip
_debug = False
LINE_EVERY_S = 20.0  # where progress goes to a file


class Format(StrEnum):
    """How results are printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


class DescribeFormat(StrEnum):
    """How one architecture is printed."""

    TABLE = "table"
    JSON = "json"


class _Terminated(KeyboardInterrupt):
    """SIGTERM."""


def main() -> None:
    """Entry point of the command."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs start with it ignored
    signal.signal(signal.SIGTERM, _terminate)
    app(prog_name="evomnas")


def _terminate(signum: int, frame: object) -> NoReturn:
    raise _Terminated


def _reported(command: Callable[P, T]) -> Callable[P, T]:
    """A command whose errors become one line and an exit code."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return command(*args, **kwargs)
        except typer.Exit:
            raise
        except InputError as error:
            _fail(str(error), 2)
        except KeyboardInterrupt as error:
            _fail("interrupted", 143 if isinstance(error, _Terminated) else 130)
        except BrokenPipeError:  # the reader of our output has gone, as in `evomnas show RUN | head -1`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(1) from None
        except (OSError, sqlite3.Error) as error:
            _fail(f"the file system refused: {error}", 1)
        except Exception as error:
            _fail(f"{type(error).__name__}: {error} (evomnas --debug ... shows where)", 1)

    return wrapped


def _fail(message: str, code: int) -> NoReturn:
    if _debug:
        raise
    typer.echo(f"evomnas: {' '.join(message.split())}", err=True)
    raise typer.Exit(code) from None


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback where something goes wrong.")] = False,
) -> None:
    global _debug
    _debug = debug


# --- run and resume ----------------------------------------------------------------------------------------

BudgetOption = Annotated[int, typer.Option("--budget", help="Distinct networks to evaluate.")]
TimeOption = Annotated[str | None, typer.Option("--time", help="Stop after this long: 90s, 10m, 2h.", metavar="TIME")]
WorkersOption = Annotated[
    int | None,
    typer.Option("--workers", help="Worker processes; as many as cores by default, 0 for none.", show_default=False),
]
DeviceOption = Annotated[str, typer.Option("--device", help="Trains the networks: auto, cpu or cuda.")]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")]


@app.command()
@_reported
def run(
    problem: Annotated[str, typer.Argument(help="A built-in problem or a .toml file.")] = "digits",
    algo: Annotated[str, typer.Option("--algo", help="Search algorithm.")] = "nsga2",
    budget: BudgetOption = 64,
    time_limit: TimeOption = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the algorithm.")] = 1,
    workers: WorkersOption = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a value of the problem file.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The run's folder [default: runs/PROBLEM-ALGO-sSEED]", show_default=False),
    ] = None,
    archive: Annotated[
        Path | None,
        typer.Option("--archive", help="The archive file [default: evomnas.sqlite beside the run]", show_default=False),
    ] = None,
    device: DeviceOption = "auto",
) -> None:
    """Search a problem for its Pareto set of accuracy and measured latency."""
    limit = _seconds(time_limit)
    with _display() as on_progress:
        from evomnas.definition import load_definition
        from evomnas.executors import default_workers
        from evomnas.search import default_folder, search

        definition = load_definition(problem, settings or [])
        workers = default_workers(device) if workers is None else workers
        folder = out or default_folder(definition, algo, seed)
        with _resumable(folder):
            finished = search(
                definition, algo, budget=budget, seed=seed, out=folder, archive=archive, time_limit_s=limit,
                workers=workers, device=device, on_progress=on_progress,
            )  # fmt: skip
            _finish(finished)


@app.command()
@_reported
def resume(
    folder: RunArgument,
    budget: Annotated[
        int | None, typer.Option("--budget", help="A larger budget than before.", show_default=False)
    ] = None,
    time_limit: TimeOption = None,
    workers: WorkersOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Go on with a run that was stopped, or raise its budget."""
    limit = _seconds(time_limit)
    with _display() as on_progress:
        from evomnas.executors import default_workers
        from evomnas.search import resume as resume_search

        workers = default_workers(device) if workers is None else workers

        with _resumable(folder):
            finished = resume_search(
                folder, budget=budget, time_limit_s=limit, workers=workers, device=device, on_progress=on_progress
            )
            _finish(finished)


def _finish(finished: Run) -> None:
    """Write the report; say what came out, where it is and what to do next."""
    from evomnas.report import duration, headline, write_report

    report_path = write_report(finished)
    _stop_display()
    results = finished.results()
    rows, front = ([result.to_dict() for result in chosen] for chosen in (results, finished.front(results)))
    _print_table(front)
    typer.echo(headline(finished, rows, front))
    failed = sum(row["status"] == "failed" for row in rows)
    if failed:
        typer.echo(f"{failed} candidates failed; the report says why.")
    if finished.manifest["status"] == "out of time":
        typer.echo(f"Out of time after {duration(finished.manifest['seconds']['total'])}.")
    typer.echo(f"\nReport:  {report_path}")
    if front:
        typer.echo(f"Look:    evomnas describe {front[-1]['id']} --run {finished.folder}")
    more = finished.manifest["budget"] * (1 if finished.manifest["status"] == "out of time" else 2)
    typer.echo(f"Go on:   evomnas resume {finished.folder} --budget {more}")


@contextmanager
def _resumable(folder: Path) -> Iterator[None]:
    """Say how to go on where a search is interrupted."""
    try:
        yield
    except KeyboardInterrupt as error:
        _stop_display()
        if _debug:
            raise
        code = 143 if isinstance(error, _Terminated) else 130
        if (folder / "run.json").is_file():
            typer.echo(f"Interrupted; every finished evaluation is kept. Go on with: evomnas resume {folder}", err=True)
        else:
            typer.echo("Interrupted before the first evaluation.", err=True)
        raise typer.Exit(code) from None


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
            importing.append(threading.Thread(target=import_module, args=("evomnas.report",), daemon=True))
            importing[0].start()  # matplotlib takes a second, and this process has nothing to do now
        if console.is_terminal:
            _show(_live, task, progress, facts)
        elif progress.phase != "starting" and (progress.generation, progress.evaluated) != last[:2]:
            if progress.generation == last[0] and time.monotonic() - last[2] < LINE_EVERY_S:
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
    reused = f", {progress.reused} from the archive" if progress.reused else ""
    remaining = "" if left is None else f", {_clock(left)} left"
    return f"{best}hypervolume {progress.hypervolume:.3f}{failed}{reused}, {_clock(elapsed)}{remaining}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", text.strip())
    seconds = float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]] if match else 0.0
    if not seconds > 0:
        raise InputError(f"cannot read the time {text!r}: write seconds, minutes or hours as 90s, 10m or 2h")
    return seconds


# --- looking at results --------------------------------------------------------------------------------------


@app.command()
@_reported
def show(
    folder: RunArgument,
    output: Annotated[Format, typer.Option("--format", help="How to print.")] = Format.TABLE,
    everything: Annotated[bool, typer.Option("--all", help="All evaluations, not the Pareto set alone.")] = False,
) -> None:
    """Print a run's Pareto set, or all its evaluations."""
    from evomnas.runs import Run, to_csv

    opened = Run.open(folder)
    rows = [result.to_dict() for result in (opened.results() if everything else opened.front())]
    if output is Format.JSON:
        typer.echo(json.dumps(rows, indent=2))
    elif output is Format.CSV:
        typer.echo(to_csv(rows), nl=False)
    else:
        _print_table(rows)


@app.command()
@_reported
def report(folder: RunArgument) -> None:
    """Write a run's HTML report again."""
    from evomnas.report import write_report
    from evomnas.runs import Run

    typer.echo(write_report(Run.open(folder)))


@app.command()
@_reported
def problems() -> None:
    """List the built-in problems."""
    from evomnas.definition import builtin_problems

    for name, summary in builtin_problems().items():
        typer.echo(f"{name:15} {summary}")


@app.command()
@_reported
def describe(
    arch: Annotated[
        str | None, typer.Argument(metavar="ARCH", help="An id of a run, a published network, or a notation.")
    ] = None,
    space: Annotated[
        str | None, typer.Option("--space", metavar="PROBLEM", help="Describe a problem's search space instead.")
    ] = None,
    run_folder: Annotated[
        Path | None, typer.Option("--run", help="The run that an id belongs to; gives images and classes too.")
    ] = None,
    resolution: Annotated[
        int | None,
        typer.Option("--resolution", help="Pixels per side [default: 224, or the run's]", show_default=False),
    ] = None,
    classes: Annotated[
        int | None, typer.Option("--classes", help="Classes [default: 1000, or the run's]", show_default=False)
    ] = None,
    channels: Annotated[
        int | None, typer.Option("--channels", help="Image channels [default: 3, or the run's]", show_default=False)
    ] = None,
    figure: Annotated[
        Path | None, typer.Option("--figure", help="Draw the architecture into this file: .svg, .pdf or .png.")
    ] = None,
    output: Annotated[DescribeFormat, typer.Option("--format", help="How to print.")] = DescribeFormat.TABLE,
) -> None:
    """Print an architecture layer by layer: shape, parameters and MACs. Or the size of a search space."""
    if (arch is None) == (space is None):
        raise InputError("describe takes an architecture, as in evomnas describe mnasnet-a1, or --space PROBLEM")
    if arch is None:
        if figure is not None or run_folder is not None or {resolution, classes, channels} != {None}:
            raise InputError(
                "--run, --resolution, --classes, --channels and --figure describe an architecture: drop --space"
            )
        _describe_space(str(space), output)
        return
    if figure is not None and figure.suffix not in (".svg", ".pdf", ".png"):
        raise InputError(f"--figure writes .svg, .pdf or .png, not {figure.name!r}")
    from evomnas.cost import layer_costs, total_cost
    from evomnas.runs import Run

    opened = None if run_folder is None else Run.open(run_folder)
    architecture = _architecture(arch, opened)
    shape = opened.shape if opened is not None else {"classes": 1000, "channels": 3, "resolution": 224}
    given = {"classes": classes, "channels": channels, "resolution": resolution}
    shape |= {name: value for name, value in given.items() if value is not None}
    for name, value in shape.items():
        if not 1 <= value <= 100_000:
            raise InputError(f"--{name} must lie between 1 and 100000, got {value}")
    architecture.check_resolution(shape["resolution"])
    layers = layer_costs(architecture, **shape)
    total = total_cost(layers)
    if figure is not None:
        from evomnas.figures import architecture_figure

        architecture_figure(architecture, **shape).savefig(figure, dpi=200)
    if output is DescribeFormat.JSON:
        rows = [
            {"name": one.name, "operation": one.operation, "shape": list(one.shape), "params": one.params,
             "macs": one.macs, "se_macs": one.se_macs}
            for one in layers
        ]  # fmt: skip
        values = {"architecture": str(architecture), "id": architecture.id, **shape}
        totals = {"params": total.params, "macs": total.macs, "se_macs": total.se_macs}
        typer.echo(json.dumps(values | totals | {"layers": rows}, indent=2))
        return
    rows_text = [
        (one.name, one.operation, "x".join(map(str, one.shape)), f"{one.params:,}", f"{one.macs:,}", f"{one.se_macs:,}")
        for one in layers
    ]
    rows_text.append(("total", "", "", f"{total.params:,}", f"{total.macs:,}", f"{total.se_macs:,}"))
    typer.echo(f"{architecture}\nid {architecture.id}, {shape['resolution']} px, {shape['classes']} classes")
    _print_columns(("layer", "operation", "output", "parameters", "MACs", "SE MACs"), rows_text, left=2)
    if figure is not None:
        typer.echo(f"Drawing: {figure}")


def _describe_space(problem: str, output: DescribeFormat) -> None:
    from evomnas.definition import load_definition
    from evomnas.space import GENES

    definition = load_definition(problem, [])
    space = definition.space
    choices = [space.choices(number) for number in range(space.blocks)]
    if output is DescribeFormat.JSON:
        sizes = {"genomes": space.genomes, "networks": space.networks}
        blocks = [
            {"stride": stride, **dict(zip(GENES, each, strict=True))}
            for stride, each in zip(space.strides, choices, strict=True)
        ]
        typer.echo(json.dumps({"problem": definition.name, **sizes, "blocks": blocks}, indent=2))
        return
    rows = []
    for number, (stride, each) in enumerate(zip(space.strides, choices, strict=True), start=1):
        cells = [" ".join(f"{one:g}" if isinstance(one, float) else str(one) for one in gene) for gene in each]
        rows.append((str(number), str(stride), *cells, str(math.prod(map(len, each)))))
    typer.echo(f"{definition.name}: {space.blocks} blocks, MobileNetV2 at this size is\n{space.mobilenet_v2()}")
    _print_columns(("block", "stride", *GENES, "genomes"), rows, left=8)
    typer.echo(
        f"{space.genomes:,} genomes ({space.genomes:.1e}), {space.networks:,} distinct networks ({space.networks:.1e})"
    )


def _architecture(text: str, opened: Run | None) -> Architecture:
    from evomnas.architecture import Architecture
    from evomnas.zoo import NETWORKS, published

    if text.startswith("stem"):
        return Architecture.parse(text)
    if text.partition("@")[0] in NETWORKS:
        return published(text)
    if opened is not None:
        known = {str(ask.architecture.id): ask.architecture for ask in opened.asks}
        if text in known:
            return known[text]
        raise InputError(f"{opened.folder} has no network {text!r}: evomnas show {opened.folder} --all lists them")
    if re.fullmatch(r"[0-9a-f]{8}", text):
        raise InputError(f"{text} is the id of a run's network: say which run with --run RUN")
    raise InputError(
        f"{unknown('network', text, NETWORKS)}; or give a notation (stem32_s2-...) or an id with --run RUN"
    )


# --- tables ----------------------------------------------------------------------------------------------------


def _print_table(rows: list[dict[str, Any]]) -> None:
    if not rows:
        typer.echo("No network has been evaluated successfully yet.")
        return
    header = ("id", "accuracy", "latency ms", "95 % interval", "parameters", "MACs", "status")
    table = []
    for row in rows:
        interval = row["latency_ci"] and f"{row['latency_ci'][0]:.4f} to {row['latency_ci'][1]:.4f}"
        accuracy = None if row["accuracy"] is None else f"{row['accuracy']:.2%}"
        latency = None if row["latency_ms"] is None else f"{row['latency_ms']:.4f}"
        counts = [None if row[name] is None else f"{row[name]:,}" for name in ("params", "macs")]
        status = "front" if row["on_front"] else row["status"]
        table.append(tuple(cell or "-" for cell in (row["id"], accuracy, latency, interval, *counts, status)))
    _print_columns(header, table, left=1)


def _print_columns(header: tuple[str, ...], rows: Sequence[tuple[str, ...]], left: int) -> None:
    """Plain aligned columns: the first `left` to the left, the rest to the right. They survive pipes and mail."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    for row in (header, *rows):
        cells = [
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        typer.echo("  ".join(cells).rstrip())
