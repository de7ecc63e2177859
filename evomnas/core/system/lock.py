"""One latency measurement at a time on a machine, and no training of the same user while it runs.

The lock covers all evomnas processes of a user on a machine. Any number of trainings share it; a measurement
holds it alone. It consists of two files:

- The gate. A measurement takes it first, so that no further training can begin. A training takes it only for
  a moment, to enter.
- The room. Trainings hold it together, a measurement alone.

A measurement that holds the gate waits until the running trainings have left the room. Trainings leave it
between two steps (`give_way`). So a steady stream of trainings cannot keep a measurement out for ever.

Both are locks of flock(2): the system frees those of a process that dies. This module needs the standard
library only, since it is also sent to other machines.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

GATE_FILE, ROOM_FILE = "gate.lock", "room.lock"


def lock_folder() -> Path:
    """Return the folder of this user's locks on this machine; it is created if it is missing.

    It is in the temporary folder, not in the home folder, which several machines may share.

    Raises:
        PermissionError: The path exists and is not a folder of this user.
    """
    folder = Path(tempfile.gettempdir()) / f"evomnas-{os.getuid()}"
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
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

    The process's interval timer (ITIMER_REAL) is stopped during the pause, so that a time limit does not count
    it. If nobody waits, the call takes about a microsecond.

    Returns:
        The length of the pause in seconds; 0 if nobody waited or this process holds no lock for a training.
    """
    if not _training_locks or not _training_locks[-1].is_contended():
        return 0.0
    remaining, _ = signal.setitimer(signal.ITIMER_REAL, 0.0)
    started = time.monotonic()
    _training_locks[-1].release()
    _training_locks[-1].acquire()
    signal.setitimer(signal.ITIMER_REAL, remaining)
    return time.monotonic() - started


class _TrainingLock:
    """A training's share of the lock: the open gate, which shows who waits, and the shared room."""

    def __init__(self) -> None:
        self._descriptors: list[int] = []

    def acquire(self) -> None:
        self._descriptors.append(_acquire(GATE_FILE, fcntl.LOCK_EX))
        self._descriptors.append(_acquire(ROOM_FILE, fcntl.LOCK_SH))
        fcntl.flock(self._descriptors[0], fcntl.LOCK_UN)

    def release(self) -> None:
        while self._descriptors:
            os.close(self._descriptors.pop())

    def is_contended(self) -> bool:
        """Return whether another process holds the gate: to measure, or for a moment to begin a training."""
        try:
            fcntl.flock(self._descriptors[0], fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        fcntl.flock(self._descriptors[0], fcntl.LOCK_UN)
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
    gate = _acquire(GATE_FILE, fcntl.LOCK_EX, on_wait)
    try:
        room = _acquire(ROOM_FILE, fcntl.LOCK_EX, on_wait)
        try:
            yield
        finally:
            os.close(room)
    finally:
        os.close(gate)


def remove() -> None:
    """Remove the lock files and their folder, unless somebody measures or trains."""
    descriptors: list[int] = []
    try:
        folder = lock_folder()
        for name in (GATE_FILE, ROOM_FILE):
            descriptors.append(os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            fcntl.flock(descriptors[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)
        for name in (GATE_FILE, ROOM_FILE):
            (folder / name).unlink()
        folder.rmdir()
    except OSError:
        pass
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _acquire(name: str, kind: int, on_wait: Callable[[], None] = lambda: None) -> int:
    """Return a file descriptor that holds the lock until it is closed."""
    while True:
        with contextlib.suppress(FileNotFoundError):  # another process's `remove` came between
            path = lock_folder() / name
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                _lock(descriptor, kind, on_wait)
                if os.path.samestat(os.fstat(descriptor), path.stat()):
                    return descriptor
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)  # the file was removed meanwhile: a lock on it excludes nobody


def _lock(descriptor: int, kind: int, on_wait: Callable[[], None]) -> None:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        on_wait()
        fcntl.flock(descriptor, kind)
