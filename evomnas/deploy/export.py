"""Exports of a trained network: files for devices, each run on the test images in its runtime, and measured.

The figures of all exports of a network are in `exports.json` in its folder, so that exports of different times are in
one table. Latencies are on the scale of the run's calibration, as those of the search.
"""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from evomnas.core.errors import InputError
from evomnas.core.files import write_atomically
from evomnas.data.photographs import Preprocessing
from evomnas.data.rows import ImageRows
from evomnas.deploy.cards.card import replace_usage
from evomnas.deploy.cards.snippets import usage_section
from evomnas.deploy.cards.tradeoffs import tradeoff_figure
from evomnas.deploy.compression import (
    check_channels,
    check_ranks,
    factorize_network,
    fine_tuning_epochs,
    huffman_bytes,
    prune_channels,
    prune_network,
)
from evomnas.deploy.durations import REPORT_S, Plan, measure_pace
from evomnas.deploy.folders.training_folders import Training, find_training
from evomnas.deploy.formats import FORMATS, ExportFormat, FlexibleFormat
from evomnas.deploy.formats.exported_files import (
    ANY_BATCH,
    ANY_SIZE,
    EXPORTS_FILE,
    FIGURE_FILE,
    INT8,
    Export,
    read_exports,
    slow_int8_files,
)
from evomnas.deploy.formats.pytorch.catalogue import PYTORCH_FORMATS, PyTorchFormat
from evomnas.deploy.formats.pytorch.names import PYTORCH_SUFFIXES
from evomnas.deploy.formats.request import Request
from evomnas.deploy.full_training import FullTask, check_classifies
from evomnas.deploy.saving import MODEL_CARD, MODEL_MANIFEST, ModelManifest, load_network, read_manifest
from evomnas.deploy.trained_networks import check_images
from evomnas.latency.devices.protocol import CALIBRATION_S
from evomnas.latency.meter import open_meter
from evomnas.latency.runtimes.base import Float32Array, PreparedNetwork, Runtime, open_runtime
from evomnas.latency.setting import Setting, runtime_of
from evomnas.networks.classifier import Classifier
from evomnas.networks.network import Network
from evomnas.problem.architecture import Architecture
from evomnas.problem.definition import ProblemDefinition
from evomnas.problem.loading import change_full_training
from evomnas.problem.sections import FLOAT, ScoreName
from evomnas.problem.target import LOCAL
from evomnas.results.answers.confusion import Confusion
from evomnas.results.archive import Archive, context_key
from evomnas.results.evaluation import Failure, Measurement, Score
from evomnas.results.run import Run
from evomnas.training.scoring import calibration_places

OnStep = Callable[[str], None]


class ExportResult(NamedTuple):
    """The exports of a network.

    Attributes:
        folder: The folder of the network and of the files.
        score: The test score of the trained network in PyTorch.
        exports: All files that were exported so far, those of earlier exports included.
        confusion: The answers of the trained network in PyTorch to the test images.
        classes: The names of the classes.
        score_name: By which score networks are judged.
        advice: What is to be known of int8 files that cost too much, one line each.
        written: The names of the files that this export has written.
    """

    folder: Path
    score: Score
    exports: list[Export]
    confusion: Confusion
    classes: tuple[str, ...]
    score_name: ScoreName
    advice: list[str]
    written: list[str]


@dataclass(frozen=True)
class _File:
    """The content of a file that is not written yet, its int8 weights, and the network that it was made from."""

    format: ExportFormat
    variant: str
    model: bytes
    weights: list[NDArray[np.int8]]
    classifier: Classifier

    @property
    def name(self) -> str:
        return _file_name(self.variant, self.format)


def _file_name(variant: str, kind: ExportFormat) -> str:
    words = variant.replace(" %", "").replace(",", "").replace(" ", "-")
    return f"model-{words}{kind.suffix}"


def _quantized(variant: str) -> str:
    """Return the name of a variant's int8 file."""
    return INT8 if variant == FLOAT else f"{variant}, {INT8}"


# The words for the steps of an export, by which their expected times are known as well
FACTORIZING, PRUNING = "factorizing and fine-tuning", "pruning and fine-tuning"
NARROWING = "dropping channels and fine-tuning"
EXPORTING, QUANTIZING = "exporting {variant} to {format}", "quantizing {variant} for {format}"
MEASURING, RUNNING = "measuring the files for {format}", "running {file} on the test images"
MEASURING_S = 0.8  # of a file
SCORING_S = 0.3  # of a file, besides its runs, on a core whose `measure_pace` is 1


def export_network(
    run: Run,
    architecture: Architecture,
    request: Request,
    *,
    distilled: bool = False,
    device: str = "auto",
    settings: Sequence[str] = (),
    accept_changes: bool = False,
    on_training: Callable[[Training], None] = lambda training: None,
    on_plan: Callable[[Plan], None] = lambda plan: None,
    say: OnStep = lambda text: None,
) -> ExportResult:
    """Export a trained network of a run to files, run each on the test images, and measure it.

    Args:
        run: The run. Its folder has the trained network, and its problem the images and the device.
        architecture: The network.
        request: The files to write.
        distilled: True for the network that had a teacher.
        device: `auto`, `cpu` or `cuda`, for fine-tuning.
        settings: The settings with which the network was trained, if they are not the problem's, as `full.epochs=20`.
            Where there is but one training, they need not be given.
        accept_changes: Export also if images have changed since the search, but not since the training.
        on_training: Called with the training that is exported, before anything is read.
        on_plan: Called before the first step with the time that all of them are expected to take, by their words.
        say: Called with a few words when a step begins.

    Returns:
        The network's folder, its test score, and all its exports.

    Raises:
        InputError: The request is wrong, the network was not trained in full, or the images have changed since then.
    """
    request.check()
    check_classifies(run.trained_problem())
    training = find_training(run, architecture, MODEL_MANIFEST, settings, distilled)
    on_training(training)
    folder, definition = training.folder, change_full_training(run.trained_problem(), training.settings)
    again = f"evomnas train {run.argument} {run.network_argument(architecture)} {training.options}".strip()
    manifest, classifier = read_manifest(folder), load_network(folder)
    if request.prune_channels is not None:
        check_channels(classifier.network, request.prune_channels)
    if request.factorize is not None:
        check_ranks(classifier.network, request.factorize)
    earlier_exports = read_exports(folder)
    say("reading the images")
    whole = FullTask(definition, device)
    check_images(run, whole, accept_changes)
    task = whole.for_network(architecture)
    if manifest.network != str(architecture) or not _is_current(manifest, task):
        raise InputError(
            f"the images or the recipe have changed since {folder} was trained: train it again with {again}"
        )
    started = time.perf_counter()
    predictions = task.predictions(classifier.to(task.device))
    image_s = (time.perf_counter() - started) / len(task.test.labels)
    measured = run.archive.measurement(run.record.measurement_context, architecture)
    before = [FORMATS[one.format].runtime for one in earlier_exports if one.format in FORMATS]
    on_plan(_plan(request, manifest, measured, task, image_s, {definition.latency.runtime, *before}))
    variants: list[tuple[str, Classifier]] = []
    made = _recorded(_variants(classifier.cpu(), task, request, say), variants)
    files = list(_files(made, task, request, manifest, say))
    source = context_key({"weights": manifest.weights, "scored": manifest.scored})
    exports = {
        (export.format, export.variant): export
        for export in earlier_exports
        if export.source == source and export.has_own_name and export.format in {*FORMATS, *PYTORCH_FORMATS}
    }
    _remove(folder, {export.file for export in earlier_exports if export.source != source})
    for kind in (PYTORCH_FORMATS[name] for name in request.formats if name in PYTORCH_FORMATS):
        for variant, smaller in variants:
            path = folder / kind.file_name(variant)
            say(EXPORTING.format(variant=variant, format=kind.name))
            write_atomically(path, kind.write(smaller, _metadata(smaller, task, manifest) | {"module": path.stem}))
            exports[kind.name, variant] = _evaluate_module(kind, variant, path, task, predictions.classes, source)
    for name in request.device_formats:
        format_files = [file for file in files if file.format.name == name]
        latencies = _latencies(format_files, definition, run.archive, say)
        for file in format_files:
            say(RUNNING.format(file=file.name))
            export = _evaluate(file, task, predictions.classes, latencies[file.name], request.huffman, source)
            earlier = exports.get((name, file.variant))
            if earlier is not None and not request.huffman and _has_content(folder / file.name, file.model):
                export = replace(export, huffman_bytes=earlier.huffman_bytes)  # of the same weights
            write_atomically(folder / file.name, file.model)
            exports[name, file.variant] = export
            _write_table(folder, exports.values())
    _write_table(folder, exports.values())
    _update_card(folder / MODEL_CARD, list(exports.values()), task.interface.preprocessing)
    confusion = task.answers(predictions).confusion
    score, names = task.score(predictions), task.training.classes
    rows, latency = list(exports.values()), definition.latency
    limit_ms = definition.constraints.max_latency_ms
    formats = [kind.name for kind in FORMATS.values() if kind.runtime == latency.runtime]
    advice = slow_int8_files(rows, formats, limit_ms, latency.precision == FLOAT)
    written = [file.name for file in files]
    return ExportResult(folder, score, rows, confusion, names, definition.data.test_score, advice, written)


def _plan(
    request: Request, manifest: ModelManifest, measured: Measurement | Failure | None, task: FullTask, image_s: float,
    calibrated: Collection[str],
) -> Plan:  # fmt: skip
    """Return the expected seconds of the steps of an export, in their order.

    `image_s` is PyTorch's time per image, and `calibrated` has the runtimes in which the reference was measured before.
    """
    epoch = manifest.seconds / len(manifest.losses) if manifest.losses else 0.0
    fine_tuning = epoch * fine_tuning_epochs(task.recipe.epochs)
    latency_ms = measured.latency_ms if isinstance(measured, Measurement) else 0.0
    pace, images = measure_pace(), len(calibration_places(len(task.training.labels)))
    expected: dict[str, float] = {}
    for smaller in [FLOAT, *_smaller_variant(request)]:
        variant = request.variant(smaller)
        if smaller != FLOAT:
            expected |= {NARROWING: fine_tuning} if request.prune_channels is not None else {}
            expected |= {FACTORIZING: fine_tuning} if request.factorize is not None else {}
            expected |= {PRUNING: fine_tuning} if request.prune is not None else {}
        for name in request.device_formats:
            kind = FORMATS[name]
            plain, quantized = kind.seconds
            expected[EXPORTING.format(variant=variant, format=name)] = pace * plain
            if request.quantize:
                quantized = pace * (quantized + kind.image_s * images) + kind.calibration * image_s * images
                expected[QUANTIZING.format(variant=variant, format=name)] = quantized
    for name in request.device_formats:
        variants = [request.variant(one) for one in (FLOAT, *_smaller_variant(request))]
        files = [one for variant in variants for one in [variant, *[_quantized(variant)] * request.quantize]]
        is_known = FORMATS[name].runtime in calibrated
        reference_s = 0.0 if is_known else pace * FORMATS[name].seconds[0] + CALIBRATION_S
        expected[MEASURING.format(format=name)] = reference_s + MEASURING_S * len(files)
        for variant in files:
            running = RUNNING.format(file=_file_name(variant, FORMATS[name]))
            expected[running] = pace * SCORING_S + latency_ms / 1000 * len(task.test.labels)
    return Plan(expected, pace * REPORT_S)


def _smaller_variant(request: Request) -> list[str]:
    """Return the name of the smaller variant that a request asks for; none if it asks for none."""
    shares = {
        "channels pruned": request.prune_channels, "factorized": request.factorize, "pruned": request.prune,
    }  # fmt: skip
    words = [f"{name} {100 * share:g} %" for name, share in shares.items() if share is not None]
    return [", ".join(words)] if words else []


def _write_table(folder: Path, exports: Iterable[Export]) -> None:
    write_atomically(folder / EXPORTS_FILE, json.dumps([asdict(export) for export in exports], indent=2) + "\n")


def _update_card(path: Path, exports: Sequence[Export], preprocessing: Preprocessing) -> None:
    """Let a model card show how the exported files are used and compare. What else it says stays as it is."""
    figure = tradeoff_figure(exports)
    if figure is not None:
        write_atomically(path.parent / FIGURE_FILE, figure)
    try:
        card = path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        card = ""
    write_atomically(path, replace_usage(card, usage_section(exports, preprocessing)))


def _is_current(manifest: ModelManifest, task: FullTask) -> bool:
    """Return whether a network was trained and scored as it would be now. The CPU and a GPU count as the same."""
    current = task.scored_context(manifest.teacher)
    scored = [context_key(current | {"device": kind}) for kind in ("cpu", "cuda")]
    return manifest.interface == task.interface and manifest.scored in scored


def _remove(folder: Path, names: Iterable[str]) -> None:
    """Remove exports of earlier weights. The names come from a file that anybody may have written."""
    for suffix in (*(kind.suffix for kind in FORMATS.values()), *PYTORCH_SUFFIXES.values()):
        for path in folder.glob(f"model[-_]*{suffix}"):
            if path.name in names:
                path.unlink()


def _has_content(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except OSError:
        return False


def _metadata(classifier: Classifier, task: FullTask, manifest: ModelManifest) -> dict[str, str]:
    preprocessing = task.interface.preprocessing
    return {
        "classes": json.dumps(list(classifier.classes), ensure_ascii=False),
        "network": manifest.network,
        "input": f"{preprocessing.describe()}; float pixel values from 0 to 255; normalised in here",
        "preprocessing": preprocessing.model_dump_json(),
    }


def _recorded(
    variants: Iterable[tuple[str, Classifier]], made: list[tuple[str, Classifier]]
) -> Iterator[tuple[str, Classifier]]:
    """Yield variants when they are made, and keep them."""
    for variant in variants:
        made.append(variant)
        yield variant


def _files(
    variants: Iterable[tuple[str, Classifier]], task: FullTask, request: Request, manifest: ModelManifest, say: OnStep
) -> Iterator[_File]:
    calibration, preprocessing = _calibration_images(task), task.interface.preprocessing

    def taking_any(kind: ExportFormat, model: bytes) -> bytes:
        if not (request.any_size or request.any_batch):
            return model
        return cast(FlexibleFormat, kind).take_any(model, preprocessing, request.any_size, request.any_batch)

    for plain, smaller in variants:
        variant, metadata = request.variant(plain), _metadata(smaller, task, manifest)
        if request.any_size:
            metadata["input"] = f"images of any size, from which are made here: {metadata['input']}"
            metadata[ANY_SIZE] = "yes"
        if request.any_batch:
            metadata[ANY_BATCH] = "yes"
        for name in request.device_formats:
            kind = FORMATS[name]
            say(EXPORTING.format(variant=variant, format=name))
            yield _File(kind, variant, taking_any(kind, kind.convert(smaller, metadata)), [], smaller)
            if request.quantize:
                say(QUANTIZING.format(variant=variant, format=name))
                model, weights = kind.quantize(smaller, metadata, calibration)
                yield _File(kind, _quantized(variant), taking_any(kind, model), weights, smaller)


def _variants(
    classifier: Classifier, task: FullTask, request: Request, say: OnStep
) -> Iterator[tuple[str, Classifier]]:
    """Yield the network itself, and a smaller one if the request asks for one."""
    yield FLOAT, classifier
    for variant in _smaller_variant(request):
        network = cast(Network, classifier.network)
        if request.prune_channels is not None:
            say(NARROWING)
            network = prune_channels(network, request.prune_channels, task)
        if request.factorize is not None:
            say(FACTORIZING)
            network = factorize_network(network, request.factorize, task)
        if request.prune is not None:
            say(PRUNING)
            network = prune_network(network, request.prune, task)
        yield variant, task.build_classifier(network).cpu()


def _calibration_images(task: FullTask) -> Float32Array:
    """Return training images that show the range of the activations."""
    images = task.training.images
    calibration: Float32Array = images[calibration_places(len(images))].astype(np.float32)
    return calibration


def _evaluate_module(
    kind: PyTorchFormat,
    variant: str,
    path: Path,
    task: FullTask,
    torch_predictions: NDArray[np.int64],
    source: str,
) -> Export:
    """Run a file for PyTorch on the test images and put its figures together."""
    predictions, model = kind.classify(path, task.test.images), path.read_bytes()
    confusion = Confusion.of(task.test.labels, predictions, len(task.test.classes))
    return Export(
        path.name, kind.name, variant, int(confusion.correct.sum()), confusion.total,
        float((predictions == torch_predictions).mean()), None, None, None, len(model), len(zlib.compress(model, 9)),
        source=source, balanced_accuracy=confusion.score("balanced-accuracy"), macro_f1=confusion.score("macro-f1"),
    )  # fmt: skip


def _evaluate(
    file: _File,
    task: FullTask,
    torch_predictions: NDArray[np.int64],
    latency: tuple[float, float, float] | None,
    huffman: bool,
    source: str,
) -> Export:
    """Run a file on the test images and put its figures together; the latency is (ms, low, high)."""
    predictions = _classify(open_runtime(file.format.runtime), file.model, task.test.images)
    confusion = Confusion.of(task.test.labels, predictions, len(task.test.classes))
    latency_ms, low_ms, high_ms = latency or (None, None, None)
    coded_bytes = None
    if huffman and file.weights:
        coded_bytes = len(file.model) - sum(array.nbytes for array in file.weights) + huffman_bytes(file.weights)
    return Export(
        file=file.name,
        format=file.format.name,
        variant=file.variant,
        correct=int(confusion.correct.sum()),
        images=confusion.total,
        agreement=float((predictions == torch_predictions).mean()),
        latency_ms=latency_ms,
        low_ms=low_ms,
        high_ms=high_ms,
        bytes=len(file.model),
        packed_bytes=len(zlib.compress(file.model, 9)),
        huffman_bytes=coded_bytes,
        source=source,
        balanced_accuracy=confusion.score("balanced-accuracy"),
        macro_f1=confusion.score("macro-f1"),
    )


def _classify(runtime: Runtime, model: bytes, images: ImageRows) -> NDArray[np.int64]:
    """Return the classes that a model gives to images (n, c, h, w), which it gets one at a time, as on the device."""
    buffer = np.zeros((1, *images.shape[1:]), dtype=np.float32)
    run = runtime.load(model, buffer, 1)
    predictions = np.empty(len(images), dtype=np.int64)
    for index, image in enumerate(images):
        buffer[0] = image  # the runtime reads its input anew at every run
        predictions[index] = run().argmax()
    return predictions


def _latencies(
    files: Sequence[_File], definition: ProblemDefinition, archive: Archive, say: OnStep
) -> dict[str, tuple[float, float, float] | None]:
    """Measure files of one format in the same rounds.

    Returns the latency in milliseconds with its interval, (ms, low, high), by the name of the file; None if a file
    could not be measured.
    """
    runtime = open_runtime(files[0].format.runtime)
    latency, shape = definition.latency, files[0].classifier
    target = latency.target if (runtime_of(latency.target) or "onnxruntime") == runtime.name else LOCAL
    setting = Setting(
        runtime.name, target, latency.threads, 1, shape.channels, shape.resolution, len(shape.classes),
        definition.space.reference_network(),
    )  # fmt: skip
    with open_meter(setting, archive) as meter:
        say(MEASURING.format(format=files[0].format.name))
        prepared = {file.name: _prepare(file, runtime) for file in files}
        scale_ms = meter.calibration.latency_ms
        ratios = dict(meter.compare(prepared, lambda: say("waiting for another training or latency")))
    latencies: dict[str, tuple[float, float, float] | None] = dict.fromkeys(ratios)
    for name, ratio in ratios.items():
        if not isinstance(ratio, Failure):
            latencies[name] = scale_ms * ratio.ratio, scale_ms * ratio.low, scale_ms * ratio.high
    return latencies


def _prepare(file: _File, runtime: Runtime) -> PreparedNetwork:
    """Return a file with an image and the output that it has here.

    The device's output is compared with that and not with PyTorch's, from which an int8 file may differ: the table of
    exports says how much.
    """
    size = file.classifier.preprocessing.size
    image = np.full((1, file.classifier.channels, *size), 127.0, dtype=np.float32)
    return PreparedNetwork(file.model, image, runtime.load(file.model, image, 1)())
