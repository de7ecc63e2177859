"""Files of arrays: images and labels under Keras' names or MedMNIST's, and what mends those that are not right."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evomnas.core.errors import InputError

Labels = NDArray[np.int64]
ARRAYS = ("x_train", "y_train", "x_test", "y_test")
MEDMNIST = ("train_images", "train_labels")  # names that such a file has at least


class Pair(NamedTuple):
    """The names of the arrays of a part."""

    images: str
    labels: str


def is_medmnist(names: list[str]) -> bool:
    """Return whether arrays have MedMNIST's names.

    Args:
        names: The names of all arrays of a file.
    """
    return not set(names) & set(ARRAYS) and any(name in names for name in MEDMNIST)


def open_npz(path: Path) -> np.lib.npyio.NpzFile:
    """Open an npz file of images; no array is read.

    Args:
        path: The file.

    Raises:
        InputError: It cannot be read, or lacks an array.
    """
    try:
        archive = np.load(path, allow_pickle=False)
        if isinstance(archive, np.ndarray):
            raise ValueError("it holds one array, not several with names")
    except Exception as error:
        raise unreadable(path, error) from None
    medmnist = is_medmnist(archive.files)
    missing = [name for name in (MEDMNIST if medmnist else ARRAYS) if name not in archive.files]
    if missing:
        raise InputError(
            f"{path} lacks {', '.join(missing)}: an npz data set needs {', '.join(ARRAYS[:-1])} and {ARRAYS[-1]}, or "
            f"{' and '.join(MEDMNIST)}, with the same of val and test"
        )
    files: np.lib.npyio.NpzFile = archive
    return files


def find_pair(path: Path, archive: np.lib.npyio.NpzFile, part: str) -> Pair | None:
    """Return the names of the arrays of a part in a file with MedMNIST's names.

    Args:
        path: The file.
        archive: The same, opened.
        part: `train`, `val` or `test`.

    Returns:
        The names; None where the file has none of them.

    Raises:
        InputError: It has one of them alone.
    """
    pair = Pair(f"{part}_images", f"{part}_labels")
    found = [name for name in pair if name in archive.files]
    if len(found) == 1:
        raise InputError(f"{path} has {found[0]} and lacks {(set(pair) - set(found)).pop()}")
    return pair if found else None


def read_array(path: Path, archive: np.lib.npyio.NpzFile, name: str) -> NDArray[Any]:
    """Read an array.

    Args:
        path: The file.
        archive: The same, opened.
        name: The name of the array.

    Returns:
        The array, whatever is in it.

    Raises:
        InputError: It cannot be read.
    """
    try:
        found: NDArray[Any] = archive[name]
    except Exception as error:  # of many kinds
        raise unreadable(path, error) from None
    return found


def unreadable(path: Path, error: Exception) -> InputError:
    """Return the error for an npz file that cannot be read; numpy and zipfile have many kinds of them.

    Args:
        path: The file.
        error: What they raised.
    """
    reason = "it holds objects or is no npz file" if "pickle" in str(error) else error
    return InputError(f"cannot read the npz file {path}: {reason}")


def check_pixels(
    shape: tuple[int, ...], dtype: np.dtype[Any], name: str = "", values: NDArray[Any] | None = None
) -> None:
    """Check that arrays are images.

    Args:
        shape: Their shape.
        dtype: Their type.
        name: What they are called where they come from; empty where that is not known.
        values: The images, by which the message says what mends them; None where they were not read.

    Raises:
        InputError: They are not.
    """
    channels = shape[3] if len(shape) == 4 else 1
    if dtype != np.uint8 or len(shape) not in (3, 4) or channels not in (1, 3) or 0 in shape:
        found = f"got {dtype} of {shape}{name and f' in {name}'}"
        mended = "" if values is None else _mend_pixels(name, values)
        hint = f": {name} = {mended} mends it" if mended else ""
        raise InputError(f"images must be uint8 of shape (n, h, w), (n, h, w, 1) or (n, h, w, 3), {found}{hint}")


def _mend_pixels(name: str, images: NDArray[Any]) -> str:
    """Return the expression that makes images of an array; empty where nobody can know."""
    if images.ndim not in (3, 4) or 0 in images.shape or images.dtype.kind not in "uifb":
        return ""
    mended = name
    if images.ndim == 4 and images.shape[3] not in (1, 3):
        if images.shape[1] in (1, 3):
            mended = f"{mended}.transpose(0, 2, 3, 1)"
        elif images.shape[3] == 4:
            mended = f"{mended}[..., :3]"
        else:
            return ""
    low, high = (float(images.min()), float(images.max()))
    if images.dtype == np.uint8:
        return mended
    if images.dtype.kind == "b":
        return f"{mended}.astype('uint8') * 255"
    if not np.isfinite([low, high]).all():
        return ""
    if low >= 0 and high <= 1 and images.dtype.kind == "f":
        return f"(255 * {mended}).round().astype('uint8')"
    if low >= -1 and high <= 1 and images.dtype.kind == "f":
        return f"(127.5 * {mended} + 127.5).round().astype('uint8')"
    if low >= 0 and high <= 255:
        return f"{mended}.round().astype('uint8')" if images.dtype.kind == "f" else f"{mended}.astype('uint8')"
    return f"({mended} // 257).astype('uint8')" if images.dtype == np.uint16 else ""


def check_labels(
    path: Path, pair: Pair, labels: NDArray[Any], shape: tuple[int, ...], from_zero: bool = True
) -> Labels:
    """Check labels against the images that they are of.

    Args:
        path: The npz file, for messages.
        pair: The names of both arrays, for messages.
        labels: Of any shape and type.
        shape: The shape of the images.
        from_zero: Whether they must number all classes from 0.

    Returns:
        The class of each image, int64, shape (n,).

    Raises:
        InputError: They are not one number per image, or numbers of classes that do not begin with 0.
    """
    if len(shape) == 0 or labels.ndim == 0:
        raise InputError(f"{path}: {pair.images} and {pair.labels} must be arrays, one entry per image")
    labels = labels.squeeze(-1) if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if labels.shape != shape[:1] or not np.issubdtype(labels.dtype, np.integer) or (labels < 0).any():
        mended = _mend_labels(pair.labels, labels)
        hint = f": {pair.labels} = {mended} mends it" if mended else ""
        raise InputError(
            f"{path}: {pair.labels} must hold one non-negative integer per image of {pair.images} {shape}, "
            f"got {labels.dtype} of {labels.shape}{hint}"
        )
    if from_zero:
        _check_numbers(path, pair, labels)
    return labels.astype(np.int64)


def _check_numbers(path: Path, pair: Pair, labels: NDArray[Any]) -> None:
    """Raise InputError for labels that do not number the classes from 0."""
    used, largest = np.unique(labels), int(labels.max(initial=0))
    if len(used) > 1 and used[0] == 1 and largest == len(used):
        raise InputError(
            f"{path}: labels must number the classes from 0, and {pair.labels} goes from 1 to {largest}: "
            f"{pair.labels} = {pair.labels} - 1 mends it, with those of the test as well"
        )
    if largest + 1 > 10 * max(1, len(used)):
        raise InputError(f"{path}: labels must number the classes from 0, but the largest is {largest}")


def _mend_labels(name: str, labels: NDArray[Any]) -> str:
    """Return the expression that makes labels of an array; empty where nobody can know."""
    if labels.ndim == 2 and labels.dtype.kind in "uifb" and labels.shape[1] > 1:
        is_one_hot = ((labels == 0) | (labels == 1)).all() and (labels.sum(axis=1) == 1).all()
        return f"{name}.argmax(1)" if is_one_hot else ""
    if labels.ndim != 1:
        return ""
    if labels.dtype.kind in "US":
        return f"numpy.unique({name}, return_inverse=True)[1]"
    if labels.dtype.kind == "b":
        return f"{name}.astype('int64')"
    if (
        labels.dtype.kind == "f"
        and np.isfinite(labels).all()
        and (labels == labels.round()).all()
        and labels.min(initial=0) >= 0
    ):
        return f"{name}.astype('int64')"
    return ""
