"""The things in pictures, by a detector that was trained in full or by a file that was exported from one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor

from evomnas.core.errors import InputError
from evomnas.data.boxes.boxes import Boxes
from evomnas.data.boxes.headers import read_headers
from evomnas.data.boxes.targets import BoxTargets
from evomnas.data.photographs import Preprocessing
from evomnas.data.rows import Images
from evomnas.deploy.detection.detector_files import load_detector
from evomnas.deploy.detection.detector_formats import DETECTOR_FORMATS
from evomnas.deploy.formats import FORMATS
from evomnas.networks.detection.suppression import suppress

NO_BOXES = Boxes.of([0], np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros(0, np.bool_), np.zeros(0))


@dataclass(frozen=True, slots=True)
class Thing:
    """A thing in a picture.

    Attributes:
        name: The name of its class.
        score: How sure the detector is of it, from 0 to 1.
        box: Its left, upper, right and lower edge in pixels of the upright picture.
    """

    name: str
    score: float
    box: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class PictureFindings:
    """The things that a detector finds in a picture.

    Attributes:
        image: The picture's file.
        things: What was found, the surest first.
        error: Why there is no answer; None if there is one.
    """

    image: Path
    things: tuple[Thing, ...]
    error: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the answer as a row for scripts."""
        things = [{"class": one.name, "score": one.score, "box": list(one.box)} for one in self.things]
        return {"image": str(self.image), "objects": things, "error": self.error}


@dataclass(frozen=True, slots=True)
class OpenedDetector:
    """A detector that is ready to look at pictures.

    Attributes:
        classes: The names of its classes, in the order of the scores.
        preprocessing: What is done with a picture.
        answers: The function from pixel values from 0 to 255, uint8, shape (channels, h, w), to boxes from 0 to 1,
            shape (anchors, 4), and scores, shape (anchors, classes).
    """

    classes: tuple[str, ...]
    preprocessing: Preprocessing
    answers: Callable[[Images], tuple[Tensor, Tensor]]

    def find(self, path: Path, min_score: float) -> tuple[Thing, ...]:
        """Return the things in a picture.

        Args:
            path: The file of the picture.
            min_score: How sure the detector must be of them, from 0 to 1.

        Raises:
            InputError: The file cannot be read as a picture, or the detector's answers are not finite.
        """
        boxes, scores = self.answers(self.preprocessing.read(path))
        if not (torch.isfinite(boxes).all() and torch.isfinite(scores).all()):
            raise InputError(f"{path}: the detector's answers are not finite")
        corners, certainties, labels = suppress(boxes, scores)
        header = read_headers([path])[0]
        height, width = self.preprocessing.size
        targets = BoxTargets(
            NO_BOXES, np.array([header.upright]), self.preprocessing.resolution, self.preprocessing.fit
        )
        seen = corners.double().numpy() * (width, height, width, height)
        edges = targets.to_pictures(seen, np.zeros(len(seen), np.int64), self.preprocessing.resolution).round(1)
        rows = zip(edges.tolist(), certainties.tolist(), labels.tolist(), strict=True)
        return tuple(Thing(self.classes[label], score, tuple(box)) for box, score, label in rows if score >= min_score)


def find_things(detector: OpenedDetector, pictures: Sequence[Path], min_score: float) -> Iterator[PictureFindings]:
    """Look for things in pictures one by one. A picture that cannot be read is an answer with an error.

    Args:
        detector: The detector.
        pictures: The pictures' files.
        min_score: How sure the detector must be of a thing, from 0 to 1.

    Yields:
        An answer for every picture, in their order.
    """
    for picture in pictures:
        try:
            yield PictureFindings(picture, detector.find(picture, min_score))
        except InputError as error:
            yield PictureFindings(picture, (), str(error))


def open_detector(path: Path) -> OpenedDetector:
    """Open a trained detector or an exported file of one.

    Args:
        path: What `evomnas.deploy.prediction.is_detector` calls a detector.

    Returns:
        The detector.

    Raises:
        InputError: It is damaged, or its runtime is not installed.
    """
    name = next((name for name, kind in DETECTOR_FORMATS.items() if kind.suffix == path.suffix.lower()), None)
    if name is not None and path.is_file():
        return _open_file(path, name)
    detector = load_detector(path)

    def answers(pixels: Images) -> tuple[Tensor, Tensor]:
        with torch.inference_mode():
            boxes, scores = detector(torch.from_numpy(pixels)[None])
        return boxes[0], scores[0]

    return OpenedDetector(detector.classes, detector.preprocessing, answers)


def _open_file(path: Path, name: str) -> OpenedDetector:
    kind = DETECTOR_FORMATS[name]
    try:
        model = path.read_bytes()
        texts = FORMATS[name].metadata(model)
        classes = json.loads(texts["classes"])
        if not isinstance(classes, list) or not all(isinstance(one, str) for one in classes):
            raise InputError("it names its classes in a way that cannot be read")
        preprocessing = Preprocessing.model_validate_json(texts["preprocessing"])
        run = kind.run(model)
        found = [part.shape for part in run(np.zeros((1, *preprocessing.shape), dtype=np.float32))]
        if len(found) != 2 or found[0] != (1, found[1][1], 4) or found[1][::2] != (1, len(classes)):
            raise InputError(f"its outputs have the shapes {found}")
    except ImportError as error:
        raise InputError(f"{name} files need {error.name}: {kind.install}") from None
    except (KeyError, ValidationError):
        raise InputError(f"{path} does not say how it wants its images: export it again") from None
    except Exception as error:  # every runtime raises errors of its own for a damaged or foreign file
        raise InputError(f"cannot read {path}: {str(error) or type(error).__name__}") from None

    def answers(pixels: Images) -> tuple[Tensor, Tensor]:
        boxes, scores = run(pixels[None].astype(np.float32))
        return torch.from_numpy(boxes[0]), torch.from_numpy(scores[0])

    return OpenedDetector(tuple(classes), preprocessing, answers)
