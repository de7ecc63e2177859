"""Train detectors of objects on the trained networks of a run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evomnas.cli import completion
from evomnas.cli.app import RunArgument, app, open_run, repeatable, reported
from evomnas.cli.options import DeviceOption, FormatOption
from evomnas.cli.output import PlainFormat, print_columns
from evomnas.cli.progress import ProgressDisplay
from evomnas.cli.show import find_architecture
from evomnas.core.errors import InputError
from evomnas.core.resolution import parse_resolution
from evomnas.core.system.device import check_device

if TYPE_CHECKING:  # imported where they are used, so that --help does not wait for torch
    from evomnas.deploy.detection.detectors import RunDetector
    from evomnas.problem.sections import DataSection

KEPT = "detectors that are trained are kept, and of a training the state that is saved every 20 seconds"


@app.command()
@reported
def detect(
    folder: RunArgument,
    archs: Annotated[
        list[str],
        typer.Argument(
            metavar="ARCH",
            help="Networks that evomnas train has trained, or published ones whose weights are here.",
            autocompletion=completion.networks,
        ),
    ],
    data: Annotated[
        Path,
        typer.Option(
            "--data", metavar="PATH", help="Pictures with boxes: COCO's .json, or a folder of COCO, Pascal VOC or YOLO."
        ),
    ],
    resolution: Annotated[
        str, typer.Option("--resolution", metavar="N|HxW", help="Image size in pixels, from 96 to 512 a side.")
    ] = "320",
    epochs: Annotated[int, typer.Option("--epochs", help="Passes over the training images.")] = 20,
    to: Annotated[
        list[str] | None,
        typer.Option("--to", help="Write a file for devices: onnx, litert or executorch. Can be repeated."),
    ] = None,
    suppress: Annotated[
        bool, typer.Option("--suppress", help="Let the ONNX file say which boxes are left after suppression.")
    ] = False,
    device: DeviceOption = "auto",
    output: FormatOption = PlainFormat.TABLE,
) -> None:
    """Train detectors of objects on trained networks, and score them on the test images beside MobileNetV2's."""
    if not 1 <= epochs <= 100_000:
        raise InputError(f"--epochs must lie between 1 and 100000, got {epochs}")
    if suppress and not to:
        raise InputError("--suppress is a part of the ONNX file: add --to onnx")
    with repeatable(KEPT), ProgressDisplay("starting") as display:
        check_device(device)
        pictures = _section(data, resolution)
        opened = open_run(folder)
        architectures = [find_architecture(text, opened) for text in archs]
        from evomnas.deploy.detection.detectors import train_detectors
        from evomnas.training.detection.detector_training import RECIPE

        recipe = RECIPE.model_copy(update={"epochs": epochs})

        def show_epoch(name: str, epoch: int, epochs: int, loss: float) -> None:
            if display.description != name:
                display.restart(name, epochs)
            display.show(name, epoch, epochs, f"loss {loss:.3f}")
            display.log(f"{name}: epoch {epoch} of {epochs}, loss {loss:.3f}", is_due=epoch == epochs)

        def show_step(text: str) -> None:
            display.restart(text)
            display.log(text, is_due=True)

        trained = list(
            train_detectors(
                opened, architectures, pictures, recipe, device=device,
                formats=list(dict.fromkeys(to or [])), suppress=suppress, say=show_step, on_progress=show_epoch,
            )
        )  # fmt: skip
    if output is PlainFormat.JSON:
        typer.echo(json.dumps([_row(detector) for detector in trained], indent=2))
    else:
        _print(trained)


def _section(data: Path, resolution: str) -> DataSection:
    from evomnas.problem.detection.plan import check_detector_resolution
    from evomnas.problem.sections import BOXES, DataSection

    path = data.expanduser()
    if not path.exists():
        raise InputError(f"there is nothing at {data}: --data takes pictures with boxes")
    size = parse_resolution(resolution)
    check_detector_resolution(size)
    return DataSection(dataset=BOXES, path=path.resolve(), resolution=size)


def _row(detector: RunDetector) -> dict[str, Any]:
    manifest = detector.manifest
    test, latency = manifest.test, manifest.latency
    return {
        "id": detector.network.id,
        "network": manifest.network,
        "reference": detector.is_reference,
        "folder": str(detector.folder),
        "test_ap": test.ap,
        "test_ap_interval": test.ap_interval,
        "test_ap50": test.ap50,
        "test_ap50_interval": test.ap50_interval,
        "by_class": test.by_class,
        "test_images": test.images,
        "params": manifest.params,
        "macs": manifest.macs,
        "latency_ms": None if latency is None else latency.ms,
        "latency_ci": None if latency is None else list(latency.interval),
        "start": manifest.start,
        "files": [
            {"file": str(file.file), "format": file.format, "difference": file.difference, "bytes": file.bytes}
            for file in detector.files
        ],
    }


def _print(trained: Sequence[RunDetector]) -> None:
    rows = []
    for detector in trained:
        manifest = detector.manifest
        test, latency = manifest.test, manifest.latency
        rows.append((
            f"MobileNetV2 {detector.network.id}" if detector.is_reference else detector.network.id,
            f"{test.ap:.1%}", _interval(test.ap_interval), f"{test.ap50:.1%}", _interval(test.ap50_interval),
            f"{manifest.params:,}", f"{manifest.macs:,}", "-" if latency is None else f"{latency.ms:.4f}",
        ))  # fmt: skip
    header = ("network", "test AP", "95 % interval", "AP50", "95 % interval", "parameters", "MACs", "latency ms")
    print_columns(header, rows, left=1)
    typer.echo(f"{trained[0].manifest.test.images:,} test images; intervals are bootstrapped over them.")
    for detector in trained:
        typer.echo(f"{detector.network.id}: {detector.folder}, from {detector.manifest.start}")
        for file in detector.files:
            typer.echo(f"  {file.file.name}: {file.bytes / 1024:,.0f} KiB, at most {file.difference:.1g} from PyTorch")


def _interval(ends: tuple[float, float] | None) -> str:
    return "-" if ends is None else f"{ends[0]:.1%} to {ends[1]:.1%}"
