"""The layout of a folder of images as its owner meant it: which folders are splits, and which are classes.

Folders are told apart by their names and by what is in them: a split holds folders of classes, a class holds images.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Literal

from evomnas.core.errors import InputError
from evomnas.data.folders import MIN_IMAGES, MIN_TRAINING_IMAGES, explain_none
from evomnas.data.gallery.kinds import is_picture_file, other_pictures

Split = Literal["all", "train", "validation", "test"]
SPLIT_NAMES: dict[str, Split] = {
    **dict.fromkeys(("train", "training", "trn", "trainval"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "validating", "dev", "development"), "validation"),
    **dict.fromkeys(("test", "testing", "tst", "eval", "evaluation", "holdout", "heldout"), "test"),
}
_ADDED = r"(split|set|data|dataset|images|imgs|img|pictures|photos|folder|dir)"  # to a split's name, by people
SYSTEM_FOLDERS = ("__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found", "__pycache__")
MAX_LEVELS = 4  # through which single folders are followed


@dataclass(frozen=True, slots=True)
class ClassFolder:
    """A folder with the images of a class in a split.

    Attributes:
        split: The split; `all` where the owner made none.
        name: The name of the class.
        path: The folder.
    """

    split: Split
    name: str
    path: Path


@dataclass(frozen=True, slots=True)
class Layout:
    """Which folders hold what.

    Attributes:
        root: The folder that was given.
        folders: The folders with images, by split and class.
        empty: Folders in the place of a class that hold no images.
    """

    root: Path
    folders: tuple[ClassFolder, ...]
    empty: tuple[Path, ...]

    @property
    def splits(self) -> tuple[Split, ...]:
        """The splits that there are, in the order in which they are used."""
        found = {folder.split for folder in self.folders}
        return tuple(split for split in ("all", "train", "validation", "test") if split in found)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes that may be trained on, in the order of their numbers."""
        return tuple(sorted({folder.name for folder in self.folders if folder.split in ("all", "train")}))


def split_name(name: str) -> Split | None:
    """Return the split that a folder's name means, in any usual spelling; None where it means none.

    Args:
        name: The name, such as `Train`, `test_set` or `val2017`.
    """
    letters = re.sub(r"[^a-z]", "", name.casefold())
    return SPLIT_NAMES.get(letters) or SPLIT_NAMES.get(re.sub(f"{_ADDED}$|^{_ADDED}", "", letters))


def is_hidden(name: str) -> bool:
    """Return whether a file or folder is hidden, or the operating system's.

    Args:
        name: Its name.
    """
    return name.startswith(".") or name.lower() in SYSTEM_FOLDERS


def walk_files(folder: Path) -> Iterator[Path]:
    """Find the files of a folder and of those below it that are not hidden, in the order of their names.

    Args:
        folder: The folder. Linked folders below it are not entered.

    Yields:
        The files, links to files included.
    """
    return (Path(entry.path) for entry in _walk(str(folder)))


def _walk(folder: str) -> Iterator[os.DirEntry[str]]:
    """Find the files of `walk_files` as entries of their folders: with a million of them, paths take a minute."""
    try:
        with os.scandir(folder) as found:
            entries = sorted((entry for entry in found if not is_hidden(entry.name)), key=lambda entry: entry.name)
    except OSError:
        return
    yield from (entry for entry in entries if not entry.is_dir())
    for entry in entries:
        if entry.is_dir() and not entry.is_symlink():
            yield from _walk(entry.path)


def find_layout(root: Path) -> Layout:
    """Find the splits and classes of a folder of images, by names of files and the beginnings of unusual ones.

    A single folder that wraps the others is opened. If all classes are divided into the same splits, that counts as
    well as splits that are divided into classes.

    Args:
        root: The folder.

    Returns:
        The folders by split and class.

    Raises:
        InputError: There are no images of two classes, or folders could be read in two ways; the message names both.
    """
    if not root.is_dir():
        raise InputError(f"{root} is not a folder: put the images of each class into a folder of its own within one")
    place = _unwrap(root)
    inner = _folders(place)
    named = {folder: split for folder in inner if (split := split_name(folder.name)) is not None}
    others = [folder for folder in inner if folder not in named and _has_pictures(folder)]
    divided = [folder for folder in named if _holds_classes(folder)]
    if named and not divided and not others and any(map(_has_pictures, named)):
        names = " and ".join(sorted(folder.name for folder in named))
        raise InputError(
            f"{place}/{names}: a split holds a folder for each class, and there are images alone. Put those of each "
            "class into a folder of its own, or rename the folders if these are classes"
        )
    if not divided:
        return _checked(root, place, _classes_first(place, inner))
    _check_readings(place, divided, [*others, *(folder for folder in named if folder not in divided)], named)
    return _checked(
        root, place, [ClassFolder(named[folder], one.name, one) for folder in divided for one in _folders(folder)]
    )


def complete_splits(place: Path, splits: Sequence[Split]) -> list[Split]:
    """Return the splits of pictures, where their owner made only some.

    Training images alone are no split. Whoever made one split beside them keeps it for the test.

    Args:
        place: Where the pictures are, for messages.
        splits: The split of each.

    Returns:
        All of them `all`, or some `test` and none `all`.

    Raises:
        InputError: There are none to train on.
    """
    kinds = set(splits)
    if kinds in (set(), {"train"}, {"all"}):
        return ["all"] * len(splits)
    if "train" not in kinds:
        raise InputError(f"{place} has the splits {' and '.join(sorted(kinds))}, and nothing to train on")
    return list(splits) if "test" in kinds else ["test" if split == "validation" else split for split in splits]


def check_counts(labels: Sequence[int], splits: Sequence[Split], classes: Sequence[str], place: Path) -> None:
    """Check that all classes have enough images.

    Args:
        labels: The class of each image.
        splits: The split of each.
        classes: The names of the classes.
        place: Where the images are, for messages.

    Raises:
        InputError: There is one class alone, or one has too few.
    """
    if len(classes) < 2:
        raise InputError(f"{place} has one class, {classes[0]}: a search needs two or more")
    kept_aside = "all" in splits
    needed = MIN_IMAGES if kept_aside else MIN_TRAINING_IMAGES
    kept = ", one of which is kept aside for the test" if kept_aside else ""
    counts = Counter(label for label, split in zip(labels, splits, strict=True) if split in ("all", "train"))
    for number, name in enumerate(classes):
        if counts[number] < needed:
            images = f"{counts[number]} image{'s' * (counts[number] != 1)}"
            raise InputError(f"{place}: class {name!r} has {images}: a class needs {needed} or more{kept}")


def check_layout(layout: Layout) -> None:
    """Check that all classes have enough images; none is read.

    Args:
        layout: The folders by split and class.

    Raises:
        InputError: One has too few.
    """
    kept_aside = layout.splits == ("all",)
    needed = MIN_IMAGES if kept_aside else MIN_TRAINING_IMAGES
    kept = ", one of which is kept aside for the test" if kept_aside else ""
    for name in layout.classes:
        folders = [one.path for one in layout.folders if one.name == name and one.split in ("all", "train")]
        count = len(list(islice((path for folder in folders for path in picture_files(folder)), needed)))
        if count < needed:
            place = folders[0] if len(folders) == 1 else name
            raise InputError(f"{place} has {count} image{'s' * (count != 1)}: a class needs {needed} or more{kept}")


def picture_files(folder: Path) -> Iterator[Path]:
    """Find the pictures of a folder and of those below it, also those with unusual names.

    Args:
        folder: The folder.

    Yields:
        The files.
    """
    for entry in _walk(str(folder)):
        if entry.is_file():
            path = Path(entry.path)
            if is_picture_file(path):
                yield path


def _folders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as found:
            return sorted(Path(entry.path) for entry in found if not is_hidden(entry.name) and entry.is_dir())
    except PermissionError:
        raise InputError(
            f"{folder} cannot be read by this user: change its permissions, or move it elsewhere"
        ) from None


def _has_pictures(folder: Path | str) -> bool:
    """Return whether there are pictures in a folder or below it; all of them are looked at only if there are none."""
    below = []
    with suppress(OSError), os.scandir(folder) as found:
        for entry in found:
            if is_hidden(entry.name):
                continue
            if entry.is_dir():
                below += [] if entry.is_symlink() else [entry.path]
            elif entry.is_file() and is_picture_file(Path(entry.path)):
                return True
    return any(map(_has_pictures, below))


def _has_own_pictures(folder: Path) -> bool:
    return any(path.is_file() and not is_hidden(path.name) and is_picture_file(path) for path in folder.iterdir())


def _holds_classes(folder: Path) -> bool:
    """Return whether a folder holds folders with images, and no image of its own."""
    return any(map(_has_pictures, _folders(folder))) and not _has_own_pictures(folder)


def _unwrap(folder: Path, levels: int = MAX_LEVELS) -> Path:
    """Return the folder, or the one that is alone in it as often as that is so."""
    inner = [one for one in _folders(folder) if _has_pictures(one)]
    if len(inner) != 1 or not levels or not _holds_classes(inner[0]):
        return folder
    if split_name(inner[0].name) is not None and len([*filter(_has_pictures, _folders(inner[0]))]) > 1:
        return folder  # a split alone
    return _unwrap(inner[0], levels - 1)


def _classes_first(place: Path, inner: Sequence[Path]) -> list[ClassFolder]:
    """Return the folders of classes; if each is divided into splits, those within them."""
    divided = {}
    for folder in filter(_has_pictures, inner):
        below = [one for one in _folders(folder) if _has_pictures(one)]
        splits = [split_name(one.name) for one in below]
        if "train" in splits and len(below) > 1 and None not in splits and not _has_own_pictures(folder):
            divided[folder] = below
    if not divided:
        return [ClassFolder("all", folder.name, folder) for folder in inner]
    whole = [folder for folder in inner if folder not in divided and _has_pictures(folder)]
    if whole:
        raise InputError(
            f"{place} can be read in two ways: {_names(divided)} divided into splits and {_names(whole)} not, or all "
            "of them classes with folders of images; divide all classes into splits, or none"
        )
    return [
        ClassFolder(split, folder.name, one)
        for folder, below in divided.items()
        for one in below
        if (split := split_name(one.name))
    ]


def _check_readings(place: Path, splits: Sequence[Path], others: Sequence[Path], named: dict[Path, Split]) -> None:
    """Raise InputError where folders that are named as splits may be classes, or one is there twice."""
    others = [folder for folder in others if _has_pictures(folder)]
    if others:
        raise InputError(
            f"{place} can be read in two ways: {_names(splits)} as splits, so that {_names(others)} would not be used, "
            f"or all of them as classes; move {_names(others)} elsewhere, or rename {_names(splits)}"
        )
    for wanted in ("train", "validation", "test"):
        same = [folder for folder in splits if named[folder] == wanted]
        if len(same) > 1:
            raise InputError(
                f"{place} can be read in two ways: {_names(same)} both as the {wanted} split, or one of them alone; "
                "put all into one folder, or move the others elsewhere"
            )
    if not any(named[folder] == "train" for folder in splits):
        raise InputError(
            f"{place} can be read in two ways: {_names(splits)} as splits, of which none is to train on, or as "
            "classes; add a folder train, or rename them"
        )


def _names(folders: Sequence[Path] | dict[Path, list[Path]]) -> str:
    names = [folder.name for folder in folders]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _checked(root: Path, place: Path, folders: list[ClassFolder]) -> Layout:
    """Return the layout of folders, if their names and what is in them are right."""
    splits = complete_splits(place, [one.split for one in folders])
    folders = [replace(one, split=split) for one, split in zip(folders, splits, strict=True)]
    full = tuple(one for one in folders if _has_pictures(one.path))
    for one in folders:
        if one not in full:
            _check_empty(one.path)
    if not full:
        raise InputError(explain_none(place))
    layout = Layout(root, full, tuple(one.path for one in folders if one not in full))
    if len(layout.classes) == 1:
        raise InputError(f"{place} has one class, {layout.classes[0]}: a search needs two or more, a folder for each")
    check_class_names({one.name for one in layout.folders}, "rename its folder", "rename or join their folders")
    unknown = sorted({one.name for one in layout.folders} - set(layout.classes))
    if unknown:
        wrong = next(one for one in layout.folders if one.name == unknown[0])
        raise InputError(f"{wrong.path} has a class that no image to train on has, {unknown[0]}: move it elsewhere")
    return layout


def _check_empty(folder: Path) -> None:
    """Raise InputError for a folder without images whose owner will miss it."""
    if not os.access(folder, os.R_OK | os.X_OK):
        raise InputError(f"{folder} cannot be read by this user: change its permissions, or move it elsewhere")
    other = other_pictures(walk_files(folder))
    if other:
        raise InputError(f"{folder} holds no images that can be read; {other}")


def check_class_names(names: Iterable[str], rename: str = "rename it", join: str = "rename or join them") -> None:
    """Check that names of classes do not fail later or elsewhere.

    Args:
        names: The names.
        rename: What to do with a wrong one.
        join: What to do with two that many systems take for one.

    Raises:
        InputError: Some do.
    """
    names = sorted(set(names))
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise InputError(f"the name of the class {name!a} is not UTF-8: {rename}") from None
        if any(unicodedata.category(letter) == "Cc" for letter in name):
            raise InputError(f"the name of the class {name!r} holds a control character: {rename}")
    seen: dict[str, str] = {}
    for name in names:
        key = unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
        if key in seen:
            raise InputError(
                f"the classes {seen[key]!a} and {name!a} differ in capital letters or in the form of their letters "
                f"alone, which many systems take for one: {join}"
            )
        seen[key] = name
