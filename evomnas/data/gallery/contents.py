"""The files of a folder of images, opened and decoded once: their pixels, and a number that tells equal pictures.

Test images are decoded as well, so that a broken one is found before anything is trained. Nothing is kept of them but
their size and that number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evomnas.core.errors import InputError
from evomnas.core.quiet import silence
from evomnas.core.system.machine import usable_cores
from evomnas.data.check import check_room
from evomnas.data.images import Images
from evomnas.data.photographs import Photograph, Preprocessing, open_photograph

FAULT, REMEDY = "cannot read the image ", "; remove or replace it"
AT_ONCE = 1024  # files that are given to the threads together

Keys = NDArray[np.uint64]
_facts: dict[tuple[str, int, int], tuple[int, tuple[int, int]]] = {}  # key and size, by path, time and size of the file


class Contents(NamedTuple):
    """The contents of files.

    Attributes:
        keys: A number for each picture, equal for equal pictures, uint64, shape (n,).
        sizes: Width and height of each in pixels, int64, shape (n, 2).
        images: The pixels of the pictures that are kept, uint8, with channels last if there are several.
    """

    keys: Keys
    sizes: NDArray[np.int64]
    images: Images


def read_contents(paths: Sequence[Path], keep: Sequence[bool], preprocessing: Preprocessing) -> Contents:
    """Decode files on all cores.

    Args:
        paths: The files.
        keep: Of each, whether its pixels are wanted.
        preprocessing: What is done with them.

    Returns:
        What they hold. A file whose pixels are not wanted is not decoded twice in one process.

    Raises:
        InputError: Some cannot be read; the message lists all of them. Or the pixels have no room in memory.
    """
    shape = (preprocessing.resolution, preprocessing.resolution, *((3,) if preprocessing.channels == 3 else ()))
    check_room(sum(keep), int(np.prod(shape)))
    images = np.empty((sum(keep), *shape), dtype=np.uint8)
    keys, sizes = np.empty(len(paths), dtype=np.uint64), np.empty((len(paths), 2), dtype=np.int64)
    faults, kept = [], 0
    for place, outcome in enumerate(_decoded(paths, keep, preprocessing)):
        if isinstance(outcome, InputError):
            faults.append(outcome)
            continue
        keys[place], sizes[place] = outcome.key, outcome.size
        if outcome.pixels is not None:
            images[kept] = outcome.pixels
            kept += 1
    if len(faults) == 1:
        raise faults[0]
    if faults:
        raise InputError(_explain(faults, len(paths)))
    return Contents(keys, sizes, images)


def _explain(faults: Sequence[InputError], total: int) -> str:
    """Return the message that names all files that cannot be read, by reason."""
    files: dict[str, list[str]] = {}
    for fault in faults:
        path, _, reason = str(fault).removeprefix(FAULT).removesuffix(REMEDY).rpartition(": ")
        files.setdefault(reason, []).append(path)
    reasons = "; ".join(f"{', '.join(paths)} ({reason})" for reason, paths in files.items())
    return f"{len(faults):,} of {total:,} images cannot be read, remove or replace them: {reasons}"


def _decoded(
    paths: Sequence[Path], keep: Sequence[bool], preprocessing: Preprocessing
) -> Iterator[Photograph | InputError]:
    def decode(path: Path, is_kept: bool) -> Photograph | InputError:
        try:
            state = path.stat()
            facts = (str(path), state.st_mtime_ns, state.st_size)
            if not is_kept and facts in _facts:
                return Photograph(None, *_facts[facts])
            photograph = open_photograph(path, preprocessing)
            _facts[facts] = (photograph.key, photograph.size)
            return photograph if is_kept else photograph._replace(pixels=None)
        except InputError as error:
            return error
        except OSError as error:
            return InputError(f"{FAULT}{path}: {error.strerror}{REMEDY}")

    with silence(), ThreadPoolExecutor(usable_cores()) as threads:
        for start in range(0, len(paths), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            yield from threads.map(decode, paths[part], keep[part])
