"""Exported files on a folder of images, each by its runtime alone: its classes, and how often they are the labels.

A label is the name of the folder in which an image is, if the file has a class of that name.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evomnas.core.errors import InputError
from evomnas.data.gallery.layout import picture_files
from evomnas.deploy.prediction import Answer, OpenedNetwork, open_network, predict
from evomnas.results.evaluation import Score


@dataclass(frozen=True, slots=True)
class LabelledAnswer:
    """The answer of a file to an image, beside the image's label.

    Attributes:
        answer: The most probable classes, or why there is no answer.
        label: The class that the image's folder names; None if it names none.
    """

    answer: Answer
    label: str | None

    @property
    def agrees(self) -> bool | None:
        """Whether the most probable class is the label; None without a label or without an answer."""
        return None if self.label is None or not self.answer.classes else self.answer.classes[0][0] == self.label


@dataclass(frozen=True, slots=True)
class FileCheck:
    """The answers of a file to the images of a folder.

    Attributes:
        file: The file.
        answers: Its answers, by image.
        faults: What is wrong with the file, the folder or an image, a line each.
    """

    file: Path
    answers: tuple[LabelledAnswer, ...]
    faults: tuple[str, ...]

    @property
    def score(self) -> Score | None:
        """How many images with a label get it, and how many there are; None where no image has a label."""
        verdicts = [one.agrees for one in self.answers if one.agrees is not None]
        return Score(sum(verdicts), len(verdicts)) if verdicts else None

    def to_dict(self) -> dict[str, Any]:
        """Return the check as an object for scripts."""
        score = self.score
        return {
            "file": str(self.file),
            "images": len(self.answers),
            "labelled": 0 if score is None else score.images,
            "agreeing": 0 if score is None else score.correct,
            "interval": None if score is None else list(score.interval),
            "faults": list(self.faults),
            "answers": [one.answer.to_dict() | {"label": one.label, "agrees": one.agrees} for one in self.answers],
        }


def find_images(folder: Path) -> list[Path]:
    """Return the images in a folder and below it.

    Args:
        folder: The folder.

    Returns:
        Their files, of which there is at least one.

    Raises:
        InputError: It is no folder, or has no image.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder: --check takes a folder of images, with a folder for each class")
    images = list(picture_files(folder))
    if not images:
        raise InputError(f"there is no image in the folder {folder}: --check takes a folder of images")
    return images


def check_file(
    file: Path, folder: Path, images: Sequence[Path], on_answer: Callable[[int], None] = lambda count: None
) -> FileCheck:
    """Run a file on images. What is wrong with it, or with an image, is a line of the result.

    Args:
        file: A file that `evomnas export` wrote.
        folder: The folder that was asked for.
        images: The images in it and below it.
        on_answer: Called after every image with the number of images so far.

    Returns:
        The answers and the faults.
    """
    try:
        network = open_network(file)
    except InputError as error:
        return FileCheck(file, (), (str(error),))
    answers = []
    labels = _labels(network, folder, images)
    for answer in predict(network, images):
        answers.append(LabelledAnswer(answer, labels[answer.image]))
        on_answer(len(answers))
    faults = [*_unknown_folders(network, folder, images, labels), *(one.answer.error for one in answers)]
    return FileCheck(file, tuple(answers), tuple(fault for fault in faults if fault is not None))


def _labels(network: OpenedNetwork, folder: Path, images: Iterable[Path]) -> dict[Path, str | None]:
    """Return the label of every image: the name of the nearest folder around it that is a class."""
    classes = {_normal(name): name for name in network.classes}
    return {
        image: next((classes[name] for name in map(_normal, _folders(image, folder)) if name in classes), None)
        for image in images
    }


def _folders(image: Path, folder: Path) -> list[str]:
    """Return the names of the folders around an image, from the nearest one to the one that was asked for."""
    return [*reversed(image.relative_to(folder).parts[:-1]), folder.resolve().name]


def _unknown_folders(
    network: OpenedNetwork, folder: Path, images: Iterable[Path], labels: dict[Path, str | None]
) -> list[str]:
    """Return a line for every folder with images that is no class of the file."""
    counts: dict[Path, int] = {}
    for image in images:
        if labels[image] is None and image.parent != folder:
            counts[image.parent] = counts.get(image.parent, 0) + 1
    names = ", ".join(network.classes[:5]) + (", ..." if len(network.classes) > 5 else "")
    return [
        f"{place} is no class of the file, which has {names}: {count} image{'s have' if count > 1 else ' has'} no label"
        for place, count in counts.items()
    ]


def _normal(name: str) -> str:
    """Return a name in one form of its accents, of which file systems have several."""
    return unicodedata.normalize("NFC", name)
