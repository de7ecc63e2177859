"""Images with labels or boxes, and the fingerprint of their content."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evomnas.core.errors import InputError
from evomnas.core.resolution import Resolution, sides, to_resolution
from evomnas.data.boxes.targets import BoxTargets
from evomnas.data.check import check_room
from evomnas.data.colours import crop_box, inner_size
from evomnas.data.gallery.found import Found
from evomnas.data.npz_files import check_pixels
from evomnas.data.prepared.notes import keep_fingerprint, known_fingerprint
from evomnas.data.rows import ImageRows, Images, resize_array
from evomnas.problem.sections import Fit

UNUSED, TRAINED, VALIDATED = 0, 1, 2  # what a training of a cross-validation does with an image

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class FileOrigin:
    """The files that images were read from, each from its own, and what is known of them.

    Attributes:
        keys: A number for each picture, equal for equal pictures, uint64, shape (n,). Splits are made by it.
        files: Their files, as seen from the folder that holds them.
        validates: Whether each is to validate a search, as the owner says, shape (n,); None where that is not said.
        found: What was found beside them, for people.
    """

    keys: NDArray[np.uint64]
    files: tuple[str, ...]
    validates: NDArray[np.bool_] | None
    found: Found


@dataclass(frozen=True)
class TrainingImages:
    """The images that a data set allows for training, before any split and at their own size.

    Attributes:
        images: Pixel values from 0 to 255, uint8, shape (n, h, w), (n, h, w, 1) or (n, h, w, 3). Or what
            `evomnas.data.prepared.pictures` made of a source, shape (n, channels, h, w).
        labels: The class of each image, int64 from 0, shape (n,).
        classes: The names of the classes, in the order of the labels.
        fit: How pictures of other proportions get those of the network's input. It is done with these images where
            they have others; with `crop` they may have been cut out of larger pictures already.
        origin: Their files; None where they have none of their own.
        reshaped: Whether some of them had other proportions than the network's input, and have not any more.
        targets: Their boxes, where things in them are to be found; None where each is of a class. With boxes, a label
            is that of an image's rarest class, or of images without boxes the number after the last.
    """

    images: Images | ImageRows
    labels: Labels
    classes: tuple[str, ...]
    fit: Fit = "stretch"
    origin: FileOrigin | None = None
    reshaped: bool = False
    targets: BoxTargets | None = None


class Split(NamedTuple):
    """The images of one training, and those that score it.

    Attributes:
        train_images: Pixel values from 0 to 255, uint8, shape (n_train, channels, h, w).
        train_labels: Their classes, int64 from 0, shape (n_train,).
        validation_images: As `train_images`, shape (n_validation, channels, h, w).
        validation_labels: Their classes, int64 from 0, shape (n_validation,).
        places: The places of the validation images in `Dataset.validated`, shape (n_validation,).
        train_targets: The boxes of the training images; None where each image is of a class.
        validation_targets: Those of the validation images.
    """

    train_images: ImageRows
    train_labels: Labels
    validation_images: ImageRows
    validation_labels: Labels
    places: NDArray[np.int64]
    train_targets: BoxTargets | None = None
    validation_targets: BoxTargets | None = None


@dataclass(frozen=True)
class Dataset:
    """The images that a search uses: one part for training, one for validation, at one resolution.

    With folds every image is validated once, and all of them are in the part for training.

    Attributes:
        train_images: Pixel values from 0 to 255, uint8, shape (n_train, channels, h, w).
        train_labels: Their classes, int64 from 0, shape (n_train,).
        validation_images: As `train_images`, shape (n_validation, channels, h, w).
        validation_labels: Their classes, int64 from 0, shape (n_validation,).
        classes: The names of the classes, in the order of the labels.
        folds: What each training of a cross-validation does with each image (`UNUSED`, `TRAINED` or `VALIDATED`), uint8
            of shape (trainings, n_train). Without any row, there is one training, and the part for validation.
        train_targets: The boxes of the training images; None where each image is of a class.
        validation_targets: Those of the validation images.
    """

    train_images: ImageRows
    train_labels: Labels
    validation_images: ImageRows
    validation_labels: Labels
    classes: tuple[str, ...]
    folds: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((0, 0), np.uint8))
    train_targets: BoxTargets | None = None
    validation_targets: BoxTargets | None = None

    @property
    def channels(self) -> int:
        """The number of channels: 1 for grey images, 3 for colour."""
        return int(self.train_images.shape[1])

    @property
    def resolution(self) -> Resolution:
        """The size of the images in pixels."""
        height, width = self.train_images.shape[2:]
        return to_resolution(height, width)

    @property
    def trainings(self) -> int:
        """How often each network is trained."""
        return max(1, len(self.folds))

    def split(self, number: int) -> Split:
        """Return the images of one training.

        Args:
            number: The training, from 0 to `trainings` - 1.
        """
        if not len(self.folds):
            places = np.arange(len(self.validation_labels))
            return Split(
                self.train_images, self.train_labels, self.validation_images, self.validation_labels, places,
                self.train_targets, self.validation_targets,
            )  # fmt: skip
        trained, validated = (np.flatnonzero(self.folds[number] == use) for use in (TRAINED, VALIDATED))
        return Split(
            self.train_images.select(trained), self.train_labels[trained],
            self.train_images.select(validated), self.train_labels[validated], validated,
            *(None if self.train_targets is None else self.train_targets.select(one) for one in (trained, validated)),
        )  # fmt: skip

    @property
    def validated(self) -> tuple[ImageRows, Labels]:
        """All images on which networks are validated, and their classes; those of all folds, if there are any."""
        if len(self.folds):
            return self.train_images, self.train_labels
        return self.validation_images, self.validation_labels

    @property
    def counts(self) -> NDArray[np.int64]:
        """The number of images, or else of boxes, of each class, in both parts together, shape (classes,)."""
        targets = [one for one in (self.train_targets, self.validation_targets) if one is not None]
        parts = [one.boxes.labels for one in targets] or [self.train_labels, self.validation_labels]
        labels = np.concatenate(parts)
        return np.bincount(labels, minlength=len(self.classes)).astype(np.int64)

    @cached_property
    def fingerprint(self) -> str:
        """A hash of all images, labels and class names. Equal content has an equal fingerprint, whatever its source."""
        folds = [self.folds] if len(self.folds) else []  # older versions had none
        boxes = (one for targets in (self.train_targets, self.validation_targets) for one in _hashed(targets))
        return _fingerprint(
            self.classes, self.train_images, self.train_labels, self.validation_images, self.validation_labels,
            *folds, *boxes,
        )  # fmt: skip


@dataclass(frozen=True)
class LabelledImages:
    """The images of one split, at one resolution.

    Attributes:
        images: Pixel values from 0 to 255, uint8, shape (n, channels, h, w).
        labels: Their classes, int64 from 0, shape (n,).
        classes: The names of the classes, in the order of the labels.
        fit: How pictures of other proportions got them, as in `TrainingImages`.
        origin: Their files; None where they have none of their own.
        reshaped: Whether some of them had other proportions.
        targets: Their boxes, as in `TrainingImages`.
    """

    images: ImageRows
    labels: Labels
    classes: tuple[str, ...]
    fit: Fit = "stretch"
    origin: FileOrigin | None = None
    reshaped: bool = False
    targets: BoxTargets | None = None

    @property
    def channels(self) -> int:
        """The number of channels: 1 for grey images, 3 for colour."""
        return int(self.images.shape[1])

    @property
    def used_fit(self) -> Fit | None:
        """How pictures of other proportions got those of the network; None where all had them."""
        return self.fit if self.reshaped else None

    @cached_property
    def fingerprint(self) -> str:
        """A hash of all images, labels and class names, as `Dataset.fingerprint`."""
        return _fingerprint(self.classes, self.images, self.labels, *_hashed(self.targets))

    @classmethod
    def of(cls, source: TrainingImages, resolution: Resolution, fit: Fit | None = None) -> LabelledImages:
        """Resize all images of a data set.

        Args:
            source: The images at their own size.
            resolution: The size to which they are resized, in pixels.
            fit: How they get other proportions, as the user says; None for the source's own way.

        Returns:
            The resized images with the same labels and classes.

        Raises:
            InputError: The images are not uint8, or their shape is not one of those of `TrainingImages`. Or they were
                cropped by the source, and something else is wanted.
        """
        fit = fit or source.fit
        if fit != source.fit and source.fit != "stretch":
            raise InputError(f"this data set reads its images as data.fit = {source.fit!r} alone: drop data.fit")
        images, reshaped = source.images, source.reshaped
        if not isinstance(images, ImageRows):
            arrays = _to_channels_first(images)
            reshaped = reshaped or has_other_proportions(arrays.shape[3], arrays.shape[2], resolution)
            images = ImageRows.all(fit_images(arrays, resolution, fit))
        return cls(
            images.resize(resolution), source.labels, source.classes, fit, source.origin, reshaped, source.targets
        )


def stack_images(images: Iterable[Images], count: int) -> Images:
    """Put images into one array, as they are read.

    Args:
        images: Arrays of one shape.
        count: How many there are, at least 1.

    Returns:
        Their array, shape (count, ...).

    Raises:
        InputError: There is not enough memory for them.
    """
    images = iter(images)
    first = next(images)
    check_room(count, first.nbytes)
    stacked = np.empty((count, *first.shape), dtype=np.uint8)
    for place, image in enumerate(chain([first], images)):
        stacked[place] = image
    return stacked


def _fingerprint(classes: tuple[str, ...], *arrays: NDArray[Any] | ImageRows) -> str:
    """Return a hash of names and arrays. That of prepared images is computed once."""
    files = {array.path for array in arrays if isinstance(array, ImageRows)}
    file = next(iter(files)) if len(files) == 1 else None
    if file is None:
        return _hash(classes, *arrays)
    question = _hash((*classes, *_resolutions(arrays)), *(getattr(array, "rows", array) for array in arrays))
    fingerprint = known_fingerprint(file, question)
    if fingerprint is None:
        fingerprint = _hash(classes, *arrays)
        keep_fingerprint(file, question, fingerprint)
    return fingerprint


def _resolutions(arrays: tuple[NDArray[Any] | ImageRows, ...]) -> list[str]:
    return [str(array.resolution) for array in arrays if isinstance(array, ImageRows)]


def _hashed(targets: BoxTargets | None) -> tuple[NDArray[Any], ...]:
    """Return the arrays of boxes that a fingerprint depends on; none without boxes."""
    if targets is None:
        return ()
    boxes = targets.boxes
    return boxes.corners, boxes.labels, boxes.crowd, boxes.areas, boxes.starts, targets.sizes


def _hash(classes: tuple[str, ...], *arrays: NDArray[Any] | ImageRows) -> str:
    digest = hashlib.blake2b(repr(classes).encode(), digest_size=8)
    for array in arrays:
        digest.update(repr(array.shape).encode())
        for part in array.chunks() if isinstance(array, ImageRows) else [array]:
            digest.update(np.ascontiguousarray(part).data)
    return digest.hexdigest()


def _to_channels_first(images: Images) -> Images:
    """Return images of shape (n, h, w) or (n, h, w, channels) in the shape (n, channels, h, w)."""
    check_pixels(images.shape, images.dtype)
    return images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)


def has_other_proportions(width: int, height: int, resolution: Resolution) -> bool:
    """Return whether a picture has other proportions than a size.

    Args:
        width: The picture's width in pixels.
        height: The picture's height in pixels.
        resolution: The size.
    """
    wanted_height, wanted_width = sides(resolution)
    return width * wanted_height != height * wanted_width


def fit_images(images: Images, resolution: Resolution, fit: Fit) -> Images:
    """Return images at a resolution, in whose proportions they are brought as a file's picture would be.

    Args:
        images: Pixel values from 0 to 255, uint8, shape (n, channels, h, w).
        resolution: The size in pixels.
        fit: How.

    Returns:
        The images, shape (n, channels, *sides(resolution)).
    """
    height, width = images.shape[2:]
    size = sides(resolution)
    if fit == "crop":
        left, top, right, bottom = crop_box(width, height, size)
        images = images[:, :, top:bottom, left:right]
    inner = inner_size(width, height, size) if fit == "pad" else size
    scaled = resize_array(images, to_resolution(*inner))
    if inner == size:
        return scaled
    padded = np.zeros((*images.shape[:2], *size), dtype=np.uint8)
    top, left = ((side - part) // 2 for side, part in zip(size, inner, strict=True))
    padded[:, :, top : top + inner[0], left : left + inner[1]] = scaled
    return padded
