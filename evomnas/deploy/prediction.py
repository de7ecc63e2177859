"""The classes of pictures, by a network that was trained in full or by a file that was exported from one.

A file holds all that is needed: its metadata have the names of the classes and what is done with a picture. Files of
earlier versions lack the latter, which is then read from the `model.json` beside them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from evomnas.core.errors import InputError
from evomnas.core.quiet import silence_native_code
from evomnas.data.gallery.layout import picture_files
from evomnas.data.photographs import Preprocessing
from evomnas.data.rows import Images
from evomnas.deploy.formats import FORMATS, ExportFormat
from evomnas.deploy.formats.exported_files import ANY_SIZE
from evomnas.latency.runtimes.base import Float32Array, Runtime, open_runtime

Probabilities = NDArray[np.float64]
DETECTOR = "detector.json"  # in the folder of a detector


@dataclass(frozen=True, slots=True)
class OpenedNetwork:
    """A network that is ready to classify pictures.

    Attributes:
        classes: The names of its classes, in the order of the logits.
        preprocessing: What is done with a picture.
        logits: The function from pixel values from 0 to 255, uint8, shape (channels, h, w), to the logits, shape
            (classes,).
        resizes: Whether it takes pictures of any size.
    """

    classes: tuple[str, ...]
    preprocessing: Preprocessing
    logits: Callable[[Images], Float32Array]
    resizes: bool = False

    def classify(self, path: Path) -> Probabilities:
        """Return the probability of every class for a picture.

        Args:
            path: The file of the picture.

        Returns:
            The probabilities by the network's own account, shape (classes,).

        Raises:
            InputError: The file cannot be read as a picture, or the network's output is not finite.
        """
        read = self.preprocessing.read_whole if self.resizes else self.preprocessing.read
        logits = self.logits(read(path)).astype(np.float64)
        if logits.shape != (len(self.classes),) or not np.isfinite(logits).all():
            raise InputError(f"{path}: the network's output is not one finite number for each of its classes")
        exponentials = np.exp(logits - logits.max())
        probabilities: Probabilities = exponentials / exponentials.sum()
        return probabilities


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of a network to a picture.

    Attributes:
        image: The picture's file.
        classes: Names and probabilities of the most probable classes, the most probable one first; empty after an
            error.
        error: Why there is no answer; None if there is one.
    """

    image: Path
    classes: tuple[tuple[str, float], ...]
    error: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the answer as a row for scripts."""
        named = [{"class": name, "probability": probability} for name, probability in self.classes]
        return {"image": str(self.image), "classes": named, "error": self.error}


def find_pictures(paths: Sequence[Path]) -> list[Path]:
    """Return the files that are meant by files and folders.

    Args:
        paths: Files of any suffix, which need not exist, and folders.

    Returns:
        The files; of a folder, all images in it and below it.

    Raises:
        InputError: A folder has no image in it.
    """
    found: list[Path] = []
    for path in paths:
        images = list(picture_files(path)) if path.is_dir() else [path]
        if not images:
            raise InputError(f"there is no image in the folder {path}: predict takes images, and folders of images")
        found += images
    return list(dict.fromkeys(found))


def predict(network: OpenedNetwork, pictures: Sequence[Path], top: int = 3) -> Iterator[Answer]:
    """Classify pictures one by one. A picture that cannot be read is an answer with an error.

    Args:
        network: The network.
        pictures: The pictures' files.
        top: How many classes an answer has at most.

    Yields:
        An answer for every picture, in their order.
    """
    for picture in pictures:
        try:
            probabilities = network.classify(picture)
        except InputError as error:
            yield Answer(picture, (), str(error))
            continue
        best = np.argsort(-probabilities, kind="stable")[:top]
        yield Answer(picture, tuple((network.classes[index], float(probabilities[index])) for index in best))


def is_detector(path: Path) -> bool:
    """Return whether a path is that of a detector: its folder, one of its files, or a file that was exported from one.

    Args:
        path: The path, at which there may be anything or nothing.
    """
    kind = next((kind for kind in FORMATS.values() if path.suffix.lower() == kind.suffix), None)
    if kind is not None and path.is_file():
        try:
            open_runtime(kind.runtime)
            with silence_native_code():  # of a damaged file, whose reader says more than one line
                return kind.metadata(path.read_bytes()).get("task") == "detection"
        except Exception:  # whoever opens it says what is wrong
            return False
    folder = path if path.is_dir() else path.parent
    return path.exists() and path.suffix in ("", ".json", ".md", ".safetensors") and (folder / DETECTOR).is_file()


def open_network(path: Path) -> OpenedNetwork:
    """Open a trained network or an exported file.

    Args:
        path: The folder of a network that `evomnas train` or `evomnas baselines` has trained, one of its files, or a
            file that `evomnas export` wrote, wherever it is.

    Returns:
        The network.

    Raises:
        InputError: The path is something else, is damaged, or its runtime is not installed.
    """
    if not path.exists():
        raise InputError(f"{path} does not exist: {_explain_networks()}")
    kind = next((kind for kind in FORMATS.values() if path.suffix.lower() == kind.suffix), None)
    if kind is not None and path.is_file():
        return _open_file(path, kind)
    return _open_folder(path)


def _explain_networks() -> str:
    *others, last = (kind.suffix for kind in FORMATS.values())
    suffixes = f"{', '.join(others)} or {last}"
    return f"predict takes a file that evomnas export wrote ({suffixes}), or the folder of a trained network"


def _open_folder(path: Path) -> OpenedNetwork:
    from evomnas.deploy.saving import MODEL_MANIFEST, find_network_folder, load_network

    folder = find_network_folder(path)
    if not (folder / MODEL_MANIFEST).is_file():
        manifests = [*path.glob(f"**/{MODEL_MANIFEST}"), *path.glob(f"**/{DETECTOR}")] if path.is_dir() else []
        networks = sorted(manifest.parent for manifest in manifests)
        if networks:
            raise InputError(f"{path} is not one network: name one of those in it, such as {networks[0]}")
        if (path / "run.json").is_file():
            from evomnas.results.run import Run

            Run.open(path).trained_problem()  # raises InputError where the run searched a table
            raise InputError(f"{path} has no trained network yet: evomnas train {path} --knee")
        raise InputError(f"{path} is no network: {_explain_networks()}")
    import torch

    network = load_network(folder)

    def logits(pixels: Images) -> Float32Array:
        with torch.inference_mode():
            output: Float32Array = network(torch.from_numpy(pixels)[None])[0].numpy()
        return output

    return OpenedNetwork(network.classes, network.preprocessing, logits)


def _open_file(path: Path, kind: ExportFormat) -> OpenedNetwork:
    runtime = open_runtime(kind.runtime)
    try:
        model = path.read_bytes()
        metadata = kind.metadata(model)
    except ImportError as error:  # a package is there by half
        raise InputError(f"{kind.name} files need {error.name}: {kind.install}") from None
    except Exception as error:  # every runtime raises errors of its own for a damaged or foreign file
        raise InputError(f"cannot read {path}: {str(error) or type(error).__name__}") from None
    classes, preprocessing = _read_classes(path, metadata), _read_preprocessing(path, metadata)
    file = _RunningFile(runtime, model)
    try:
        outputs = file(np.zeros(preprocessing.shape, dtype=np.uint8)).shape
    except Exception as error:
        raise InputError(f"{path} cannot be run: {str(error) or type(error).__name__}") from None
    if outputs != (1, len(classes)):
        raise InputError(f"{path} has {len(classes)} classes and an output of shape {outputs}: export it again")
    return OpenedNetwork(classes, preprocessing, lambda pixels: file(pixels)[0], ANY_SIZE in metadata)


class _RunningFile:
    """A file in its runtime, which is loaded again for images of another size."""

    def __init__(self, runtime: Runtime, model: bytes) -> None:
        self._runtime, self._model = runtime, model
        self._buffer = np.zeros(0, dtype=np.float32)
        self._run: Callable[[], Float32Array] = lambda: self._buffer

    def __call__(self, pixels: Images) -> Float32Array:
        """Return the output for an image, shape (channels, h, w)."""
        if self._buffer.shape[1:] != pixels.shape:
            self._buffer = np.zeros((1, *pixels.shape), dtype=np.float32)
            self._run = self._runtime.load(self._model, self._buffer, 1)
        self._buffer[0] = pixels  # the runtime reads its input anew at every run
        return self._run()


def _read_classes(path: Path, metadata: dict[str, str]) -> tuple[str, ...]:
    try:
        names = json.loads(metadata["classes"])
    except KeyError:
        raise InputError(f"{path} does not name its classes: {_explain_networks()}") from None
    except (ValueError, RecursionError):
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f"{path} names its classes in a way that cannot be read: {_explain_networks()}")
    return tuple(names)


def _read_preprocessing(path: Path, metadata: dict[str, str]) -> Preprocessing:
    if "preprocessing" not in metadata:
        from evomnas.deploy.saving import read_manifest

        try:
            manifest = read_manifest(path.parent)
            if metadata.get("network") != manifest.network:
                raise InputError("it is another network's")
            return manifest.interface.preprocessing
        except InputError:
            raise InputError(
                f"{path} does not say how it wants its images, as files of earlier versions: put the model.json of its "
                "network beside it, or export it again"
            ) from None
    try:
        return Preprocessing.model_validate_json(metadata["preprocessing"])
    except ValidationError:
        raise InputError(f"{path} says in a way that cannot be read how it wants its images: export it again") from None
