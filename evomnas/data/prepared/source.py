"""Sources of pictures: what they have, in which order, and how processes read parts of them.

Whatever keeps pictures (a folder, shards of archives, tables) becomes a source, and `evomnas.data.prepared.pictures`
makes arrays of it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MISSING = -1  # the size of a file that is not there

Content = Path | bytes | Image.Image  # of a picture: its file, or what a file would hold, or the opened picture


class PictureSource(Protocol):
    """Pictures in an order of their own. Parts of it travel to other processes, so it can be pickled."""

    @property
    def names(self) -> Sequence[str]:
        """The names of the pictures, for messages: where each is found."""
        ...

    @property
    def digest(self) -> bytes:
        """A hash of all that is known without opening a picture: names, sizes, times. If any changes, so does it."""
        ...

    def part(self, start: int, stop: int) -> Self:
        """Return the pictures from one number to before another one.

        Args:
            start: The number of the first, from 0.
            stop: The number after the last.
        """
        ...

    def read(self) -> Iterator[Content]:
        """Yield the content of each picture, one after the other; a file that is missing need not raise."""
        ...

    def changed(self) -> Sequence[str]:
        """Return the names of pictures that are not any more as they were when the source was made."""
        ...


@dataclass(frozen=True, eq=False)
class FileSource:
    """Pictures in files of their own.

    Attributes:
        root: The folder from which the files are named.
        files: Their paths from there.
        sizes: Their sizes in bytes when the source was made, `MISSING` of those that were not there, int64, shape (n,).
        times: The times of their last change in nanoseconds, int64, shape (n,).
    """

    root: Path
    files: tuple[str, ...]
    sizes: NDArray[np.int64]
    times: NDArray[np.int64]

    @classmethod
    def of(cls, root: Path, files: Sequence[Path]) -> FileSource:
        """Return the source of files as they are now.

        Args:
            root: The folder that holds all of them.
            files: The files.
        """
        start = os.path.join(root, "")
        names = tuple(path.removeprefix(start) for path in map(str, files))  # relpath takes ten times as long
        return cls(root, names, *_states(root, names))

    @property
    def names(self) -> Sequence[str]:
        """See `PictureSource.names`."""
        return [os.path.join(self.root, name) for name in self.files]

    @property
    def digest(self) -> bytes:
        """See `PictureSource.digest`. The folder's own place is no part of it."""
        return listing_digest(self.files, self.sizes, self.times)

    def take(self, places: NDArray[np.int64]) -> FileSource:
        """Return some of the files.

        Args:
            places: Their places, shape (k,).
        """
        files = tuple(self.files[place] for place in places)
        return FileSource(self.root, files, self.sizes[places], self.times[places])

    def part(self, start: int, stop: int) -> FileSource:
        """See `PictureSource.part`."""
        part = slice(start, stop)
        return FileSource(self.root, self.files[part], self.sizes[part], self.times[part])

    def read(self) -> Iterator[Path]:
        """See `PictureSource.read`."""
        return (self.root / name for name in self.files)

    def changed(self) -> Sequence[str]:
        """See `PictureSource.changed`. A file that was not there when the source was made is none of them."""
        sizes, times = _states(self.root, self.files)
        differ = ((sizes != self.sizes) | (times != self.times)) & (self.sizes != MISSING)
        return [str(self.root / self.files[place]) for place in np.flatnonzero(differ)]


def listing_digest(words: Sequence[str], *numbers: NDArray[np.int64]) -> bytes:
    """Return a hash of what tells a source from others; see `PictureSource.digest`.

    Args:
        words: Names of files and the like.
        numbers: Their states, and the places of pictures in them.
    """
    digest = hashlib.blake2b("\0".join(words).encode(errors="surrogateescape"), digest_size=16)
    for array in numbers:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.digest()


def file_states(root: Path, names: Sequence[str]) -> NDArray[np.int64]:
    """Return the sizes and times of files.

    Args:
        root: The folder from which they are named.
        names: Their names.

    Returns:
        The size in bytes, `MISSING` of a file that is not there, and the time of the last change in nanoseconds of
        each, shape (n, 2).
    """
    return np.stack(_states(root, names), axis=1)


def _states(root: Path, names: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the sizes and times of files."""
    sizes, times = np.full(len(names), MISSING, np.int64), np.zeros(len(names), np.int64)
    folder = str(root)
    for place, name in enumerate(names):
        try:
            state = os.stat(os.path.join(folder, name))
        except OSError:  # whoever reads it finds out why
            continue
        sizes[place], times[place] = state.st_size, state.st_mtime_ns
    return sizes, times
