"""Room on the disk for large files."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from evomnas.core.system.optional import posix_fallocate

_CANNOT_RESERVE = (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS)  # file systems without that


def free_bytes(path: Path) -> int:
    """Return the bytes that are free on the disk of a path.

    Args:
        path: The path; it need not exist.
    """
    return shutil.disk_usage(next(place for place in (path, *path.absolute().parents) if place.exists())).free


def taken_bytes(path: Path) -> int:
    """Return the bytes that a file takes on the disk, which may be fewer than its size; 0 if it is not there.

    Args:
        path: The file.
    """
    try:
        state = path.stat()
    except FileNotFoundError:
        return 0
    blocks: int | None = getattr(state, "st_blocks", None)  # not on Windows
    return state.st_size if blocks is None else 512 * blocks


def reserve(path: Path, size: int) -> None:
    """Give a file its final size, and where the system can do so, the room for it.

    Args:
        path: The file; what is in it stays.
        size: Its size in bytes.

    Raises:
        OSError: The disk has no room for it.
    """
    with path.open("r+b") as file:
        if path.stat().st_size > size:
            file.truncate(size)
        if posix_fallocate is not None:
            try:
                posix_fallocate(file.fileno(), 0, size)
                return
            except OSError as error:
                if error.errno not in _CANNOT_RESERVE:
                    raise OSError(error.errno, error.strerror, str(path)) from None
        file.truncate(size)


def flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk. Without effect where a system cannot say so.

    Args:
        path: The file or folder.

    Raises:
        OSError: What was written could not be kept.
    """
    try:
        number = os.open(path, os.O_RDONLY)
    except PermissionError:  # a folder, on Windows
        return
    try:
        os.fsync(number)
    except OSError as error:
        if error.errno not in (errno.EBADF, errno.EINVAL):  # of a folder, or a file that is open to be read
            raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        os.close(number)
