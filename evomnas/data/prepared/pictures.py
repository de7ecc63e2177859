"""From a source of pictures to their pixels: in memory where they are few, else from a file that is written once.

This is the one place for it. Pictures are decoded on all cores. The file is mapped, so that its size does not matter,
and any number of processes share what is in memory of it. A preparation that was interrupted goes on where it was.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import PIL
from numpy.typing import NDArray

from evomnas.core.errors import InputError, WorkersLost
from evomnas.core.quiet import silence
from evomnas.core.system.machine import free_memory_gib, usable_cores
from evomnas.core.system.processes import interrupts_blocked, start_context
from evomnas.data.check import check_room
from evomnas.data.photographs import FAULT, REMEDY, Photograph, Preprocessing, open_photograph
from evomnas.data.prepared.cache import (
    FACTS,
    IMAGES,
    PARTIAL_IMAGES,
    PARTIAL_RECORDS,
    RECORDS,
    Damaged,
    PreparedSet,
    cache_folder,
    complete_set,
    open_set,
    set_key,
)
from evomnas.data.prepared.chunks import (
    RECORD,
    WRITTEN,
    Chunk,
    Destination,
    Outcome,
    start_worker,
    write_chunk,
    write_header,
)
from evomnas.data.prepared.disk import reserve
from evomnas.data.prepared.notices import Notice, tell
from evomnas.data.prepared.places import NoPlace, check_disk, locked
from evomnas.data.prepared.source import PictureSource
from evomnas.data.rows import ImageRows, Indices

SMALL_BYTES = 2**26  # of pixels: with fewer, reading them again takes seconds
CHUNK_PICTURES = 64  # that are written at once; an interruption loses at most so many for each core
PART_PICTURES = 16  # that a thread decodes one after the other, where they stay in memory
PROBED_PICTURES = 16  # that are decoded to say how long all will take
_WORKER = "evomnas.data.prepared.chunks"

Mask = NDArray[np.bool_]


class Pictures(NamedTuple):
    """The content of pictures.

    Attributes:
        images: The pixels of those that are kept, in their order.
        keys: A number for each picture, equal for equal pictures, uint64, shape (n,).
        sizes: Width and height of each in pixels, int64, shape (n, 2).
    """

    images: ImageRows
    keys: NDArray[np.uint64]
    sizes: NDArray[np.int64]


def read_pictures(source: PictureSource, keep: Mask, preprocessing: Preprocessing, where: str) -> Pictures:
    """Decode all pictures of a source, or open the file in which they were kept since that was done.

    Args:
        source: The pictures.
        keep: Whether the pixels of each are wanted, shape (n,). Nothing is kept of the others but sizes and keys.
        preprocessing: What is done with them.
        where: Where the pictures are, for people.

    Returns:
        What they hold.

    Raises:
        InputError: Some cannot be read; the message lists all of them. Or there is no room on the disk.
        WorkersLost: A process that prepared them was killed.
        OSError: The disk fails.
    """
    size = int(keep.sum()) * int(np.prod(preprocessing.shape))
    if size < SMALL_BYTES:
        return _read_into_memory(source, keep, preprocessing)
    folder = cache_folder() / set_key(source, keep, preprocessing)
    try:
        prepared = _open(folder, size, len(keep)) or _prepare(folder, source, keep, preprocessing, where)
    except NoPlace as error:
        if not _fits_memory(size):
            raise
        tell(Notice(len(keep), 0, size, folder.parent, 0.0, f"{error}; until then they are kept in memory"))
        return _read_into_memory(source, keep, preprocessing)
    records = prepared.records
    sizes = np.stack([records["width"], records["height"]], axis=1).astype(np.int64)
    return Pictures(ImageRows.all(prepared.images), np.ascontiguousarray(records["key"]), sizes)


# --- in memory -------------------------------------------------------------------------------------------


def _read_into_memory(source: PictureSource, keep: Mask, preprocessing: Preprocessing) -> Pictures:
    """Decode pictures on all cores."""
    check_room(int(keep.sum()), int(np.prod(preprocessing.shape)))
    images = np.empty((int(keep.sum()), *preprocessing.shape), dtype=np.uint8)
    keys, sizes = np.empty(len(keep), dtype=np.uint64), np.empty((len(keep), 2), dtype=np.int64)
    rows, faults = np.cumsum(keep) - 1, []
    for place, outcome in enumerate(_decoded(source, len(keep), preprocessing)):
        if isinstance(outcome, InputError):
            faults.append(str(outcome))
            continue
        keys[place], sizes[place] = outcome.key, outcome.size
        if keep[place]:
            images[rows[place]] = np.atleast_3d(outcome.pixels).transpose(2, 0, 1)
    _check(faults, len(keep))
    return Pictures(ImageRows.all(images), keys, sizes)


def _decoded(source: PictureSource, count: int, preprocessing: Preprocessing) -> Iterator[Photograph | InputError]:
    def decode(part: PictureSource) -> list[Photograph | InputError]:
        outcomes: list[Photograph | InputError] = []
        for name, content in zip(part.names, part.read(), strict=True):
            try:
                outcomes.append(open_photograph(content, preprocessing, name))
            except InputError as error:
                outcomes.append(error)
        return outcomes

    with silence(), ThreadPoolExecutor(usable_cores()) as threads:
        for start in range(0, count, CHUNK_PICTURES):
            stop = min(count, start + CHUNK_PICTURES)
            parts = range(start, stop, PART_PICTURES)
            for outcomes in threads.map(decode, [source.part(one, min(stop, one + PART_PICTURES)) for one in parts]):
                yield from outcomes


def _fits_memory(size: int) -> bool:
    free = free_memory_gib()
    return free is None or 2 * size < free * 2**30


# --- on the disk -----------------------------------------------------------------------------------------


def _open(folder: Path, size: int, pictures: int) -> PreparedSet | None:
    """Open a set; None where there is none that is complete and sound."""
    try:
        return open_set(folder)
    except Damaged:
        tell(
            Notice(
                pictures, 0, size, folder.parent, 0.0, f"prepared images in {folder} are damaged: they are made anew"
            )
        )
        return None


def _prepare(folder: Path, source: PictureSource, keep: Mask, preprocessing: Preprocessing, where: str) -> PreparedSet:
    """Write a set, or wait until another process has written it."""
    size = int(keep.sum()) * int(np.prod(preprocessing.shape))
    with locked(folder, size, len(keep)):
        found = _open(folder, size, len(keep))
        if found is not None:
            return found
        started = time.perf_counter()
        destination = Destination(folder / PARTIAL_IMAGES, folder / PARTIAL_RECORDS, preprocessing)
        _begin(folder, destination, (int(keep.sum()), *preprocessing.shape), len(keep))
        _check(_write(destination, source, keep, size), len(keep))
        records = np.fromfile(destination.records, dtype=RECORD)
        with suppress(FileNotFoundError):  # by another process, where there are no locks
            destination.images.replace(folder / IMAGES)
        facts = {
            "pictures": len(keep),
            "shape": (int(keep.sum()), *preprocessing.shape),
            "source": where,
            "seconds": round(time.perf_counter() - started, 1),
            "pillow": PIL.__version__,
        }
        complete_set(folder, records, facts)
        destination.records.unlink(missing_ok=True)
    prepared = open_set(folder)
    assert prepared is not None
    return prepared


def _begin(folder: Path, destination: Destination, shape: Sequence[int], pictures: int) -> None:
    """Make room for the files of a set; what is there of them stays.

    Raises:
        InputError: The disk has no room for them.
    """
    (folder / FACTS).unlink(missing_ok=True)
    if not destination.images.exists() and (folder / IMAGES).exists():  # killed in the last moment, or damaged
        (folder / IMAGES).replace(destination.images)
        with suppress(OSError, ValueError, EOFError):
            np.load(folder / RECORDS).astype(RECORD).tofile(destination.records)
    wanted = int(np.prod(shape, dtype=np.int64)) + pictures * RECORD.itemsize
    check_disk(folder, shape[0], wanted, (destination.images, destination.records))
    size = write_header(destination.images, shape)
    destination.records.touch()
    reserve(destination.images, size)
    reserve(destination.records, pictures * RECORD.itemsize)


def _write(destination: Destination, source: PictureSource, keep: Mask, size: int) -> list[str]:
    """Write all pictures that are not written yet, on all cores, and return what is wrong with some."""
    count, folder = len(keep), destination.images.parent.parent
    done = int((np.fromfile(destination.records, dtype=RECORD)["state"] == WRITTEN).sum())
    probed = _probe(source, count, destination.preprocessing) / usable_cores()
    started, seen, read = time.perf_counter(), 0, 0
    tell(Notice(count, done, size, folder, probed * (count - done)))
    faults: dict[int, list[str]] = {}
    with _workers() as workers:
        running: dict[Future[Outcome], Chunk] = {}
        chunks = _chunks(source, keep)
        try:
            while True:
                with interrupts_blocked():
                    while len(running) < 2 * usable_cores() and (chunk := next(chunks, None)) is not None:
                        running[workers.submit(write_chunk, destination, chunk)] = chunk
                if not running:
                    break
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    chunk, outcome = running.pop(future), future.result()
                    faults[chunk.first] = outcome.faults
                    seen, read = seen + len(chunk.keep), read + outcome.read
                pace = (time.perf_counter() - started) / read if read else 0.0
                tell(Notice(count, max(done, seen), size, folder, pace * (count - max(done, seen))))
        except BrokenProcessPool:
            raise WorkersLost(
                "a process that prepared images was killed, perhaps since memory was short: start again, what is done "
                "is kept"
            ) from None
        finally:
            for future in running:
                future.cancel()
    return [fault for first in sorted(faults) for fault in faults[first]]


def _chunks(source: PictureSource, keep: Mask) -> Iterator[Chunk]:
    rows: Indices = np.cumsum(keep) - keep
    for first in range(0, len(keep), CHUNK_PICTURES):
        stop = min(len(keep), first + CHUNK_PICTURES)
        yield Chunk(source.part(first, stop), keep[first:stop], first, int(rows[first]))


@contextmanager
def _workers() -> Iterator[Executor]:
    """Open worker processes; a single thread where this process may start none."""
    try:
        context = start_context([_WORKER])
    except InputError:  # it is itself a worker
        with ThreadPoolExecutor(1) as thread:
            yield thread
        return
    with ProcessPoolExecutor(usable_cores(), context, start_worker) as workers:
        yield workers


def _probe(source: PictureSource, count: int, preprocessing: Preprocessing) -> float:
    """Return the seconds that a picture takes, by some of them."""
    places = sorted({int(place) for place in np.linspace(0, count - 1, PROBED_PICTURES)})
    started = time.perf_counter()
    for place in places:
        one = source.part(place, place + 1)
        for name, content in zip(one.names, one.read(), strict=True):
            with suppress(InputError), silence():
                open_photograph(content, preprocessing, name)
    return (time.perf_counter() - started) / max(1, len(places))


# --- what is wrong ---------------------------------------------------------------------------------------


def _check(faults: Sequence[str], total: int) -> None:
    """Raise InputError with all pictures that cannot be read, by reason."""
    if len(faults) == 1:
        raise InputError(faults[0])
    if faults:
        files: dict[str, list[str]] = {}
        for fault in faults:
            path, _, reason = fault.removeprefix(FAULT).removesuffix(REMEDY).rpartition(": ")
            files.setdefault(reason, []).append(path)
        reasons = "; ".join(f"{', '.join(paths)} ({reason})" for reason, paths in files.items())
        raise InputError(f"{len(faults):,} of {total:,} images cannot be read, remove or replace them: {reasons}")
