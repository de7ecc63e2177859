"""Pictures with their splits and classes; of a folder of images, those that are read and those that are not."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from evomnas.core.errors import InputError
from evomnas.data.boxes.boxes import Boxes
from evomnas.data.boxes.targets import BoxTargets
from evomnas.data.folders import IMAGE_SUFFIXES
from evomnas.data.gallery.found import Group
from evomnas.data.gallery.kinds import UNREAD_SUFFIXES, is_picture_file
from evomnas.data.gallery.layout import Layout, Split, is_hidden, picture_files
from evomnas.data.images import Labels
from evomnas.data.prepared.source import FileSource, PictureSource
from evomnas.problem.sections import Fit


class NamedSource(PictureSource, Protocol):
    """Pictures that have short names as well."""

    @property
    def files(self) -> Sequence[str]:
        """Their names as seen from the folder or the file that was given."""
        ...


@dataclass(frozen=True)
class GalleryFiles:
    """Pictures that are read, in the order of their splits: `all`, or `train`, `validation` and `test`.

    Attributes:
        root: The folder or the file that was given.
        source: The pictures.
        splits: The split of each, as in `Layout`.
        labels: The class of each, int64, shape (n,).
        classes: The names of the classes.
        unread: Returns what is not read, by reason.
        channels: 1 for grey, 3 for RGB.
        fit: How pictures of other proportions get those of the network, unless somebody says otherwise.
        targets: The boxes of each; None where each is of a class.
    """

    root: Path
    source: NamedSource
    splits: tuple[Split, ...]
    labels: Labels
    classes: tuple[str, ...]
    unread: Callable[[], Sequence[Group]]
    channels: int = 3
    fit: Fit = "crop"
    targets: BoxTargets | None = None

    @property
    def is_split(self) -> bool:
        """Whether the owner made splits."""
        return "all" not in self.splits

    @property
    def answers(self) -> NDArray[np.uint64]:
        """A number for what is to be known of each: its class, or a hash of its boxes, shape (n,)."""
        targets = self.targets
        if targets is None:
            return self.labels.astype(np.uint64)
        hashes = (self._hash(targets.boxes, targets.boxes.part(image)) for image in range(len(targets)))
        return np.fromiter(hashes, np.uint64, len(targets))

    @staticmethod
    def _hash(boxes: Boxes, part: slice) -> int:
        content = boxes.corners[part].tobytes() + boxes.labels[part].tobytes()
        return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big")

    @property
    def test(self) -> GalleryFiles:
        """The test images that the owner chose."""
        start = self.splits.index("test") if "test" in self.splits else len(self.splits)
        source = self.source.part(start, len(self.splits))
        targets = None if self.targets is None else self.targets.select(slice(start, None))
        return replace(self, source=source, splits=self.splits[start:], labels=self.labels[start:], targets=targets)


def list_files(layout: Layout) -> GalleryFiles:
    """Return the pictures of all splits and classes.

    Args:
        layout: The folders by split and class.

    Raises:
        InputError: Names of some files are not UTF-8.
    """
    numbers = {name: number for number, name in enumerate(layout.classes)}
    folders = sorted(layout.folders, key=lambda one: (layout.splits.index(one.split), numbers[one.name]))
    found = [(path, one.split, numbers[one.name]) for one in folders for path in picture_files(one.path)]
    wrong = [path for path, _, _ in found if not _is_utf8(str(path))]
    if wrong:
        names = ", ".join(ascii(str(path)) for path in wrong)
        raise InputError(f"names of {len(wrong):,} files are not UTF-8: rename {names}")
    paths = [path for path, _, _ in found]
    return GalleryFiles(
        root=layout.root,
        source=FileSource.of(layout.root, paths),
        splits=tuple(split for _, split, _ in found),
        labels=np.array([label for _, _, label in found], dtype=np.int64),
        classes=layout.classes,
        unread=lambda: list_unread(layout, paths),
    )


def list_unread(layout: Layout, paths: Sequence[Path]) -> list[Group]:
    """Return what lies in a folder of images and is not read, by reason.

    Args:
        layout: The folders by split and class.
        paths: The files that are read.
    """
    read = set(paths)

    def name(path: Path) -> str:
        return path.relative_to(layout.root).as_posix()

    reasons: dict[str, list[str]] = {}
    for folder in {
        layout.root,
        *(one.path for one in layout.folders if not one.path.resolve().is_relative_to(layout.root.resolve())),
    }:
        for path, reason in _leftovers(folder, {one.path for one in layout.folders}, read):
            reasons.setdefault(reason, []).append(os.fsencode(name(path)).decode(errors="replace"))
    reasons.setdefault("empty folders", []).extend(name(path) for path in layout.empty)
    return [Group.of(reason, names) for reason, names in sorted(reasons.items()) if names]


def _leftovers(folder: Path, classes: set[Path], read: set[Path]) -> Iterator[tuple[Path, str]]:
    for place, folders, names in os.walk(folder):
        here = Path(place)
        hidden = [name for name in folders if is_hidden(name)]
        yield from ((here / name, "hidden and system folders") for name in hidden)
        folders[:] = [name for name in folders if name not in hidden]
        linked = (here / name for name in folders if (here / name).is_symlink())
        yield from ((path, "linked folders") for path in linked if path not in classes)
        for path in (here / name for name in names):
            if path not in read:
                yield path, _reason(path)


def _reason(path: Path) -> str:
    if is_hidden(path.name):
        return "hidden files"
    if path.is_symlink() and not path.exists():
        return "broken links"
    if path.suffix.lower() in UNREAD_SUFFIXES:
        return f"{path.suffix.lower()} pictures, which must be converted"
    if path.suffix.lower() in IMAGE_SUFFIXES or is_picture_file(path):
        return "pictures outside of the classes"
    return "files of other kinds"


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
