"""Locks on files, between processes. The system frees those of a process when it ends, however it ends.

They are locks of flock(2). Windows has none: there a lock is a transaction on the file as an empty SQLite database,
which SQLite locks by what the system has. Processes that use the one kind do not see the locks of the other.

This module needs the standard library only, and Python 3.9: it is also sent to other machines.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from pathlib import Path
from typing import Protocol

from evomnas.core.system.optional import fcntl

POLL_S = 0.02  # between two attempts to get a lock for which the system cannot wait


class FileLock(Protocol):
    """An open file, on which at most one lock is held at a time."""

    def acquire(self, shared: bool = False, wait: bool = True) -> bool:
        """Get the lock.

        Args:
            shared: True for a lock that others may share, False to exclude all others.
            wait: True to wait until it is free.

        Returns:
            Whether it is held now; False only if it is not free and `wait` is False.
        """
        ...

    def release(self) -> None:
        """Give the lock back; the file stays open."""
        ...

    def is_current(self) -> bool:
        """Return whether the path still leads to this file. A lock on a file that was removed excludes nobody."""
        ...

    def close(self) -> None:
        """Close the file, which gives the lock back."""
        ...


def kind() -> str:
    """Return the kind of locks that this process uses: `flock` or `sqlite`."""
    return "sqlite" if fcntl is None else "flock"


def open_lock(path: Path, create: bool = True) -> FileLock:
    """Open a file to lock it.

    Args:
        path: The file.
        create: True to create it if it is missing.

    Returns:
        The open file, not locked.

    Raises:
        OSError: It cannot be opened; a link is not followed where nothing may be created.
    """
    return _DatabaseLock(path, create) if fcntl is None else _Flock(path, create)


def _open(path: Path, create: bool) -> int:
    flags = os.O_RDWR | (os.O_CREAT if create else getattr(os, "O_NOFOLLOW", 0)) | getattr(os, "O_CLOEXEC", 0)
    return os.open(path, flags, 0o600)


class _Flock:
    """A lock of flock(2)."""

    def __init__(self, path: Path, create: bool) -> None:
        self._path, self._descriptor = path, _open(path, create)

    def acquire(self, shared: bool = False, wait: bool = True) -> bool:
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        try:
            fcntl.flock(self._descriptor, kind if wait else kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def is_current(self) -> bool:
        with contextlib.suppress(FileNotFoundError):
            return os.path.samestat(os.fstat(self._descriptor), self._path.stat())
        return False

    def close(self) -> None:
        os.close(self._descriptor)


class _DatabaseLock:
    """A transaction that writes nothing."""

    def __init__(self, path: Path, create: bool) -> None:
        os.close(_open(path, create))  # its errors say more than those of SQLite
        self._path, self._status = path, path.stat()
        self._connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)

    def acquire(self, shared: bool = False, wait: bool = True) -> bool:
        while not self._begin("BEGIN" if shared else "BEGIN EXCLUSIVE"):
            if not wait:
                return False
            time.sleep(POLL_S)
        return True

    def _begin(self, begin: str) -> bool:
        try:
            self._connection.execute("PRAGMA journal_mode = OFF")  # else there is a second file
            self._connection.execute(begin)
            self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # before it nothing is locked
        except sqlite3.DatabaseError as error:
            self.release()
            if "locked" not in str(error):
                raise OSError(f"{self._path} cannot be locked: {error}") from error
            return False
        return True

    def release(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def is_current(self) -> bool:
        with contextlib.suppress(FileNotFoundError):
            return os.path.samestat(self._status, self._path.stat())
        return False

    def close(self) -> None:
        self._connection.close()
