"""Train networks in full: those of a run, and off-the-shelf ones by the same recipe."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evomnas.cli import completion
from evomnas.cli.app import RunArgument, app, open_for_training, repeatable, reported
from evomnas.cli.display.full_scores import print_constant_answer
from evomnas.cli.display.plan_display import KEPT, PlanDisplay
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
    TrainedPrecisionOption,
    full_settings,
    load_problem,
)
from evomnas.cli.output import PlainFormat, print_columns
from evomnas.cli.progress import ProgressDisplay, working
from evomnas.cli.show import find_architecture
from evomnas.core import defaults
from evomnas.core.errors import InputError
from evomnas.core.files import check_place
from evomnas.core.system.device import check_device
from evomnas.core.system.shell import quote

if TYPE_CHECKING:  # imported where they are used, so that --help does not wait for torch
    from evomnas.deploy.baselines import Baseline
    from evomnas.deploy.training_store import TrainedNetwork
    from evomnas.problem.sections import ScoreName
    from evomnas.results.evaluation import Score
    from evomnas.results.run import Run


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
    precision: TrainedPrecisionOption = None,
    settings: FullSettingsOption = None,
    data: DataOption = None,
    accept_changes: AcceptOption = False,
    device: DeviceOption = "auto",
    output: FormatOption = PlainFormat.TABLE,
    quiet: QuietOption = False,
) -> None:
    """Train networks of a run in full on all training images, and score them on the test images."""
    changes = full_settings(epochs, settings, precision)
    with repeatable(KEPT), ProgressDisplay("starting", note_to=ignore_note if quiet else None) as display:
        opened = open_for_training(folder, data, device, changes)
        if [bool(archs), front, knee].count(True) != 1:
            example = f"evomnas train {opened.argument} ID"
            raise InputError(f"train takes networks, as {example}, or one of --front and --knee")
        architectures = [find_architecture(text, opened) for text in archs or []]
        from evomnas.deploy.trained_networks import front_networks, knee_network, most_accurate_network, train_networks
        from evomnas.report.run_words import knee_line

        if front or knee:
            architectures = front_networks(opened) if front else [knee_network(opened)]
            no_knee = "" if front else knee_line(opened)
            if no_knee:
                display.note(f"{no_knee} --knee takes the one with the best score: {architectures[0].id}.")
        if front and teacher:
            architectures = [network for network in architectures if network != most_accurate_network(opened)]
        display.restart("reading the images")
        shown = PlanDisplay(display, "Training", "network")
        trainings = list(
            train_networks(
                opened, architectures, distil=teacher, device=device, settings=changes,
                accept_changes=accept_changes, on_plan=shown.begin, on_progress=shown.show_epoch, say=shown.show_step,
            )
        )  # fmt: skip
    finds = opened.trained_problem().detects
    if output is PlainFormat.JSON:
        typer.echo(json.dumps([_training_row(training, finds) for training in trainings], indent=2))
    else:
        _print_trainings(opened, trainings, changes, f"{' --teacher' * teacher}{_data_option(data)}")
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
    from evomnas.problem.typed.paths import is_problem

    networks = list(names or [])
    if problem is not None and not is_problem(problem) and (data is not None or _is_network(problem, pretrained)):
        networks.insert(0, problem)  # as in: baselines resnet18, baselines --data photos resnet18
        problem = None
    display = ProgressDisplay("starting", note_to=ignore_note if quiet else None)
    paths = [name for name in networks if Path(name).exists()]
    loaded = load_problem(problem, paths, data, settings, donor, display.note)
    with repeatable(KEPT), display:
        check_device(device)  # before torch is loaded
        from evomnas.deploy.baselines import default_baselines, train_baselines
        from evomnas.deploy.pretrained_baselines import fine_tune_baselines
        from evomnas.loop.launch import ARCHIVE

        definition = loaded.trained(f"{loaded.name} is a table: there are no images to train baselines on")
        path = archive or Path(defaults.RUNS) / ARCHIVE
        place = out or path.parent / "baselines" / definition.name
        check_place(path, "--archive FILE")
        check_place(place / "model.json", "--out DIR")
        shown = PlanDisplay(display, "Training", "network")
        callbacks: Any = {"on_plan": shown.begin, "on_progress": shown.show_epoch, "say": shown.show_step}
        trained: Sequence[Baseline]
        if definition.detects:
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
    if definition.detects:
        from evomnas.cli.detection.shipped import print_detector_baselines

        print_detector_baselines(detectors, definition.data.test_score, place, output)
    elif output is PlainFormat.JSON:
        typer.echo(json.dumps([network.to_dict() for network in trained], indent=2))
    else:
        _print_baselines(trained, definition.data.test_score, place, pretrained)


def _set_options(settings: Sequence[str]) -> str:
    return "".join(f" --set {quote(setting)}" for setting in settings)


def _data_option(data: Path | None) -> str:
    return "" if data is None else f" --data {quote(str(data))}"


def _score(result: object) -> Score | None:
    from evomnas.results.evaluation import FullTraining

    return result.score if isinstance(result, FullTraining) else None


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
        print_constant_answer(Majority.of(answers.confusion, classes), score)


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


def _print_trainings(opened: Run, trainings: Sequence[TrainedNetwork], changes: Sequence[str], options: str) -> None:
    """Print what came of trainings with other settings, and the commands that may follow, with the options of these."""
    from evomnas.cli.display.full_scores import score_cells, score_header
    from evomnas.problem.architecture import Architecture
    from evomnas.problem.loading import change_full_training
    from evomnas.report.run_words import describe_test
    from evomnas.report.words import format_training
    from evomnas.results.evaluation import FullTraining

    options += _set_options(changes)
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
        if change_full_training(opened.trained_problem(), changes).full_recipe.precision == "int8":
            typer.echo("Trained for int8: these are the scores in float, and export --quantize int8 has those in int8.")
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
