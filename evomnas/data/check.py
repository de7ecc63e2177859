"""A check of images on disk that reads next to nothing, so that wrong ones are refused at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evomnas.core.arrays import array_headers
from evomnas.core.errors import InputError
from evomnas.core.system.machine import free_memory_gib
from evomnas.data.folders import check_image_folder
from evomnas.data.gallery.layout import check_layout, find_layout
from evomnas.problem.definition import Definition
from evomnas.problem.sections import DataSection

EXAMPLES = {"image-folder": "FOLDER", "npz": "file.npz"}  # of a path, by the data sets that need one
Labels = NDArray[np.int64]
ARRAYS = ("x_train", "y_train", "x_test", "y_test")


def check_images(definition: Definition) -> None:
    """Check that the images of a problem are where it says, as far as names of files and headers tell.

    Args:
        definition: Any problem; one whose images are not on disk, or that has a table, is right.

    Raises:
        InputError: They are not; the message says what to do.
    """
    section = getattr(definition, "data", None)
    if isinstance(section, DataSection) and section.dataset in EXAMPLES:
        path = required_path(section)
        if section.dataset == "npz":
            check_npz(path)
        elif section.rules == 1:
            check_image_folder(path)
        else:
            check_layout(find_layout(path))


def required_path(section: DataSection) -> Path:
    """Return the path of a data set that needs one.

    Args:
        section: The data section.

    Raises:
        InputError: It has none, or there is nothing at it.
    """
    example = EXAMPLES[section.dataset]
    if section.path is None:
        raise InputError(f"data set {section.dataset} needs a path: --set data.path={example}, or --data {example}")
    if not section.path.exists():
        raise InputError(f"data.path {section.path} does not exist: --data {example} says where it is")
    return section.path


def check_npz(path: Path) -> None:
    """Check the headers of an npz file, and the labels of its training images.

    Args:
        path: The file.

    Raises:
        InputError: It cannot be read, or is none of a data set.
    """
    with open_npz(path) as archive:
        try:
            labels = archive["y_train"]
        except Exception as error:
            raise unreadable(path, error) from None
    shape, dtype = array_headers(path).get("x_train", ((), np.dtype(np.uint8)))
    check_pixels(shape, dtype)
    labels = check_labels(path, "train", labels, shape)
    check_room(shape[0], math.prod(shape[1:]), copies=1)  # they may be made smaller before they are split
    check_classes("npz", [str(number) for number in range(int(labels.max(initial=-1)) + 1)], labels)


def open_npz(path: Path) -> np.lib.npyio.NpzFile:
    """Open an npz file of images; no array is read.

    Args:
        path: The file.

    Raises:
        InputError: It cannot be read, or lacks an array.
    """
    try:
        archive = np.load(path, allow_pickle=False)
        if isinstance(archive, np.ndarray):
            raise ValueError("it holds one array, not several with names")
    except Exception as error:
        raise unreadable(path, error) from None
    missing = [name for name in ARRAYS if name not in archive.files]
    if missing:
        raise InputError(
            f"{path} lacks {', '.join(missing)}: an npz data set needs {', '.join(ARRAYS[:-1])} and {ARRAYS[-1]}"
        )
    files: np.lib.npyio.NpzFile = archive
    return files


def unreadable(path: Path, error: Exception) -> InputError:
    """Return the error for an npz file that cannot be read; numpy and zipfile have many kinds of them.

    Args:
        path: The file.
        error: What they raised.
    """
    reason = "it holds objects or is no npz file" if "pickle" in str(error) else error
    return InputError(f"cannot read the npz file {path}: {reason}")


def check_labels(path: Path, part: str, labels: NDArray[Any], shape: tuple[int, ...]) -> Labels:
    """Check labels against the images that they are of.

    Args:
        path: The npz file, for messages.
        part: `train` or `test`, for messages.
        labels: Of any shape and type.
        shape: The shape of the images.

    Returns:
        The class of each image, int64 from 0, shape (n,).

    Raises:
        InputError: They are not one number per image, or numbers of classes that do not begin with 0.
    """
    if len(shape) == 0 or labels.ndim == 0:
        raise InputError(f"{path}: x_{part} and y_{part} must be arrays, one entry per image")
    labels = labels.squeeze(-1) if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if labels.shape != shape[:1] or not np.issubdtype(labels.dtype, np.integer) or (labels < 0).any():
        raise InputError(
            f"{path}: y_{part} must hold one non-negative integer per image of x_{part} {shape}, "
            f"got {labels.dtype} of {labels.shape}"
        )
    largest = int(labels.max(initial=0))
    if largest + 1 > 10 * max(1, len(np.unique(labels))):
        raise InputError(f"{path}: labels must number the classes from 0, but the largest is {largest}")
    return labels.astype(np.int64)


def check_pixels(shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Check that arrays are images.

    Args:
        shape: Their shape.
        dtype: Their type.

    Raises:
        InputError: They are not.
    """
    channels = shape[3] if len(shape) == 4 else 1
    if dtype != np.uint8 or len(shape) not in (3, 4) or channels not in (1, 3) or 0 in shape:
        raise InputError(
            f"images must be uint8 of shape (n, h, w), (n, h, w, 1) or (n, h, w, 3), got {dtype} of {shape}"
        )


def check_classes(dataset: str, classes: Sequence[str], labels: Labels) -> None:
    """Check that there are enough classes, and images of each.

    Args:
        dataset: The name of the data set, for the message.
        classes: The names of the classes.
        labels: The class of each image that may be trained on, shape (n,).

    Raises:
        InputError: There are too few.
    """
    counts = np.bincount(labels, minlength=len(classes))
    fewest = int(counts.min()) if len(counts) else 0
    if len(classes) < 2 or fewest < 2:
        rarest = classes[int(counts.argmin())] if len(classes) else "none"
        raise InputError(
            f"data set {dataset}: there must be at least 2 classes with 2 training images each, beside what is "
            f"kept aside for the test; there are {len(classes)} classes and class {rarest!r} has {fewest}"
        )


def check_room(images: int, size: int, copies: int = 2) -> None:
    """Check that images have room in the memory that is free.

    Args:
        images: How many they are.
        size: The bytes of one.
        copies: How often they must have room; twice while they are split.

    Raises:
        InputError: They have not: the system would kill this process.
    """
    wanted, free = copies * images * size / 2**30, free_memory_gib()
    if free is not None and wanted > free:
        raise InputError(
            f"{images:,} images of {size:,} bytes need {wanted:.1f} GiB of memory, and {free:.1f} GiB are free: use "
            "fewer or smaller ones (data.resolution), or more memory"
        )
