"""Ship a network: train it in full, compare it with networks from the shelf, export it."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from shlex import join, quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evomnas.cli.app import RunArgument, app, debugging, interrupted, reported
from evomnas.cli.options import DataOption, DeviceOption, SettingsOption
from evomnas.cli.output import LINE_EVERY_S, PlainFormat, print_columns, working
from evomnas.cli.show import find_architecture
from evomnas.core.errors import InputError

if TYPE_CHECKING:  # imported where they are used, so that --help does not wait for torch
    from evomnas.deploy.baselines import Baseline
    from evomnas.deploy.export import Export
    from evomnas.deploy.trained_networks import Trained
    from evomnas.results.evaluation import Score
    from evomnas.results.run import Run

FormatOption = Annotated[PlainFormat, typer.Option("--format", help="How to print.")]


@app.command()
@reported
def train(
    folder: RunArgument,
    archs: Annotated[
        list[str] | None, typer.Argument(metavar="[ARCH...]", help="Ids of the run, published names, or notations.")
    ] = None,
    front: Annotated[bool, typer.Option("--front", help="All networks on the front.")] = False,
    knee: Annotated[bool, typer.Option("--knee", help="The network at the front's knee.")] = False,
    teacher: Annotated[
        bool, typer.Option("--teacher", help="Let the front's most accurate network teach (knowledge distillation).")
    ] = False,
    data: DataOption = None,
    device: DeviceOption = "auto",
    output: FormatOption = PlainFormat.TABLE,
) -> None:
    """Train networks of a run in full, on all training images, and score them on the test images."""
    with _shipping() as (on_progress, say):
        from evomnas.deploy.trained_networks import front_networks, knee_network, most_accurate, train_chosen

        opened = _opened(folder, data)
        if [bool(archs), front, knee].count(True) != 1:
            raise InputError(f"train takes networks, as evomnas train {folder} ID, or one of --front and --knee")
        chosen = [find_architecture(one, opened) for one in archs or []]
        if front or knee:
            chosen = front_networks(opened) if front else [knee_network(opened)]
        if front and teacher:
            chosen = [one for one in chosen if one != most_accurate(opened)]
        say("reading the images")
        trained = list(train_chosen(opened, chosen, distil=teacher, device=device, on_progress=on_progress))
    if output is PlainFormat.JSON:
        typer.echo(json.dumps([_trained_row(one) for one in trained], indent=2))
    else:
        _print_trained(opened, trained, data)
    with working() as say:
        from evomnas.report.run_report import write_report

        say("writing the report")
        write_report(opened)
    if any(_score(one.result) is None for one in trained):
        raise typer.Exit(1)


@app.command()
@reported
def baselines(
    problem: Annotated[str, typer.Argument(help="A built-in problem or a .toml file.")] = "digits",
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME...]", help="Published networks, with a width as mobilenet-v2@0.5, or torchvision's."
        ),
    ] = None,
    settings: SettingsOption = None,
    archive: Annotated[
        Path | None,
        typer.Option("--archive", help="That of the runs [default: runs/evomnas.sqlite]", show_default=False),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="The networks' folder [default: baselines/PROBLEM beside the archive]", show_default=False
        ),
    ] = None,
    device: DeviceOption = "auto",
    output: FormatOption = PlainFormat.TABLE,
) -> None:
    """Train and measure networks from the shelf under a problem's own recipe, on its data and device."""
    with _shipping() as (on_progress, say):
        from evomnas.deploy.baselines import default_names, to_dict, train_baselines
        from evomnas.loop.launch import ARCHIVE
        from evomnas.problem.loading import load_definition

        loaded = load_definition(problem, settings or [])
        definition = loaded.trained(f"{loaded.name} is a table: there are no images to train baselines on")
        path = archive or Path("runs") / ARCHIVE
        place = out or path.parent / "baselines" / definition.name
        found = train_baselines(
            definition, names or default_names(), path.resolve(), place, device=device,
            on_progress=on_progress, say=say,
        )  # fmt: skip
    if output is PlainFormat.JSON:
        typer.echo(json.dumps([to_dict(one) for one in found], indent=2))
    else:
        _print_baselines(found, place)


@app.command()
@reported
def export(
    folder: RunArgument,
    arch: Annotated[str, typer.Argument(metavar="ARCH", help="A network that evomnas train has trained.")],
    to: Annotated[list[str] | None, typer.Option("--to", help="onnx (the default), executorch, or both.")] = None,
    quantize: Annotated[
        str | None, typer.Option("--quantize", metavar="int8", help="An int8 file beside each.", show_default=False)
    ] = None,
    prune: Annotated[
        float | None,
        typer.Option("--prune", metavar="SHARE", help="Also without this share of the weights.", show_default=False),
    ] = None,
    factorize: Annotated[
        float | None,
        typer.Option(
            "--factorize", metavar="SHARE", show_default=False,
            help="Also with head and classifier as two factors each, of this share of their weights.",
        ),
    ] = None,
    huffman: Annotated[bool, typer.Option("--huffman", help="Say what Huffman-coded int8 weights would take.")] = False,
    teacher: Annotated[bool, typer.Option("--teacher", help="The network that was trained with --teacher.")] = False,
    data: DataOption = None,
    device: DeviceOption = "auto",
    output: FormatOption = PlainFormat.TABLE,
) -> None:  # fmt: skip
    """Export a trained network, run each file on the test images, and measure it."""
    if quantize not in (None, "int8"):
        raise InputError(f"--quantize knows int8 alone, not {quantize!r}")
    with _shipping() as (_, say):
        from evomnas.deploy.export import Request, export_network

        opened = _opened(folder, data)
        request = Request(tuple(dict.fromkeys(to or ["onnx"])), quantize is not None, prune, factorize, huffman)
        place, score, exports = export_network(
            opened, find_architecture(arch, opened), request, distilled=teacher, device=device, say=say
        )
    if output is PlainFormat.JSON:
        typer.echo(json.dumps([_export_row(one) for one in exports], indent=2))
    else:
        _print_exports(exports, score, place)


def _opened(folder: Path, data: Path | None) -> Run:
    from evomnas.results.run import Run

    opened = Run.open(folder)
    if data is not None:
        opened.read_data_from(data)
    return opened


def _score(result: object) -> Score | None:
    from evomnas.results.evaluation import FullTraining

    return result.score if isinstance(result, FullTraining) else None


def _said(score: Score | None) -> tuple[str, str]:
    if score is None:
        return "failed", "-"
    low, high = score.interval
    return f"{score.accuracy:.2%}", f"{low:.2%} to {high:.2%}"


def _trained_row(one: Trained) -> dict[str, Any]:
    from evomnas.results.evaluation import Failure

    score = _score(one.result)
    return {
        "id": one.network.id,
        "network": str(one.network),
        "folder": str(one.folder),
        "test_accuracy": None if score is None else score.accuracy,
        "test_interval": None if score is None else list(score.interval),
        "test_images": None if score is None else score.images,
        "validation_accuracy": one.validation,
        "latency_ms": None if one.measurement is None else one.measurement.latency_ms,
        "failure": one.result.message if isinstance(one.result, Failure) else None,
    }


def _print_trained(opened: Run, trained: Sequence[Trained], data: Path | None) -> None:
    from evomnas.problem.architecture import Architecture

    rows = []
    for one in trained:
        latency = "-" if one.measurement is None else f"{one.measurement.latency_ms:.4f}"
        proxy = "-" if one.validation is None else f"{one.validation:.2%}"
        rows.append((one.network.id, *_said(_score(one.result)), proxy, latency, str(one.folder)))
    header = ("id", "test accuracy", "95 % interval", "in the search", "latency ms", "folder")
    print_columns(header, rows, left=1)
    good = [one for one in trained if _score(one.result) is not None]
    if good:
        network = good[-1].network
        assert isinstance(network, Architecture)
        options = " --teacher" * good[-1].folder.name.endswith("-distilled")
        options += "" if data is None else f" --data {quote(str(data))}"
        typer.echo(f"\nCard:    {good[-1].folder / 'README.md'}")
        typer.echo(
            f"Export:  evomnas export {opened.argument} {opened.network_argument(network)}{options} --quantize int8"
        )


def _print_baselines(found: Sequence[Baseline], folder: Path) -> None:
    from evomnas.deploy.baselines import to_dict

    rows = []
    for one in found:
        row = to_dict(one)
        latency = "-" if row["latency_ms"] is None else f"{row['latency_ms']:.4f}"
        interval = row["latency_ci"] and f"{row['latency_ci'][0]:.4f} to {row['latency_ci'][1]:.4f}"
        counts = ["-" if row[name] is None else f"{row[name]:,}" for name in ("params", "macs")]
        accuracy = _said(_score(one.result)) if one.result is not None else ("-", "-")
        rows.append((one.name, *accuracy, latency, interval or "-", *counts))
    header = ("network", "test accuracy", "95 % interval", "latency ms", "95 % interval", "parameters", "MACs")
    print_columns(header, rows, left=1)
    for one in found:
        reason = to_dict(one)["reason"]
        if reason:
            typer.echo(f"{one.name}: {reason}")
    typer.echo(f"\nNetworks: {folder}")


def _export_row(one: Export) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(one) | {"accuracy": one.score.accuracy, "interval": list(one.score.interval)}


def _print_exports(exports: Sequence[Export], score: Score, folder: Path) -> None:
    rows = []
    for one in exports:
        latency = "failed" if one.latency_ms is None else f"{one.latency_ms:.4f}"
        interval = "-" if one.low_ms is None else f"{one.low_ms:.4f} to {one.high_ms:.4f}"
        sizes = [_kib(size) for size in (one.bytes, one.packed_bytes, one.huffman_bytes)]
        rows.append((one.format, one.variant, *_said(one.score), f"{one.agreement:.2%}", latency, interval, *sizes))
    header = (
        "format", "variant", "test accuracy", "95 % interval", "as PyTorch", "latency ms", "95 % interval", "KiB",
        "packed KiB", "Huffman KiB",
    )  # fmt: skip
    print_columns(header, rows, left=2)
    accuracy, interval = _said(score)
    typer.echo(f"In PyTorch: {accuracy} ({interval}) of {score.images:,} test images.")
    typer.echo(f"\nFiles:   {folder}")


def _kib(size: int | None) -> str:
    return "-" if size is None else f"{size / 1024:.1f}"


@contextmanager
def _shipping() -> Iterator[tuple[Callable[[str, int, int, float], None], Callable[[str], None]]]:
    """A progress bar of epochs and a line of words, on standard error; an interruption says how to go on."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(), TimeRemainingColumn(),
        TextColumn("{task.fields[facts]}"),
    )  # fmt: skip
    bar = Progress(*columns, console=console, auto_refresh=False, transient=True)
    task = bar.add_task("starting", total=None, facts="")
    last = 0.0

    def say(text: str) -> None:
        bar.reset(task, description=text, total=None, facts="")
        bar.refresh()

    def on_progress(name: str, epoch: int, epochs: int, loss: float) -> None:
        nonlocal last
        if epoch == 1 or bar.tasks[0].description != name:
            bar.reset(task, description=name, total=epochs)
        bar.update(task, completed=epoch, facts=f"loss {loss:.3f}")
        bar.refresh()
        if not console.is_terminal and (epoch == epochs or time.monotonic() - last > LINE_EVERY_S):
            last = time.monotonic()
            typer.echo(f"{name}: epoch {epoch} of {epochs}, loss {loss:.3f}", err=True)

    if console.is_terminal:
        bar.start()
    try:
        yield on_progress, say
    except KeyboardInterrupt as error:
        bar.stop()
        if debugging():
            raise
        typer.echo(
            "Interrupted; what had ended is kept, and of a training the state that is saved every 20 seconds. Go on "
            f"with the same command: {join(['evomnas', *sys.argv[1:]])}",
            err=True,
        )
        raise typer.Exit(interrupted(error)) from None
    finally:
        if bar.live.is_started:
            bar.stop()
