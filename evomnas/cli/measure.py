"""Latency on devices: measure networks, list runtimes, check whether this machine is fit to measure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, get_args

import typer

from evomnas.cli import completion
from evomnas.cli.app import app, open_run, reported
from evomnas.cli.options import FormatOption, ResolutionOption, read_resolution
from evomnas.cli.output import PlainFormat, print_columns
from evomnas.cli.progress import working
from evomnas.cli.show import find_architecture
from evomnas.core.errors import InputError
from evomnas.core.resolution import MAX_PIXELS, Resolution, sides

if TYPE_CHECKING:
    from evomnas.latency.onnx_file import OnnxFile
    from evomnas.latency.runtimes.base import PreparedNetwork
    from evomnas.latency.setting import Setting
    from evomnas.problem.architecture import Architecture
    from evomnas.results.evaluation import Cost, Failure
    from evomnas.results.run import Run
    from evomnas.results.timing import Ratio

TargetOption = Annotated[
    str | None,
    typer.Option(
        "--target",
        show_default=False,
        help="Device to measure on: local, ssh://user@host:port, or adb://SERIAL [default: local, or the run's]",
    ),
]
RuntimeOption = Annotated[
    str | None,
    typer.Option("--runtime", help="Runtime of the networks [default: onnxruntime, or the run's]", show_default=False),
]
RuntimesOption = Annotated[
    str | None,
    typer.Option(
        "--runtimes",
        metavar="NAMES",
        show_default=False,
        help="Several runtimes side by side: names with commas between them, or all for those that are installed.",
    ),
]
ProviderOption = Annotated[
    str | None,
    typer.Option(
        "--provider",
        show_default=False,
        help="What the runtime runs them on: cpu, or what evomnas runtimes lists [default: cpu, or the run's]",
    ),
]
PrecisionOption = Annotated[
    str | None,
    typer.Option(
        "--precision", help="float, or int8 for int8 files [default: float, or the run's]", show_default=False
    ),
]
ALL = "all"  # in place of the names of runtimes
ThreadsOption = Annotated[
    int | None, typer.Option("--threads", help="Threads per inference [default: 1, or the run's]", show_default=False)
]


@app.command()
@reported
def measure(
    archs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="ARCH...",
            help="Ids of a run, names of published networks, notations, or ONNX files.",
            autocompletion=completion.networks,
        ),
    ] = None,
    run_folder: Annotated[
        Path | None,
        typer.Option(
            "--run",
            help="Run that the ids belong to. Device, image size and classes are the run's, too.",
            autocompletion=completion.runs,
        ),
    ] = None,
    runtime: RuntimeOption = None,
    runtimes: RuntimesOption = None,
    provider: ProviderOption = None,
    precision: PrecisionOption = None,
    target: TargetOption = None,
    threads: ThreadsOption = None,
    resolution: ResolutionOption = None,
    repeat: Annotated[int, typer.Option("--repeat", help="Number of sessions. Several show how well they agree.")] = 1,
    check_layers: Annotated[
        int | None,
        typer.Option("--check-layers", metavar="N", help="Check a table of layers with N random networks instead."),
    ] = None,
    output: FormatOption = PlainFormat.TABLE,
) -> None:
    """Measure the latency of networks, each with its interval."""
    if bool(archs) == (check_layers is not None):
        raise InputError(
            "measure takes architectures or ONNX files, as in evomnas measure mnasnet-a1, or --check-layers N"
        )
    if not 1 <= repeat <= 1000:
        raise InputError(f"--repeat must lie between 1 and 1000, got {repeat}")
    if runtimes is not None and (runtime is not None or check_layers is not None):
        raise InputError("--runtimes goes neither with --runtime nor with --check-layers")
    opened = None if run_folder is None else open_run(run_folder)
    found = [_find_network(text, opened) for text in archs or []]
    size = read_resolution(resolution)
    typed = {"provider": provider, "precision": precision, "target": target, "threads": threads, "resolution": size}
    make_setting = partial(_setting, opened, **typed)
    if check_layers is not None:
        if not 2 <= check_layers <= 10_000:
            raise InputError(f"--check-layers must lie between 2 and 10000, got {check_layers}")
        _check_layers(make_setting(runtime=runtime), opened, check_layers, output)
        return
    if runtimes is None:
        setting = make_setting(runtime=runtime)
        tasks = [_Task(setting, _prepare_files(found, setting, size))]
    else:
        tasks = _tasks(runtimes, make_setting, found, size)
    all_rows = [task.measure(repeat) for task in tasks]
    if output is PlainFormat.JSON:
        typer.echo(json.dumps([row for rows in zip(*all_rows, strict=True) for row in rows], indent=2))
    elif runtimes is None:
        _print_measured(archs or [], all_rows[0], tasks[0].setting, repeat)
    else:
        _print_side_by_side(archs or [], all_rows, tasks[0].setting, repeat)
    if any(row["latency_ms"] is None for rows in all_rows for row in rows):
        raise typer.Exit(1)


class _Task(NamedTuple):
    """Networks to measure in one setting."""

    setting: Setting
    networks: list[Architecture | OnnxFile]

    def measure(self, repeat: int) -> list[dict[str, Any]]:
        """Return a row for each network, from a number of sessions."""
        sessions = list(_sessions(self.setting, list(dict.fromkeys(self.networks)), repeat))
        return [_row(network, [session[network] for session in sessions], self.setting) for network in self.networks]


def _tasks(
    wanted: str, make_setting: Callable[..., Setting], found: Sequence[Architecture | Path], size: Resolution | None
) -> list[_Task]:
    """Return the tasks of several runtimes. Of `all` runtimes, those that cannot do theirs are named and left out."""
    from evomnas.core import registry
    from evomnas.latency.runtimes.base import CPU, open_runtime

    names = registry.available("runtimes") if wanted == ALL else [name.strip() for name in wanted.split(",")]
    tasks, reasons = [], {}
    for name in dict.fromkeys(names):
        try:
            setting = make_setting(runtime=registry.check("runtimes", name))
            open_runtime(name, setting.provider if setting.target == "local" else CPU)
            tasks.append(_Task(setting, _prepare_files(found, setting, size)))
        except InputError as error:
            if wanted != ALL:
                raise
            reasons[name] = str(error)
    if not tasks:
        raise InputError(next(iter(reasons.values())))
    for name, reason in reasons.items():
        typer.echo(f"without {name}: {reason}", err=True)
    return tasks


def _find_network(text: str, opened: Run | None) -> Architecture | Path:
    """Return the network that a user means, or the path of an ONNX file."""
    from evomnas.latency.onnx_file import is_onnx

    if is_onnx(text):
        return Path(text).expanduser()
    if Path(text).expanduser().is_file():
        raise InputError(f"{text} is no network: measure takes ONNX files, whose names end in .onnx")
    return find_architecture(text, opened)


def _prepare_files(
    found: Sequence[Architecture | Path], setting: Setting, resolution: Resolution | None
) -> list[Architecture | OnnxFile]:
    """Return the networks in their order, each ONNX file read once."""
    from evomnas.latency.onnx_file import read_onnx

    for network in found:
        if not isinstance(network, Path):
            network.check_resolution(setting.resolution)
    paths = dict.fromkeys(network for network in found if isinstance(network, Path))
    files = {path: read_onnx(path, setting.runtime, setting.target, resolution) for path in paths}
    return [files[network] if isinstance(network, Path) else network for network in found]


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
    replace(setting, method="layers").check()
    space.reference_network().check_resolution(setting.resolution)
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
    from evomnas.problem.sections import FLOAT, Precision

    if opened is not None:
        latency, shape = opened.trained_problem().latency, opened.network_shape
        values = latency.model_dump(include={"runtime", "provider", "precision", "target", "threads", "batch"}) | {
            **shape
        }
        values["kind"] = opened.definition.kind
        reference = opened.trained_problem().space.reference_network()
    else:
        values = {"runtime": "onnxruntime", "target": "local", "threads": 1, "batch": 1}
        values |= {"channels": 3, "resolution": 224, "classes": 1000}
        reference = None
    values |= {name: value for name, value in typed.items() if value is not None}
    for name, maximum, numbers in (
        ("threads", 1024, [values["threads"]]), ("resolution", MAX_PIXELS, sides(values["resolution"]))
    ):  # fmt: skip
        for number in numbers:
            if not 1 <= number <= maximum:
                raise InputError(f"--{name} must lie between 1 and {maximum}, got {number}")
    if reference is not None:
        reference.check_resolution(values["resolution"])
    if values.get("precision", FLOAT) not in get_args(Precision):
        raise InputError(f"--precision is {' or '.join(get_args(Precision))}, got {values['precision']}")
    setting = Setting(**values, reference=reference or default_reference(values["resolution"]))
    setting.check()
    return setting


def _sessions(
    setting: Setting, networks: list[Architecture | OnnxFile], count: int
) -> Iterator[dict[Architecture | OnnxFile, _Latency | Failure]]:
    """Yield the results of each of `count` sessions. Every session loads all networks anew."""
    from evomnas.latency.meter import open_meter
    from evomnas.latency.onnx_file import OnnxFile
    from evomnas.latency.prepare import prepare_here
    from evomnas.results.evaluation import Failure

    with working() as show_words:
        prepared: dict[Architecture | OnnxFile, PreparedNetwork] = {}
        references: list[PreparedNetwork] = []

        def reference(architecture: Architecture) -> PreparedNetwork:
            if not references:
                references.append(prepare_here(setting, architecture)[1])
            return references[0]

        for session in range(1, count + 1):
            # Before any network is prepared, as it fails at once if the device cannot be reached.
            with open_meter(setting, prepare=reference) as meter:
                for number, one in enumerate(networks, start=1):
                    if one not in prepared:
                        show_words(f"preparing {number} of {len(networks)}")
                        prepared[one] = one.prepared if isinstance(one, OnnxFile) else prepare_here(setting, one)[1]
                show_words(f"measuring, session {session} of {count}")
                scale_ms = meter.calibration.latency_ms
                wait = partial(show_words, "waiting for another run's training or latency")
                yield {
                    one: ratio if isinstance(ratio, Failure) else _Latency(scale_ms, ratio)
                    for one, ratio in meter.compare(prepared, wait)
                }


class _Latency(NamedTuple):
    """A latency relative to the reference network, and that network's own in milliseconds."""

    scale_ms: float
    ratio: Ratio


def _row(network: Architecture | OnnxFile, results: Sequence[_Latency | Failure], setting: Setting) -> dict[str, Any]:
    import numpy as np

    from evomnas.latency.onnx_file import OnnxFile

    measured = [result for result in results if isinstance(result, _Latency)]
    latencies = [scale_ms * ratio.ratio for scale_ms, ratio in measured]
    lows = [scale_ms * ratio.low for scale_ms, ratio in measured]
    highs = [scale_ms * ratio.high for scale_ms, ratio in measured]
    failure = next((result for result in results if not isinstance(result, _Latency)), None)
    file = network if isinstance(network, OnnxFile) else None
    images = (setting.batch, setting.channels, *sides(setting.resolution))
    shape = file.input_shape if file else images
    return {
        "architecture": None if file else str(network),
        "id": network.id,
        "latency_ms": float(np.median(latencies)) if measured else None,
        "latency_ci": [min(lows), max(highs)] if measured else None,
        "rounds": sum(len(ratio.samples) for _, ratio in measured),
        "precise": all(ratio.precise for _, ratio in measured) if measured else None,
        "load": measured[0].ratio.load if measured else None,
        "sessions": latencies,
        "runtime": setting.runtime,
        "provider": setting.provider,
        "precision": setting.precision,
        "target": setting.target,
        "threads": setting.threads,
        "resolution": setting.resolution if file is None else file.resolution,
        "failure": None if failure is None else failure.message,
        "file": str(file.path) if file else None,
        "input": list(shape),
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
    typer.echo(f"{setting.runtime} {_conditions(rows, setting)}")
    if repeat > 1:
        typer.echo(f"{repeat} sessions: medians, intervals that span all, spread as (largest - smallest) / median")
    if not all(row["precise"] for row in rows if row["precise"] is not None):
        typer.echo("Some intervals are wider than 1 %: evomnas doctor says whether the machine is busy.")


def _print_side_by_side(names: list[str], all_rows: list[list[dict[str, Any]]], setting: Setting, repeat: int) -> None:
    """Print a line for each network and a column for each runtime."""
    table, failures = [], []
    for name, rows in zip(names, zip(*all_rows, strict=True), strict=True):
        label = name if len(name) <= 24 else rows[0]["id"]
        table.append((label, *map(_short_latency, rows)))
        failures += [f"{label} in {row['runtime']}: {row['failure']}" for row in rows if row["failure"]]
    print_columns(("latency ms", *(rows[0]["runtime"] for rows in all_rows)), table, left=1)
    typer.echo(_conditions([row for rows in all_rows for row in rows], setting))
    if repeat > 1:
        typer.echo(f"{repeat} sessions: medians, and half of the interval that spans all")
    for failure in failures:
        typer.echo(failure)


def _short_latency(row: dict[str, Any]) -> str:
    if row["latency_ms"] is None:
        return "failed"
    low, high = row["latency_ci"]
    return f"{row['latency_ms']:.4f} ±{(high - low) / 2 / row['latency_ms']:.1%}"


def _conditions(rows: list[dict[str, Any]], setting: Setting) -> str:
    """Return in words where networks were measured, and on which images."""
    from evomnas.problem.sections import FLOAT

    shapes = ", ".join(dict.fromkeys("x".join(map(str, row["input"])) for row in rows))
    threads = f"{setting.threads} thread" + "s" * (setting.threads > 1)
    on = setting.target if setting.provider == "cpu" else f"{setting.provider} of {setting.target}"
    precision = f"in {setting.precision} " * (setting.precision != FLOAT)
    return f"{precision}on {on}, {threads}, images {shapes}, MobileNetV2 {setting.reference.id}"


@app.command()
@reported
def runtimes() -> None:
    """List the runtimes for networks, and how to install those that are missing."""
    from evomnas.core import registry
    from evomnas.latency.runtimes.base import Runtime, installed_providers, installed_version

    rows = []
    for name in registry.available("runtimes"):
        runtime: Runtime = registry.load("runtimes", name)()
        version = installed_version(runtime)
        runs_on = ", ".join(installed_providers(runtime)) if version else ""
        rows.append((name, version or "not installed", runs_on, "" if version else runtime.install))
    print_columns(("runtime", "version", "runs on", "install with"), rows, left=4)


@app.command()
@reported
def donors(output: FormatOption = PlainFormat.TABLE) -> None:
    """List the networks whose pretrained weights are known, and how to get those that are not here."""
    from evomnas.problem.counting import count_architecture
    from evomnas.problem.pretrained.donors import DONORS
    from evomnas.problem.pretrained.files import find_weights

    files = {name: find_weights(donor) for name, donor in DONORS.items()}
    params = {name: count_architecture(donor.architecture, 1000, 3, 224).params for name, donor in DONORS.items()}
    if output is PlainFormat.JSON:
        rows = [
            {
                "name": name, "params": params[name], "file": None if files[name] is None else str(files[name]),
                "get": donor.how, "terms": donor.terms, "network": str(donor.architecture),
            }
            for name, donor in DONORS.items()
        ]  # fmt: skip
        typer.echo(json.dumps(rows, indent=2))
        return
    for name, donor in DONORS.items():
        typer.echo(f"{name}  {params[name]:,} parameters; {donor.terms}")
        typer.echo(f"  here: {files[name]}" if files[name] else f"  not here: {donor.how}")


@app.command()
@reported
def doctor(
    fix: Annotated[
        bool, typer.Option("--fix", help="Take calibrations again that are damaged, or were taken on a busy machine.")
    ] = False,
    target: Annotated[
        str | None,
        typer.Option(
            "--target", show_default=False,
            help="Connect to this device instead and say what it is: adb://, ssh://user@host or ray://NAME.",
        ),
    ] = None,
) -> None:  # fmt: skip
    """Check whether this machine is fit to search and to measure."""
    from evomnas.latency.doctor import examine, examine_target
    from evomnas.problem.target import LOCAL

    if target is not None and fix:
        raise InputError("--fix mends calibrations of this machine: drop it, or --target")
    elsewhere = target not in (None, LOCAL)
    findings = examine_target(str(target)) if elsewhere else examine(fix)
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        typer.echo(f"{'!' if finding.advice else ' '} {finding.name.ljust(width)}  {finding.state}")
        if finding.advice:
            typer.echo(f"  {' ' * width}  -> {finding.advice}")
    if not any(finding.advice for finding in findings):
        typer.echo(
            f"\n{'That device is fit to measure' if elsewhere else 'This machine is fit to search and to measure'}."
        )
