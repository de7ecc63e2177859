"""Checks of images that other modules make as well: there is something at a path, and enough images and memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from evomnas.core.errors import InputError
from evomnas.core.system.machine import free_memory_gib
from evomnas.data.npz_files import Labels
from evomnas.problem.sections import DataSection

EXAMPLES = {  # of a path, by the data sets that need one
    "image-folder": "FOLDER", "npz": "file.npz", "csv": "file.csv", "parquet": "FOLDER", "webdataset": "FOLDER",
    "boxes": "FOLDER",
}  # fmt: skip


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
