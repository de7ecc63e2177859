"""From a problem's data section to the images that a search trains and validates on.

The splits depend on the data set alone: every run of a problem sees the same ones.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evomnas.core import registry
from evomnas.core.errors import InputError
from evomnas.data.check import check_classes
from evomnas.data.images import Dataset, LabelledImages, Labels, TrainingImages
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

    Every class has the same share of validation images. If the section limits the number of training images, the
    remaining ones are reduced to that number, with the same share of every class.

    Args:
        images: All images that may be trained on.
        section: The problem's data section.

    Returns:
        The images that a search uses.

    Raises:
        InputError: `data.train_images` is smaller than the number of classes.
    """
    train, validation = stratified_split(images.labels, section.validation)
    if section.train_images is not None and section.train_images < len(train):
        if section.train_images < len(images.classes):
            raise InputError(f"data.train_images must be at least the number of classes, {len(images.classes)}")
        subset, _ = stratified_split(images.labels[train], 1 - section.train_images / len(train))
        train = train[subset[: section.train_images]]
    return Dataset(
        images.images[train],
        images.labels[train],
        images.images[validation],
        images.labels[validation],
        images.classes,
    )


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
