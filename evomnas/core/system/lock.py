"""One latency measurement at a time on a machine, and no training of the same user while it runs.

The lock covers all evomnas processes of a user on a machine. Any number of trainings share it; a measurement
holds it alone. It consists of two files:

- The gate. A measurement takes it first, so that no further training can begin. A training takes it only for
  a moment, to enter.
- The room. Trainings hold it together, a measurement alone.

A measurement that holds the gate waits until the running trainings have left the room. Trainings leave it
between two steps (`give_way`). So a steady stream of trainings cannot keep a measurement out for ever.

The system frees the locks of a process that dies (`evomnas.core.system.file_lock`). This module needs the standard
library only, and Python 3.9: it is also sent to other machines.
"""

from __future__ import annotations

import contextlib
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from evomnas.core.system.file_lock import FileLock, open_lock
from evomnas.core.system.optional import WINDOWS, getuid
from evomnas.core.system.time_limit import paused

GATE_FILE, ROOM_FILE = "gate.lock", "room.lock"


def lock_folder() -> Path:
    """Return the folder of this user's locks on this machine; it is created if it is missing.

    It is in the temporary folder, not in the home folder, which several machines may share. Windows has one for each
    user; elsewhere the name has the user's number.

    Raises:
        PermissionError: The path exists and is not a folder of this user.
    """
    user = None if getuid is None else getuid()
    folder = Path(tempfile.gettempdir()) / f"evomnas-{'locks' if user is None else user}"
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or user not in (None, status.st_uid):
        raise PermissionError(f"{folder} is not a folder of this user: remove it")
    return folder


@contextlib.contextmanager
def training() -> Iterator[None]:
    """Hold the lock for a training. Waits while a latency is measured, here and in every `give_way` inside.

    Yields:
        Nothing; the training runs in the block.
    """
    training_lock = _TrainingLock()
    _training_locks.append(training_lock)
    try:
        training_lock.acquire()
        yield
    finally:
        _training_locks.remove(training_lock)
        training_lock.release()


def give_way() -> float:
    """Pause a training for measurements that wait. Call it between two training steps.

    The pause counts for no time limit (`evomnas.core.system.time_limit`). If nobody waits, the call takes a few
    microseconds.

    Returns:
        The length of the pause in seconds; 0 if nobody waited or this process holds no lock for a training.
    """
    if not _training_locks or not _training_locks[-1].is_contended():
        return 0.0
    started = time.monotonic()
    with paused():
        _training_locks[-1].release()
        _training_locks[-1].acquire()
    return time.monotonic() - started


class _TrainingLock:
    """A training's share of the lock: the open gate, which shows who waits, and the shared room."""

    def __init__(self) -> None:
        self._held: list[FileLock] = []

    def acquire(self) -> None:
        self._held.append(_acquire(GATE_FILE))
        self._held.append(_acquire(ROOM_FILE, shared=True))
        self._held[0].release()

    def release(self) -> None:
        while self._held:
            self._held.pop().close()

    def is_contended(self) -> bool:
        """Return whether another process holds the gate: to measure, or for a moment to begin a training."""
        gate = self._held[0]
        if not gate.acquire(shared=True, wait=False):
            return True
        gate.release()
        return False


_training_locks: list[_TrainingLock] = []  # of this process


@contextlib.contextmanager
def measuring(on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the lock for a measurement. Waits for another measurement and for trainings that have begun.

    Args:
        on_wait: Called before each wait, for the gate and for the room; not at all if both are free.

    Yields:
        Nothing; the measurement runs in the block.
    """
    gate = _acquire(GATE_FILE, on_wait=on_wait)
    try:
        room = _acquire(ROOM_FILE, on_wait=on_wait)
        try:
            yield
        finally:
            room.close()
    finally:
        gate.close()


def remove() -> None:
    """Remove the lock files and their folder, unless somebody measures or trains."""
    with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
        folder = lock_folder()
        paths = [folder / name for name in (GATE_FILE, ROOM_FILE)]
        for path in paths:
            lock = open_lock(path)
            stack.callback(lock.close)
            if not lock.acquire(wait=False):
                return
        if WINDOWS:  # open files cannot be removed: neither these, nor those of somebody who came since
            stack.close()
        for path in paths:
            path.unlink()
        folder.rmdir()


def _acquire(name: str, shared: bool = False, on_wait: Callable[[], None] = lambda: None) -> FileLock:
    """Return a lock, which is held until it is closed."""
    while True:
        with contextlib.suppress(FileNotFoundError):  # another process's `remove` came between
            lock = open_lock(lock_folder() / name)
            try:
                if not lock.acquire(shared, wait=False):
                    on_wait()
                    lock.acquire(shared)
                if lock.is_current():
                    return lock
            except BaseException:
                lock.close()
                raise
            lock.close()  # the file was removed meanwhile
