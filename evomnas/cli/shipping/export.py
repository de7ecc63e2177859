"""Write files of a trained network for devices, with what each of them scores and takes."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evomnas.cli import completion
from evomnas.cli.app import app, open_for_training, repeatable, reported
from evomnas.cli.display.check_output import check_files
from evomnas.cli.display.full_scores import print_constant_answer
from evomnas.cli.display.plan_display import KEPT, PlanDisplay
from evomnas.cli.options import (
    AcceptOption,
    DataOption,
    DeviceOption,
    EpochsOption,
    FormatOption,
    FullSettingsOption,
    TrainedPrecisionOption,
    full_settings,
)
from evomnas.cli.output import PlainFormat, print_columns
from evomnas.cli.progress import ProgressDisplay
from evomnas.cli.show import find_architecture
from evomnas.core.errors import InputError
from evomnas.core.system.shell import quote

if TYPE_CHECKING:  # imported where they are used, so that --help does not wait for torch
    from evomnas.deploy.export import ExportResult
    from evomnas.deploy.folders.training_folders import Training
    from evomnas.deploy.formats.exported_files import Export
    from evomnas.results.evaluation import Score


@app.command()
@reported
def export(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="RUN", help="Folder of a run, or packed run; with --check also an exported file.",
            autocompletion=completion.runs,
        ),
    ],
    arch: Annotated[
        str | None,
        typer.Argument(
            metavar="[ARCH]", help="Network that evomnas train has trained.", autocompletion=completion.networks
        ),
    ] = None,
    to: Annotated[
        list[str] | None,
        typer.Option(
            "--to", show_default=False,
            help="Format: onnx, executorch or litert; python or torch-export, for PyTorch without evomnas. "
            "Can be repeated. [default: onnx]",
        ),
    ] = None,
    quantize: Annotated[
        str | None, typer.Option("--quantize", metavar="int8", help="Write int8 files, too.", show_default=False)
    ] = None,
    prune: Annotated[
        float | None,
        typer.Option(
            "--prune", metavar="SHARE", help="Write files without this share of the weights, too.", show_default=False
        ),
    ] = None,
    prune_channels: Annotated[
        float | None,
        typer.Option(
            "--prune-channels", metavar="SHARE", show_default=False,
            help="Write files without this share of the channels, too: smaller and faster ones.",
        ),
    ] = None,
    factorize: Annotated[
        float | None,
        typer.Option(
            "--factorize", metavar="SHARE", show_default=False,
            help="Write files whose head and classifier are two factors each, with this share of their weights, too.",
        ),
    ] = None,
    huffman: Annotated[bool, typer.Option("--huffman", help="Print the size of Huffman-coded int8 weights.")] = False,
    any_size: Annotated[
        bool, typer.Option("--any-size", help="Files take images of any size and resize them (onnx, litert).")
    ] = False,
    any_batch: Annotated[
        bool, typer.Option("--any-batch", help="Files take any number of images at once (onnx, litert).")
    ] = False,
    check: Annotated[
        Path | None,
        typer.Option(
            "--check", metavar="DIR", show_default=False,
            help="Run the files on a folder of images, and compare their classes with the names of its folders.",
        ),
    ] = None,
    teacher: Annotated[
        bool, typer.Option("--teacher", help="Export the network that was trained with --teacher.")
    ] = False,
    epochs: EpochsOption = None,
    precision: TrainedPrecisionOption = None,
    settings: FullSettingsOption = None,
    data: DataOption = None,
    accept_changes: AcceptOption = False,
    device: DeviceOption = "auto",
    output: FormatOption = PlainFormat.TABLE,
) -> None:  # fmt: skip
    """Export a trained network, run each file on the test images, and measure its latency."""
    if quantize not in (None, "int8"):
        raise InputError(f"--quantize knows int8 alone, not {quantize!r}")
    if arch is None:
        _check_file_alone(folder, check, output)
        return
    if check is not None and not check.is_dir():  # before anything is written
        raise InputError(f"{check} is no folder: --check takes a folder of images, with a folder for each class")
    changes = full_settings(epochs, settings, precision)
    with repeatable(KEPT), ProgressDisplay("starting") as display:
        from evomnas.deploy.formats.request import Request

        formats = tuple(dict.fromkeys(to or ["onnx"]))
        request = Request(formats, quantize is not None, prune, prune_channels, factorize, huffman, any_size, any_batch)
        opened = open_for_training(folder, data, device, changes)
        network = find_architecture(arch, opened)
        request.check()  # all so far without torch, which ExecuTorch's own check loads
        from evomnas.deploy.export import export_network
        from evomnas.deploy.folders.training_folders import check_teacher
        from evomnas.report.run_report import write_report

        finds = opened.trained_problem().detects
        if finds and (any_size or any_batch or check is not None):
            raise InputError("--any-size, --any-batch and --check are for networks that tell classes apart")
        check_teacher(opened.trained_problem(), teacher)

        def show_choice(training: Training) -> None:
            if choice := training.describe_choice(changes, teacher):
                display.note(choice)

        shown = PlanDisplay(display, "Exporting")
        if finds:
            from evomnas.deploy.detection.detector_export import export_detector

            detector = export_detector(
                opened, network, request, device=device, settings=changes, accept_changes=accept_changes,
                on_training=show_choice, say=shown.show_step,
            )  # fmt: skip
        else:
            exported = export_network(
                opened, network, request, distilled=teacher, device=device, settings=changes,
                accept_changes=accept_changes, on_training=show_choice, on_plan=shown.begin, say=shown.show_step,
            )  # fmt: skip
        display.restart("writing the report")
        write_report(opened)
    if finds:
        from evomnas.cli.detection.shipped import print_exports

        print_exports(detector, output)
        return
    if output is PlainFormat.TABLE:
        _print_exports(exported)
    elif check is None:
        typer.echo(json.dumps([_export_row(export) for export in exported.exports], indent=2))
    if check is not None:
        check_files([exported.folder / name for name in exported.written], check, output)


def _check_file_alone(file: Path, folder: Path | None, output: PlainFormat) -> None:
    """Run a file on a folder of images, wherever it comes from."""
    if folder is None:
        raise InputError(f"export takes a network: evomnas export {quote(str(file))} ARCH; or a file and --check DIR")
    if file.is_dir():
        raise InputError(f"{file} is a folder: name a file of it to be checked, or the network as well")
    from evomnas.deploy.formats import FORMATS

    suffixes = [kind.suffix for kind in FORMATS.values()]
    if not file.exists():
        raise InputError(f"there is no file {file}: --check runs files that evomnas export wrote")
    if file.suffix.lower() not in suffixes:
        raise InputError(f"--check runs {', '.join(suffixes)} files alone, not {file}")
    check_files([file], folder, output)


def _export_row(export: Export) -> dict[str, Any]:
    return asdict(export) | {"accuracy": export.score.accuracy, "interval": list(export.score.interval)}


def _print_exports(exported: ExportResult) -> None:
    from evomnas.deploy.formats.gains import find_gain
    from evomnas.deploy.formats.pytorch.names import PYTORCH_SUFFIXES
    from evomnas.problem.sections import SCORE_WORDS
    from evomnas.results.answers.majority import Majority

    score, score_name = exported.score, exported.score_name
    others = () if score_name == "accuracy" else (f"test {SCORE_WORDS[score_name]}",)
    has_huffman = any(export.huffman_bytes is not None for export in exported.exports)  # where somebody asked for it
    rows = []
    for export in exported.exports:
        unmeasured = "-" if export.format in PYTORCH_SUFFIXES else "failed"
        latency = unmeasured if export.latency_ms is None else f"{export.latency_ms:.4f}"
        interval = "-" if export.low_ms is None else f"{export.low_ms:.4f} to {export.high_ms:.4f}"
        sizes = [_kib(size) for size in (export.bytes, export.packed_bytes, export.huffman_bytes)][: 2 + has_huffman]
        other = export.score_of(score_name)
        other_cells = ["-" if other is None else f"{other:.2%}"] * len(others)
        accuracy = (*_score_cells(export.score), *other_cells, f"{export.agreement:.2%}")
        gain = find_gain(export, exported.exports)
        brings = "" if gain is None else gain.text
        rows.append((export.format, export.variant, *accuracy, latency, interval, *sizes, brings))
    header = (
        "format", "variant", "test accuracy", "95 % interval", *others, "as PyTorch", "latency ms",
        "95 % interval", "KiB", "packed KiB", *["Huffman KiB"] * has_huffman,
        "against float",
    )  # fmt: skip
    print_columns(header, rows, left=2)
    accuracy_text, interval = _score_cells(score)
    of_score = f"{exported.confusion.score(score_name):.2%} {SCORE_WORDS[score_name]}"
    other_text = "" if score_name == "accuracy" else f", {of_score}"
    typer.echo(f"In PyTorch: {accuracy_text} ({interval}) of {score.images:,} test images{other_text}.")
    print_constant_answer(Majority.of(exported.confusion, exported.classes), score_name)
    for line in exported.advice:
        typer.echo(line)
    typer.echo(f"\nFiles:   {exported.folder}")


def _kib(size: int | None) -> str:
    return "-" if size is None else f"{size / 1024:.1f}"


def _score_cells(score: Score | None) -> tuple[str, str]:
    """Return accuracy and interval as cells of a table."""
    if score is None:
        return "failed", "-"
    low, high = score.interval
    return f"{score.accuracy:.2%}", f"{low:.2%} to {high:.2%}"
