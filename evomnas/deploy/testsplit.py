"""The test images of every data set. They are read when a network that was trained in full is scored, and never before.

The test split of a data set is a function that takes a `DataSection` and returns the test images. It is registered
under the data set's own name in the group `evomnas.testsplits`. No search imports this module.
"""

from __future__ import annotations

import numpy as np

from evomnas.core import registry
from evomnas.core.errors import InputError
from evomnas.data.images import LabelledImages, TrainingImages
from evomnas.data.sources import (
    find_test_folder,
    read_boxes,
    read_digits,
    read_folder,
    read_list,
    read_npz,
    read_torchvision,
)
from evomnas.problem.sections import DataSection


def check_test_split(section: DataSection) -> None:
    """Check that a data set has a test split, before a training takes hours. No image is read.

    Args:
        section: The data set and its settings.

    Raises:
        InputError: No function is registered for it, or its folder lacks one by the rules of version 0.1.
    """
    if section.dataset not in registry.available("testsplits"):
        raise InputError(
            f"the data set {section.dataset} has no test split: register a function of that name in the group "
            "evomnas.testsplits, as docs/plug-ins.md says"
        )
    if section.dataset == "image-folder" and section.rules == 1 and section.path and (section.path / "train").is_dir():
        find_test_folder(section.path)


def load_test_images(section: DataSection, training: LabelledImages) -> LabelledImages:
    """Read the test images of a data set, with the class numbers of the training images.

    Args:
        section: The data set and its settings.
        training: The training images. Classes are matched by name.

    Returns:
        The test images at the section's resolution.

    Raises:
        InputError: There are none, they cannot be read, the training images lack one of their classes, or the two have
            different numbers of channels.
    """
    check_test_split(section)
    source: TrainingImages = registry.load("testsplits", section.dataset)(section)
    unknown_classes = sorted(set(source.classes) - set(training.classes))
    if unknown_classes:
        raise InputError(
            f"the test images of {section.dataset} have classes that the training images lack: "
            f"{', '.join(unknown_classes[:5])}"
        )
    numbers = np.array([training.classes.index(name) for name in source.classes], dtype=np.int64)
    test = LabelledImages.of(source, section.resolution, section.fit)
    if test.channels != training.channels:
        raise InputError(
            f"the test images of {section.dataset} have {test.channels} channels, those to train on {training.channels}"
        )
    targets = None if test.targets is None else test.targets.relabelled(numbers)
    labels = np.append(numbers, len(training.classes))[test.labels]  # the last one is that of images without boxes
    return LabelledImages(test.images, labels, training.classes, test.fit, targets=targets)


def digits(section: DataSection) -> TrainingImages:
    """Return the test images of `digits`: a fifth of every class.

    Args:
        section: The data section, for its `fit`.

    Returns:
        The test images.
    """
    return read_digits("test", section.fit)


def npz(section: DataSection) -> TrainingImages:
    """Read the test images of an npz file: its arrays x_test and y_test.

    Args:
        section: The data section; `path` is the file.

    Returns:
        The test images.

    Raises:
        InputError: The path is missing, or the file cannot be read or has other contents.
    """
    return read_npz(section, "test")


def listed_pictures(section: DataSection) -> TrainingImages:
    """Read the test images of a CSV file, of parquet files, or of tar shards: their owner's, or a fifth of every class.

    Args:
        section: The data section; `path` is the file, or the folder of the files.

    Returns:
        The test images.

    Raises:
        InputError: Images or labels are missing, or an image cannot be read.
    """
    return read_list(section, "test")


def boxes(section: DataSection) -> TrainingImages:
    """Read the test images of a set of boxes: its owner's, or a fifth.

    Args:
        section: The data section; `path` is the folder, or a file in COCO's format.

    Returns:
        The test images with their boxes.

    Raises:
        InputError: Images or boxes are missing or wrong.
    """
    return read_boxes(section, "test")


def image_folder(section: DataSection) -> TrainingImages:
    """Read the test images of an image folder: its owner's test split, or else a fifth of every class.

    Args:
        section: The data section; `path` is the folder.

    Returns:
        The test images.

    Raises:
        InputError: The folder or its images are missing, or an image cannot be read.
    """
    return read_folder(section, "test")


def torchvision_dataset(section: DataSection) -> TrainingImages:
    """Read the test split of a torchvision data set.

    Args:
        section: The data section; `path` is the folder for the download.

    Returns:
        The test images.

    Raises:
        InputError: The data set can be neither read nor downloaded.
    """
    return read_torchvision(section, "test")
