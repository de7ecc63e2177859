"""Entries of a list of pictures: class names, splits, and those that cannot be used."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from evomnas.core.errors import InputError
from evomnas.data.gallery.files import GalleryFiles, NamedSource
from evomnas.data.gallery.found import MAX_EXAMPLES, Group
from evomnas.data.gallery.layout import Split, check_class_names, check_counts, complete_splits, split_name
from evomnas.problem.sections import Fit

Label = int | str | None  # as the list has it; None where there is none
NO_LABEL = -1  # in data sets of Hugging Face
ORDER: tuple[Split, ...] = ("all", "train", "validation", "test")


class ListedSource(NamedSource, Protocol):
    """Pictures of a list, which can be put into another order."""

    def take(self, places: NDArray[np.int64]) -> Self:
        """Return some of the pictures.

        Args:
            places: Their places, shape (k,).
        """
        ...


@dataclass
class Leftovers:
    """Things that are not read, counted by what they are, with a few examples."""

    counts: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, what: str, name: str) -> None:
        """Count one.

        Args:
            what: What it is, in words.
            name: Its name.
        """
        self.counts[what] = self.counts.get(what, 0) + 1
        if len(shown := self.examples.setdefault(what, [])) < MAX_EXAMPLES:
            shown.append(name)

    def groups(self) -> tuple[Group, ...]:
        """Return what was counted."""
        return tuple(Group(what=what, count=self.counts[what], examples=self.examples[what]) for what in self.counts)


def arrange(
    root: Path,
    source: ListedSource,
    labels: Sequence[Label],
    splits: Sequence[Split],
    leftovers: Leftovers,
    class_names: Sequence[str] | None = None,
    channels: int = 3,
    fit: Fit = "crop",
) -> GalleryFiles:
    """Return the pictures of a list in the order of their splits, with numbers of classes.

    Args:
        root: What was given; a folder or a file.
        source: The pictures, n of them.
        labels: The label of each.
        splits: The split of each; `all` where the list has none.
        leftovers: What is not read; pictures without a label are added.
        class_names: What whole numbers among the labels mean, if that is known.
        channels: 1 for grey, 3 for RGB.
        fit: How pictures of other proportions get those of the network, unless somebody says otherwise.

    Returns:
        The pictures with a label, by split, each split in the list's own order.

    Raises:
        InputError: Labels, classes or splits cannot be used.
    """
    names = source.names
    if not names:
        raise InputError(f"{root} lists no pictures")
    for name, label in zip(names, labels, strict=True):
        if label in (None, "", NO_LABEL):
            leftovers.add("pictures without a label", printable(name))
    used = [place for place, label in enumerate(labels) if label not in (None, "", NO_LABEL)]
    if not used:
        raise InputError(f"{root} has no labels: every picture's is missing")
    found = complete_splits(root, [splits[place] for place in used])
    words = _class_words(root, [labels[place] for place in used], class_names)
    trained = {word for word, split in zip(words, found, strict=True) if split in ("all", "train")}
    check_class_names(words)
    classes = _ordered(trained, class_names)
    unknown = sorted(set(words) - trained)
    if unknown:
        raise InputError(f"{root} has a class that no picture to train on has, {unknown[0]!a}: leave its pictures out")
    numbers = {name: number for number, name in enumerate(classes)}
    label_numbers = np.array([numbers[word] for word in words], dtype=np.int64)
    order = np.argsort([ORDER.index(split) for split in found], kind="stable")
    check_counts(label_numbers.tolist(), found, classes, root)
    return GalleryFiles(
        root=root,
        source=source.take(np.array(used, dtype=np.int64)[order]),
        splits=tuple(found[place] for place in order),
        labels=label_numbers[order],
        classes=classes,
        unread=leftovers.groups,
        channels=channels,
        fit=fit,
    )


def _class_words(root: Path, labels: Sequence[Label], class_names: Sequence[str] | None) -> list[str]:
    """Return the name of each picture's class."""
    if class_names is None:
        return [str(label) for label in labels]
    wrong = next((one for one in labels if isinstance(one, int) and not 0 <= one < len(class_names)), None)
    if wrong is not None:
        raise InputError(f"{root} names {len(class_names)} classes, and a picture has the number {wrong}")
    return [class_names[label] if isinstance(label, int) else str(label) for label in labels]


def _ordered(words: set[str], class_names: Sequence[str] | None) -> tuple[str, ...]:
    """Return names of classes in the order of their numbers: as they are listed, as numbers, or as texts."""
    if class_names is not None and words <= set(class_names):
        return tuple(name for name in dict.fromkeys(class_names) if name in words)
    if all(re.fullmatch(r"\d{1,18}", word, re.ASCII) for word in words):
        return tuple(sorted(words, key=int))
    return tuple(sorted(words))


def split_of_file(path: Path, root: Path) -> Split | None:
    """Return the split that the name of a file means, or else that of a folder around it; None where none does.

    Args:
        path: The file, such as `train-00000.tar` or `test/0.parquet`.
        root: The folder that was given, whose own name means nothing.

    Raises:
        InputError: A name means two splits.
    """
    parts = path.relative_to(root).parts
    for part in (Path(parts[-1]).stem, *reversed(parts[:-1])):
        found = {split for word in re.split(r"[^A-Za-z]+", part) if word and (split := split_name(word)) is not None}
        if len(found) > 1:
            raise InputError(f"{path} could be of two splits, {' and '.join(sorted(found))}: rename it")
        if found:
            return found.pop()
    return None


def splits_of_files(files: Sequence[Path], root: Path) -> list[Split]:
    """Return the split of each file of a data set; `all` where no name means one.

    Args:
        files: The files.
        root: The folder that was given.

    Raises:
        InputError: Some names mean a split and others none.
    """
    found = [split_of_file(path, root) for path in files]
    unknown = [path for path, split in zip(files, found, strict=True) if split is None]
    if unknown and len(unknown) < len(files):
        known = next(path for path, split in zip(files, found, strict=True) if split is not None)
        raise InputError(
            f"{known} is named as a split and {unknown[0]} is not: name all files as splits (train, validation, test) "
            "or none"
        )
    return [split or "all" for split in found]


def data_files(path: Path, suffix: str) -> list[Path]:
    """Return the files of a data set, by name.

    Args:
        path: One of them, or the folder that holds them.
        suffix: How their names end, such as `.tar`.
    """
    if not path.is_dir():
        return [path]
    return sorted(
        file
        for file in path.rglob(f"*{suffix}")
        if file.is_file() and not any(part.startswith(".") for part in file.relative_to(path).parts)
    )


def printable(name: str) -> str:
    """Return a name that comes from a file in letters that can be shown anywhere.

    Args:
        name: The name, in which anything may be.
    """
    shown = name.encode(errors="surrogateescape").decode(errors="backslashreplace")
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in shown)
