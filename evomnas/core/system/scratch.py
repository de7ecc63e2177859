"""A temporary folder that the processes of one search share, and that does not stay behind for ever.

The process that creates the folder removes it. If that process is killed, the next one that creates such a folder
removes the old one as well. To tell whether a folder is still in use, its owner holds a lock (flock) on a file in
it, which the system frees when the process ends, however it ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path

FOLDER_PREFIX, OWNER_LOCK_FILE = "evomnas-", "owner.lock"


class Scratch:
    """A new folder in the system's temporary folder.

    Attributes:
        path: The folder.
    """

    def __init__(self) -> None:
        """Create the folder, after those that dead processes left were removed."""
        _remove_abandoned()
        self.path = Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX))
        unlocked = self.path / "new"
        self._lock = os.open(unlocked, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        unlocked.rename(self.path / OWNER_LOCK_FILE)  # so that no process ever sees the file without its lock

    def remove(self) -> None:
        """Remove the folder with everything in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def _remove_abandoned() -> None:
    """Remove the folders whose owners have died."""
    for lock_file in Path(tempfile.gettempdir()).glob(f"{FOLDER_PREFIX}*/{OWNER_LOCK_FILE}"):
        with contextlib.suppress(OSError):  # another user's, or its owner lives, or it was removed in this moment
            descriptor = os.open(lock_file, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(lock_file.parent)
            finally:
                os.close(descriptor)
