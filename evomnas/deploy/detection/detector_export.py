"""Exports of a trained detector of a run: each file is run on the test images in its runtime, and measured.

The figures of all files of a detector are in `exports.json` in its folder, so that exports of different times are in
one table. Latencies are without suppression, on the scale of the run's calibration.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import box_iou

from evomnas.core.errors import InputError
from evomnas.core.files import write_atomically
from evomnas.data.boxes.detections import Detections
from evomnas.deploy.cards.card import replace_usage
from evomnas.deploy.detection.detector_card import usage_section
from evomnas.deploy.detection.detector_files import DETECTOR_MANIFEST, load_detector, read_detector_manifest
from evomnas.deploy.detection.detector_formats import (
    DETECTOR_FORMATS,
    Answers,
    convert_detector,
    find_format,
    quantize_detector,
)
from evomnas.deploy.detection.detector_store import DetectorTask
from evomnas.deploy.detection.exported_detectors import DetectorExport, read_detector_exports
from evomnas.deploy.export import OnStep
from evomnas.deploy.folders.training_folders import Training, find_training
from evomnas.deploy.formats.exported_files import EXPORTS_FILE, slow_int8_files
from evomnas.deploy.formats.request import Request
from evomnas.deploy.saving import MODEL_CARD
from evomnas.deploy.trained_networks import check_images
from evomnas.latency.meter import open_meter
from evomnas.latency.runtimes.base import Float32Array, PreparedNetwork, open_runtime
from evomnas.latency.setting import problem_setting
from evomnas.networks.detection.object_detector import ObjectDetector
from evomnas.problem.architecture import Architecture
from evomnas.problem.definition import ProblemDefinition
from evomnas.problem.loading import change_full_training
from evomnas.problem.target import LOCAL
from evomnas.results.archive import Archive
from evomnas.results.detection.findings import SHOWN_SCORE
from evomnas.results.evaluation import Failure
from evomnas.results.run import Run
from evomnas.training.detection.finding import find_boxes
from evomnas.training.pixels import Pixels
from evomnas.training.scoring import calibration_places

SAME_OVERLAP, SAME_SCORE = 0.7, 0.1  # of a box that a file finds as PyTorch does: its least overlap, most difference
CHECKED_PICTURES = 8


class DetectorExports(NamedTuple):
    """The exports of a detector.

    Attributes:
        folder: The folder of the detector and of the files.
        ap: AP on the test images in PyTorch.
        ap50: AP50 there.
        images: The number of test images.
        exports: All files that were exported so far, those of earlier exports included.
        advice: A line for each int8 file that is slower than the float one, or beyond the limit of the search.
    """

    folder: Path
    ap: float
    ap50: float
    images: int
    exports: list[DetectorExport]
    advice: list[str]


class _File(NamedTuple):
    """A file before it is written."""

    format: str
    variant: str
    model: bytes

    @property
    def name(self) -> str:
        return f"model-{self.variant}{DETECTOR_FORMATS[self.format].suffix}"


def export_detector(
    run: Run,
    architecture: Architecture,
    request: Request,
    *,
    device: str = "auto",
    settings: Sequence[str] = (),
    accept_changes: bool = False,
    on_training: Callable[[Training], None] = lambda training: None,
    say: OnStep = lambda text: None,
) -> DetectorExports:
    """Export a trained detector of a run to files, run each on the test images, and measure it.

    Args:
        run: The run. Its folder has the trained detector, and its problem the images and the device.
        architecture: The detector's backbone.
        request: The files to write.
        device: `auto`, `cpu` or `cuda`, for what PyTorch finds.
        settings: The settings with which the detector was trained, if they are not the problem's, as `full.epochs=20`.
        accept_changes: Export also if images have changed since the search, but not since the training.
        on_training: Called with the training that is exported, before anything is read.
        say: Called with a few words when a step begins.

    Returns:
        The detector's folder, its test scores, and all its exports.

    Raises:
        InputError: The request is wrong, the detector was not trained in full, or the images have changed since then.
        RuntimeMismatch: A float file answers otherwise than PyTorch.
    """
    if request.prune is not None or request.factorize is not None or request.huffman:
        raise InputError("detectors are exported in float and int8: drop --prune, --factorize and --huffman")
    for name in request.formats:
        find_format(name)
    request.check()
    training = find_training(run, architecture, DETECTOR_MANIFEST, settings)
    on_training(training)
    folder, definition = training.folder, change_full_training(run.trained_problem(), training.settings)
    again = f"evomnas train {run.argument} {run.network_argument(architecture)} {training.options}".strip()
    manifest, detector = read_detector_manifest(folder), load_detector(folder)
    earlier = read_detector_exports(folder)
    say("reading the images")
    task = DetectorTask(definition, device)
    check_images(run, task, accept_changes)
    if manifest.key not in [task.key(architecture, device=kind) for kind in ("cpu", "cuda")]:
        raise InputError(
            f"the images or the recipe have changed since {folder} was trained: train it again with {again}"
        )
    pixels = Pixels(task.test.images.resize(manifest.resolution), torch.device("cpu"))
    expected = find_boxes(detector, pixels)
    files = _files(detector, task, request, say)
    exports = {(one.format, one.variant): one for one in earlier if one.source == manifest.weights}
    for name in request.formats:
        of_format = [file for file in files if file.format == name]
        say(f"measuring the files for {name}")
        latencies = _latencies(of_format, detector, definition, run.archive, say)
        for file in of_format:
            say(f"running {file.name} on the test images")
            found = find_boxes(_one_by_one(DETECTOR_FORMATS[name].run(file.model)), pixels)
            score = task.score(found, manifest.resolution)
            latency_ms, low_ms, high_ms = latencies.get(file.name) or (None, None, None)
            exports[name, file.variant] = DetectorExport(
                file=file.name, format=name, variant=file.variant, ap=score.ap, ap50=score.ap50, images=score.images,
                agreement=_agreement(expected, found), latency_ms=latency_ms, low_ms=low_ms, high_ms=high_ms,
                bytes=len(file.model), packed_bytes=len(zlib.compress(file.model, 9)), source=manifest.weights,
            )  # fmt: skip
            write_atomically(folder / file.name, file.model)
            table = [asdict(export) for export in exports.values()]
            write_atomically(folder / EXPORTS_FILE, json.dumps(table, indent=2) + "\n")
    rows = list(exports.values())
    _update_card(folder / MODEL_CARD, rows)
    formats = [name for name in request.formats if open_runtime(DETECTOR_FORMATS[name].runtime).name
               == definition.latency.runtime]  # fmt: skip
    advice = slow_int8_files(rows, formats, definition.constraints.max_latency_ms, False)
    of_torch = task.score(expected, manifest.resolution)
    return DetectorExports(folder, of_torch.ap, of_torch.ap50, of_torch.images, rows, advice)


def _files(detector: ObjectDetector, task: DetectorTask, request: Request, say: OnStep) -> list[_File]:
    images = task.training.images.resize(detector.preprocessing.resolution)
    calibration = images[calibration_places(len(images))].astype(np.float32)
    files = []
    for name in request.formats:
        say(f"exporting float to {name}")
        model = convert_detector(detector, name, images[:CHECKED_PICTURES]).model
        files.append(_File(name, "float", model))
        if request.quantize:
            say(f"quantizing float for {name}")
            files.append(_File(name, "int8", quantize_detector(detector, name, model, calibration)))
    return files


def _one_by_one(run: Callable[[Float32Array], Answers]) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """Return the function of a file for several images, which it gets one at a time, as on the device."""

    def answer(pixels: Tensor) -> tuple[Tensor, Tensor]:
        answers = [run(image[None].numpy()) for image in pixels.float()]
        boxes, scores = (torch.from_numpy(np.concatenate(part)) for part in zip(*answers, strict=True))
        return boxes, scores

    return answer


def _agreement(expected: Detections, found: Detections) -> float | None:
    """Return the share of the surest boxes that are found again; None where there is none."""
    hits: list[bool] = []
    for image in range(len(expected)):
        (corners, scores, labels), others = _of_image(expected, image), _of_image(found, image)
        sure = scores >= SHOWN_SCORE
        overlaps = box_iou(corners[sure], others[0])
        alike = (labels[sure, None] == others[2]) & ((scores[sure, None] - others[1]).abs() <= SAME_SCORE)
        hits += ((overlaps >= SAME_OVERLAP) & alike).any(1).tolist()
    return float(np.mean(hits)) if hits else None


def _of_image(found: Detections, image: int) -> tuple[Tensor, Tensor, Tensor]:
    part = slice(int(found.starts[image]), int(found.starts[image + 1]))
    corners, scores, labels = (torch.from_numpy(values[part]) for values in (found.corners, found.scores, found.labels))
    return corners, scores, labels


def _latencies(
    files: Sequence[_File], detector: ObjectDetector, definition: ProblemDefinition, archive: Archive, say: OnStep
) -> dict[str, tuple[float, float, float] | None]:
    """Measure files of one format in the same rounds; see `evomnas.deploy.export`."""
    runtime = open_runtime(DETECTOR_FORMATS[files[0].format].runtime)
    preprocessing = detector.preprocessing
    own = problem_setting(definition, len(detector.classes), preprocessing.channels)
    target = own.target if runtime.name == "onnxruntime" else LOCAL
    setting = replace(
        own, runtime=runtime.name, target=target, batch=1, provider="cpu", resolution=preprocessing.resolution
    )
    image = np.full((1, *preprocessing.shape), 127.0, dtype=np.float32)
    with open_meter(setting, archive) as meter:
        prepared = {
            file.name: PreparedNetwork(file.model, image, runtime.load(file.model, image, 1)().copy()) for file in files
        }
        scale_ms = meter.calibration.latency_ms
        ratios = dict(meter.compare(prepared, lambda: say("waiting for another training or latency")))
    latencies: dict[str, tuple[float, float, float] | None] = dict.fromkeys(ratios)
    for name, ratio in ratios.items():
        if not isinstance(ratio, Failure):
            latencies[name] = scale_ms * ratio.ratio, scale_ms * ratio.low, scale_ms * ratio.high
    return latencies


def _update_card(path: Path, exports: Sequence[DetectorExport]) -> None:
    """Let a model card list the exported files. What else it says stays as it is."""
    try:
        card = path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        card = ""
    rows = [
        (f"`{one.file}`", f"{one.ap:.1%}", f"{one.ap50:.1%}", "-" if one.agreement is None else f"{one.agreement:.1%}",
         "-" if one.latency_ms is None else f"{one.latency_ms:.4f}", f"{one.bytes / 1024:,.0f}")
        for one in exports
    ]  # fmt: skip
    write_atomically(path, replace_usage(card, usage_section(rows)))
