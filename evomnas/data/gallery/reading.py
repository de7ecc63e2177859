"""From pictures with labels to the images of a part, split as their owner or else the content of each picture says."""

from __future__ import annotations

from itertools import compress
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evomnas.core.errors import InputError
from evomnas.data.check import required_path
from evomnas.data.gallery.files import GalleryFiles, list_files
from evomnas.data.gallery.found import Found, Group
from evomnas.data.gallery.layout import check_layout, find_layout
from evomnas.data.gallery.recall import folder_digest, recall, remember
from evomnas.data.images import FileOrigin, Labels, TrainingImages, has_other_proportions
from evomnas.data.photographs import Preprocessing
from evomnas.data.prepared.pictures import Pictures, read_pictures
from evomnas.data.splits import split_by_content
from evomnas.problem.sections import DataSection

Part = Literal["train", "test"]
TEST_SHARE = 0.2  # of every class, kept aside where the owner made no test split

Mask = NDArray[np.bool_]


class _Uses(NamedTuple):
    """The uses of each file, by masks of shape (n,)."""

    training: Mask
    validation: Mask
    test: Mask


def read_gallery(section: DataSection, part: Part) -> TrainingImages:
    """Read one part of a folder of images.

    Args:
        section: The data section; `path` is the folder.
        part: `train`, the images to validate a search included, or `test`.

    Returns:
        The images of that part, RGB at the section's resolution; the classes are named as their folders.

    Raises:
        InputError: The folder or its images are missing, can be read in two ways, or some images cannot be read.
    """
    root = required_path(section)
    digest = folder_digest(root, section) if part == "train" else None
    images = None if digest is None else recall(digest)
    if images is not None:
        return images
    layout = find_layout(root)
    check_layout(layout)
    images = read_part(list_files(layout), section, part)
    if digest is not None:
        remember(digest, images)
    return images


def read_part(files: GalleryFiles, section: DataSection, part: Part) -> TrainingImages:
    """Read one part of pictures, whatever they come from.

    Args:
        files: The pictures with their labels.
        section: The data section.
        part: `train`, the images to validate a search included, or `test`.

    Returns:
        The images of that part at the section's resolution.

    Raises:
        InputError: Some images cannot be read, or a class has too few that differ.
    """
    fit = section.fit or files.fit
    preprocessing = Preprocessing(channels=files.channels, resolution=section.resolution, fit=fit)
    if part == "test":
        return _read_test(files, preprocessing)
    wanted = np.array([split != "test" for split in files.splits])
    pictures = read_pictures(files.source, wanted, preprocessing, str(files.root))
    uses = _uses(files, pictures.keys)
    copies = _Copies.of(files, pictures.keys, uses)
    used = uses.training | uses.validation
    if section.duplicates == "drop":
        used &= ~copies.needless
        uses = uses._replace(training=uses.training & used, validation=uses.validation & used)
    _check_distinct(files, pictures.keys, uses)
    _check_sizes(files, pictures)
    found = _describe(files, pictures, uses, copies, int((copies.needless & ~used).sum()))
    names = tuple(compress(files.source.files, used))
    own_validation = uses.validation[used] if uses.validation.any() else None
    reshaped = any(has_other_proportions(width, height, section.resolution) for width, height in pictures.sizes[used])
    origin = FileOrigin(pictures.keys[used], names, own_validation, found)
    images = pictures.images.select(used[wanted])
    targets = None if files.targets is None else files.targets.select(used)
    return TrainingImages(images, files.labels[used], files.classes, fit, origin, reshaped, targets)


def _read_test(files: GalleryFiles, preprocessing: Preprocessing) -> TrainingImages:
    """Read the test images. Where nobody made a test split, the content of all files says which are in it."""
    chosen = files.test if files.is_split else files
    pictures = read_pictures(chosen.source, np.ones(len(chosen.labels), np.bool_), preprocessing, str(files.root))
    _check_sizes(chosen, pictures)
    test = np.ones(len(chosen.labels), np.bool_) if files.is_split else _uses(files, pictures.keys).test
    targets = None if chosen.targets is None else chosen.targets.select(test)
    images, labels = pictures.images.select(test), chosen.labels[test]
    return TrainingImages(images, labels, files.classes, preprocessing.fit, targets=targets)


def _uses(files: GalleryFiles, keys: NDArray[np.uint64]) -> _Uses:
    """Return what each file is used for."""
    splits = np.array(files.splits)
    if files.is_split:
        return _Uses(splits == "train", splits == "validation", splits == "test")
    test = np.zeros(len(keys), dtype=np.bool_)
    test[split_by_content(files.labels, keys, TEST_SHARE, "test", rest=2)[1]] = True
    return _Uses(~test, np.zeros_like(test), test)


class _Copies(NamedTuple):
    """Pictures that are there more than once.

    Attributes:
        groups: What there is, in words.
        needless: The files that are left out where every picture is to be used once, shape (n,).
    """

    groups: list[Group]
    needless: Mask

    @classmethod
    def of(cls, files: GalleryFiles, keys: NDArray[np.uint64], uses: _Uses) -> _Copies:
        """Find equal pictures: in the test split as well, in the validation split as well, twice, or of two classes."""
        in_test = ~uses.test & np.isin(keys, keys[uses.test])
        in_validation = uses.training & np.isin(keys, keys[uses.validation])
        pairs = np.stack([keys, files.answers], axis=1)
        distinct = np.unique(pairs, axis=0)
        repeated, counts = np.unique(distinct[:, 0], return_counts=True)
        two_classes = np.isin(keys, repeated[counts > 1])
        again = _repeated(pairs, uses.training) | _repeated(pairs, uses.validation)
        masks = {
            "images to train or validate on that are test images as well": in_test,
            "images to train on that validate as well": in_validation & ~in_test,
            f"images {'of two classes' if files.targets is None else 'with other boxes'}": two_classes
            & ~in_test
            & ~in_validation,
            "images that are there twice": again & ~in_test & ~in_validation & ~two_classes,
        }
        groups = [Group.of(what, _named(files, mask)) for what, mask in masks.items() if mask.any()]
        return cls(groups, ~uses.test & (in_test | in_validation | two_classes | again))


def _repeated(pairs: NDArray[np.uint64], mask: Mask) -> Mask:
    """Return which files of a mask are further copies within it."""
    places = np.flatnonzero(mask)
    _, first = np.unique(pairs[places], axis=0, return_index=True)
    repeated = mask.copy()
    repeated[places[first]] = False
    return repeated


def _named(files: GalleryFiles, mask: Mask) -> list[str]:
    return list(compress(files.source.files, mask))


def _check_distinct(files: GalleryFiles, keys: NDArray[np.uint64], uses: _Uses) -> None:
    """Raise InputError where a class, or a set of boxes, has too few pictures that differ."""
    needed = 1 if uses.validation.any() else 2
    if files.targets is not None and len(np.unique(keys[uses.training])) < needed:
        raise InputError(f"{files.root} has too few different pictures to train on, copies left aside")
    for number, name in enumerate(files.classes if files.targets is None else ()):
        count = len(np.unique(keys[uses.training & (files.labels == number)]))
        if count < needed:
            raise InputError(
                f"class {name!r} has {count} different picture{'s' * (count != 1)} to train on, copies left aside: it "
                f"needs {needed} or more, beside those that are kept for the test"
            )


def _check_sizes(files: GalleryFiles, pictures: Pictures) -> None:
    """Raise InputError where a picture with boxes is not as large as the beginning of its file says."""
    if files.targets is not None:
        differ = (pictures.sizes != files.targets.sizes).any(axis=1)
        if differ.any():
            names = ", ".join(_named(files, differ))
            raise InputError(f"pictures that are turned by data at the end of their files: save them anew: {names}")


def _describe(files: GalleryFiles, pictures: Pictures, uses: _Uses, copies: _Copies, dropped: int) -> Found:
    classes, targets = files.classes, files.targets
    masks = {name: mask for name, mask in uses._asdict().items() if mask.any()}
    labels = {
        name: files.labels[mask] if targets is None else targets.select(mask).boxes.labels
        for name, mask in masks.items()
    }
    counts = {name: _counts(one, len(classes)) for name, one in labels.items()}
    by_class = {
        name: {split: int(numbers[label]) for split, numbers in counts.items()} for label, name in enumerate(classes)
    }
    areas = pictures.sizes.prod(axis=1)
    order = np.argsort(areas, kind="stable")
    picked = (order[0], order[len(order) // 2], order[-1])
    return Found(
        folder=str(files.root),
        classes=by_class,
        kept_aside=not files.is_split,
        sizes=[(int(pictures.sizes[place, 0]), int(pictures.sizes[place, 1])) for place in picked],
        copies=copies.groups,
        dropped=dropped,
        unread=list(files.unread()),
        pictures=None if targets is None else {name: int(mask.sum()) for name, mask in masks.items()},
    )


def _counts(labels: Labels, classes: int) -> NDArray[np.int64]:
    return np.bincount(labels, minlength=classes)
