"""Folders of images as people have them: which files are images of which class, and what is wrong with the others.

Only names of files are looked at, so that a wrong folder is refused at once.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from evomnas.core.errors import InputError

# The files that count as images in a folder, as torchvision has them. A file that is named may have any suffix.
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
OTHER_IMAGES = (".avif", ".gif", ".heic", ".heif", ".jp2", ".jxl", ".svg", ".raw", ".dng", ".cr2", ".nef")
SPLIT_NAMES = {
    "train": ("train", "training", "trainset", "train_images"),
    "test": ("test", "testing", "testset", "test_images", "val", "valid", "validation", "dev", "eval"),
}
MAX_LEVELS = 3  # in which class folders are looked for below a folder
MIN_IMAGES = 3  # of a class: two to train on, and one that is kept aside for the test
MIN_TRAINING_IMAGES = 2  # of a class, where the folder has test images of its own


def is_visible(path: Path) -> bool:
    """Return whether a file or folder is not a hidden one.

    Args:
        path: The file or folder; only its name is looked at.
    """
    return not path.name.startswith(".")


def is_image(path: Path) -> bool:
    """Return whether a file's name is that of an image.

    Args:
        path: The file; only its name is looked at.
    """
    return path.suffix.lower() in IMAGE_SUFFIXES and is_visible(path)


def class_folders(folder: Path) -> list[Path]:
    """Return the folders within a folder, one per class, in the order of the labels.

    Args:
        folder: The folder of the classes.
    """
    return sorted(path for path in folder.iterdir() if is_visible(path) and path.is_dir())


def find_images(folder: Path) -> list[Path]:
    """Return the image files of a folder and of those below it, by name. Hidden files are left out.

    Args:
        folder: The folder.

    Returns:
        The files whose suffix is one of `IMAGE_SUFFIXES`, in upper or lower case.
    """
    return sorted(image_files(folder))


def image_files(folder: Path) -> Iterator[Path]:
    """Find the images of `find_images` one by one, in no particular order.

    Args:
        folder: The folder.

    Yields:
        The files.
    """
    for place, _, names in os.walk(folder):
        yield from (path for path in (Path(place, name) for name in names) if is_image(path) and path.is_file())


def check_image_folder(root: Path) -> None:
    """Check by names of files that a folder holds images of several classes.

    Args:
        root: The folder, with one folder per class, or with a folder `train` of that kind.

    Raises:
        InputError: It does not; the message says what to do.
    """
    if not root.is_dir():
        raise InputError(f"{root} is not a folder: put the images of each class into a folder of its own within one")
    has_train = (root / "train").is_dir()
    parent, needed = (root / "train", MIN_TRAINING_IMAGES) if has_train else (root, MIN_IMAGES)
    folders = class_folders(parent)
    split = _misnamed_split(folders)
    if split is not None:
        raise InputError(f"{parent} has images to train on and to test on under other names: {split}")
    counts = {folder: len(list(islice(image_files(folder), needed))) for folder in folders}
    if not any(counts.values()):
        raise InputError(explain_none(parent))
    if len(folders) == 1:
        below = _folder_of_classes(folders[0])
        if below is not None:
            raise InputError(f"the folders of the classes are further down, in {below}: give that folder")
        raise InputError(f"{parent} has one class, {folders[0].name}: a search needs two or more, a folder for each")
    for folder, count in counts.items():
        if count == 0 and not os.access(folder, os.R_OK | os.X_OK):
            raise InputError(f"{folder} cannot be read by this user: change its permissions, or move it elsewhere")
        if count == 0:
            raise InputError(
                f"{folder} holds no images, and every folder in {parent} is a class: move it elsewhere"
                f"{_other_images(folder)}"
            )
        if count < needed:
            kept = "" if has_train else ", one of which is kept aside for the test"
            raise InputError(f"{folder} has {count} image{'s' * (count > 1)}: a class needs {needed} or more{kept}")


def _misnamed_split(folders: list[Path]) -> str | None:
    """Return how to rename folders that look like a training and a test split; None where none do."""
    renames = []
    for wanted, names in SPLIT_NAMES.items():
        found = [folder for folder in folders if folder.name.lower() in names]
        if not found:
            return None
        renames += [f"rename {found[0].name} to {wanted}"] if found[0].name != wanted else []
    return " and ".join(renames) if renames and len(folders) <= MAX_LEVELS else None


def explain_none(folder: Path) -> str:
    """Return what to do with a folder whose folders hold no images.

    Args:
        folder: The folder.
    """
    images = sum(is_image(path) for path in folder.iterdir())
    if images:
        return (
            f"{folder} holds {images:,} image{'s' * (images > 1)} and no folder per class: put the images of each "
            f"class into a folder of its own, as {folder}/cats/1.jpg and {folder}/dogs/2.jpg"
        )
    archives = sorted(path for path in folder.iterdir() if path.suffix.lower() in (".zip", ".tar", ".gz", ".tgz"))
    if archives:
        return f"{folder} holds no images, but {archives[0].name}: unpack it"
    return (
        f"no images in {folder}: expected one sub-folder of images per class ({', '.join(IMAGE_SUFFIXES)})"
        f"{_other_images(folder)}"
    )


def _other_images(folder: Path) -> str:
    """Return what to do with images of a kind that is not read, to end a sentence; empty where there are none."""
    for _, _, names in os.walk(folder):
        for name in names:
            suffix = Path(name).suffix.lower()
            if suffix in OTHER_IMAGES:
                return f"; {suffix} files are not read: convert them to .jpg or .png"
    return ""


def _folder_of_classes(folder: Path, levels: int = MAX_LEVELS) -> Path | None:
    """Return the folder at or below a folder that holds several folders with images; None where there is none."""
    inner = class_folders(folder)
    if len([one for one in inner if next(image_files(one), None) is not None]) > 1:
        return folder
    return _folder_of_classes(inner[0], levels - 1) if len(inner) == 1 and levels else None
