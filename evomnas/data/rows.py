"""Images of one array by their rows, so that splits and parts of a set need no copies.

The array may be mapped from a file that is larger than the memory: only what is looked at is read, and processes that
map the same file share what the system keeps of it. Such a file is never written to.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evomnas.core.resolution import Resolution, sides

Images = NDArray[np.uint8]
Indices = NDArray[np.int64]
CHUNK_BYTES = 2**26  # of images that are looked at together by those who go through all of them
RESIZED_BYTES = 2**27  # of images that are resized at once and kept in memory, though others of theirs are not
RESIZE_BATCH = 1024  # images that are resized at once, which limits the memory that it takes


@dataclass(frozen=True)
class MappedImages:
    """Images in a .npy file. A process that is given this opens the file by its path when it needs it.

    Attributes:
        path: The file, uint8 of shape (m, channels, h, w).
    """

    path: Path

    @cached_property
    def array(self) -> Images:
        """The images, which cannot be written to.

        Raises:
            OSError: The file is missing or cannot be read.
            ValueError: It is no .npy file.
        """
        # "r" and not "c": a private mapping would count for a process's memory limit, and could not exceed the memory
        images: Images = np.load(self.path, mmap_mode="r")
        return images

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path}


@dataclass(frozen=True, eq=False)
class ImageRows:
    """Images by their rows in an array. To numpy it is an array of the images, which are copied when they are taken.

    Attributes:
        source: The array, uint8 of shape (m, channels, h, w), or the file that is mapped.
        rows: The rows of the images, int64, shape (n,).
        resolution: The size to which they are resized when they are taken; None for their own.
    """

    source: Images | MappedImages
    rows: Indices
    resolution: Resolution | None = None

    @classmethod
    def all(cls, source: Images | MappedImages) -> ImageRows:
        """Return all images of an array.

        Args:
            source: See the attributes of the class.
        """
        array = source.array if isinstance(source, MappedImages) else source
        return cls(source, np.arange(len(array)))

    @property
    def array(self) -> Images:
        """The array that has these images among others, uint8 of shape (m, channels, h, w); not to be written to."""
        return self.source.array if isinstance(self.source, MappedImages) else self.source

    @property
    def path(self) -> Path | None:
        """The file that is mapped; None if the images are in memory."""
        return self.source.path if isinstance(self.source, MappedImages) else None

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, channels, h, w)."""
        channels, *own = self.array.shape[1:]
        return (len(self.rows), channels, *(own if self.resolution is None else sides(self.resolution)))

    @property
    def dtype(self) -> np.dtype[np.uint8]:
        """The type of the pixels."""
        return self.array.dtype

    @property
    def nbytes(self) -> int:
        """The bytes of these images."""
        return int(np.prod(self.shape, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, places: Any) -> Images:
        """Return a copy of some images.

        Args:
            places: A number, a slice, numbers or a mask, as numpy takes them; a tuple of these and of what is wanted
                of the channels and pixels of each.
        """
        if isinstance(places, tuple):
            images = self[places[0]]
            return images[places[1:] if images.ndim == 3 else (slice(None), *places[1:])]
        found: Images = self.array[self.rows[places]]
        if self.resolution is None:
            return found
        return (
            resize_array(found[None], self.resolution)[0] if found.ndim == 3 else resize_array(found, self.resolution)
        )

    def __iter__(self) -> Iterator[Images]:
        return (self[place] for place in range(len(self)))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Return a copy of all images, for numpy."""
        return np.asarray(self[:], dtype=dtype)

    def select(self, places: Indices | NDArray[np.bool_] | slice) -> ImageRows:
        """Return some of the images, without a copy.

        Args:
            places: The numbers of images, shape (k,), a mask of shape (n,), or a slice.
        """
        return replace(self, rows=self.rows[places])

    def resize(self, resolution: Resolution) -> ImageRows:
        """Return the images at a resolution, bilinear with antialiasing.

        They are resized now. Where they are of a file, and more than `RESIZED_BYTES`, they are resized each time when
        they are taken.

        Args:
            resolution: The size in pixels.
        """
        if self.shape[2:] == sides(resolution):
            return self
        resized = replace(self, resolution=resolution)
        if self.path is not None and resized.nbytes > RESIZED_BYTES:
            return resized
        return ImageRows.all(resize_array(self[:], resolution))

    def chunks(self) -> Iterator[Images]:
        """Yield the images in their order, in copies that are small."""
        step = max(1, CHUNK_BYTES // max(1, self.nbytes // max(1, len(self))))
        for start in range(0, len(self), step):
            yield self[start : start + step]


def resize_array(images: Images, resolution: Resolution) -> Images:
    """Return images at a resolution, bilinear with antialiasing.

    Args:
        images: Pixel values from 0 to 255, uint8, shape (n, channels, h, w).
        resolution: The size in pixels.

    Returns:
        The images, shape (n, channels, *sides(resolution)).
    """
    size = sides(resolution)
    if images.shape[2:] == size:
        return np.ascontiguousarray(images)
    import torch

    resized = np.empty((*images.shape[:2], *size), dtype=np.uint8)
    for start in range(0, len(images), RESIZE_BATCH):
        chunk = torch.from_numpy(np.ascontiguousarray(images[start : start + RESIZE_BATCH]))
        resized[start : start + RESIZE_BATCH] = torch.nn.functional.interpolate(
            chunk, size, mode="bilinear", antialias=True
        ).numpy()
    return resized
