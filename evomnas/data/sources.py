"""The built-in data sets: digits, npz files, image folders, lists of images and torchvision's.

A data set is a function that takes a `DataSection` and returns `TrainingImages`: all images that may be trained
on, before the validation split. None of these functions reads test images, so that nothing in a search can: data
sets with an official test split leave it on disk, the others keep a fifth of every class aside. The test images of
the same data set are read by another function, in `evomnas.deploy.testsplit`, which no search imports.

Register another data set as an entry point of the group `evomnas.datasets`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from evomnas.core.errors import InputError
from evomnas.core.resolution import sides
from evomnas.data.boxes.listing import list_boxes
from evomnas.data.catalogues.finding import list_pictures
from evomnas.data.check import required_path
from evomnas.data.colours import crop_box, to_picture
from evomnas.data.folders import check_image_folder, class_folders, find_images
from evomnas.data.gallery.reading import read_gallery, read_part
from evomnas.data.images import TrainingImages, has_other_proportions, stack_images
from evomnas.data.npz_files import Pair, check_labels, check_pixels, is_medmnist, open_npz, read_array
from evomnas.data.photographs import Preprocessing
from evomnas.data.prepared.pictures import read_pictures
from evomnas.data.prepared.source import FileSource
from evomnas.data.rows import Images
from evomnas.data.splits import stratified_split
from evomnas.problem.sections import DataSection, Fit

TEST_SHARE = 0.2  # of every class, kept aside if a data set has no test split of its own

Part = Literal["train", "test"]


def digits(section: DataSection) -> TrainingImages:
    """Return the training part of scikit-learn's scanned digits.

    The data set has 1,797 grey images of 8x8 pixels with values from 0 to 16, which are scaled to 0 to 255.

    Args:
        section: The data section, for its `fit`; the data set comes with scikit-learn.

    Returns:
        Four fifths of every class.
    """
    return read_digits("train", section.fit)


def read_digits(part: Part, fit: Fit | None) -> TrainingImages:
    """Return one part of scikit-learn's digits: a fifth of every class is the test part.

    Args:
        part: `train` or `test`.
        fit: How the squares get other proportions; None for `crop`.

    Returns:
        The images of that part.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    train, test = stratified_split(bunch.target.astype(np.int64), TEST_SHARE)
    indices = train if part == "train" else test
    images = np.round(bunch.images * (255 / 16)).astype(np.uint8)
    return TrainingImages(images[indices], bunch.target[indices].astype(np.int64), tuple("0123456789"), fit or "crop")


def npz(section: DataSection) -> TrainingImages:
    """Read x_train and y_train of an npz file. x_test and y_test must be there, but are not read.

    With MedMNIST's names, train_images and train_labels, and those of val, which validate the search.

    Args:
        section: The data section; `path` is the file.

    Returns:
        The training images.

    Raises:
        InputError: The path is missing, or the file cannot be read or has other contents.
    """
    return read_npz(section, "train")


def read_npz(section: DataSection, part: Part) -> TrainingImages:
    """Read one part of an npz file with the arrays x_train, y_train, x_test and y_test, or with MedMNIST's names.

    Args:
        section: The data section; `path` is the file.
        part: `train` or `test`.

    Returns:
        The images of that part. The classes are named by their numbers.

    Raises:
        InputError: The path is missing, or the file cannot be read or has other contents.
    """
    path = required_path(section)
    pair = Pair(f"x_{part}", f"y_{part}")
    with open_npz(path) as archive:
        if is_medmnist(archive.files):
            return read_list(section, part)
        images, labels = (read_array(path, archive, name) for name in pair)
    labels = check_labels(path, pair, labels, images.shape, from_zero=part == "train")
    if images.ndim:
        check_pixels(images.shape, images.dtype, pair.images, images)
    count = int(labels.max()) + 1 if labels.size else 0
    return TrainingImages(images, labels, tuple(str(number) for number in range(count)), section.fit or "stretch")


def listed_pictures(section: DataSection) -> TrainingImages:
    """Read the training images of a CSV file, of parquet files, or of tar shards.

    Args:
        section: The data section; `path` is the file, or the folder of the files.

    Returns:
        The training images, RGB at the section's resolution.

    Raises:
        InputError: Images or labels are missing, or an image cannot be read.
    """
    return read_list(section, "train")


def read_list(section: DataSection, part: Part) -> TrainingImages:
    """Read one part of the pictures that a list, a table or an archive names.

    Args:
        section: The data section.
        part: `train` or `test`.

    Returns:
        The images of that part at the section's resolution.

    Raises:
        InputError: Images or labels are missing, or an image cannot be read.
    """
    return read_part(list_pictures(section), section, part)


def boxes(section: DataSection) -> TrainingImages:
    """Read the training images of a set of boxes: COCO's, Pascal VOC's or YOLO's files.

    Args:
        section: The data section; `path` is the folder, or a file in COCO's format.

    Returns:
        The training images with their boxes, RGB at the section's resolution. By default they are stretched to it.

    Raises:
        InputError: Images or boxes are missing or wrong; the message names all of them.
    """
    return read_boxes(section, "train")


def read_boxes(section: DataSection, part: Part) -> TrainingImages:
    """Read one part of a set of boxes.

    Args:
        section: The data section.
        part: `train` or `test`.

    Returns:
        The images of that part with their boxes.

    Raises:
        InputError: Images or boxes are missing or wrong; the message names all of them.
    """
    return read_part(list_boxes(section), section, part)


def image_folder(section: DataSection) -> TrainingImages:
    """Read the training images of a folder with one sub-folder per class, or with splits of that kind.

    Images become RGB at the section's resolution. By default the middle of each is cut out.

    Args:
        section: The data section; `path` is the folder.

    Returns:
        The training images; the classes are named as their folders.

    Raises:
        InputError: The folder or its images are missing, or an image cannot be read.
    """
    return read_folder(section, "train")


def read_folder(section: DataSection, part: Part) -> TrainingImages:
    """Read one part of an image folder, by the rules that its section names.

    By those of version 0.1, the test part of a folder with a sub-folder `train` is its sub-folder `test` or `val`. If
    there is none, a fifth of every class is the test part.

    Args:
        section: The data section; `path` is the folder.
        part: `train` or `test`.

    Returns:
        The images of that part, RGB at the section's resolution; the classes are named as their folders.

    Raises:
        InputError: The folder or its images are missing, or an image cannot be read.
    """
    if section.rules != 1:
        return read_gallery(section, part)
    root = required_path(section)
    check_image_folder(root)
    has_train = (root / "train").is_dir()
    parent = root / "train" if part == "train" and has_train else find_test_folder(root) if has_train else root
    folders = class_folders(parent)
    files = [(path, label) for label, folder in enumerate(folders) for path in find_images(folder)]
    if not files:
        raise InputError(f"no images in {parent}: expected one sub-folder of images per class")
    labels = np.array([label for _, label in files], dtype=np.int64)
    if not has_train:
        train, test = stratified_split(labels, TEST_SHARE)
        indices = train if part == "train" else test
        files, labels = [files[index] for index in indices], labels[indices]
    preprocessing = Preprocessing(channels=3, resolution=section.resolution, fit=section.fit or "crop")
    source, everything = FileSource.of(root, [path for path, _ in files]), np.ones(len(files), np.bool_)
    pictures = read_pictures(source, everything, preprocessing, str(root))
    reshaped = any(has_other_proportions(width, height, section.resolution) for width, height in pictures.sizes)
    classes = tuple(folder.name for folder in folders)
    return TrainingImages(pictures.images, labels, classes, preprocessing.fit, None, reshaped)


def find_test_folder(root: Path) -> Path:
    """Return the folder of the test images, for an image folder with a sub-folder `train`.

    Args:
        root: The image folder.

    Returns:
        Its sub-folder `test`, or else `val`.

    Raises:
        InputError: It has neither.
    """
    folder = next((root / name for name in ("test", "val") if (root / name).is_dir()), None)
    if folder is None:
        raise InputError(f"{root} has a folder train and none called test or val: put the test images there")
    return folder


# torchvision's class, and its argument that selects the split: the flag `train` or the name `split`
_TORCHVISION = {
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
    """Read the training split of a torchvision data set, which is downloaded if it is missing.

    Args:
        section: The data section; `path` is the folder for the download, `data/` by default.

    Returns:
        The training images.

    Raises:
        InputError: The data set can be neither read nor downloaded.
    """
    return read_torchvision(section, "train")


def read_torchvision(section: DataSection, part: Part) -> TrainingImages:
    """Read one split of a torchvision data set, which is downloaded if it is missing.

    Large images are resized to the section's resolution one by one, so that all of them fit into memory.

    Args:
        section: The data section; `path` is the folder for the download, `data/` by default.
        part: `train` or `test`.

    Returns:
        The images of that split.

    Raises:
        InputError: The data set can be neither read nor downloaded.
    """
    import torchvision

    name, option = _TORCHVISION[section.dataset]
    options: dict[str, Any] = {option: part == "train" if option == "train" else part}
    root = section.path or Path("data").resolve()
    try:
        source = getattr(torchvision.datasets, name)(root, download=True, **options)
    except Exception as error:  # of the network or the file system
        raise InputError(
            f"cannot load {name} into {root}: {str(error).splitlines()[0] if str(error) else type(error).__name__}; "
            "check the network, or set data.path to the folder that holds it"
        ) from None
    labels: list[int] = []
    fit = section.fit or "crop"
    reshaped = False

    def read() -> Iterator[Images]:
        for index in range(len(source)):
            nonlocal reshaped
            picture, label = source[index]
            reshaped = reshaped or has_other_proportions(picture.width, picture.height, section.resolution)
            labels.append(label)
            yield _shrink(picture, sides(section.resolution), fit)

    images = stack_images(read(), len(source))
    classes = getattr(source, "classes", None) or [str(label) for label in range(max(labels) + 1)]
    return TrainingImages(images, np.array(labels, dtype=np.int64), tuple(map(str, classes)), fit, None, reshaped)


def _shrink(image: Image.Image, size: tuple[int, int], fit: Fit) -> Images:
    """Return a picture as an array: at a size, or smaller if it has its proportions."""
    has_proportions = not has_other_proportions(image.width, image.height, size)
    if has_proportions and image.width <= size[1]:
        return np.asarray(image, dtype=np.uint8)
    if has_proportions or fit != "crop":
        image = to_picture(image, None, len(image.getbands()), size, fit)
    else:
        box = crop_box(image.width, image.height, size)
        image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR, box)
    return np.asarray(image, dtype=np.uint8)
