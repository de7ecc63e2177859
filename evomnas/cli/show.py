"""Look at results, problems and architectures."""

from __future__ import annotations

import inspect
import json
import math
import os
import re
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evomnas.cli import completion
from evomnas.cli.app import RunArgument, app, open_run, reported
from evomnas.cli.options import FormatOption, ResolutionOption, read_resolution
from evomnas.cli.output import Format, PlainFormat, open_page, print_columns, print_results
from evomnas.core import defaults
from evomnas.core.errors import InputError, unknown
from evomnas.core.files import check_place, writing
from evomnas.core.resolution import format_resolution, sides
from evomnas.core.system.shell import join

if TYPE_CHECKING:  # imported where they are used, so that --help does not wait for torch
    from evomnas.networks.layer_costs import LayerCost
    from evomnas.networks.torchvision_models import AnyNetwork
    from evomnas.problem.architecture import Architecture
    from evomnas.problem.counting import NetworkShape
    from evomnas.results.run import Run


class FigureFormat(StrEnum):
    """The formats in which figures are written."""

    PDF = "pdf"
    SVG = "svg"
    PNG = "png"


@app.command()
@reported
def show(
    folder: RunArgument,
    output: Annotated[Format, typer.Option("--format", help="Output format.")] = Format.TABLE,
    everything: Annotated[bool, typer.Option("--all", help="Print all evaluations.")] = False,
    failed: Annotated[bool, typer.Option("--failed", help="Print the candidates that failed, and why.")] = False,
    baselines: Annotated[bool, typer.Option("--baselines", help="Print the pretrained baselines.")] = False,
) -> None:
    """Print a run's Pareto set, all its evaluations, its failures, or the pretrained baselines of its problem."""
    from evomnas.results.certainty.judged import judge
    from evomnas.results.showing.flat_rows import to_csv

    if failed and everything:
        raise InputError("--failed and --all exclude each other: --all has the failed ones, too")
    if baselines and (failed or everything):
        raise InputError("--baselines are no candidates of the run: drop --all and --failed")
    opened = open_run(folder)
    if baselines:
        _show_baselines(opened, output)
        return
    if failed:
        _show_failures(opened, output)
        return
    judged = judge(opened, opened.results())
    results = judged if everything else opened.front(judged)
    rows = [result.to_dict() for result in results]
    if output is Format.JSON:
        typer.echo(json.dumps(rows, indent=2))
    elif output is Format.CSV:
        typer.echo(to_csv(rows), nl=False)
    else:
        from evomnas.report.classes.class_words import constant_answer_line
        from evomnas.report.run_words import figure_notes

        print_results(opened, results)
        for note in filter(None, (*figure_notes(opened, results), constant_answer_line(opened))) if results else ():
            typer.echo(note)
        if opened.definition.trains and not everything:
            _print_baseline_table(opened)


def _show_baselines(opened: Run, output: Format) -> None:
    from evomnas.results.full_trainings import baseline_results
    from evomnas.results.showing.flat_rows import to_csv

    problem = opened.trained_problem()  # raises where there is nothing to fine-tune
    if problem.detects:
        raise InputError(
            "detectors start from random weights and have no pretrained baselines: evomnas baselines PROBLEM trains "
            "published backbones, which the report shows"
        )
    rows = [one.to_dict() for one in baseline_results(opened)]
    if output is Format.JSON:
        typer.echo(json.dumps(rows, indent=2))
    elif output is Format.CSV:
        typer.echo(to_csv(rows, ("name", "resolution")), nl=False)
    elif rows:
        _print_baseline_table(opened)
    else:
        typer.echo("There are no pretrained baselines yet: evomnas baselines PROBLEM --pretrained fine-tunes them.")


def _print_baseline_table(opened: Run) -> None:
    from evomnas.report.run_words import baseline_table

    table = baseline_table(opened)
    if table is not None:
        typer.echo("\nPretrained baselines, fine-tuned as the candidates were (* on their own front):")
        print_columns(table[0], table[1], left=1)


def _show_failures(opened: Run, output: Format) -> None:
    from evomnas.report.words import failure_rows

    rows = failure_rows(opened.results())
    if output is Format.JSON:
        typer.echo(json.dumps(rows, indent=2))
    elif output is Format.CSV:
        raise InputError("--failed prints as table or json: --format json has the tracebacks")
    elif not rows:
        typer.echo("No candidate failed.")
    else:
        cells = [(row["id"], row["kind"], str(row["tries"]), row["message"]) for row in rows]
        print_columns(("id", "kind", "tries", "message"), cells, left=4)


@app.command()
@reported
def report(
    folder: RunArgument,
    figures: Annotated[
        Path | None, typer.Option("--figures", metavar="DIR", help="Write the figures into this folder instead.")
    ] = None,
    extension: Annotated[
        FigureFormat | None,
        typer.Option("--format", help="Format of the figures. Fonts are embedded. [default: pdf]", show_default=False),
    ] = None,
    templates: Annotated[
        Path | None, typer.Option("--templates", metavar="DIR", help="Folder with your own templates for the report.")
    ] = None,
    is_opened: Annotated[bool, typer.Option("--open", help="Open the report in a browser.")] = False,
) -> None:
    """Write a run's HTML report again, or its figures for a paper."""
    for option, path in (("--templates", templates), ("--figures", figures)):
        if path is not None and path.exists() and not path.is_dir():
            raise InputError(f"{option} takes a folder, and {path} is none")
    if templates is not None and not templates.exists():
        raise InputError(f"there is no folder {templates} for --templates")
    if figures is not None and templates is not None:
        raise InputError("--templates change the page and --figures write files: give one of them")
    if figures is not None and is_opened:
        raise InputError("--open opens the report and --figures write files: give one of them")
    if figures is None and extension is not None:
        raise InputError("--format is that of the figures: add --figures DIR")
    opened = open_run(folder)
    if figures is not None:
        from evomnas.report.run_figures import write_figures

        check_place(figures / "pareto.pdf", "--figures DIR")
        with writing(figures, "--figures DIR"):
            paths = write_figures(opened, figures, extension or FigureFormat.PDF)
        for path in paths:
            typer.echo(path)
        return
    from evomnas.report.run_report import write_report

    page = write_report(opened, templates=templates)
    typer.echo(page)
    if is_opened:
        open_page(page)


@app.command()
@reported
def problems() -> None:
    """List the built-in problems."""
    from evomnas.problem.loading import builtin_problems

    for name, summary in builtin_problems().items():
        typer.echo(f"{name:15} {summary}")


@app.command()
@reported
def algorithms() -> None:
    """List the search algorithms and their options with default values, as they are typed."""
    from evomnas.algorithms.base import option_defaults
    from evomnas.core import registry

    rows = []
    for name in registry.available("algorithms"):
        try:
            summary = (inspect.getdoc(registry.load("algorithms", name)) or "").splitlines()
        except InputError as error:  # one that is broken hides no other
            rows.append((name, str(error), "-"))
            continue
        arguments = [_option_arguments(option, default) for option, default in option_defaults(name).items()]
        rows.append((name, summary[0] if summary else "", " ".join(arguments) or "-"))
    print_columns(("algorithm", "what it does", "options with their defaults"), rows, left=3)
    typer.echo("\nMS is a latency in milliseconds, by default the reference network's.")
    if any("=VALUE" in options for _, _, options in rows):
        typer.echo("VALUE stands where an option has no default, or one that cannot be typed.")


def _option_arguments(name: str, default: Any) -> str:
    """Return an option with its default as one types it; a word in capitals where the default cannot be typed."""
    from evomnas.report.reproduce import option_arguments

    if name == "target_ms":  # whatever the default in the code, a search takes the reference network's
        return f"{defaults.flag(name)} MS"
    try:
        return join(option_arguments(name, default))
    except ValueError:
        return f"--option {name}=VALUE"


@app.command()
@reported
def describe(
    arch: Annotated[
        str | None,
        typer.Argument(
            metavar="ARCH",
            help="Id of a run's network, name of a published or off-the-shelf network, or notation.",
            autocompletion=completion.networks,
        ),
    ] = None,
    space: Annotated[
        str | None,
        typer.Option("--space", metavar="PROBLEM", help="Describe the search space of this problem instead."),
    ] = None,
    run_folder: Annotated[
        Path | None,
        typer.Option(
            "--run",
            help="Run that the id belongs to. Image size and classes are the run's, too.",
            autocompletion=completion.runs,
        ),
    ] = None,
    resolution: ResolutionOption = None,
    classes: Annotated[
        int | None,
        typer.Option(
            "--classes",
            help="Number of classes [default: 1000, with --detect 80, or the run's]",
            show_default=False,
        ),
    ] = None,
    channels: Annotated[
        int | None,
        typer.Option("--channels", help="Number of image channels [default: 3, or the run's]", show_default=False),
    ] = None,
    detect: Annotated[
        bool,
        typer.Option("--detect", help="Describe the SSDLite detector on the network, at 320 px unless you say so."),
    ] = False,
    figure: Annotated[
        Path | None, typer.Option("--figure", help="Draw the network into this .svg, .pdf or .png file.")
    ] = None,
    output: FormatOption = PlainFormat.TABLE,
) -> None:
    """Describe a network layer by layer: shapes, parameters, MACs. Or the size of a search space."""
    if (arch is None) == (space is None):
        raise InputError("describe takes an architecture, as in evomnas describe mnasnet-a1, or --space PROBLEM")
    if arch is None:
        if figure is not None or run_folder is not None or detect or {resolution, classes, channels} != {None}:
            raise InputError(
                "--run, --resolution, --classes, --channels, --detect and --figure describe an architecture: "
                "drop --space"
            )
        _describe_space(str(space), output)
        return
    if figure is not None:
        figure = Path(os.path.expanduser(figure))
        if figure.suffix.lower() not in (".svg", ".pdf", ".png"):
            raise InputError(f"--figure takes a name that ends in .svg, .pdf or .png, not {figure.name!r}")
        if not figure.parent.is_dir():
            raise InputError(f"there is no folder {figure.parent} for --figure")
        if figure.is_dir():
            raise InputError(f"{figure} is a folder: choose another with --figure FILE{figure.suffix}")
        check_place(figure, "--figure FILE")

    opened = None if run_folder is None else open_run(run_folder)
    other = _off_the_shelf(arch)
    if other is not None and (detect or figure is not None):
        raise InputError(f"{arch} is not made of the blocks of a search space: drop --detect and --figure")
    size = read_resolution(resolution)
    usual: NetworkShape = {"classes": 1000, "channels": 3, "resolution": 224}
    if detect:
        usual |= {"classes": 80, "resolution": 320}
    if opened is not None:
        usual = opened.network_shape
        detect = detect or opened.definition.detects
    shape: NetworkShape = {
        "classes": usual["classes"] if classes is None else classes,
        "channels": usual["channels"] if channels is None else channels,
        "resolution": usual["resolution"] if size is None else size,
    }
    typed = {"classes": [shape["classes"]], "channels": [shape["channels"]], "resolution": sides(shape["resolution"])}
    for name, numbers in typed.items():
        for number in numbers:
            if not 1 <= number <= 100_000:
                raise InputError(f"--{name} must lie between 1 and 100000, got {number}")
    if other is not None:
        _describe_off_the_shelf(arch, other, shape, output)
        return
    architecture = find_architecture(arch, opened)
    architecture.check_resolution(shape["resolution"])
    layers = _layers(architecture, shape, detect)
    if figure is not None:
        from evomnas.report.figures import architecture_figure, save_figure

        with writing(figure, "--figure FILE"):
            save_figure(architecture_figure(architecture, **shape, detects=detect), figure)
    if output is PlainFormat.JSON:
        _print_layers_json(architecture, shape, layers, detect)
        return
    pixels = format_resolution(architecture.resolution or shape["resolution"])
    words = f", SSDLite with {shape['classes'] + 1} logits" if detect else ""
    typer.echo(f"{architecture}\nid {architecture.id}, {pixels} px, {shape['classes']} classes{words}")
    _print_layers(layers)
    if not detect:
        peaks = " and ".join(f"{peak:,.1f} KiB in {name}" for name, peak in _peaks(architecture, shape).items())
        typer.echo(f"Peak memory of the activations: {peaks}")
    if detect:
        _print_boxes(architecture, shape)
    if figure is not None:
        typer.echo(f"Drawing: {figure}")


def _off_the_shelf(text: str) -> AnyNetwork | None:
    """Return the off-the-shelf network of a name that is no architecture; None for any other text."""
    if not re.fullmatch(r"[a-z0-9_]*[a-z_][a-z0-9_]*", text):  # so that torch is not loaded for others
        return None
    from evomnas.networks.torchvision_models import OFF_THE_SHELF, off_the_shelf

    return off_the_shelf(text) if text in OFF_THE_SHELF else None


def _describe_off_the_shelf(name: str, network: AnyNetwork, shape: NetworkShape, output: PlainFormat) -> None:
    """Print the sizes of a network whose layers are not this package's."""
    from evomnas.networks.layer_costs import count_any_cost
    from evomnas.networks.torchvision_models import explain_incompatibility

    reason = explain_incompatibility(network, shape["channels"], shape["resolution"])
    if reason is not None:
        raise InputError(f"{name}: {reason}")
    cost = count_any_cost(network, **shape)
    values: dict[str, Any] = {"architecture": str(network), "id": network.id, **shape}
    if output is PlainFormat.JSON:
        typer.echo(json.dumps(values | {"params": cost.params, "macs": cost.macs}, indent=2))
        return
    typer.echo(f"{network}\nid {network.id}, {format_resolution(shape['resolution'])} px, {shape['classes']} classes")
    typer.echo(f"{cost.params:,} parameters, {cost.macs:,} MACs")


def _layers(architecture: Architecture, shape: NetworkShape, detect: bool) -> list[LayerCost]:
    """Return the costs of a network's layers, or of those of the detector on it."""
    if detect:
        from evomnas.networks.detection.costs import detector_costs

        return detector_costs(architecture, **shape)
    from evomnas.networks.layer_costs import layer_costs

    return layer_costs(architecture, **shape)


def _peaks(architecture: Architecture, shape: NetworkShape) -> dict[str, float]:
    """Return the peak memory of a network's activations by the precision of the values."""
    from evomnas.problem.memory.peak import VALUE_BYTES, peak_kb

    return {precision: peak_kb(architecture, precision, **shape) for precision in VALUE_BYTES}


def _print_layers_json(
    architecture: Architecture, shape: NetworkShape, layers: Sequence[LayerCost], detect: bool
) -> None:
    from evomnas.networks.layer_costs import total_cost
    from evomnas.problem.detection.plan import plan_detector

    total = total_cost(layers)
    rows = [
        {"name": layer.name, "operation": layer.operation, "shape": list(layer.shape), "params": layer.params,
         "macs": layer.macs, "se_macs": layer.se_macs}
        for layer in layers
    ]  # fmt: skip
    values: dict[str, Any] = {"architecture": str(architecture), "id": architecture.id, **shape}
    values |= {"params": total.params, "macs": total.macs, "se_macs": total.se_macs}
    if not detect:
        values["peak_kb"] = _peaks(architecture, shape)
    else:
        plan = plan_detector(architecture, shape["resolution"])
        maps = [{"filters": place.filters, "size": place.size, "anchors": place.anchors} for place in plan.maps]
        values |= {"total_macs": total.macs + total.se_macs, "boxes": plan.boxes, "maps": maps}
    typer.echo(json.dumps(values | {"layers": rows}, indent=2))


def _print_layers(layers: Sequence[LayerCost]) -> None:
    from evomnas.networks.layer_costs import total_cost

    total = total_cost(layers)
    rows = [
        (
            layer.name, layer.operation, "x".join(map(str, layer.shape)), f"{layer.params:,}", f"{layer.macs:,}",
            f"{layer.se_macs:,}",
        )
        for layer in layers
    ]  # fmt: skip
    rows.append(("total", "", "", f"{total.params:,}", f"{total.macs:,}", f"{total.se_macs:,}"))
    print_columns(("layer", "operation", "output", "parameters", "MACs", "SE MACs"), rows, left=2)


def _print_boxes(architecture: Architecture, shape: NetworkShape) -> None:
    """Print the size of a detector as published tables count it, and its feature maps."""
    from evomnas.problem.detection.counting import count_detector
    from evomnas.problem.detection.plan import plan_detector

    plan = plan_detector(architecture, shape["resolution"])
    counts = count_detector(plan, shape["classes"] + 1, shape["channels"])
    maps = ", ".join(
        f"{'x'.join(map(str, sides(place.size)))}x{place.filters} ({place.anchors} anchors)" for place in plan.maps
    )
    typer.echo(f"{counts.params:,} parameters, {counts.macs:,} MACs, those of squeeze-and-excite among them")
    typer.echo(f"{plan.boxes:,} boxes, on the maps {maps}")


def _describe_space(problem: str, output: PlainFormat) -> None:
    from decimal import Decimal

    from evomnas.data.suited import load_definition
    from evomnas.problem.genes.block_genes import GENES
    from evomnas.problem.genes.network_genes import format_choice

    definition = load_definition(problem, [])
    refusal = f"{definition.name} is a table of {definition.space.networks:,} networks: it has no blocks to describe"
    space = definition.trained(refusal).space
    choices = [space.choices(number) for number in range(space.blocks)]
    if output is PlainFormat.JSON:
        sizes: dict[str, Any] = {"genomes": space.genomes, "networks": space.networks}
        plurals = {"resolution": "resolutions", "width": "widths", "activation": "activations"}
        sizes |= {plurals[name]: choices for name, choices in space.network_genes.choices.items()}
        blocks = [
            {"stride": stride, **dict(zip(GENES, block_choices, strict=True))}
            for stride, block_choices in zip(space.strides, choices, strict=True)
        ]
        typer.echo(json.dumps({"problem": definition.name, **sizes, "blocks": blocks}, indent=2))
        return
    rows = []
    for number, (stride, block_choices) in enumerate(zip(space.strides, choices, strict=True), start=1):
        cells = [
            " ".join(f"{value:g}" if isinstance(value, float) else str(value) for value in values)
            for values in (*block_choices[:4], [choice or "input" for choice in block_choices[4]], block_choices[5])
        ]
        rows.append((str(number), str(stride), *cells, str(math.prod(map(len, block_choices)))))
    typer.echo(
        f"{definition.name}, with {definition.words.reference} as its reference network: {space.reference_network()}"
    )
    print_columns(("block", "stride", *GENES, "genomes"), rows, left=8)
    for name, values in space.network_genes.choices.items():
        typer.echo(f"{name}: {', '.join(map(format_choice, values))}{' pixels' * (name == 'resolution')}")
    genomes, networks = space.genomes, space.networks
    typer.echo(
        f"{genomes:,} genomes ({Decimal(genomes):.1e}), {networks:,} distinct networks ({Decimal(networks):.1e})"
    )


def find_architecture(text: str, opened: Run | None) -> Architecture:
    """Return the network that a user means.

    Args:
        text: Its notation, the name of a published network, or the id of a network of the run.
        opened: The run that ids belong to; None without one.

    Returns:
        The network.

    Raises:
        InputError: The text means no network.
    """
    from evomnas.problem.architecture import Architecture
    from evomnas.problem.published import PUBLISHED_NETWORKS, published

    if re.match(r"(\d+(x\d+)?px-)?stem", text):
        return Architecture.parse(text)
    if text.partition("@")[0] in PUBLISHED_NETWORKS:
        return published(text)
    if opened is not None:
        opened.trained_problem()  # raises where there is nothing to build
        for ask in opened.asks:
            architecture = Architecture.parse(ask.architecture)
            if architecture.id == text:
                return architecture
        raise InputError(f"{opened.folder} has no network {text!r}: evomnas show {opened.argument} --all lists them")
    if re.fullmatch(r"[0-9a-f]{8}", text):
        raise InputError(f"{text} is the id of a run's network: say which run with --run RUN")
    raise InputError(
        f"{unknown('network', text, PUBLISHED_NETWORKS)} (or an off-the-shelf one, as mobilenet_v1, a notation, "
        "or an id with --run RUN)"
    )
