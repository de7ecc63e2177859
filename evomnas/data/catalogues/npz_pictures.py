"""Arrays under MedMNIST's names: `train_images` and `train_labels`, and the same of `val` and `test`.

They are pictures as those of files are: copies are found, `val` validates the search, and what a picture shows decides
where it goes if there is no test split.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from evomnas.core.errors import InputError
from evomnas.data.catalogues.entries import Label, Leftovers, arrange
from evomnas.data.check import required_path
from evomnas.data.gallery.files import GalleryFiles
from evomnas.data.gallery.layout import Split
from evomnas.data.npz_files import check_labels, check_pixels, find_pair, open_npz, read_array
from evomnas.data.prepared.source import file_states, listing_digest
from evomnas.problem.sections import DataSection

PARTS: dict[str, Split] = {"train": "train", "val": "validation", "test": "test"}


@dataclass(frozen=True, eq=False)
class ArraySource:
    """Pictures in an array.

    Attributes:
        file: The file of the array.
        state: Its size and the time of its last change, int64, shape (1, 2).
        files: A name of each picture, such as `test_images[7]`.
        images: Their pixels, uint8, shape (n, h, w) or (n, h, w, 3).
    """

    file: Path
    state: NDArray[np.int64]
    files: tuple[str, ...]
    images: NDArray[np.uint8]

    @property
    def names(self) -> Sequence[str]:
        """See `PictureSource.names`."""
        return [f"{self.file}: {name}" for name in self.files]

    @property
    def digest(self) -> bytes:
        """See `PictureSource.digest`."""
        return listing_digest((self.file.name, *self.files), self.state)

    def take(self, places: NDArray[np.int64]) -> ArraySource:
        """See `ListedSource.take`."""
        return ArraySource(self.file, self.state, tuple(self.files[place] for place in places), self.images[places])

    def part(self, start: int, stop: int) -> ArraySource:
        """See `PictureSource.part`."""
        part = slice(start, stop)
        return ArraySource(self.file, self.state, self.files[part], self.images[part])

    def read(self) -> Iterator[Image.Image]:
        """See `PictureSource.read`."""
        return map(Image.fromarray, self.images)

    def changed(self) -> Sequence[str]:
        """See `PictureSource.changed`."""
        return [] if (file_states(self.file.parent, [self.file.name]) == self.state).all() else [str(self.file)]


def read_npz_pictures(section: DataSection) -> GalleryFiles:
    """Return the pictures of a file with MedMNIST's names.

    Args:
        section: The data section. Its path is the file.

    Raises:
        InputError: An array is missing, or is none of images or labels.
    """
    path = required_path(section)
    images: list[NDArray[np.uint8]] = []
    labels: list[Label] = []
    names: list[str] = []
    splits: list[Split] = []
    with open_npz(path) as archive:
        for part, split in PARTS.items():
            pair = find_pair(path, archive, part)
            if pair is None:
                continue
            pixels, numbers = (read_array(path, archive, name) for name in pair)
            check_pixels(pixels.shape, pixels.dtype, pair.images, pixels)
            images.append(pixels[..., 0] if pixels.ndim == 4 and pixels.shape[3] == 1 else pixels)
            labels += check_labels(path, pair, numbers, pixels.shape, from_zero=False).tolist()
            names += [f"{pair.images}[{place}]" for place in range(len(pixels))]
            splits += [split] * len(pixels)
    shapes = {array.shape[1:] for array in images}
    if len(shapes) > 1:
        raise InputError(f"{path} has images of several sizes: {' and '.join(map(str, sorted(shapes)))}")
    source = ArraySource(path, file_states(path.parent, [path.name]), tuple(names), np.concatenate(images))
    channels = 3 if source.images.ndim == 4 else 1
    return arrange(path, source, labels, splits, Leftovers(), channels=channels, fit="stretch")
