"""What takes too long is ended: with its process, or by an exception in it. Time limits can be paused.

This module needs the standard library only, and Python 3.9: it is also sent to other machines.
"""

from __future__ import annotations

import _thread
import faulthandler
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from evomnas.core.system.optional import setitimer

MIN_LEFT_S = 0.001  # a timer with nothing left would never go off


class TimeOver(BaseException):
    """The time of a block is over."""


class _Timer:
    """The time that is left to a block; it does not pass during a pause."""

    def __init__(self, seconds: float, start: Callable[[float], object], stop: Callable[[], object]) -> None:
        self._left, self._start, self._stop = seconds, start, stop

    def go_on(self) -> None:
        self._since = time.monotonic()
        self._start(self._left)

    def pause(self) -> None:
        self._stop()
        self._left = max(MIN_LEFT_S, self._left - (time.monotonic() - self._since))


_timers: list[_Timer] = []  # of this process


@contextmanager
def _running(timer: _Timer) -> Iterator[None]:
    _timers.append(timer)
    timer.go_on()
    try:
        yield
    finally:
        timer.pause()
        _timers.remove(timer)


@contextmanager
def paused() -> Iterator[None]:
    """Let no time pass for the time limits of this process inside the block.

    Yields:
        Nothing.
    """
    timers = tuple(_timers)
    for timer in timers:
        timer.pause()
    try:
        yield
    finally:
        for timer in timers:
            timer.go_on()


@contextmanager
def process_ends_after(seconds: float | None, note: Path) -> Iterator[None]:
    """End this process at once if the block takes too long, in native code as well.

    The watch is a thread of faulthandler, which needs neither the interpreter nor any signal. It can watch one block at
    a time.

    Args:
        seconds: The time of the block in seconds; None for no limit.
        note: A file that is new. It gets the traceback of this process when its time is over, and stays empty or is
            removed if it is not; see `read_note`.

    Yields:
        Nothing.
    """
    if seconds is None:
        yield
        return
    with open(note, "wb") as file:
        timer = _Timer(
            seconds,
            lambda left: faulthandler.dump_traceback_later(left, exit=True, file=file),
            faulthandler.cancel_dump_traceback_later,
        )
        with _running(timer):
            yield
    note.unlink()


def read_note(note: Path) -> str | None:
    """Return whether `process_ends_after` ended a process.

    Args:
        note: The file that it was given.

    Returns:
        Where the process was when its time was over, as a traceback; None if it ended otherwise.
    """
    try:
        text = note.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return text or None


@contextmanager
def interrupted_after(seconds: float | None) -> Iterator[None]:
    """Raise an exception in the block if it takes too long. Native code is not interrupted before it returns.

    It works in the main thread only. Without timers that send a signal, as on Windows, a wait in the block is not
    interrupted before its end, either.

    Args:
        seconds: The time of the block in seconds; None for no limit.

    Yields:
        Nothing.

    Raises:
        TimeOver: The block took too long; it is raised at its end if the block caught it.
    """
    if seconds is None:
        yield
        return
    is_over, is_open = False, True

    def give_up(signum: int, frame: object) -> None:
        nonlocal is_over
        if is_open:
            is_over = True
            raise TimeOver("the time is over")

    number = signal.SIGINT if setitimer is None else signal.Signals["SIGALRM"]
    before = signal.signal(number, give_up)
    try:
        with _running(_interrupting_timer(seconds)):
            try:
                yield
            finally:
                is_open = False
    except Exception:  # native code makes errors of its own of what is raised within it
        if not is_over:
            raise
    finally:
        signal.signal(number, before)
    if is_over:
        raise TimeOver("the time is over")


def _interrupting_timer(seconds: float) -> _Timer:
    """Return a timer that sends SIGALRM to this process, or else makes its main thread handle a SIGINT."""
    if setitimer is not None:
        real = getattr(signal, "ITIMER_REAL")  # noqa: B009 type checkers do not know it on Windows
        return _Timer(seconds, lambda left: setitimer(real, left), lambda: setitimer(real, 0.0))
    threads: list[threading.Timer] = []

    def start(left: float) -> None:
        threads.append(threading.Timer(left, _thread.interrupt_main))
        threads[-1].daemon = True
        threads[-1].start()

    return _Timer(seconds, start, lambda: threads.pop().cancel())
