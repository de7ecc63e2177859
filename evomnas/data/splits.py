"""From a problem's data section to the images that a search trains and validates on.

The splits depend on the data set alone: every run of a problem sees the same ones.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evomnas.core import registry
from evomnas.core.errors import InputError
from evomnas.data.check import check_classes
from evomnas.data.images import TRAINED, UNUSED, VALIDATED, Dataset, LabelledImages, Labels, TrainingImages
from evomnas.problem.sections import DataSection

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
    check_classes(section.dataset, source.classes, source.labels)
    return LabelledImages.of(source, section.resolution)


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
    train, validation = stratified_split(images.labels, section.validation)
    train = _limit(train, images, section)
    return Dataset(
        images.images[train],
        images.labels[train],
        images.images[validation],
        images.labels[validation],
        images.classes,
    )


def _limit(train: NDArray[np.int64], images: LabelledImages, section: DataSection) -> NDArray[np.int64]:
    """Return the indices of at most `data.train_images` training images, with the same share of every class."""
    if section.train_images is None or section.train_images >= len(train):
        return train
    if section.train_images < len(images.classes):
        raise InputError(f"data.train_images must be at least the number of classes, {len(images.classes)}")
    subset, _ = stratified_split(images.labels[train], 1 - section.train_images / len(train))
    return train[subset[: section.train_images]]


def _fold(images: LabelledImages, section: DataSection, folds: int) -> Dataset:
    """Divide images into folds, each of which is validated by the network that was trained on the others."""
    labels = images.labels
    if folds > len(labels):
        raise InputError(f"data.folds is {folds}, and there are {len(labels)} images: at most {len(labels)} folds")
    numbers = stratified_folds(labels, folds)
    uses = np.full((folds, len(labels)), UNUSED, dtype=np.uint8)
    for number in range(folds):
        uses[number, numbers == number] = VALIDATED
        uses[number, _limit(np.flatnonzero(numbers != number), images, section)] = TRAINED
    nothing = slice(0, 0)
    return Dataset(images.images, labels, images.images[nothing], labels[nothing], images.classes, uses)


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
