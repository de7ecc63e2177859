"""The images of a search in files, for the processes that work for it. Prepared images stay in their own file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from evomnas.core.resolution import sides, to_resolution
from evomnas.data.boxes.boxes import Boxes
from evomnas.data.boxes.targets import BoxTargets
from evomnas.data.images import Dataset
from evomnas.data.rows import ImageRows, MappedImages
from evomnas.problem.sections import Fit

PARTS = ("train", "validation")
BOX_ARRAYS = ("corners", "labels", "crowd", "areas", "starts")  # in the order of `Boxes`
LESSON_SUFFIX = ".lesson"  # of the files that have a teacher's answers
PLACE = "images.txt"  # says where prepared images are


def save_images(dataset: Dataset, folder: Path) -> None:
    """Write images to files, or where they are prepared, their place.

    Args:
        dataset: The images.
        folder: A folder.

    Raises:
        OSError: It has no room for them.
    """
    for part, images in _parts(dataset).items():
        if images.path is None:
            _save(folder / f"{part}-images.npy", images)
        else:
            (folder / f"{part}-{PLACE}").write_bytes(str(images.path).encode(errors="surrogateescape"))
            _save(folder / f"{part}-rows.npy", images.rows)
    _save(folder / "train-labels.npy", dataset.train_labels)
    _save(folder / "validation-labels.npy", dataset.validation_labels)
    _save(folder / "folds.npy", dataset.folds)
    for part, targets in zip(PARTS, (dataset.train_targets, dataset.validation_targets), strict=True):
        if targets is not None:
            _save_targets(folder / f"{part}-boxes.npz", targets)
    _save(folder / "classes.npy", np.asarray(dataset.classes))


def save_lessons(lessons: Sequence[NDArray[np.float32]], folder: Path) -> None:
    """Write the answers of a teacher to files.

    Args:
        lessons: Its logits for the training images of each training, shape (n, classes) each.
        folder: The folder of the images.

    Raises:
        OSError: It has no room for them.
    """
    for number, logits in enumerate(lessons):
        _save(folder / f"{number}{LESSON_SUFFIX}", logits)


def open_lessons(folder: Path) -> list[NDArray[np.float32]]:
    """Read the answers of a teacher; the inverse of `save_lessons`.

    Args:
        folder: The folder of the images.

    Returns:
        The logits for the training images of each training, shape (n, classes) each; none without a teacher.
    """
    files = sorted(folder.glob(f"*{LESSON_SUFFIX}"), key=lambda path: int(path.stem))
    return [np.load(path) for path in files]


def open_images(folder: Path) -> Dataset:
    """Map the images from their files, so that all processes share one copy; the inverse of `save_images`.

    Args:
        folder: The folder.

    Returns:
        The images, mapped.
    """
    train, validation = (_open(folder, part) for part in PARTS)
    return Dataset(
        train,
        np.load(folder / "train-labels.npy"),
        validation,
        np.load(folder / "validation-labels.npy"),
        tuple(map(str, np.load(folder / "classes.npy"))),
        np.load(folder / "folds.npy"),
        *(_open_targets(folder / f"{part}-boxes.npz") for part in PARTS),
    )


def _parts(dataset: Dataset) -> dict[str, ImageRows]:
    return dict(zip(PARTS, (dataset.train_images, dataset.validation_images), strict=True))


def _open(folder: Path, part: str) -> ImageRows:
    place = folder / f"{part}-{PLACE}"
    if not place.exists():
        return ImageRows.all(MappedImages(folder / f"{part}-images.npy"))
    path = Path(place.read_bytes().decode(errors="surrogateescape"))
    return ImageRows(MappedImages(path), np.load(folder / f"{part}-rows.npy"))


def _save_targets(path: Path, targets: BoxTargets) -> None:
    """Write boxes to a file."""
    boxes, size = targets.boxes, sides(targets.resolution)
    arrays = {name: getattr(boxes, name) for name in BOX_ARRAYS}
    with path.open("wb") as file:
        np.savez(file, **arrays, sizes=targets.sizes, resolution=np.array(size), fit=np.array(targets.fit))


def _open_targets(path: Path) -> BoxTargets | None:
    """Read boxes from a file; None where there is none."""
    if not path.exists():
        return None
    with np.load(path) as arrays:
        boxes = Boxes(*(arrays[name] for name in BOX_ARRAYS))
        fit: Fit = str(arrays["fit"])  # type: ignore[assignment]
        return BoxTargets(boxes, arrays["sizes"], to_resolution(*arrays["resolution"].tolist()), fit)


def _save(path: Path, array: NDArray[Any] | ImageRows) -> None:
    """Write an array to a file. Numpy's own writing loses the number of an error."""
    with path.open("wb") as file:
        if isinstance(array, ImageRows):
            npy.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": array.shape})
            for chunk in array.chunks():
                file.write(np.ascontiguousarray(chunk).data)
        else:
            np.save(SimpleNamespace(write=file.write), array)
