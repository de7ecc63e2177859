"""Latency on devices: measure networks, list runtimes, judge whether this machine is fit to measure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evomnas.cli.app import app, reported
from evomnas.cli.output import PlainFormat, print_columns, working
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
    typer.Option("--target", help="local, or ssh://user@host:port [default: local, or the run's]", show_default=False),
]
RuntimeOption = Annotated[
    str | None, typer.Option("--runtime", help="[default: onnxruntime, or the run's]", show_default=False)
]
ThreadsOption = Annotated[
    int | None, typer.Option("--threads", help="Per inference [default: 1, or the run's]", show_default=False)
]


@app.command()
@reported
def measure(
    archs: Annotated[
        list[str] | None, typer.Argument(metavar="ARCH...", help="Ids of a run, published names, or notations.")
    ] = None,
    run_folder: Annotated[
        Path | None, typer.Option("--run", help="The run that ids belong to; gives device, images and classes too.")
    ] = None,
    runtime: RuntimeOption = None,
    target: TargetOption = None,
    threads: ThreadsOption = None,
    resolution: Annotated[
        int | None,
        typer.Option("--resolution", help="Pixels per side [default: 224, or the run's]", show_default=False),
    ] = None,
    repeat: Annotated[int, typer.Option("--repeat", help="Sessions, to see how well they agree.")] = 1,
    check_layers: Annotated[
        int | None,
        typer.Option("--check-layers", metavar="N", help="Compare a table of layers with N random networks instead."),
    ] = None,
    output: Annotated[PlainFormat, typer.Option("--format", help="How to print.")] = PlainFormat.TABLE,
) -> None:
    """Measure the latency of architectures, each with its interval."""
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
    rows = [_row(one, [session[one] for session in sessions], setting) for one in architectures]
    if output is PlainFormat.JSON:
        typer.echo(json.dumps(rows, indent=2))
    else:
        _print_measured(archs or [], rows, setting, repeat)
    if any(row["latency_ms"] is None for row in rows):
        raise typer.Exit(1)


def _check_layers(setting: Setting, opened: Run | None, count: int, output: PlainFormat) -> None:
    """Measure random networks of the run's space, or the paper's, whole and by their layers."""
    import numpy as np

    from evomnas.latency.layers.prepare_layers import prepare_parts as prepare_one
    from evomnas.latency.layers.stages import Parts
    from evomnas.latency.layers.table import LayerTable, check_table
    from evomnas.latency.meter import Meter
    from evomnas.latency.prepare import prepare_here
    from evomnas.latency.runtimes.base import open_runtime
    from evomnas.problem.search_space import SearchSpace
    from evomnas.results.archive import Archive

    space = SearchSpace() if opened is None else opened.trained_problem().space
    space.mobilenet_v2().check_resolution(setting.resolution)
    runtime, shape = open_runtime(setting.runtime), (setting.classes, setting.channels, setting.resolution)
    with working() as say:

        def prepare(
            architectures: Sequence[Architecture],
        ) -> Iterator[tuple[Architecture, tuple[Cost, PreparedNetwork]]]:
            for number, one in enumerate(architectures, start=1):
                say(f"networks: {number} of {len(architectures)}")
                yield one, prepare_here(setting, one)

        def prepare_parts(parts: Sequence[Parts]) -> Iterator[tuple[Parts, list[PreparedNetwork]]]:
            for number, one in enumerate(parts, start=1):
                say(f"layers: {number} of {len(parts)} networks")
                yield one, prepare_one(runtime, one, *shape, setting.batch)

        meter = Meter(setting, lambda one: prepare_here(setting, one)[1], Archive())
        try:
            table = LayerTable(meter, space, prepare, prepare_parts)
            rng = np.random.default_rng(1)  # other networks than those that the table is fitted to
            networks = [space.decode(genome) for genome in space.sample(count, rng)]
            found = check_table(table, meter, prepare, networks)
        finally:
            meter.close()
    if output is PlainFormat.JSON:
        typer.echo(json.dumps({"runtime": setting.runtime, "target": setting.target, **asdict(found)}, indent=2))
    else:
        typer.echo(
            f"{found.networks} networks, whole and by their layers: Kendall tau {found.tau:.3f}, "
            f"mean error {found.mean_error:.1%}, largest {found.largest_error:.1%}\n"
            f"whole and whole again: Kendall tau {found.tau_whole:.3f}"
        )


def _setting(opened: Run | None, **given: Any) -> Setting:
    """The run's device, or this machine with the paper's images, changed by what was given."""
    from evomnas.latency.setting import Setting, default_reference

    if opened is not None:
        latency, shape = opened.trained_problem().latency, opened.network_shape
        values = latency.model_dump(include={"runtime", "target", "threads", "batch"}) | shape
        reference = opened.trained_problem().space.mobilenet_v2()
    else:
        values = {"runtime": "onnxruntime", "target": "local", "threads": 1, "batch": 1}
        values |= {"channels": 3, "resolution": 224, "classes": 1000}
        reference = None
    values |= {name: value for name, value in given.items() if value is not None}
    for name, most in (("threads", 1024), ("resolution", 4096)):
        if not 1 <= values[name] <= most:
            raise InputError(f"--{name} must lie between 1 and {most}, got {values[name]}")
    if reference is not None:
        reference.check_resolution(values["resolution"])
    setting = Setting(**values, reference=reference or default_reference(values["resolution"]))
    setting.check()
    return setting


def _sessions(
    setting: Setting, architectures: list[Architecture], count: int
) -> Iterator[dict[Architecture, Measurement | Failure]]:
    """What each of `count` sessions measures; every one loads all networks anew."""
    from evomnas.latency.meter import Meter
    from evomnas.latency.prepare import prepare_here
    from evomnas.results.archive import Archive

    with working() as say:
        prepared: dict[Architecture, tuple[Cost, PreparedNetwork]] = {}
        references: list[PreparedNetwork] = []

        def reference(architecture: Architecture) -> PreparedNetwork:
            if not references:
                references.append(prepare_here(setting, architecture)[1])
            return references[0]

        for session in range(1, count + 1):
            meter = Meter(setting, reference, Archive())  # first: it says at once if the device cannot be reached
            try:
                for number, one in enumerate(architectures, start=1):
                    if one not in prepared:
                        say(f"preparing {number} of {len(architectures)}")
                        prepared[one] = prepare_here(setting, one)
                say(f"measuring, session {session} of {count}")
                yield dict(meter.measure(prepared, lambda: say("waiting for another run's training or latency")))
            finally:
                meter.close()


def _row(architecture: Architecture, results: Sequence[Measurement | Failure], setting: Setting) -> dict[str, Any]:
    import numpy as np

    from evomnas.results.evaluation import Measurement

    good = [one for one in results if isinstance(one, Measurement)]
    latencies = [one.latency_ms for one in good]
    failure = next((one for one in results if not isinstance(one, Measurement)), None)
    first = good[0] if good else None
    return {
        "architecture": str(architecture),
        "id": architecture.id,
        "latency_ms": float(np.median(latencies)) if good else None,
        "latency_ci": [min(one.low_ms for one in good), max(one.high_ms for one in good)] if good else None,
        "rounds": sum(len(one.samples) for one in good),
        "precise": all(one.precise for one in good) if good else None,
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
    """List what can run networks: what is installed, and the line that installs the rest."""
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
    """Say whether this machine is fit to search and to measure, and what to do about it."""
    from evomnas.latency.doctor import examine

    findings = examine()
    width = max(len(one.name) for one in findings)
    for one in findings:
        typer.echo(f"{'!' if one.advice else ' '} {one.name.ljust(width)}  {one.found}")
        if one.advice:
            typer.echo(f"  {' ' * width}  -> {one.advice}")
    if not any(one.advice for one in findings):
        typer.echo("\nThis machine is fit to search and to measure.")
