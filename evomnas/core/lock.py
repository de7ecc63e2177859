"""Alone on the machine: one latency at a time, and no training of this user meanwhile.

Trainings share the lock, a measurement has it to itself, across all evomnas processes of the machine and
user. Who wants to measure first takes the gate, which lets no further training in, and then waits for those
that run, so that a stream of trainings cannot keep a measurement out for ever; these give way between two
steps. The locks are flock's: the system frees those of a process that dies. Standard library only: this file
is also sent to other machines.
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

GATE, ROOM = "gate.lock", "room.lock"


def lock_folder() -> Path:
    """Where this user's locks of this machine are; not in the home folder, which machines may share.

    Raises:
        PermissionError: Somebody else made a folder of that name.
    """
    folder = Path(tempfile.gettempdir()) / f"evomnas-{os.getuid()}"
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise PermissionError(f"{folder} is not a folder of this user: remove it")
    return folder


@contextlib.contextmanager
def training() -> Iterator[None]:
    """Train meanwhile: waits while a latency is taken, and so does `give_way` within it."""
    stay = _Stay()
    _stays.append(stay)
    try:
        stay.enter()
        yield
    finally:
        _stays.remove(stay)
        stay.leave()


def give_way() -> float:
    """In the middle of a training: let those measure who wait for it; returns the seconds that this took.

    A timer of the process (ITIMER_REAL) stands still meanwhile. Where nobody waits it takes a microsecond.
    """
    if not _stays or not _stays[-1].is_wanted():
        return 0.0
    left, _ = signal.setitimer(signal.ITIMER_REAL, 0.0)
    started = time.monotonic()
    _stays[-1].leave()
    _stays[-1].enter()
    signal.setitimer(signal.ITIMER_REAL, left)
    return time.monotonic() - started


class _Stay:
    """A training's part of the room, and the gate to see who comes; the files stay as long as it does."""

    def __init__(self) -> None:
        self._descriptors: list[int] = []

    def enter(self) -> None:
        self._descriptors.append(_acquire(GATE, fcntl.LOCK_EX))
        self._descriptors.append(_acquire(ROOM, fcntl.LOCK_SH))
        fcntl.flock(self._descriptors[0], fcntl.LOCK_UN)

    def leave(self) -> None:
        while self._descriptors:
            os.close(self._descriptors.pop())

    def is_wanted(self) -> bool:
        """Whether somebody has the gate: to measure, or for a moment to train."""
        try:
            fcntl.flock(self._descriptors[0], fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        fcntl.flock(self._descriptors[0], fcntl.LOCK_UN)
        return False


_stays: list[_Stay] = []  # of this process


@contextlib.contextmanager
def measuring(on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Measure meanwhile: waits for another measurement and for trainings that have begun.

    `on_wait` is called once or twice where there is something to wait for.
    """
    gate = _acquire(GATE, fcntl.LOCK_EX, on_wait)
    try:
        room = _acquire(ROOM, fcntl.LOCK_EX, on_wait)
        try:
            yield
        finally:
            os.close(room)
    finally:
        os.close(gate)


def remove() -> None:
    """Leave nothing behind: remove the locks, unless somebody measures or trains."""
    held: list[int] = []
    try:
        folder = lock_folder()
        for name in (GATE, ROOM):
            held.append(os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            fcntl.flock(held[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)
        for name in (GATE, ROOM):
            (folder / name).unlink()
        folder.rmdir()
    except OSError:
        pass
    finally:
        for descriptor in held:
            os.close(descriptor)


def _acquire(name: str, kind: int, on_wait: Callable[[], None] = lambda: None) -> int:
    """A file descriptor that holds the lock until it is closed."""
    while True:
        with contextlib.suppress(FileNotFoundError):  # removed by `remove` in this moment
            path = lock_folder() / name
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                _lock(descriptor, kind, on_wait)
                if os.path.samestat(os.fstat(descriptor), path.stat()):
                    return descriptor
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)  # a lock on a removed file is nobody's lock


def _lock(descriptor: int, kind: int, on_wait: Callable[[], None]) -> None:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        on_wait()
        fcntl.flock(descriptor, kind)
