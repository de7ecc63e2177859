"""Notices of images that are being prepared, for those who wait for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from evomnas.core.system.machine import usable_cores


@dataclass(frozen=True, slots=True)
class Notice:
    """The state of a preparation.

    Attributes:
        images: How many pictures there are.
        done: How many of them are done.
        bytes: What the prepared images take on the disk.
        folder: Where they are kept.
        seconds_left: An estimate of the seconds until all are done.
        event: What happened beside that, in words: another process is at work, or an old set is damaged.
    """

    images: int
    done: int
    bytes: int
    folder: Path
    seconds_left: float
    event: str = ""

    def describe(self) -> str:
        """Return what is about to be done, on one line."""
        cores, missing = usable_cores(), self.images - self.done
        time = f"about {describe_minutes(self.seconds_left)} on {cores} core{'s' * (cores > 1)}"
        return f"Preparing {missing:,} images once, {time}: {self.bytes / 2**30:.1f} GiB in {self.folder}"

    def describe_progress(self) -> str:
        """Return where it stands, in words."""
        share = self.done / max(1, self.images)
        return f"{share:.0%} of the images prepared, about {describe_minutes(self.seconds_left)} left"


def describe_minutes(seconds: float) -> str:
    """Return a time in words that are no more precise than an estimate of it.

    Args:
        seconds: The time.
    """
    if seconds < 90:
        return f"{max(1, round(seconds)):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"


OnNotice = Callable[[Notice], None]
_listener: ContextVar[OnNotice | None] = ContextVar("listener", default=None)


@contextmanager
def listening(on_notice: OnNotice) -> Iterator[None]:
    """Have a function told of the images that are prepared in a block.

    Args:
        on_notice: Called when a preparation begins, several times while it goes on, and for each event.

    Yields:
        Nothing.
    """
    token = _listener.set(on_notice)
    try:
        yield
    finally:
        _listener.reset(token)


def tell(notice: Notice) -> None:
    """Tell whoever listens.

    Args:
        notice: What there is to tell.
    """
    listener = _listener.get()
    if listener is not None:
        listener(notice)
