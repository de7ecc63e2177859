"""Export a trained network, run every file on the test split in its runtime, and say what each step costs and brings.

All figures of a network are kept beside its files, in `exports.json`, so that what was exported at different times
stands in one table. Latencies are on the scale of the run's calibration, as those of the search.
"""

from __future__ import annotations

import importlib
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from evomnas.core.errors import InputError, unknown
from evomnas.core.files import write_atomically
from evomnas.core.quiet import silence
from evomnas.deploy.compression import check_ranks, factorized, huffman_bytes, pruned
from evomnas.deploy.executorch_format import ExecuTorchFormat
from evomnas.deploy.full_training import FullTask
from evomnas.deploy.onnx_format import OnnxFormat
from evomnas.deploy.saving import FACTS, Facts, load_network, read_facts
from evomnas.deploy.trained_networks import check_images, network_folder
from evomnas.latency.meter import Meter
from evomnas.latency.prepare import prepare_here
from evomnas.latency.runtimes.base import Float32Array, PreparedNetwork, Runtime, open_runtime
from evomnas.latency.setting import Setting
from evomnas.networks.classifier import Classifier
from evomnas.networks.network import Network
from evomnas.problem.architecture import Architecture
from evomnas.problem.definition import ProblemDefinition
from evomnas.problem.target import LOCAL
from evomnas.results.archive import Archive, context_key
from evomnas.results.evaluation import Failure, Score
from evomnas.results.run import Run

EXPORTS = "exports.json"
CALIBRATION_IMAGES = 256
Say = Callable[[str], None]


class Format(Protocol):
    """A kind of file that some runtime runs.

    Attributes:
        name, suffix: Its own, and that of its files.
        runtime: The name of what runs it.
        needs: Modules that it imports.
        quantizer: The module that int8 files need beside them.
        install: What to type where one of them is missing.
    """

    name: str
    suffix: str
    runtime: str
    needs: tuple[str, ...]
    quantizer: str
    install: str

    def convert(self, classifier: Classifier, facts: dict[str, str]) -> bytes:
        """A classifier for one image, with facts in its metadata."""
        ...

    def quantize(
        self, classifier: Classifier, facts: dict[str, str], calibration: Float32Array
    ) -> tuple[bytes, list[NDArray[np.int8]]]:
        """The same in int8, and its int8 weights."""
        ...


FORMATS: dict[str, Format] = {one.name: one for one in (OnnxFormat(), ExecuTorchFormat())}


@dataclass(frozen=True)
class Request:
    """What is exported.

    Attributes:
        formats: `onnx`, `executorch` or both.
        quantize: Whether int8 files are made beside the float ones.
        prune: Share of the weights that become 0.
        factorize: Share of their weights that head and classifier keep, as two factors each.
        huffman: Whether the Huffman-coded size of int8 weights is computed.
    """

    formats: tuple[str, ...] = ("onnx",)
    quantize: bool = False
    prune: float | None = None
    factorize: float | None = None
    huffman: bool = False

    def check(self) -> None:
        """Raise InputError where something is wrong, or a runtime is not installed."""
        for name in self.formats:
            if name not in FORMATS:
                raise unknown("export format", name, FORMATS)
            kind = FORMATS[name]
            open_runtime(kind.runtime)
            for module in (*kind.needs, *([kind.quantizer] if self.quantize else [])):
                _check_import(module, kind)
        for name, share in (("--prune", self.prune), ("--factorize", self.factorize)):
            if share is not None and not 0 < share < 1:
                raise InputError(f"{name} takes a share between 0 and 1, as 0.5, got {share:g}")
        if self.huffman and not self.quantize:
            raise InputError("--huffman codes int8 weights: add --quantize int8")


def _check_import(module: str, kind: Format) -> None:
    """Raise InputError where a package is there by half."""
    try:
        with silence():
            importlib.import_module(module)
    except ImportError as error:
        raise InputError(
            f"{kind.name} files need {module}, which cannot be imported ({error}): {kind.install}"
        ) from None


@dataclass(frozen=True)
class Export:
    """One file.

    Attributes:
        file: Its name, in the network's folder.
        format, variant: `onnx` or `executorch`; `float`, `int8`, `pruned 50 %, int8` and so on.
        correct, images: Of the test split, in its runtime.
        agreement: Share of the test images that get the class that the trained network in PyTorch gives them.
        latency_ms, low_ms, high_ms: With its 95 % interval; None where it could not be measured.
        bytes: Of the file.
        packed_bytes: Of the file after deflate, which is what a download or an installation package takes.
        huffman_bytes: Of the file with its int8 weights Huffman-coded; None where that was not asked for.
        source: Which weights and test images these figures are of.
    """

    file: str
    format: str
    variant: str
    correct: int
    images: int
    agreement: float
    latency_ms: float | None
    low_ms: float | None
    high_ms: float | None
    bytes: int
    packed_bytes: int
    huffman_bytes: int | None = None
    source: str = ""

    @property
    def score(self) -> Score:
        """On the test split."""
        return Score(self.correct, self.images)


@dataclass(frozen=True)
class _File:
    """A file's content on its way, and its int8 weights."""

    format: Format
    variant: str
    model: bytes
    weights: list[NDArray[np.int8]]
    classifier: Classifier

    @property
    def name(self) -> str:
        words = self.variant.replace(" %", "").replace(",", "").replace(" ", "-")
        return f"model-{words}{self.format.suffix}"


def export_network(
    run: Run,
    architecture: Architecture,
    request: Request,
    *,
    distilled: bool = False,
    device: str = "auto",
    say: Say = lambda text: None,
) -> tuple[Path, Score, list[Export]]:
    """Export a trained network of a run; returns its folder, its own score and all that was ever exported of it.

    Args:
        run: Its folder has the trained network, and its problem the images and the device.
        architecture: Which network.
        request: What files are made.
        distilled: Take the network that had a teacher.
        device: `auto`, `cpu` or `cuda`, for fine-tuning.
        say: Told in words what is being done.

    Raises:
        InputError: The request is wrong, the network was not trained in full, or the images have changed since.
    """
    request.check()
    definition = run.trained_problem()
    folder = network_folder(run, architecture, distilled)
    again = f"evomnas train {run.argument} {run.network_argument(architecture)}{' --teacher' * distilled}"
    if not (folder / FACTS).is_file():
        raise InputError(f"{architecture.id} is not trained yet: {again}")
    facts, classifier = read_facts(folder), load_network(folder)
    if request.factorize is not None:
        check_ranks(classifier.network, request.factorize)
    exported = read_exports(folder)
    say("reading the images")
    task = FullTask(definition, device)
    check_images(run, task)
    if facts.network != str(architecture) or not _is_current(facts, task):
        raise InputError(
            f"the images or the recipe have changed since {folder} was trained: train it again with {again}"
        )
    answers = task.predictions(classifier.to(task.device))
    files = list(_files(classifier.cpu(), task, request, facts, say))
    source = context_key({"weights": facts.weights, "scored": facts.scored})
    known = {(one.format, one.variant): one for one in exported if one.source == source}
    _remove(folder, {one.file for one in exported if one.source != source})
    for name in request.formats:
        own = [one for one in files if one.format.name == name]
        latencies = _latencies(own, definition, run.archive, say)
        for file in own:
            say(f"running {file.name} on {len(task.test.labels):,} test images")
            export = _judged(file, task, answers, latencies[file.name], request.huffman, source)
            before = known.get((name, file.variant))
            if before is not None and not request.huffman and _holds(folder / file.name, file.model):
                export = replace(export, huffman_bytes=before.huffman_bytes)  # of the same weights
            write_atomically(folder / file.name, file.model)
            known[name, file.variant] = export
            write_atomically(folder / EXPORTS, json.dumps([asdict(one) for one in known.values()], indent=2) + "\n")
    return folder, task.score(answers), list(known.values())


def _is_current(facts: Facts, task: FullTask) -> bool:
    """Whether a network was trained, on a processor of whatever kind, and scored as it would be now."""
    current = task.scored_context(facts.teacher)
    scored = [context_key(current | {"device": kind}) for kind in ("cpu", "cuda")]
    return facts.takes == task.takes and facts.scored in scored


def _remove(folder: Path, names: Iterable[str]) -> None:
    """Remove files of weights that are no longer there; names come from a file, which may be anybody's."""
    for kind in FORMATS.values():
        for path in folder.glob(f"model-*{kind.suffix}"):
            if path.name in names:
                path.unlink()


def _holds(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except OSError:
        return False


def read_exports(folder: Path) -> list[Export]:
    """What was exported into a network's folder."""
    try:
        return [Export(**one) for one in json.loads((folder / EXPORTS).read_text(encoding="utf-8"))]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not a table that evomnas export wrote"
        raise InputError(f"cannot read {folder / EXPORTS}: {reason}; remove it, and export again") from None


def _files(classifier: Classifier, task: FullTask, request: Request, facts: Facts, say: Say) -> Iterator[_File]:
    metadata = {
        "classes": json.dumps(list(classifier.classes), ensure_ascii=False),
        "network": facts.network,
        "input": f"{facts.images}, float pixel values from 0 to 255; normalised in here",
    }
    calibration = _calibration(task)
    for variant, one in _variants(classifier, task, request, say):
        for name in request.formats:
            kind = FORMATS[name]
            say(f"exporting {variant} to {name}")
            yield _File(kind, variant, kind.convert(one, metadata), [], one)
            if request.quantize:
                say(f"quantizing {variant} for {name}")
                model, weights = kind.quantize(one, metadata, calibration)
                yield _File(kind, "int8" if variant == "float" else f"{variant}, int8", model, weights, one)


def _variants(classifier: Classifier, task: FullTask, request: Request, say: Say) -> Iterator[tuple[str, Classifier]]:
    """The network itself, and where that was asked for, a smaller one."""
    yield "float", classifier
    network, words = classifier.network, []
    assert isinstance(network, Network)
    if request.factorize is not None:
        say("factorizing and fine-tuning")
        network = factorized(network, request.factorize, task)
        words.append(f"factorized {100 * request.factorize:g} %")
    if request.prune is not None:
        say("pruning and fine-tuning")
        network = pruned(network, request.prune, task)
        words.append(f"pruned {100 * request.prune:g} %")
    if words:
        yield ", ".join(words), task.classifier(network).cpu()


def _calibration(task: FullTask) -> Float32Array:
    """Training images, spread over the whole set."""
    images = task.training.images
    chosen = np.linspace(0, len(images) - 1, min(CALIBRATION_IMAGES, len(images))).astype(int)
    calibration: Float32Array = images[chosen].astype(np.float32)
    return calibration


def _judged(
    file: _File,
    task: FullTask,
    answers: NDArray[np.int64],
    latency: tuple[float, float, float] | None,
    huffman: bool,
    source: str,
) -> Export:
    found = _run(open_runtime(file.format.runtime), file.model, task.test.images)
    agreement = float((found == answers).mean())
    milliseconds, low, high = latency or (None, None, None)
    coded = None
    if huffman and file.weights:
        coded = len(file.model) - sum(one.nbytes for one in file.weights) + huffman_bytes(file.weights)
    return Export(
        file.name, file.format.name, file.variant, task.score(found).correct, len(found), agreement,
        milliseconds, low, high, len(file.model), len(zlib.compress(file.model, 9)), coded, source,
    )  # fmt: skip


def _run(runtime: Runtime, model: bytes, images: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The classes of images, (n, c, h, w), one at a time as on the device: a runtime reads its input at every run."""
    image = np.zeros((1, *images.shape[1:]), dtype=np.float32)
    run = runtime.load(model, image, 1)
    found = np.empty(len(images), dtype=np.int64)
    for index, one in enumerate(images):
        image[0] = one
        found[index] = run().argmax()
    return found


def _latencies(
    files: Sequence[_File], definition: ProblemDefinition, archive: Archive, say: Say
) -> dict[str, tuple[float, float, float] | None]:
    """Latency in milliseconds with its interval, by file; all in the same rounds, alone on the machine."""
    runtime = open_runtime(files[0].format.runtime)
    latency, shape = definition.latency, files[0].classifier
    target = latency.target if runtime.name == "onnxruntime" else LOCAL
    setting = Setting(
        runtime.name, target, latency.threads, 1, shape.channels, shape.resolution, len(shape.classes),
        definition.space.mobilenet_v2(),
    )  # fmt: skip
    meter = Meter(setting, lambda one: prepare_here(setting, one)[1], archive)
    try:
        say("measuring")
        prepared = {one.name: _prepared(one, runtime) for one in files}
        scale = meter.calibration.latency_ms
        ratios = dict(meter.compare(prepared, lambda: say("waiting for another training or latency")))
    finally:
        meter.close()
    return {
        name: None if isinstance(one, Failure) else (scale * one.ratio, scale * one.low, scale * one.high)
        for name, one in ratios.items()
    }


def _prepared(file: _File, runtime: Runtime) -> PreparedNetwork:
    """A file with an image and what it makes of it here; how far that is from PyTorch is what the table says."""
    one = file.classifier
    image = np.full((1, one.channels, one.resolution, one.resolution), 127.0, dtype=np.float32)
    return PreparedNetwork(file.model, image, runtime.load(file.model, image, 1)())
