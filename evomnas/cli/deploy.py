"""Ship a network: train it in full, compare it with off-the-shelf networks, export it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evomnas.cli import completion
from evomnas.cli.app import RunArgument, app, open_run, repeatable, reported
from evomnas.cli.display.check_output import check_files
from evomnas.cli.display.search_output import ignore_note
from evomnas.cli.display.verbosity import QuietOption
from evomnas.cli.options import (
    AcceptOption,
    DataOption,
    DeviceOption,
    DonorOption,
    EpochsOption,
    FormatOption,
    FullSettingsOption,
    ImagesOption,
    ProblemArgument,
    SettingsOption,
    full_settings,
    load_problem,
)
from evomnas.cli.output import PlainFormat, print_columns
from evomnas.cli.progress import ProgressDisplay, working
from evomnas.cli.show import find_architecture
from evomnas.core import defaults
from evomnas.core.errors import InputError
from evomnas.core.files import check_place
from evomnas.core.system.shell import quote

if TYPE_CHECKING:  # imported where they are used, so that --help does not wait for torch
    from evomnas.deploy.baselines import Baseline
    from evomnas.deploy.durations import Plan
    from evomnas.deploy.export import ExportResult
    from evomnas.deploy.folders.training_folders import Training
    from evomnas.deploy.formats.exported_files import Export
    from evomnas.deploy.training_store import TrainedNetwork
    from evomnas.problem.sections import ScoreName
    from evomnas.results.answers.majority import Majority
    from evomnas.results.evaluation import Score
    from evomnas.results.run import Run

KEPT = "what had ended is kept, and of a training the state that is saved every 20 seconds"  # after an interruption


@app.command()
@reported
def train(
    folder: RunArgument,
    archs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ARCH...]",
            help="Ids of the run, names of published networks, or notations.",
            autocompletion=completion.networks,
        ),
    ] = None,
    front: Annotated[bool, typer.Option("--front", help="Train all networks on the front.")] = False,
    knee: Annotated[bool, typer.Option("--knee", help="Train the network at the front's knee.")] = False,
    teacher: Annotated[
        bool,
        typer.Option("--teacher", help="Learn from the front's most accurate network (knowledge distillation)."),
    ] = False,
    epochs: EpochsOption = None,
    settings: FullSettingsOption = None,
    data: DataOption = None,
    accept_changes: AcceptOption = False,
    device: DeviceOption = "auto",
    output: FormatOption = PlainFormat.TABLE,
    quiet: QuietOption = False,
) -> None:
    """Train networks of a run in full on all training images, and score them on the test images."""
    changes = full_settings(epochs, settings)
    with repeatable(KEPT), ProgressDisplay("starting", note_to=ignore_note if quiet else None) as display:
        from evomnas.deploy.trained_networks import front_networks, knee_network, most_accurate_network, train_networks
        from evomnas.problem.detection.definition import DetectionDefinition
        from evomnas.report.run_words import knee_line

        opened = _opened(folder, data)
        if [bool(archs), front, knee].count(True) != 1:
            example = f"evomnas train {opened.argument} ID"
            raise InputError(f"train takes networks, as {example}, or one of --front and --knee")
        architectures = [find_architecture(text, opened) for text in archs or []]
        if front or knee:
            architectures = front_networks(opened) if front else [knee_network(opened)]
            no_knee = "" if front else knee_line(opened)
            if no_knee:
                display.note(f"{no_knee} --knee takes the one with the best score: {architectures[0].id}.")
        if front and teacher:
            architectures = [network for network in architectures if network != most_accurate_network(opened)]
        display.restart("reading the images")
        shown = _PlanDisplay(display, "Training", "network")
        trainings = list(
            train_networks(
                opened, architectures, distil=teacher, device=device, settings=changes,
                accept_changes=accept_changes, on_plan=shown.begin, on_progress=shown.show_epoch, say=shown.show_step,
            )
        )  # fmt: skip
    finds = opened.trained_problem().kind == DetectionDefinition.kind
    if output is PlainFormat.JSON:
        typer.echo(json.dumps([_training_row(training, finds) for training in trainings], indent=2))
    else:
        _print_trainings(opened, trainings, f"{' --teacher' * teacher}{_data_option(data)}{_set_options(changes)}")
    with working(not quiet) as show_words:
        from evomnas.report.run_report import write_report

        show_words("writing the report")
        write_report(opened)
    if not all(_is_trained(training.result) for training in trainings):
        raise typer.Exit(1)


@app.command()
@reported
def baselines(
    problem: ProblemArgument = None,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME...]",
            help="Names of published networks or of torchvision's. A published one may have a width, as in "
            "mobilenet-v2@0.5.",
        ),
    ] = None,
    data: ImagesOption = None,
    donor: DonorOption = None,
    pretrained: Annotated[
        bool,
        typer.Option(
            "--pretrained", help="Fine-tune networks with pretrained weights instead, at every resolution of the space."
        ),
    ] = False,
    settings: SettingsOption = None,
    archive: Annotated[
        Path | None,
        typer.Option("--archive", help="Archive of the runs [default: runs/evomnas.sqlite]", show_default=False),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Folder for the networks [default: baselines/PROBLEM beside the archive]", show_default=False
        ),
    ] = None,
    device: DeviceOption = "auto",
    output: FormatOption = PlainFormat.TABLE,
    quiet: QuietOption = False,
) -> None:
    """Train and measure off-the-shelf networks by a problem's own recipe, on its data and device."""
    from evomnas.problem.detection.definition import DetectionDefinition
    from evomnas.problem.typed.paths import is_problem

    networks = list(names or [])
    if problem is not None and not is_problem(problem) and (data is not None or _is_network(problem, pretrained)):
        networks.insert(0, problem)  # as in: baselines resnet18, baselines --data photos resnet18
        problem = None
    display = ProgressDisplay("starting", note_to=ignore_note if quiet else None)
    paths = [name for name in networks if Path(name).exists()]
    loaded = load_problem(problem, paths, data, settings, donor, display.note)
    with repeatable(KEPT), display:
        from evomnas.deploy.baselines import default_baselines, train_baselines
        from evomnas.deploy.pretrained_baselines import fine_tune_baselines
        from evomnas.loop.launch import ARCHIVE

        definition = loaded.trained(f"{loaded.name} is a table: there are no images to train baselines on")
        path = archive or Path(defaults.RUNS) / ARCHIVE
        place = out or path.parent / "baselines" / definition.name
        check_place(path, "--archive FILE")
        check_place(place / "model.json", "--out DIR")
        shown = _PlanDisplay(display, "Training", "network")
        callbacks: Any = {"on_plan": shown.begin, "on_progress": shown.show_epoch, "say": shown.show_step}
        trained: Sequence[Baseline]
        if definition.kind == DetectionDefinition.kind:
            if pretrained:
                raise InputError("detectors are searched and compared from random weights: drop --pretrained")
            from evomnas.deploy.detection.detector_baselines import train_detector_baselines

            detectors = train_detector_baselines(
                definition, networks, path.resolve(), place, device=device, **callbacks
            )
            trained = detectors
        elif pretrained:
            trained = fine_tune_baselines(definition, networks, path.resolve(), place, device=device, **callbacks)
        else:
            chosen = networks or default_baselines()
            trained = train_baselines(definition, chosen, path.resolve(), place, device=device, **callbacks)
    if definition.kind == DetectionDefinition.kind:
        from evomnas.cli.detection.shipped import print_detector_baselines

        print_detector_baselines(detectors, definition.data.test_score, place, output)
    elif output is PlainFormat.JSON:
        typer.echo(json.dumps([network.to_dict() for network in trained], indent=2))
    else:
        _print_baselines(trained, definition.data.test_score, place, pretrained)


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
    changes = full_settings(epochs, settings)
    with repeatable(KEPT), ProgressDisplay("starting") as display:
        from evomnas.deploy.export import Request, export_network
        from evomnas.problem.detection.definition import DetectionDefinition
        from evomnas.report.run_report import write_report

        opened = _opened(folder, data)
        finds = opened.trained_problem().kind == DetectionDefinition.kind
        if finds and (any_size or any_batch or check is not None):
            raise InputError("--any-size, --any-batch and --check are for networks that tell classes apart")
        formats = tuple(dict.fromkeys(to or ["onnx"]))
        request = Request(formats, quantize is not None, prune, factorize, huffman, any_size, any_batch)
        if finds and teacher:
            raise InputError("detectors learn from boxes alone, and have no teacher: drop --teacher")
        network = find_architecture(arch, opened)

        def show_choice(training: Training) -> None:
            if choice := training.describe_choice(changes, teacher):
                display.note(choice)

        shown = _PlanDisplay(display, "Exporting")
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
    check_files([file], folder, output)


def _opened(folder: Path, data: Path | None) -> Run:
    from evomnas.data.first_look import check_images

    opened = open_run(folder)
    if data is not None:
        opened.read_data_from(data)
    else:
        check_images(opened.definition)
    return opened


def _set_options(settings: Sequence[str]) -> str:
    return "".join(f" --set {quote(setting)}" for setting in settings)


def _data_option(data: Path | None) -> str:
    return "" if data is None else f" --data {quote(str(data))}"


def _score(result: object) -> Score | None:
    from evomnas.results.evaluation import FullTraining

    return result.score if isinstance(result, FullTraining) else None


def _score_cells(score: Score | None) -> tuple[str, str]:
    """Return accuracy and interval as cells of a table."""
    if score is None:
        return "failed", "-"
    low, high = score.interval
    return f"{score.accuracy:.2%}", f"{low:.2%} to {high:.2%}"


def _is_trained(result: object) -> bool:
    from evomnas.results.evaluation import FullTraining

    return isinstance(result, FullTraining)


def _print_majority(results: Sequence[object], classes: Sequence[str], score: ScoreName) -> None:
    """Print what one answer for all test images scores, if the answers to these are known."""
    from evomnas.results.answers.majority import Majority
    from evomnas.results.evaluation import FullTraining

    known = (result.answers for result in results if isinstance(result, FullTraining))
    answers = next((one for one in known if one is not None), None)
    if answers is not None:
        _print_constant_answer(Majority.of(answers.confusion, classes), score)


def _print_constant_answer(majority: Majority, score: ScoreName) -> None:
    typer.echo(majority.describe(score, f"{majority.total:,} test images"))


def _training_row(training: TrainedNetwork, finds: bool) -> dict[str, Any]:
    from evomnas.deploy.cards.class_card import class_scores
    from evomnas.deploy.detection.detector_baselines import detector_scores
    from evomnas.results.evaluation import Failure

    score = _score(training.result)
    row = {
        "id": training.network.id,
        "network": str(training.network),
        "folder": str(training.folder),
        "test_accuracy": None if score is None else score.accuracy,
        "test_interval": None if score is None else list(score.interval),
        "test_images": None if score is None else score.images,
        "validation_accuracy": training.validation,
        "latency_ms": None if training.measurement is None else training.measurement.latency_ms,
        "failure": training.result.message if isinstance(training.result, Failure) else None,
        "validation_score": None if training.origin is None else training.origin.score,
        **class_scores(training.result, training.classes),
    }
    return row | (detector_scores(training.result) if finds else {})


def _print_trainings(opened: Run, trainings: Sequence[TrainedNetwork], options: str) -> None:
    """Print what came of trainings, and the commands that may follow, with the options of their networks."""
    from evomnas.cli.display.full_scores import score_cells, score_header
    from evomnas.problem.architecture import Architecture
    from evomnas.report.run_words import describe_test
    from evomnas.report.words import format_training
    from evomnas.results.evaluation import FullTraining

    score = opened.trained_problem().data.test_score
    rows = []
    for training in trainings:
        latency = "-" if training.measurement is None else f"{training.measurement.latency_ms:.4f}"
        found = None if training.origin is None else training.origin.score
        validation = "-" if found is None else f"{found:.2%}"
        scores = score_cells(training.result, score)
        rows.append((training.network.id, *scores, validation, latency, str(training.folder)))
    header = ("id", *score_header(score), "in the search", "latency ms", "folder")
    print_columns(header, rows, left=1)
    results = [training.result for training in trainings if isinstance(training.result, FullTraining)]
    if results:
        epochs = format_training(opened.definition, opened.mode.inherits)
        typer.echo(f"{describe_test(results)}; in the search: of the validation images{epochs}.")
        _print_majority(results, trainings[0].classes, score)
    successes = [training for training in trainings if _is_trained(training.result)]
    if successes:
        network, folder = successes[-1].network, successes[-1].folder
        assert isinstance(network, Architecture)
        typer.echo(f"\nCard:    {folder / 'README.md'}")
        typer.echo(f"Use:     evomnas predict {quote(str(folder))} photo.jpg")
        typer.echo(
            f"Export:  evomnas export {opened.argument} {opened.network_argument(network)}{options} --quantize int8"
        )


def _is_network(name: str, pretrained: bool) -> bool:
    """Return whether what somebody typed names an off-the-shelf network."""
    from evomnas.deploy.baselines import default_baselines
    from evomnas.problem.pretrained.donors import PUBLISHED_WEIGHTS

    if pretrained and name in PUBLISHED_WEIGHTS:
        return True
    return name.partition("@")[0] in default_baselines()


def _print_baselines(baselines: Sequence[Baseline], score: ScoreName, folder: Path, is_pretrained: bool) -> None:
    from evomnas.cli.display.full_scores import score_cells, score_header

    rows = []
    for baseline in baselines:
        row = baseline.to_dict()
        latency = "-" if row["latency_ms"] is None else f"{row['latency_ms']:.4f}"
        interval = row["latency_ci"] and f"{row['latency_ci'][0]:.4f} to {row['latency_ci'][1]:.4f}"
        counts = ["-" if row[name] is None else f"{row[name]:,}" for name in ("params", "macs")]
        scores = score_cells(baseline.result, score)
        measured = (latency, interval or "-", *counts)
        if not is_pretrained:
            rows.append((baseline.name, *scores, *measured))
        elif baseline.measurement is not None:  # not one whose weights are missing
            validation = "-" if row["validation_score"] is None else f"{row['validation_score']:.2%}"
            rows.append((baseline.name, str(row["resolution"]), *scores, validation, *measured))
    size, short = (("pixels",), ("as a candidate",)) if is_pretrained else ((), ())
    scored = (*score_header(score), *short)
    print_columns(("network", *size, *scored, "latency ms", "95 % interval", "parameters", "MACs"), rows, left=1)
    _print_majority([baseline.result for baseline in baselines], baselines[0].classes, score)
    reasons = ((baseline.name, baseline.to_dict()["reason"]) for baseline in baselines)
    for name, reason in dict.fromkeys(reasons):
        if reason:
            typer.echo(f"{name}: {reason}")
    if is_pretrained:
        typer.echo(
            "as a candidate: the score on the validation images after a search's short training; reports of the "
            "problem's runs have these networks as a front of their own."
        )
    typer.echo(f"\nNetworks: {folder}")


def _export_row(export: Export) -> dict[str, Any]:
    return asdict(export) | {"accuracy": export.score.accuracy, "interval": list(export.score.interval)}


def _print_exports(exported: ExportResult) -> None:
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
        rows.append((export.format, export.variant, *accuracy, latency, interval, *sizes))
    header = (
        "format", "variant", "test accuracy", "95 % interval", *others, "as PyTorch", "latency ms",
        "95 % interval", "KiB", "packed KiB", *["Huffman KiB"] * has_huffman,
    )  # fmt: skip
    print_columns(header, rows, left=2)
    accuracy_text, interval = _score_cells(score)
    of_score = f"{exported.confusion.score(score_name):.2%} {SCORE_WORDS[score_name]}"
    other_text = "" if score_name == "accuracy" else f", {of_score}"
    typer.echo(f"In PyTorch: {accuracy_text} ({interval}) of {score.images:,} test images{other_text}.")
    _print_constant_answer(Majority.of(exported.confusion, exported.classes), score_name)
    for line in exported.advice:
        typer.echo(line)
    typer.echo(f"\nFiles:   {exported.folder}")


def _kib(size: int | None) -> str:
    return "-" if size is None else f"{size / 1024:.1f}"


class _PlanDisplay:
    """Shows how long work will take, and how long it still takes after every step; in a log, now and then."""

    def __init__(self, display: ProgressDisplay, work: str, piece: str = "") -> None:
        self._display, self._work, self._piece = display, work, piece
        self._plan: Plan | None = None
        self._step = ""

    def begin(self, plan: Plan) -> None:
        """Say what the work will take, if there is something to do."""
        from evomnas.report.words import format_duration

        self._plan, seconds = plan, plan.seconds
        count = sum(one != 0 for one in plan.expected.values())
        work = f"{self._work} {count} {self._piece}{'s' * (count != 1)}" if self._piece else self._work
        if seconds > 0:
            self._display.say(f"{work} takes about {format_duration(float(f'{seconds:.2g}'))}.")

    def show_step(self, text: str) -> None:
        """Show that a step begins, which ends the one before."""
        left = ""
        if self._plan is not None and text in self._plan.expected:
            if self._step:
                left = _time_left(self._plan.remaining(self._step, 1, 1))
            self._step = text
        self._display.restart(f"{text}{left}")
        self._display.log(f"{text}{left}")

    def show_epoch(self, name: str, epoch: int, epochs: int, loss: float) -> None:
        """Show that an epoch of a training has ended; in a log, the last one of each and others now and then."""
        if self._display.description != name:
            self._display.restart(name, epochs)
        left = "" if self._plan is None else _time_left(self._plan.remaining(name, epoch, epochs))
        self._display.show(name, epoch, epochs, f"loss {loss:.3f}{left}")
        self._display.log(f"{name}: epoch {epoch} of {epochs}, loss {loss:.3f}{left}", is_due=epoch == epochs)


def _time_left(seconds: float) -> str:
    from evomnas.report.words import format_time_left

    return f", {format_time_left(seconds)}" if seconds > 0 else ""
