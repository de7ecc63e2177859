"""The list of a search's images: file, class, use, and what each shows; and how two lists differ."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from evomnas.data.gallery.found import MAX_EXAMPLES, Found
from evomnas.data.images import LabelledImages
from evomnas.data.splits import list_splits
from evomnas.problem.sections import DataSection

LISTING = "images.csv"  # in a run's folder
NO_BOXES = ""  # in place of a class, of an image in which nothing is to be found
COLUMNS = ("file", "class", "use", "picture")


class ListedImage(NamedTuple):
    """An image of a search.

    Attributes:
        file: Its file, as seen from the folder of images.
        name: The name of its class; that of its rarest box where things are to be found in it.
        use: What the search does with it: `training`, `validation`, or the fold that validates it.
        picture: A number for what it shows, 16 hexadecimal digits.
    """

    file: str
    name: str
    use: str
    picture: str


class Listing(NamedTuple):
    """The images of a search, and what was found beside them.

    Attributes:
        images: The images, in the order of their numbers.
        found: What was found, for people.
    """

    images: tuple[ListedImage, ...]
    found: Found


def list_images(images: LabelledImages, section: DataSection) -> Listing | None:
    """Return the list of a search's images.

    Args:
        images: All images that may be trained on.
        section: The problem's data section.

    Returns:
        The list; None where images have no files of their own.
    """
    origin = images.origin
    if origin is None:
        return None
    names = [(*images.classes, NO_BOXES)[label] for label in images.labels]
    uses = list_splits(images, section)
    rows = zip(origin.files, names, uses, (f"{key:016x}" for key in origin.keys.tolist()), strict=True)
    is_split_here = origin.validates is None and section.folds is None
    found = _divided(images, origin.found, uses) if is_split_here else origin.found
    return Listing(tuple(ListedImage(*row) for row in rows), found)


def _divided(images: LabelledImages, found: Found, uses: Sequence[str]) -> Found:
    """Return what was found, with what validates a search apart from what it trains on."""
    validates = np.array([use == "validation" for use in uses], dtype=np.bool_)
    targets = images.targets
    labels = images.labels[validates] if targets is None else targets.select(validates).boxes.labels
    counts = np.bincount(labels, minlength=len(images.classes))
    numbers = dict(zip(images.classes, counts.tolist(), strict=True))
    return found.divided(numbers, None if targets is None else int(validates.sum()))


def to_csv(images: Iterable[ListedImage]) -> str:
    """Return a list of images as the content of a file; `read_listing` is the inverse.

    Args:
        images: The images.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(images)
    return buffer.getvalue()


def read_listing(folder: Path) -> list[ListedImage] | None:
    """Read the list of the images of a run.

    Args:
        folder: The run's folder.

    Returns:
        The images; None where there is no list, or none that can be read.
    """
    try:
        rows = list(csv.reader(io.StringIO((folder / LISTING).read_text(encoding="utf-8"), newline="")))
    except (OSError, ValueError, csv.Error):
        return None
    if not rows or tuple(rows[0]) != COLUMNS or any(len(row) != len(COLUMNS) for row in rows):
        return None
    return [ListedImage(*row) for row in rows[1:]]


def describe_changes(before: Sequence[ListedImage], now: Sequence[ListedImage]) -> str:
    """Return in words which images of a search were added, removed, changed, or have another class or use.

    Args:
        before: The images of the search.
        now: Those of today.

    Returns:
        The words; empty where nothing differs but names of files.
    """
    old, new = {image.file: image for image in before}, {image.file: image for image in now}
    pictures_before, pictures_now = Counter(_shown(before)), Counter(_shown(now))
    changed = [image for file, image in new.items() if file in old and old[file].picture != image.picture]
    files = {image.file for image in changed}
    added = _surplus([image for image in now if image.file not in files], old, pictures_now - pictures_before)
    removed = _surplus([image for image in before if image.file not in files], new, pictures_before - pictures_now)
    moved = [
        image
        for file, image in new.items()
        if file in old and old[file].picture == image.picture and old[file].use != image.use
    ]
    groups: Mapping[str, Sequence[ListedImage]] = {
        "added": added, "removed": removed, "changed": changed, "used otherwise": moved,
    }  # fmt: skip
    return "; ".join(_describe(what, images) for what, images in groups.items() if images)


def _shown(images: Sequence[ListedImage]) -> list[tuple[str, str]]:
    return [(image.name, image.picture) for image in images]


def _surplus(
    images: Sequence[ListedImage], others: Mapping[str, ListedImage], surplus: Counter[tuple[str, str]]
) -> list[ListedImage]:
    """Return the images that one list has and the other lacks, each as often as that is so; new names come first."""
    found = []
    for image in sorted(images, key=lambda image: image.file in others):
        if surplus[image.name, image.picture] > 0:
            surplus[image.name, image.picture] -= 1
            found.append(image)
    return found


def _describe(what: str, images: Sequence[ListedImage]) -> str:
    counts = Counter(image.name for image in images).most_common(MAX_EXAMPLES)
    classes = ", ".join(f"{name} {count:,}" for name, count in counts)
    files = ", ".join(image.file for image in images[:MAX_EXAMPLES])
    more = ", ..." if len(images) > MAX_EXAMPLES else ""
    return f"{len(images):,} {what} ({classes}: {files}{more})"
