"""A temporary folder that the processes of one search share, and that does not stay behind for ever.

The process that creates the folder removes it. If that process is killed, the next one that creates such a folder
removes the old one as well. To tell whether a folder is still in use, its owner holds a lock on a file in it, which
the system frees when the process ends, however it ends.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

from evomnas.core.system.file_lock import kind, open_lock

FOLDER_PREFIX, LOCK_FILE = "evomnas-", "owner.lock"
OWNED_FILE = "owned-by-{kind}"  # made when the lock, of that kind, is held: if it is not any more, its owner is dead

MAX_SOCKET_PATH = 103  # bytes; of macOS, while Linux allows 107
SHORT_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")  # that may take the place of a temporary folder with a long name


class Scratch:
    """A new folder in the system's temporary folder.

    Attributes:
        path: The folder.
    """

    def __init__(self) -> None:
        """Create the folder, after those that dead processes left were removed."""
        _remove_abandoned()
        self.path = Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX))
        self._lock = open_lock(self.path / LOCK_FILE)
        self._lock.acquire()
        (self.path / OWNED_FILE.format(kind=kind())).touch()

    def remove(self) -> None:
        """Remove the folder with everything in it."""
        self._lock.close()  # first: Windows removes no open file
        shutil.rmtree(self.path, ignore_errors=True)


def folder_for_sockets(name_bytes: int) -> str:
    """Return a folder for temporary files whose path is short enough for sockets in it.

    Args:
        name_bytes: The length of the socket's path within the folder.

    Returns:
        The temporary folder, or, if its path is too long, another one that can be written to; the temporary folder
        again if there is none.
    """
    temporary = tempfile.gettempdir()
    for folder in (temporary, *SHORT_FOLDERS):
        if len(os.fsencode(folder)) + 1 + name_bytes <= MAX_SOCKET_PATH and os.access(folder, os.W_OK | os.X_OK):
            return folder
    return temporary


def _remove_abandoned() -> None:
    """Remove the folders whose owners have died."""
    for mark in Path(tempfile.gettempdir()).glob(f"{FOLDER_PREFIX}*/{OWNED_FILE.format(kind=kind())}"):
        with contextlib.suppress(OSError):  # another user's, or it was removed in this moment
            lock = open_lock(mark.with_name(LOCK_FILE), create=False)
            is_abandoned = lock.acquire(wait=False)
            lock.close()
            if is_abandoned:
                shutil.rmtree(mark.parent)
