"""Named data sets as arrays in memory: training and validation images for the search.

A data set is a function that takes a `DataSection` and returns `TrainingImages`: what may be trained on,
before the validation split. None of them reads the test split, so that nothing in a search can: data sets
with an official test split leave it on disk, the others keep a fifth of every class aside. What reads the
same data set's test images is another function, in `evomnas.deploy.testsplit`, which no search imports.

Images are uint8, shape (n, channels, height, width), brought to `resolution` once, here. Register another
data set as an entry point of the group `evomnas.datasets`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from evomnas.core import registry
from evomnas.core.errors import InputError
from evomnas.problem.definition import DataSection

TEST_SHARE = 0.2  # kept aside where a data set has no test split of its own
SPLIT_SEED = 0  # splits belong to the data set, never to a run

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]
Part = Literal["train", "test"]


@dataclass(frozen=True)
class TrainingImages:
    """What a data set gives: images (n, h, w) or (n, h, w, c) uint8, labels (n,), names of the classes."""

    images: Images
    labels: Labels
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Dataset:
    """The search's view of a data set; images are (n, c, h, w) uint8, labels (n,) int64."""

    train_images: Images
    train_labels: Labels
    validation_images: Images
    validation_labels: Labels
    classes: tuple[str, ...]

    @property
    def channels(self) -> int:
        """1 for grey images, 3 for colour."""
        return int(self.train_images.shape[1])

    @cached_property
    def fingerprint(self) -> str:
        """A hash of everything in it: equal content, equal fingerprint, wherever it was read from."""
        return _fingerprint(
            self.classes, self.train_images, self.train_labels, self.validation_images, self.validation_labels
        )


@dataclass(frozen=True)
class LabelledImages:
    """Images of one split at the resolution: (n, c, h, w) uint8, labels (n,) int64."""

    images: Images
    labels: Labels
    classes: tuple[str, ...]

    @property
    def channels(self) -> int:
        """1 for grey images, 3 for colour."""
        return int(self.images.shape[1])

    @cached_property
    def fingerprint(self) -> str:
        """A hash of everything in it, as of `Dataset`."""
        return _fingerprint(self.classes, self.images, self.labels)

    @classmethod
    def of(cls, source: TrainingImages, resolution: int) -> LabelledImages:
        """All images of a source, brought to `resolution`."""
        return cls(_resize(_to_channels_first(source.images), resolution), source.labels, source.classes)


def _fingerprint(classes: tuple[str, ...], *arrays: NDArray[Any]) -> str:
    digest = hashlib.blake2b(repr(classes).encode(), digest_size=8)
    for array in arrays:
        digest.update(repr(array.shape).encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def load_dataset(section: DataSection) -> Dataset:
    """Read a data set, bring its images to the resolution and split off the validation images.

    Raises:
        InputError: The data set is unknown, missing, unreadable or too small to be split.
    """
    return split_for_search(load_training_images(section), section)


def split_for_search(images: LabelledImages, section: DataSection) -> Dataset:
    """What a search sees of all that may be trained on.

    Raises:
        InputError: `data.train_images` is smaller than the number of classes.
    """
    train, validation = _split(images.labels, section.validation)
    if section.train_images is not None and section.train_images < len(train):
        if section.train_images < len(images.classes):
            raise InputError(f"data.train_images must be at least the number of classes, {len(images.classes)}")
        kept, _ = _split(images.labels[train], 1 - section.train_images / len(train))
        train = train[kept[: section.train_images]]
    return Dataset(
        images.images[train],
        images.labels[train],
        images.images[validation],
        images.labels[validation],
        images.classes,
    )


def load_training_images(section: DataSection) -> LabelledImages:
    """All that may be trained on, validation images included, at the resolution.

    Raises:
        InputError: The data set is unknown, missing, unreadable or too small to be split.
    """
    source: TrainingImages = registry.load("datasets", section.dataset)(section)
    counts = np.bincount(source.labels, minlength=len(source.classes))
    fewest = int(counts.min()) if len(counts) else 0
    if len(source.classes) < 2 or fewest < 2:
        rare = source.classes[int(counts.argmin())] if len(source.classes) else "none"
        raise InputError(
            f"data set {section.dataset}: there must be at least 2 classes with 2 training images each, beside what is "
            f"kept aside for the test; there are {len(source.classes)} classes and class {rare!r} has {fewest}"
        )
    return LabelledImages.of(source, section.resolution)


def _split(labels: Labels, share: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of the rest and of `share` of every class (at least one of each), both ascending."""
    rng = np.random.default_rng(SPLIT_SEED)
    held = []
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        count = min(max(1, round(share * len(members))), len(members) - 1)
        held.append(members[:count])
    held_out = np.sort(np.concatenate(held)).astype(np.int64)
    return np.setdiff1d(np.arange(len(labels)), held_out), held_out


def _to_channels_first(images: Images) -> Images:
    channels = images.shape[3] if images.ndim == 4 else 1
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or channels not in (1, 3) or 0 in images.shape:
        raise InputError(
            f"images must be uint8 of shape (n, h, w), (n, h, w, 1) or (n, h, w, 3), "
            f"got {images.dtype} of {images.shape}"
        )
    return images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)


def _resize(images: Images, resolution: int) -> Images:
    if images.shape[2:] == (resolution, resolution):
        return np.ascontiguousarray(images)
    import torch

    resized = [
        torch.nn.functional.interpolate(
            torch.from_numpy(np.ascontiguousarray(chunk)), (resolution, resolution), mode="bilinear", antialias=True
        ).numpy()
        for chunk in np.array_split(images, -(-len(images) // 1024))
    ]
    return np.concatenate(resized)


# --- the data sets -------------------------------------------------------------------------------------


def digits(section: DataSection) -> TrainingImages:
    """scikit-learn's scanned digits: 1,797 grey images of 8x8 pixels with values 0 to 16."""
    return read_digits("train")


def read_digits(part: Part) -> TrainingImages:
    """One part of the digits: a fifth of every class is the test split."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    train, test = _split(bunch.target.astype(np.int64), TEST_SHARE)
    chosen = train if part == "train" else test
    images = np.round(bunch.images * (255 / 16)).astype(np.uint8)
    return TrainingImages(images[chosen], bunch.target[chosen].astype(np.int64), tuple("0123456789"))


def npz(section: DataSection) -> TrainingImages:
    """An npz file with x_train, y_train, x_test and y_test; x_test and y_test are not read."""
    return read_npz(section, "train")


def read_npz(section: DataSection, part: Part) -> TrainingImages:
    """One part of an npz file."""
    path = _required_path(section, "file.npz")
    try:
        archive = np.load(path, allow_pickle=False)
        if isinstance(archive, np.ndarray):
            raise ValueError("it holds one array, not several with names")
        with archive:
            missing = [name for name in ("x_train", "y_train", "x_test", "y_test") if name not in archive.files]
            if missing:
                raise InputError(
                    f"{path} lacks {', '.join(missing)}: an npz data set needs x_train, y_train, x_test and y_test"
                )
            images, labels = archive[f"x_{part}"], archive[f"y_{part}"]
    except InputError:
        raise
    except Exception as error:  # numpy and zipfile raise many kinds for a broken file
        reason = "it holds objects or is no npz file" if "pickle" in str(error) else error
        raise InputError(f"cannot read the npz file {path}: {reason}") from None
    if images.ndim == 0 or labels.ndim == 0:
        raise InputError(f"{path}: x_train and y_train must be arrays, one entry per image")
    labels = labels.squeeze(-1) if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if labels.shape != images.shape[:1] or not np.issubdtype(labels.dtype, np.integer) or (labels < 0).any():
        raise InputError(
            f"{path}: y_{part} must hold one non-negative integer per image of x_{part} {images.shape}, "
            f"got {labels.dtype} of {labels.shape}"
        )
    count = int(labels.max()) + 1 if labels.size else 0
    if count > 10 * max(1, len(np.unique(labels))):
        raise InputError(f"{path}: labels must number the classes from 0, but the largest is {count - 1}")
    return TrainingImages(images, labels.astype(np.int64), tuple(str(number) for number in range(count)))


def image_folder(section: DataSection) -> TrainingImages:
    """A folder with one sub-folder of images per class, or with such a folder named `train`.

    Images become RGB; their shorter side is brought to the resolution and the middle is cut out.
    """
    return read_folder(section, "train")


def read_folder(section: DataSection, part: Part) -> TrainingImages:
    """One part of an image folder: `train`, `test` or `val`; without them a fifth of every class is the test split."""
    from torchvision.datasets.folder import IMG_EXTENSIONS

    root = _required_path(section, "FOLDER")
    if not root.is_dir():
        raise InputError(f"data.path {root} is not a folder")
    has_train = (root / "train").is_dir()
    place = root / "train" if part == "train" and has_train else test_folder(root) if has_train else root
    folders = sorted(path for path in place.iterdir() if _visible(path) and path.is_dir())
    files = [
        (path, label)
        for label, folder in enumerate(folders)
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in IMG_EXTENSIONS and _visible(path) and path.is_file()
    ]
    if not files:
        raise InputError(
            f"no images in {place}: expected one sub-folder of images per class ({', '.join(IMG_EXTENSIONS)})"
        )
    labels = np.array([label for _, label in files], dtype=np.int64)
    if not has_train:
        train, test = _split(labels, TEST_SHARE)
        chosen = train if part == "train" else test
        files, labels = [files[index] for index in chosen], labels[chosen]
    images = np.stack([_read_image(path, section.resolution) for path, _ in files])
    return TrainingImages(images, labels, tuple(folder.name for folder in folders))


def test_folder(root: Path) -> Path:
    """Where the test images of a folder with a sub-folder `train` are.

    Raises:
        InputError: There are none.
    """
    found = next((root / name for name in ("test", "val") if (root / name).is_dir()), None)
    if found is None:
        raise InputError(f"{root} has a folder train and none called test or val: put the test images there")
    return found


def _visible(path: Path) -> bool:
    return not path.name.startswith(".")


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers of an unknown range")
    if image.mode.startswith("I"):  # 16 bits, which Pillow's own conversion would clip at 255
        image = Image.fromarray((np.asarray(image, dtype=np.float64) / 257).clip(0, 255).astype(np.uint8))
    if image.mode == "P":
        image = image.convert("RGBA")  # a palette may hold transparency
    return image.convert("RGB")


def _read_image(path: Path, resolution: int) -> Images:
    try:
        with Image.open(path) as opened:
            image = _to_rgb(opened)
    except Exception as error:  # every format has its own
        raise InputError(f"cannot read the image {path}: {error}; remove or replace it") from None
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    middle = (left, top, left + side, top + side)
    resized = image.resize((resolution, resolution), Image.Resampling.BILINEAR, box=middle, reducing_gap=2.0)
    return np.asarray(resized, dtype=np.uint8)


_TORCHVISION = {  # the class, and what chooses a split: a flag or a name
    "mnist": ("MNIST", "train"),
    "fashion-mnist": ("FashionMNIST", "train"),
    "kmnist": ("KMNIST", "train"),
    "cifar10": ("CIFAR10", "train"),
    "cifar100": ("CIFAR100", "train"),
    "svhn": ("SVHN", "split"),
    "flowers102": ("Flowers102", "split"),
    "food101": ("Food101", "split"),
}


def torchvision_dataset(section: DataSection) -> TrainingImages:
    """The training split of a torchvision data set, downloaded into `data.path` (default: data/)."""
    return read_torchvision(section, "train")


def read_torchvision(section: DataSection, part: Part) -> TrainingImages:
    """One split of a torchvision data set."""
    import torchvision

    name, option = _TORCHVISION[section.dataset]
    options: dict[str, Any] = {option: part == "train" if option == "train" else part}
    root = section.path or Path("data").resolve()
    try:
        source = getattr(torchvision.datasets, name)(root, download=True, **options)
    except Exception as error:  # whatever the network or the file system says
        raise InputError(
            f"cannot load {name} into {root}: {str(error).splitlines()[0] if str(error) else type(error).__name__}; "
            "check the network, or set data.path to the folder that holds it"
        ) from None
    images, labels = zip(*(_sample(source[index], section.resolution) for index in range(len(source))), strict=True)
    classes = getattr(source, "classes", None) or [str(label) for label in range(max(labels) + 1)]
    return TrainingImages(np.stack(images), np.array(labels, dtype=np.int64), tuple(map(str, classes)))


def _sample(sample: tuple[Image.Image, int], resolution: int) -> tuple[Images, int]:
    image, label = sample
    if image.width != image.height:
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        image = image.resize((resolution, resolution), Image.Resampling.BILINEAR, (left, top, left + side, top + side))
    elif image.width > resolution:
        image = image.resize((resolution, resolution), Image.Resampling.BILINEAR, reducing_gap=2.0)
    return np.asarray(image, dtype=np.uint8), label


def _required_path(section: DataSection, example: str) -> Path:
    if section.path is None:
        raise InputError(f"data set {section.dataset} needs a path: --set data.path={example}")
    if not section.path.exists():
        raise InputError(
            f"data.path {section.path} does not exist: --set data.path={example} names the data, or --data for a run"
        )
    return section.path
