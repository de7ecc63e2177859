"""A first look at images, before a search: names of files, headers and labels. Wrong ones are refused at once."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from evomnas.core.errors import InputError
from evomnas.core.numbers.npz_headers import array_headers
from evomnas.data.boxes.listing import list_boxes
from evomnas.data.catalogues.finding import READERS, list_pictures
from evomnas.data.check import EXAMPLES, check_classes, check_room, required_path
from evomnas.data.folders import check_image_folder
from evomnas.data.gallery.layout import check_layout, find_layout
from evomnas.data.npz_files import (
    ARRAYS,
    MEDMNIST,
    Pair,
    check_labels,
    check_pixels,
    is_medmnist,
    open_npz,
    read_array,
)
from evomnas.problem.definition import Definition
from evomnas.problem.sections import DataSection


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
        elif section.dataset == "boxes":
            list_boxes(section)
        elif section.dataset in READERS:
            list_pictures(section)
        elif section.dataset == "image-folder":
            check_image_folder(path) if section.rules == 1 else check_layout(find_layout(path))


def check_npz(path: Path) -> None:
    """Check the headers of an npz file, and the labels of its training images.

    Args:
        path: The file.

    Raises:
        InputError: It cannot be read, or is none of a data set.
    """
    with open_npz(path) as archive:
        is_keras = not is_medmnist(archive.files)
        pair = Pair(*ARRAYS[:2]) if is_keras else Pair(*MEDMNIST)
        labels = read_array(path, archive, pair.labels)
        shape, dtype = array_headers(path).get(pair.images, ((), np.dtype(np.uint8)))
        try:
            check_pixels(shape, dtype)
        except InputError:  # it is read to say what mends it
            check_pixels(shape, dtype, pair.images, read_array(path, archive, pair.images))
    numbers = check_labels(path, pair, labels, shape, from_zero=is_keras)
    check_room(shape[0], math.prod(shape[1:]), copies=1)  # they may be made smaller before they are split
    if is_keras:
        check_classes("npz", [str(number) for number in range(int(numbers.max(initial=-1)) + 1)], numbers)
