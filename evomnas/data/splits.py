"""From a problem's data section to the images that a search trains and validates on.

The splits depend on the data set alone: every run of a problem sees the same ones. Images with files of their own are
split by what each shows, so that adding or removing a file moves no other and equal pictures stay together.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from evomnas.core import registry
from evomnas.core.errors import InputError
from evomnas.data.check import check_classes
from evomnas.data.images import TRAINED, UNUSED, VALIDATED, Dataset, LabelledImages, Labels, TrainingImages
from evomnas.problem.sections import DataSection

Indices = NDArray[np.int64]
SPLIT_SEED = 0  # one seed for all runs: a split belongs to the data set


def load_dataset(section: DataSection) -> Dataset:
    """Read a data set, resize its images and split off the validation images.

    Args:
        section: The problem's data section.

    Returns:
        The images that a search uses.

    Raises:
        InputError: The data set is unknown, missing, unreadable or too small to be split.
    """
    return split_for_search(load_training_images(section), section)


def load_training_images(section: DataSection) -> LabelledImages:
    """Read all images that may be trained on, those included on which a search validates, and resize them.

    Args:
        section: The problem's data section.

    Returns:
        The images at the section's resolution.

    Raises:
        InputError: The data set is unknown, missing, unreadable or too small to be split.
    """
    source: TrainingImages = registry.load("datasets", section.dataset)(section)
    if source.targets is None and section.needs_boxes:
        raise InputError(f"the data set {section.dataset} has no boxes, which detection needs: 'boxes' has them")
    if source.targets is None:
        check_classes(section.dataset, source.classes, source.labels)
    return LabelledImages.of(source, section.resolution, section.fit)


def split_for_search(images: LabelledImages, section: DataSection) -> Dataset:
    """Split images into those that a search trains on and those that it validates on.

    Every class has the same share of validation images, or of each fold. If the section limits the number of training
    images, the remaining ones are reduced to that number, with the same share of every class.

    Args:
        images: All images that may be trained on.
        section: The problem's data section.

    Returns:
        The images that a search uses.

    Raises:
        InputError: `data.train_images` is smaller than the number of classes, or `data.folds` larger than that of the
            images.
    """
    if section.folds is not None:
        return _fold(images, section, section.folds)
    train, validation = _divide(images, section)
    train = _limit(train, images, section)
    targets = images.targets
    return Dataset(
        images.images.select(train),
        images.labels[train],
        images.images.select(validation),
        images.labels[validation],
        images.classes,
        train_targets=None if targets is None else targets.select(train),
        validation_targets=None if targets is None else targets.select(validation),
    )


def list_splits(images: LabelledImages, section: DataSection) -> list[str]:
    """Return what a search does with each image: `training` or `validation`, or `fold 1` and so on.

    Args:
        images: All images that may be trained on.
        section: The problem's data section.
    """
    if section.folds is not None:
        return [f"fold {number + 1}" for number in _fold_numbers(images, section.folds)]
    validation = set(_divide(images, section)[1].tolist())
    return ["validation" if place in validation else "training" for place in range(len(images.labels))]


def _divide(images: LabelledImages, section: DataSection) -> tuple[Indices, Indices]:
    """Return the indices of the images that a search trains on, and of those that it validates on."""
    origin = images.origin
    if origin is None:
        return stratified_split(images.labels, section.validation)
    if origin.validates is not None:
        return np.flatnonzero(~origin.validates), np.flatnonzero(origin.validates)
    return split_by_content(images.labels, origin.keys, section.validation, "validation")


def _limit(train: Indices, images: LabelledImages, section: DataSection) -> Indices:
    """Return the indices of at most `data.train_images` training images, with the same share of every class."""
    if section.train_images is None or section.train_images >= len(train):
        return train
    if section.train_images < len(images.classes):
        raise InputError(f"data.train_images must be at least the number of classes, {len(images.classes)}")
    share = 1 - section.train_images / len(train)
    if images.origin is None:
        subset, _ = stratified_split(images.labels[train], share)
    else:
        subset = _first_by_content(images.labels[train], images.origin.keys[train], 1 - share)
    return train[subset[: section.train_images]]


def _fold(images: LabelledImages, section: DataSection, folds: int) -> Dataset:
    """Divide images into folds, each of which is validated by the network that was trained on the others."""
    labels = images.labels
    numbers = _fold_numbers(images, folds)
    uses = np.full((folds, len(labels)), UNUSED, dtype=np.uint8)
    for number in range(folds):
        uses[number, numbers == number] = VALIDATED
        uses[number, _limit(np.flatnonzero(numbers != number), images, section)] = TRAINED
    nothing = slice(0, 0)
    targets = images.targets
    return Dataset(
        images.images, labels, images.images.select(nothing), labels[nothing], images.classes, uses, targets,
        None if targets is None else targets.select(nothing),
    )  # fmt: skip


def _fold_numbers(images: LabelledImages, folds: int) -> Indices:
    """Return the fold of each image."""
    labels, origin = images.labels, images.origin
    count = len(labels) if origin is None else len(np.unique(origin.keys))
    if folds > count:
        raise InputError(f"data.folds is {folds}, and there are {count} images: at most {count} folds")
    return stratified_folds(labels, folds) if origin is None else folds_by_content(labels, origin.keys, folds)


def draw(keys: NDArray[np.uint64], purpose: str) -> NDArray[np.float64]:
    """Return a number from 0 to 1 for each picture, which depends on its content and on what the numbers are for.

    They are evenly distributed (SplitMix64: Steele et al. 2014, "Fast splittable pseudorandom number generators").

    Args:
        keys: See `FileOrigin`, shape (n,).
        purpose: A word; numbers of different purposes have nothing to do with each other.

    Returns:
        The numbers, shape (n,).
    """
    seed = int.from_bytes(hashlib.blake2b(purpose.encode(), digest_size=8).digest(), "big")
    mixed = keys ^ np.uint64(seed)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return ((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(11)) / 2.0**53


def split_by_content(
    labels: Labels, keys: NDArray[np.uint64], share: float, purpose: str, rest: int = 1
) -> tuple[Indices, Indices]:
    """Split images into two parts by what each shows. Equal pictures are in the same part.

    A picture's part depends on it alone, so the parts have the share by chance only. Where a class would have no
    picture in the second part, or fewer than `rest` in the first one, the pictures nearest to the other part go there.

    Args:
        labels: The class of each image, shape (n,).
        keys: See `FileOrigin`, shape (n,).
        share: The share of the second part, from 0 to 1.
        purpose: What the split is for, see `draw`.
        rest: Different pictures of each class that the first part has at least, where there are more.

    Returns:
        The indices of the first part, and those of the second part, both ascending.
    """
    draws = draw(keys, purpose)
    chosen: list[NDArray[np.float64]] = []
    for label in np.unique(labels):
        distinct = np.unique(draws[labels == label])
        count = min(max(1, int((distinct < share).sum())), max(0, len(distinct) - rest))
        chosen.append(distinct[:count])
    second = np.isin(draws, np.concatenate(chosen))
    return np.flatnonzero(~second), np.flatnonzero(second)


def _first_by_content(labels: Labels, keys: NDArray[np.uint64], share: float) -> Indices:
    """Return the indices of a share of every class, those that are drawn first, 1 at least."""
    order = np.argsort(draw(keys, "fewer"), kind="stable")
    parts = [
        members[: max(1, int(share * len(members)))]
        for members in (order[labels[order] == label] for label in np.unique(labels))
    ]
    return np.sort(np.concatenate(parts)).astype(np.int64)


def folds_by_content(labels: Labels, keys: NDArray[np.uint64], folds: int) -> Indices:
    """Divide images into folds by what each shows. Equal pictures are in the same fold.

    A picture's fold depends on it alone, so folds have the same size by chance only. Where all pictures of a class
    would be in one fold, or a fold would be empty, single pictures change folds.

    Args:
        labels: The class of each image, shape (n,).
        keys: See `FileOrigin`, shape (n,).
        folds: The number of folds, at most that of different pictures.

    Returns:
        The fold of each image, from 0, shape (n,).
    """
    draws = draw(keys, "folds")
    numbers = (draws * folds).astype(np.int64)
    for label in np.unique(labels):
        members = labels == label
        distinct = np.unique(draws[members])
        if len(distinct) > 1 and len(np.unique(numbers[members])) == 1:
            numbers[draws == distinct[0]] = (numbers[members][0] + 1) % folds
    for number in range(folds):
        while not (numbers == number).any():
            sizes = [len(np.unique(draws[numbers == one])) for one in range(folds)]
            numbers[draws == draws[numbers == int(np.argmax(sizes))].min()] = number
    return numbers


def stratified_folds(labels: Labels, folds: int) -> NDArray[np.int64]:
    """Divide images into folds of the same size, with the same share of every class.

    The choice is random, but always the same for the same labels. A class with fewer images than there are folds has
    one at most in each.

    Args:
        labels: The class of each image, shape (n,).
        folds: The number of folds, at most n.

    Returns:
        The fold of each image, from 0, shape (n,). The sizes of any two folds differ by 1 at most.
    """
    rng = np.random.default_rng(SPLIT_SEED)
    by_class = np.concatenate([rng.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels)])
    numbers = np.empty(len(labels), dtype=np.int64)
    numbers[by_class] = np.arange(len(labels)) % folds
    return numbers


def stratified_split(labels: Labels, share: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split images into two parts, with the same share of every class in the second part.

    The choice is random, but always the same for the same labels. Every class keeps at least one image in either
    part, if it has two.

    Args:
        labels: The class of each image, shape (n,).
        share: The share of every class that the second part gets, from 0 to 1.

    Returns:
        The indices of the first part, and those of the second part, both ascending.
    """
    rng = np.random.default_rng(SPLIT_SEED)
    second_parts = []
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        count = min(max(1, round(share * len(members))), len(members) - 1)
        second_parts.append(members[:count])
    second = np.sort(np.concatenate(second_parts)).astype(np.int64)
    return np.setdiff1d(np.arange(len(labels)), second), second
