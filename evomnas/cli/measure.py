"""Latency on devices: measure networks, list runtimes, check whether this machine is fit to measure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evomnas.cli.app import app, reported
from evomnas.cli.options import FormatOption
from evomnas.cli.output import PlainFormat, print_columns
from evomnas.cli.progress import working
from evomnas.cli.show import find_architecture
from evomnas.core.errors import InputError

if TYPE_CHECKING:
    from evomnas.latency.runtimes.base import PreparedNetwork
    from evomnas.latency.setting import Setting
    from evomnas.problem.architecture import Architecture
    from evomnas.results.evaluation import Cost, Failure, Measurement
    from evomnas.results.run import Run

TargetOption = Annotated[
    str | None,
    typer.Option(
        "--target",
        show_default=False,
        help="Device to measure on: local, or ssh://user@host:port [default: local, or the run's]",
    ),
]
RuntimeOption = Annotated[
    str | None,
    typer.Option("--runtime", help="Runtime of the networks [default: onnxruntime, or the run's]", show_default=False),
]
ThreadsOption = Annotated[
    int | None, typer.Option("--threads", help="Threads per inference [default: 1, or the run's]", show_default=False)
]


@app.command()
@reported
def measure(
    archs: Annotated[
        list[str] | None,
        typer.Argument(metavar="ARCH...", help="Ids of a run, names of published networks, or notations."),
    ] = None,
    run_folder: Annotated[
        Path | None,
        typer.Option("--run", help="Run that the ids belong to. Device, image size and classes are the run's, too."),
    ] = None,
    runtime: RuntimeOption = None,
    target: TargetOption = None,
    threads: ThreadsOption = None,
    resolution: Annotated[
        int | None,
        typer.Option(
            "--resolution", help="Image size, in pixels per side [default: 224, or the run's]", show_default=False
        ),
    ] = None,
    repeat: Annotated[int, typer.Option("--repeat", help="Number of sessions. Several show how well they agree.")] = 1,
    check_layers: Annotated[
        int | None,
        typer.Option("--check-layers", metavar="N", help="Check a table of layers with N random networks instead."),
    ] = None,
    output: FormatOption = PlainFormat.TABLE,
) -> None:
    """Measure the latency of networks, each with its interval."""
    from evomnas.results.run import Run

    if bool(archs) == (check_layers is not None):
        raise InputError("measure takes architectures, as in evomnas measure mnasnet-a1, or --check-layers N")
    if not 1 <= repeat <= 1000:
        raise InputError(f"--repeat must lie between 1 and 1000, got {repeat}")
    opened = None if run_folder is None else Run.open(run_folder)
    architectures = [find_architecture(text, opened) for text in archs or []]
    setting = _setting(opened, runtime=runtime, target=target, threads=threads, resolution=resolution)
    if check_layers is not None:
        if not 2 <= check_layers <= 10_000:
            raise InputError(f"--check-layers must lie between 2 and 10000, got {check_layers}")
        _check_layers(setting, opened, check_layers, output)
        return
    for architecture in architectures:
        architecture.check_resolution(setting.resolution)
    sessions = list(_sessions(setting, list(dict.fromkeys(architectures)), repeat))
    rows = [
        _row(architecture, [session[architecture] for session in sessions], setting) for architecture in architectures
    ]
    if output is PlainFormat.JSON:
        typer.echo(json.dumps(rows, indent=2))
    else:
        _print_measured(archs or [], rows, setting, repeat)
    if any(row["latency_ms"] is None for row in rows):
        raise typer.Exit(1)


def _check_layers(setting: Setting, opened: Run | None, count: int, output: PlainFormat) -> None:
    """Measure random networks of the run's space, or of the paper's, as a whole and by their layers."""
    import numpy as np

    from evomnas.latency.layers.prepare_layers import prepare_parts as prepare_network_parts
    from evomnas.latency.layers.stages import Parts
    from evomnas.latency.layers.table import LayerTable, check_table
    from evomnas.latency.meter import open_meter
    from evomnas.latency.prepare import prepare_here
    from evomnas.latency.runtimes.base import open_runtime
    from evomnas.problem.search_space import SearchSpace

    space = SearchSpace() if opened is None else opened.trained_problem().space
    space.mobilenet_v2().check_resolution(setting.resolution)
    runtime, shape = open_runtime(setting.runtime), (setting.classes, setting.channels, setting.resolution)
    with working() as show_words:

        def prepare(
            architectures: Sequence[Architecture],
        ) -> Iterator[tuple[Architecture, tuple[Cost, PreparedNetwork]]]:
            for number, architecture in enumerate(architectures, start=1):
                show_words(f"networks: {number} of {len(architectures)}")
                yield architecture, prepare_here(setting, architecture)

        def prepare_parts(all_parts: Sequence[Parts]) -> Iterator[tuple[Parts, list[PreparedNetwork]]]:
            for number, parts in enumerate(all_parts, start=1):
                show_words(f"layers: {number} of {len(all_parts)} networks")
                yield parts, prepare_network_parts(runtime, parts, *shape, setting.batch)

        with open_meter(setting) as meter:
            table = LayerTable(meter, space, prepare, prepare_parts)
            rng = np.random.default_rng(1)  # other networks than those that the table is fitted to
            networks = [space.decode(genome) for genome in space.sample(count, rng)]
            agreement = check_table(table, meter, prepare, networks)
    if output is PlainFormat.JSON:
        typer.echo(json.dumps({"runtime": setting.runtime, "target": setting.target, **asdict(agreement)}, indent=2))
    else:
        typer.echo(
            f"{agreement.networks} networks, whole and by their layers: Kendall tau {agreement.tau:.3f}, "
            f"mean error {agreement.mean_error:.1%}, largest {agreement.largest_error:.1%}\n"
            f"whole and whole again: Kendall tau {agreement.tau_whole:.3f}"
        )


def _setting(opened: Run | None, **typed: Any) -> Setting:
    """Return the run's device, or this machine with the paper's images, changed by the options that were typed."""
    from evomnas.latency.setting import Setting, default_reference

    if opened is not None:
        latency, shape = opened.trained_problem().latency, opened.network_shape
        values = latency.model_dump(include={"runtime", "target", "threads", "batch"}) | shape
        reference = opened.trained_problem().space.mobilenet_v2()
    else:
        values = {"runtime": "onnxruntime", "target": "local", "threads": 1, "batch": 1}
        values |= {"channels": 3, "resolution": 224, "classes": 1000}
        reference = None
    values |= {name: value for name, value in typed.items() if value is not None}
    for name, maximum in (("threads", 1024), ("resolution", 4096)):
        if not 1 <= values[name] <= maximum:
            raise InputError(f"--{name} must lie between 1 and {maximum}, got {values[name]}")
    if reference is not None:
        reference.check_resolution(values["resolution"])
    setting = Setting(**values, reference=reference or default_reference(values["resolution"]))
    setting.check()
    return setting


def _sessions(
    setting: Setting, architectures: list[Architecture], count: int
) -> Iterator[dict[Architecture, Measurement | Failure]]:
    """Yield the results of each of `count` sessions. Every session loads all networks anew."""
    from evomnas.latency.meter import open_meter
    from evomnas.latency.prepare import prepare_here

    with working() as show_words:
        prepared: dict[Architecture, tuple[Cost, PreparedNetwork]] = {}
        references: list[PreparedNetwork] = []

        def reference(architecture: Architecture) -> PreparedNetwork:
            if not references:
                references.append(prepare_here(setting, architecture)[1])
            return references[0]

        for session in range(1, count + 1):
            # Before any network is prepared, as it fails at once if the device cannot be reached.
            with open_meter(setting, prepare=reference) as meter:
                for number, architecture in enumerate(architectures, start=1):
                    if architecture not in prepared:
                        show_words(f"preparing {number} of {len(architectures)}")
                        prepared[architecture] = prepare_here(setting, architecture)
                show_words(f"measuring, session {session} of {count}")
                wait = partial(show_words, "waiting for another run's training or latency")
                yield dict(meter.measure(prepared, wait))


def _row(architecture: Architecture, results: Sequence[Measurement | Failure], setting: Setting) -> dict[str, Any]:
    import numpy as np

    from evomnas.results.evaluation import Measurement

    measurements = [result for result in results if isinstance(result, Measurement)]
    latencies = [measurement.latency_ms for measurement in measurements]
    failure = next((result for result in results if not isinstance(result, Measurement)), None)
    first = measurements[0] if measurements else None
    lows, highs = [result.low_ms for result in measurements], [result.high_ms for result in measurements]
    return {
        "architecture": str(architecture),
        "id": architecture.id,
        "latency_ms": float(np.median(latencies)) if measurements else None,
        "latency_ci": [min(lows), max(highs)] if measurements else None,
        "rounds": sum(len(measurement.samples) for measurement in measurements),
        "precise": all(measurement.precise for measurement in measurements) if measurements else None,
        "load": first.load if first else None,
        "sessions": latencies,
        "runtime": setting.runtime,
        "target": setting.target,
        "threads": setting.threads,
        "resolution": setting.resolution,
        "failure": None if failure is None else failure.message,
    }


def _print_measured(names: list[str], rows: list[dict[str, Any]], setting: Setting, repeat: int) -> None:
    header = ["network", "latency ms", "95 % interval", "rounds", "busy cores"]
    table: list[tuple[str, ...]] = []
    for name, row in zip(names, rows, strict=True):
        label = name if len(name) <= 24 else row["id"]
        if row["latency_ms"] is None:
            table.append((label, "failed", row["failure"], "-", "-"))
            continue
        low, high = row["latency_ci"]
        load = "-" if row["load"] is None else f"{row['load']:.1f}"
        cells = [label, f"{row['latency_ms']:.4f}", f"{low:.4f} to {high:.4f}", str(row["rounds"]), load]
        if repeat > 1:
            spread = (max(row["sessions"]) - min(row["sessions"])) / row["latency_ms"]
            cells.append(f"{spread:.1%}")
        table.append(tuple(cells))
    print_columns((*header, "spread") if repeat > 1 else tuple(header), table, left=1)
    shape = f"{setting.batch}x{setting.channels}x{setting.resolution}x{setting.resolution}"
    threads = f"{setting.threads} thread" + "s" * (setting.threads > 1)
    typer.echo(f"{setting.runtime} on {setting.target}, {threads}, images {shape}, MobileNetV2 {setting.reference.id}")
    if repeat > 1:
        typer.echo(f"{repeat} sessions: medians, intervals that span all, spread as (largest - smallest) / median")
    if not all(row["precise"] for row in rows if row["precise"] is not None):
        typer.echo("Some intervals are wider than 1 %: evomnas doctor says whether the machine is busy.")


@app.command()
@reported
def runtimes() -> None:
    """List the runtimes for networks, and how to install those that are missing."""
    from evomnas.core import registry
    from evomnas.latency.runtimes.base import Runtime, installed_version

    rows = []
    for name in registry.available("runtimes"):
        runtime: Runtime = registry.load("runtimes", name)()
        version = installed_version(runtime)
        rows.append((name, version or "not installed", "" if version else runtime.install))
    print_columns(("runtime", "version", "install with"), rows, left=3)


@app.command()
@reported
def doctor() -> None:
    """Check whether this machine is fit to search and to measure."""
    from evomnas.latency.doctor import examine

    findings = examine()
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        typer.echo(f"{'!' if finding.advice else ' '} {finding.name.ljust(width)}  {finding.state}")
        if finding.advice:
            typer.echo(f"  {' ' * width}  -> {finding.advice}")
    if not any(finding.advice for finding in findings):
        typer.echo("\nThis machine is fit to search and to measure.")
