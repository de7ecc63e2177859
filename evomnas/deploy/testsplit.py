"""The test split of every data set: read when a finally trained network is judged, and by nothing before.

A test split is a function from a `DataSection` to its test images, registered under the data set's own name in
the group `evomnas.testsplits`. No search imports this module.
"""

from __future__ import annotations

import numpy as np

from evomnas.core import registry
from evomnas.core.errors import InputError
from evomnas.data.images import LabelledImages, TrainingImages
from evomnas.data.sources import find_test_folder, read_digits, read_folder, read_npz, read_torchvision
from evomnas.problem.sections import DataSection


def check_test_split(section: DataSection) -> None:
    """Raise InputError where a data set has no test split, before a training takes hours; nothing of it is read."""
    if section.dataset not in registry.available("testsplits"):
        raise InputError(
            f"the data set {section.dataset} has no test split: register a function of that name in the group "
            "evomnas.testsplits, as CONTRIBUTING.md says"
        )
    if section.dataset == "image-folder" and section.path is not None and (section.path / "train").is_dir():
        find_test_folder(section.path)


def load_test_images(section: DataSection, training: LabelledImages) -> LabelledImages:
    """The test images of a data set, labelled as the training images are.

    Raises:
        InputError: There are none, they cannot be read, or their classes or channels are not those of `training`.
    """
    check_test_split(section)
    source: TrainingImages = registry.load("testsplits", section.dataset)(section)
    strange = sorted(set(source.classes) - set(training.classes))
    if strange:
        raise InputError(
            f"the test images of {section.dataset} have classes that the training images lack: {', '.join(strange[:5])}"
        )
    numbers = np.array([training.classes.index(name) for name in source.classes], dtype=np.int64)
    found = LabelledImages.of(source, section.resolution)
    if found.channels != training.channels:
        raise InputError(
            f"the test images of {section.dataset} have {found.channels} channels, "
            f"those to train on {training.channels}"
        )
    return LabelledImages(found.images, numbers[found.labels], training.classes)


def digits(section: DataSection) -> TrainingImages:
    """The fifth of the digits that is kept aside."""
    return read_digits("test")


def npz(section: DataSection) -> TrainingImages:
    """x_test and y_test."""
    return read_npz(section, "test")


def image_folder(section: DataSection) -> TrainingImages:
    """The folder `test` or `val`, or the fifth of every class that is kept aside."""
    return read_folder(section, "test")


def torchvision_dataset(section: DataSection) -> TrainingImages:
    """The test split of a torchvision data set."""
    return read_torchvision(section, "test")
