"""The place of a set on the disk: only one process writes to it, and there is room for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from evomnas.core.errors import InputError
from evomnas.core.system.file_lock import FileLock, open_lock
from evomnas.data.prepared.cache import LOCK, VARIABLE
from evomnas.data.prepared.disk import free_bytes, taken_bytes
from evomnas.data.prepared.notices import Notice, tell


class NoPlace(InputError):
    """Prepared images cannot be kept where they would be."""


@contextmanager
def locked(folder: Path, size: int, pictures: int) -> Iterator[None]:
    """Keep other processes from a set. Those that write it all the same, as file systems have no locks, write the same.

    Args:
        folder: The folder of the set, which is made if it is not there.
        size: The bytes that the set takes, for those who wait.
        pictures: The pictures that it has, for those who wait.

    Yields:
        Nothing; nobody else has the set in the block.

    Raises:
        NoPlace: The folder cannot be made or written to.
    """
    lock: FileLock | None = None
    while lock is None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = open_lock(folder / LOCK)
        except OSError as error:
            raise NoPlace(
                f"prepared images cannot be kept in {folder.parent} ({error.strerror}): set {VARIABLE} to a folder "
                f"that can be written to, with {size / 2**30:.1f} GiB of room"
            ) from None
        with suppress(OSError):
            if not lock.acquire(wait=False):
                event = f"another process prepares the images in {folder}: waiting for it"
                tell(Notice(pictures, 0, size, folder.parent, 0.0, event))
                lock.acquire()
        if not lock.is_current():  # somebody has deleted the folder meanwhile
            lock.close()
            lock = None
    try:
        yield
    finally:
        lock.close()


def check_disk(folder: Path, images: int, size: int, files: Sequence[Path]) -> None:
    """Check that the disk has room for a set.

    Args:
        folder: The folder of the set.
        images: How many images it has, for the message.
        size: The bytes that it takes.
        files: Its files, whose part of that may be there already.

    Raises:
        NoPlace: It has not.
    """
    free = free_bytes(folder)
    if size - sum(map(taken_bytes, files)) > free:
        raise NoPlace(
            f"{images:,} prepared images need {size / 2**30:.1f} GiB in {folder.parent}, and {free / 2**30:.1f} GiB "
            f"are free: use smaller ones (data.resolution), make room (evomnas doctor says what is there), or set "
            f"{VARIABLE} to a folder on a larger disk"
        )
