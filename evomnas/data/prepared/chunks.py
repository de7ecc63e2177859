"""Parts of a set of pictures, read and written by worker processes.

A picture's record is written after its pixels, with a checksum of both. So whatever is killed at whatever moment, the
next process that prepares the same set knows which pictures are there, and reads the others alone.
"""

from __future__ import annotations

import errno
import os
import threading
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from evomnas.core.errors import InputError
from evomnas.core.quiet import silence
from evomnas.core.system.processes import wait_for_parent
from evomnas.data.photographs import Preprocessing, open_photograph
from evomnas.data.prepared.source import PictureSource
from evomnas.data.rows import Images

MISSING, WRITTEN, UNREADABLE = 0, 1, 2  # the states of a record
RECORD = np.dtype(
    [("key", "<u8"), ("width", "<i4"), ("height", "<i4"), ("check", "<u4"), ("state", "u1"), ("kept", "?")]
)

Records = NDArray[Any]  # of the type RECORD


class Chunk(NamedTuple):
    """Some of the pictures of a set.

    Attributes:
        source: The pictures.
        keep: Whether the pixels of each are wanted, shape (n,).
        first: The number of the first picture in the set.
        row: The row of the first one whose pixels are wanted.
    """

    source: PictureSource
    keep: NDArray[np.bool_]
    first: int
    row: int


class Destination(NamedTuple):
    """The files that a set is written to.

    Attributes:
        images: A .npy file of its pixels, whose header is there.
        records: The records of all pictures, one after the other.
        preprocessing: What is done with each picture.
    """

    images: Path
    records: Path
    preprocessing: Preprocessing


class Outcome(NamedTuple):
    """The outcome of a chunk.

    Attributes:
        read: How many pictures were read for it; the others were written before.
        faults: The messages for those that cannot be read.
    """

    read: int
    faults: list[str]


def write_header(path: Path, shape: Sequence[int]) -> int:
    """Write the beginning of a .npy file of images; what comes after it stays.

    Args:
        path: The file.
        shape: The shape of all images.

    Returns:
        The size of the complete file in bytes.
    """
    path.touch()
    with path.open("r+b") as file:
        npy.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": tuple(shape)})
    return header_bytes(path) + int(np.prod(shape, dtype=np.int64))


def header_bytes(path: Path) -> int:
    """Return the bytes before the first image of a .npy file.

    Args:
        path: The file.
    """
    with path.open("rb") as file:
        npy.read_magic(file)
        npy.read_array_header_1_0(file)
        return file.tell()


def checksum(record: Any, pixels: Images | None) -> int:
    """Return a checksum of a picture's record and pixels.

    Args:
        record: The record, of which the key and the size count.
        pixels: The pixels, C-contiguous; None where they are not kept.
    """
    check = zlib.crc32(f"{int(record['key'])} {int(record['width'])} {int(record['height'])}".encode())
    return check if pixels is None else zlib.crc32(pixels.reshape(-1).data, check)


def write_chunk(destination: Destination, chunk: Chunk) -> Outcome:
    """Read the pictures of a chunk that are not written yet, and write them.

    Args:
        destination: The files.
        chunk: The pictures.

    Returns:
        How many were read, and the messages for those that cannot be.

    Raises:
        InputError: A file was changed meanwhile; the pictures of the chunk count as not written.
        OSError: The disk is full, or fails.
    """
    shape, total = destination.preprocessing.shape, len(chunk.keep)
    offset = header_bytes(destination.images) + chunk.row * int(np.prod(shape))
    pixels = np.zeros((int(chunk.keep.sum()), *shape), dtype=np.uint8)
    with (
        silence(),
        destination.images.open("r+b", buffering=0) as images,
        destination.records.open("r+b", buffering=0) as file,
    ):
        records = np.zeros(total, dtype=RECORD)
        read_at(file, chunk.first * RECORD.itemsize, records)
        if (records["state"] == WRITTEN).any():
            read_at(images, offset, pixels)
        missing = _missing(records, chunk.keep, pixels)
        if not missing.any():
            return Outcome(0, [])
        faults = _fill(destination.preprocessing, chunk, records, missing, pixels)
        if changed := chunk.source.changed():
            raise InputError(
                f"{changed[0]} was changed or removed while images were read: start again when nobody writes to them"
            )
        try:
            write_at(images, offset, pixels)
            write_at(file, chunk.first * RECORD.itemsize, records)
        except OSError as error:  # which does not say where
            raise OSError(error.errno, error.strerror, str(destination.images)) from None
        read_at(images, offset, pixels)
        if (_missing(records, chunk.keep, pixels) & (records["state"] == WRITTEN)).any():
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(destination.images))
    return Outcome(int(missing.sum()), faults)


def check_images(records: Records, pixels: Images) -> NDArray[np.bool_]:
    """Return which images are what their records say.

    Args:
        records: The records of images that are kept, shape (n,).
        pixels: The images, shape (n, channels, h, w).
    """
    pairs = zip(records, pixels, strict=True)
    return np.array([checksum(record, image) == record["check"] for record, image in pairs], dtype=np.bool_)


def _missing(records: Records, keep: NDArray[np.bool_], pixels: Images) -> NDArray[np.bool_]:
    """Return which pictures of a chunk are not written, or not as their records say."""
    missing = np.ones(len(records), dtype=np.bool_)
    rows = np.cumsum(keep) - 1
    for place in np.flatnonzero(records["state"] == WRITTEN):
        own = pixels[rows[place]] if keep[place] else None
        missing[place] = checksum(records[place], own) != records[place]["check"]
    return missing


def _fill(
    preprocessing: Preprocessing, chunk: Chunk, records: Records, missing: NDArray[np.bool_], pixels: Images
) -> list[str]:
    """Read the missing pictures of a chunk into its records and pixels, and return what is wrong with some."""
    faults, rows, names = [], np.cumsum(chunk.keep) - 1, chunk.source.names
    for place, content in enumerate(chunk.source.read()):
        if not missing[place]:
            continue
        try:
            photograph = open_photograph(content, preprocessing, names[place])
        except InputError as error:
            faults.append(str(error))
            records[place] = (0, 0, 0, 0, UNREADABLE, chunk.keep[place])
            continue
        own = None
        if chunk.keep[place]:
            own = pixels[rows[place]]
            own[...] = np.atleast_3d(photograph.pixels).transpose(2, 0, 1)
        records[place] = (photograph.key, *photograph.size, 0, WRITTEN, chunk.keep[place])
        records[place]["check"] = checksum(records[place], own)
    return faults


def read_at(file: Any, offset: int, array: NDArray[Any]) -> None:
    """Read an array from a place in a file.

    Args:
        file: The file, opened to be read, unbuffered.
        offset: The place, in bytes.
        array: What is read into; what lies beyond the file's end stays as it is.
    """
    file.seek(offset)
    view, done = _bytes_of(array), 0
    while done < len(view) and (count := file.readinto(view[done:])):
        done += count


def write_at(file: Any, offset: int, array: NDArray[Any]) -> None:
    """Write an array to a place in a file.

    Args:
        file: The file, opened to be written to, unbuffered.
        offset: The place, in bytes.
        array: What is written.
    """
    file.seek(offset)
    view, done = _bytes_of(array), 0
    while done < len(view):
        done += file.write(view[done:])


def _bytes_of(array: NDArray[Any]) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


def start_worker() -> None:
    """Let this process end with the one that started it."""
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    wait_for_parent()
    os._exit(1)
