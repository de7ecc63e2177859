"""The files of a folder of images: those of its splits and classes, and those that are not read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import compress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evomnas.core.errors import InputError
from evomnas.data.folders import IMAGE_SUFFIXES
from evomnas.data.gallery.found import Group
from evomnas.data.gallery.kinds import UNREAD_SUFFIXES, is_picture_file
from evomnas.data.gallery.layout import Layout, is_hidden, picture_files
from evomnas.data.images import Labels


@dataclass(frozen=True)
class GalleryFiles:
    """The files of a folder of images that are read.

    Attributes:
        layout: The folders by split and class.
        paths: The files, by split, class and name.
        splits: The split of each, as in `Layout`.
        labels: The class of each, int64, shape (n,).
    """

    layout: Layout
    paths: tuple[Path, ...]
    splits: tuple[str, ...]
    labels: Labels

    def select(self, chosen: NDArray[np.bool_]) -> GalleryFiles:
        """Return some of the files.

        Args:
            chosen: Whether each is one of them, shape (n,).
        """
        paths, splits = tuple(compress(self.paths, chosen)), tuple(compress(self.splits, chosen))
        return GalleryFiles(self.layout, paths, splits, self.labels[chosen])

    def name(self, path: Path) -> str:
        """Return a file as seen from the folder that was given.

        Args:
            path: The file.
        """
        return path.relative_to(self.layout.root).as_posix()


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
    return GalleryFiles(
        layout,
        tuple(path for path, _, _ in found),
        tuple(split for _, split, _ in found),
        np.array([label for _, _, label in found], dtype=np.int64),
    )


def list_unread(files: GalleryFiles) -> list[Group]:
    """Return what lies in a folder of images and is not read, by reason.

    Args:
        files: What is read of it.
    """
    layout, read = files.layout, set(files.paths)
    reasons: dict[str, list[str]] = {}
    for folder in {
        layout.root,
        *(one.path for one in layout.folders if not one.path.resolve().is_relative_to(layout.root.resolve())),
    }:
        for path, reason in _leftovers(folder, {one.path for one in layout.folders}, read):
            reasons.setdefault(reason, []).append(os.fsencode(files.name(path)).decode(errors="replace"))
    reasons.setdefault("empty folders", []).extend(files.name(path) for path in layout.empty)
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
