"""The detectors of a run: on networks of the run that `evomnas train` has trained, or on published ones.

The files of a detector are in the run's folder, in `detectors/ID-DATA-PIXELSpx-EPOCHS`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from evomnas.core.errors import InputError
from evomnas.core.resolution import format_resolution
from evomnas.deploy.detection.detection_training import COLOURS, DetectionTraining, Start
from evomnas.deploy.detection.detector_card import detector_card
from evomnas.deploy.detection.detector_files import (
    DETECTOR_MANIFEST,
    DetectorManifest,
    Latency,
    describe_detector,
    load_detector,
    read_detector_manifest,
    save_detector,
)
from evomnas.deploy.detection.detector_formats import DetectorFile, find_format, write_detector
from evomnas.deploy.detection.detector_latency import DetectorLatency, measure_detectors
from evomnas.deploy.detection.starting_weights import find_start
from evomnas.deploy.saving import weights_hash, weights_of
from evomnas.problem.architecture import Architecture
from evomnas.problem.detection.plan import plan_detector
from evomnas.problem.sections import DataSection, Recipe
from evomnas.results.run import Run

DETECTORS_FOLDER, CHECKPOINT_FILE = "detectors", "checkpoint.pt"
CHECKED_PICTURES = 8  # to which a file's answers are compared with PyTorch's
OnProgress = Callable[[str, int, int, float], None]


@dataclass(frozen=True, slots=True)
class RunDetector:
    """A detector of a run.

    Attributes:
        network: The architecture, as the run knows it.
        is_reference: Whether it is the run's reference network, MobileNetV2.
        folder: The folder of its files.
        manifest: All that is known of it.
        files: Its files for devices that were asked for.
    """

    network: Architecture
    is_reference: bool
    folder: Path
    manifest: DetectorManifest
    files: tuple[DetectorFile, ...] = ()


def train_detectors(
    run: Run,
    architectures: Sequence[Architecture],
    section: DataSection,
    recipe: Recipe,
    *,
    device: str = "auto",
    formats: Sequence[str] = (),
    suppress: bool = False,
    say: Callable[[str], None] = lambda text: None,
    on_progress: OnProgress = lambda name, epoch, epochs, loss: None,
) -> Iterator[RunDetector]:
    """Train a detector on each of some networks, and on the run's reference network, and score it on the test images.

    A detector that was trained before is not trained again, and an interrupted training goes on. The reference network
    is left out, with a word, if no trained weights of it are there.

    Args:
        run: The run.
        architectures: The networks.
        section: The images with boxes.
        recipe: The recipe of the trainings.
        device: `auto`, `cpu` or `cuda`.
        formats: The formats in which the detectors of the networks are written for devices, of `DETECTOR_FORMATS`.
        suppress: Whether these files have a node of suppression, which ONNX files alone can have.
        say: Called with words about what is done, and about what is left out.
        on_progress: Called after every epoch with the network's id, the number of epochs so far, the number of all
            epochs, and the mean loss of the last one.

    Yields:
        Each detector as soon as it is scored, measured and saved.

    Raises:
        InputError: A network has no trained weights or does not suit the images, these cannot be read, or a format is
            unknown or needs a package that is missing.
        RuntimeMismatch: A file answers otherwise than PyTorch.
        TrainingDiverged: A loss became infinite or not a number.
    """
    for name in formats:
        find_format(name, suppress)
    reference = run.trained_problem().space.reference_network()
    for architecture in architectures:
        plan_detector(architecture, section.resolution)
    starts = {architecture: find_start(run, architecture) for architecture in dict.fromkeys(architectures)}
    if reference not in starts:
        try:
            plan_detector(reference, section.resolution)
            starts[reference] = find_start(run, reference)
        except InputError as error:
            say(f"Without MobileNetV2 to compare with: {error}")
    say("reading the images")
    training = DetectionTraining(section, recipe, device)
    for architecture, start in starts.items():
        folder = detector_folder(run, architecture, section, recipe)
        manifest = _known(folder, training, start)
        if manifest is None:
            manifest = _train(run, architecture, start, training, folder, say, on_progress)
        files = []
        for name in formats if architecture in architectures else ():
            say(f"{architecture.id}: writing {name}")
            pictures = training.training.images.resize(manifest.resolution)[:CHECKED_PICTURES]
            files.append(write_detector(folder, load_detector(folder), name, pictures, suppress))
        yield RunDetector(architecture, architecture == reference, folder, manifest, tuple(files))


def detector_folder(run: Run, architecture: Architecture, section: DataSection, recipe: Recipe) -> Path:
    """Return the folder in which a run stores a detector.

    Args:
        run: The run.
        architecture: The architecture.
        section: The images with boxes.
        recipe: The recipe of the training.

    Returns:
        The folder, which need not exist.
    """
    data = re.sub(r"[^\w.-]+", "-", section.path.stem if section.path else section.dataset) or "data"
    size = format_resolution(plan_detector(architecture, section.resolution).resolution)
    return run.folder / DETECTORS_FOLDER / f"{architecture.id}-{data}-{size}px-{recipe.epochs}"


def _known(folder: Path, training: DetectionTraining, start: Start) -> DetectorManifest | None:
    """Return the manifest of a detector that was trained before; None if there is none, or its files are damaged."""
    if not (folder / DETECTOR_MANIFEST).is_file():
        return None
    try:
        manifest = read_detector_manifest(folder)
        load_detector(folder)
    except InputError:
        return None
    return manifest if manifest.key == training.key(start.network.architecture, start.weights) else None


def _train(
    run: Run,
    architecture: Architecture,
    start: Start,
    training: DetectionTraining,
    folder: Path,
    say: Callable[[str], None],
    on_progress: OnProgress,
) -> DetectorManifest:
    """Train a detector, score and measure it, and write its folder."""
    notation = start.network.architecture
    trained = training.train(
        start, folder / CHECKPOINT_FILE, lambda epoch, epochs, loss: on_progress(architecture.id, epoch, epochs, loss)
    )
    say(f"{architecture.id}: looking at the test images")
    findings = training.find(trained.detector)
    classes, resolution = len(training.training.classes), training.section.resolution
    latency = measure_detectors(run, [notation], classes, COLOURS, resolution, say)[notation]
    measured = None
    if isinstance(latency, DetectorLatency):
        interval = latency.low_ms, latency.high_ms
        measured = Latency(ms=latency.latency_ms, interval=interval, setting=latency.setting)
    weights = weights_of(trained.detector.detector, str(trained.detector.detector.plan.architecture))
    manifest = describe_detector(
        trained, start.words, training.key(notation, start.weights), findings, measured, weights_hash(weights),
        len(training.training.labels), training.recipe.context,
    )  # fmt: skip
    title = f"{run.trained_problem().name} {architecture.id} finds {training.section.path or training.section.dataset}"
    save_detector(folder, weights, manifest, detector_card(title, run.trained_problem().name, manifest))
    (folder / CHECKPOINT_FILE).unlink(missing_ok=True)
    return manifest
