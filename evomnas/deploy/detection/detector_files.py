"""The folder of a trained detector: `weights.safetensors`, `detector.json` and, for people, `README.md`.

`load_detector` reads such a folder. Nothing in it is executed: weights are safetensors, and everything else is JSON.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from evomnas.core.arguments import checked
from evomnas.core.files import write_atomically
from evomnas.core.system.machine import describe_machine, describe_versions
from evomnas.deploy.detection.detection_training import TrainedDetector
from evomnas.deploy.saving import (
    MAX_CLASSES,
    MODEL_CARD,
    WEIGHTS_FILE,
    Deviation,
    Hash,
    PixelValue,
    read_description,
    read_weights,
)
from evomnas.networks.detection.detector import build_detector
from evomnas.networks.detection.object_detector import ObjectDetector
from evomnas.problem.architecture import Architecture
from evomnas.problem.detection.counting import count_detector
from evomnas.problem.sections import Fit, ResolutionField
from evomnas.results.detection.findings import Findings
from evomnas.results.packing.content import NETWORKS

DETECTOR_MANIFEST = "detector.json"
FORMAT_VERSION = 1  # of detector.json
Precision = Annotated[float, Field(ge=0, le=1)]
Interval = tuple[Precision, Precision] | None  # None where there is nothing to find


class Precisions(BaseModel):
    """Average precisions on the test images, with 95 % intervals; see `evomnas.results.detection.score`.

    Attributes:
        ap: COCO's mean over intersections over union.
        ap_interval: Its interval.
        ap50: That of half of the union.
        ap50_interval: Its interval.
        by_class: `ap` by the name of a class; None where the test images have none of it.
        images: The number of test images.
    """

    model_config = ConfigDict(frozen=True)

    ap: Precision
    ap_interval: Interval
    ap50: Precision
    ap50_interval: Interval
    by_class: dict[str, float | None]
    images: int

    @classmethod
    def of(cls, findings: Findings, classes: Sequence[str]) -> Precisions:
        """Return the average precisions of what was found.

        Args:
            findings: What was found in the test images.
            classes: The names of the classes.
        """
        return cls(
            ap=findings.ap, ap_interval=findings.interval("ap"), ap50=findings.ap50,
            ap50_interval=findings.interval("ap50"), images=findings.images,
            by_class=dict(zip(classes, findings.details["by_class"], strict=True)),
        )  # fmt: skip


class Latency(BaseModel):
    """A measured latency; see `evomnas.deploy.detection.detector_latency`.

    Attributes:
        ms: The latency in milliseconds.
        interval: Its 95 % interval.
        setting: Runtime, threads and device, in words.
    """

    model_config = ConfigDict(frozen=True)

    ms: float
    interval: tuple[float, float]
    setting: str


class DetectorManifest(BaseModel):
    """The content of `detector.json`.

    Attributes:
        format: The version of the file's format.
        network: The notation of the backbone.
        weights: The SHA-256 of the file of weights.
        classes: The names of the classes, in the order of the scores.
        channels: Channels of the images.
        resolution: The size of the images in pixels: one number for squares, or height and width.
        mean: The mean by which each channel is normalised, in pixel values from 0 to 255.
        std: The standard deviation by which each channel is normalised, in the same unit.
        fit: How pictures of other proportions get those of the images.
        key: A hash of everything that the training depended on.
        start: The weights that the training started from, in words.
        params: The parameters.
        macs: The MACs for one image, those of squeeze-and-excite among them.
        test: The average precisions on the test images.
        latency: The latency; None if it could not be measured.
        trained_on: The number of training images.
        recipe: The settings of the training.
        losses: The mean training loss of every epoch.
        seconds: How long the training took.
        versions: The versions of the software that trained it, by name.
        machine: The machine that trained it.
        scored: The archive's key of everything that the score depended on; None of one that is in no archive.
        origin: The search that found its backbone, in words; None if none did.
    """

    model_config = ConfigDict(frozen=True)

    format: Annotated[int, Field(ge=FORMAT_VERSION, le=FORMAT_VERSION)]
    network: str
    weights: Hash
    classes: Annotated[tuple[str, ...], Field(min_length=1, max_length=MAX_CLASSES)]
    channels: Annotated[int, Field(ge=1, le=4096)]
    resolution: ResolutionField
    mean: tuple[PixelValue, ...]
    std: tuple[Deviation, ...]
    fit: Fit
    key: str
    start: str
    params: int
    macs: int
    test: Precisions
    latency: Latency | None
    trained_on: int
    recipe: dict[str, Any]
    losses: tuple[float, ...]
    seconds: float
    versions: dict[str, str]
    machine: dict[str, Any]
    scored: str | None = None
    origin: str | None = None

    @model_validator(mode="after")
    def _check_channels(self) -> DetectorManifest:
        if not self.channels == len(self.mean) == len(self.std):
            raise ValueError("mean and std must have one value per channel")
        return self


def describe_detector(
    trained: TrainedDetector,
    start: str,
    key: str,
    findings: Findings,
    latency: Latency | None,
    weights: str,
    trained_on: int,
    recipe: dict[str, Any],
    scored: str | None = None,
    origin: str | None = None,
) -> DetectorManifest:
    """Return the content of `detector.json` of a detector that was trained here.

    Args:
        trained: The detector.
        start: See `DetectorManifest`.
        key: See `DetectorManifest`.
        findings: What it found in the test images.
        latency: See `DetectorManifest`.
        weights: See `DetectorManifest`.
        trained_on: See `DetectorManifest`.
        recipe: See `DetectorManifest`.
        scored: See `DetectorManifest`.
        origin: See `DetectorManifest`.
    """
    detector = trained.detector
    plan, classes, channels = detector.detector.plan, detector.classes, detector.preprocessing.channels
    counts = count_detector(plan, len(classes) + 1, channels)
    return DetectorManifest(
        format=FORMAT_VERSION, network=str(plan.architecture), weights=weights, classes=classes, channels=channels,
        resolution=plan.resolution, mean=tuple(detector.normalise.mean.flatten().tolist()),
        std=tuple(detector.normalise.std.flatten().tolist()), fit=detector.preprocessing.fit, key=key, start=start,
        params=counts.params, macs=counts.macs, test=Precisions.of(findings, classes), latency=latency,
        trained_on=trained_on, recipe=recipe, losses=trained.losses, seconds=round(trained.seconds, 1),
        versions=describe_versions(), scored=scored, origin=origin,
        machine={name: value for name, value in describe_machine().items() if name != "host"},
    )  # fmt: skip


def save_detector(folder: Path, weights: bytes, manifest: DetectorManifest, card: str) -> None:
    """Write a trained detector into a folder. `detector.json` is written last, so a folder that has it is complete.

    Args:
        folder: The folder; it is created if need be.
        weights: The content of the file of weights, as `evomnas.deploy.saving.weights_of` returns it.
        manifest: The content of `detector.json`.
        card: The text of `README.md`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / WEIGHTS_FILE, weights)
    write_atomically(folder / MODEL_CARD, card)
    write_atomically(folder / DETECTOR_MANIFEST, manifest.model_dump_json(indent=2) + "\n")


def read_detector_manifest(folder: Path) -> DetectorManifest:
    """Read the manifest of a trained detector.

    Args:
        folder: The detector's folder.

    Returns:
        The manifest.

    Raises:
        InputError: There is no `detector.json`, it cannot be read, or its content is not that of a detector.
    """
    return read_description(folder / DETECTOR_MANIFEST, DetectorManifest, "detector", _command(folder))


def _command(folder: Path) -> str:
    """Return the command that writes the folder of a detector, by where it is."""
    return "evomnas train" if folder.resolve().parent.name == NETWORKS else "evomnas detect"


@checked
def load_detector(path: Path | str) -> ObjectDetector:
    """Return the detector of a folder that `evomnas detect` wrote, as a torch module in evaluation mode.

    The module takes images with pixel values from 0 to 255, shape (n, channels, h, w), of any dtype. It returns boxes
    from 0 to 1, shape (n, anchors, 4), and scores, shape (n, anchors, classes). Its method `find` reads a picture and
    returns the objects in it.

    Args:
        path: The folder, or one of its files.

    Returns:
        The detector, on the CPU.

    Raises:
        InputError: The folder is not complete, or its weights are not those that its `detector.json` describes.
    """
    path = Path(path)
    folder = path.parent if path.name in (WEIGHTS_FILE, DETECTOR_MANIFEST, MODEL_CARD) else path
    manifest = read_detector_manifest(folder)
    architecture = Architecture.parse(manifest.network)
    detector = build_detector(architecture, len(manifest.classes), manifest.resolution, manifest.channels)
    path, expected = folder / WEIGHTS_FILE, detector.state_dict()
    state = read_weights(path, expected, manifest.network, manifest.weights, DETECTOR_MANIFEST, _command(folder))
    detector.load_state_dict(state)
    return ObjectDetector(detector, manifest.mean, manifest.std, manifest.classes, manifest.fit).eval()
