"""Progress on standard error: a live line on a terminal, or a line now and then in a log.

Nothing here draws by itself. A line changes when something has happened, and never while a latency is taken.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

import typer

LOG_EVERY_S = 20.0


class ProgressDisplay:
    """The progress of work that is counted in steps: words, a bar, the count, and details behind it.

    As a context manager it is on the terminal from the beginning of the block to its end, or to `stop`.

    Attributes:
        is_live: True on a terminal, where `show` draws the live line; False elsewhere, where `log` writes lines.
        description: The words before the bar.
    """

    def __init__(self, description: str, *, has_remaining_time: bool = False) -> None:
        """Prepare the display. Nothing is drawn yet.

        Args:
            description: The first words before the bar.
            has_remaining_time: True to show the time that is left, as it follows from the steps since `restart`. False
                for a spinner instead, which turns whenever something has happened.
        """
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            ProgressColumn,
            SpinnerColumn,
            TextColumn,
            TimeRemainingColumn,
        )

        columns: list[ProgressColumn] = [
            TextColumn("{task.description:9}"), BarColumn(bar_width=24), MofNCompleteColumn(),
            TextColumn("{task.fields[detail]}"),
        ]  # fmt: skip
        if has_remaining_time:
            columns.insert(3, TimeRemainingColumn())
        else:
            columns.insert(0, SpinnerColumn())
        console = Console(stderr=True)
        self.is_live, self.description = console.is_terminal, description
        # Without a refresh thread, which would draw while a latency is taken.
        self._bar = Progress(*columns, console=console, auto_refresh=False, transient=True)
        self._task = self._bar.add_task(description, total=None, detail="")
        self._last_log_s = -float("inf")

    def __enter__(self) -> ProgressDisplay:
        if self.is_live:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Take the live line away, if it is there."""
        if self._bar.live.is_started:  # stopping what never started would print an empty line
            self._bar.stop()

    def show(self, description: str, completed: int, total: int, detail: str) -> None:
        """Draw the live line anew. In a log this does nothing.

        Args:
            description: The words before the bar.
            completed: Steps so far.
            total: Steps in all.
            detail: The words behind the count.
        """
        self.description = description
        if self.is_live:
            self._bar.update(
                self._task, description=description, completed=completed, total=total, detail=detail, refresh=True
            )

    def restart(self, description: str, total: int | None = None) -> None:
        """Begin other work: its steps, and the time that they take, are counted from now on. In a log nothing shows.

        Args:
            description: The words before the bar.
            total: Steps in all; None where the number is not known.
        """
        self.description = description
        if self.is_live:
            self._bar.reset(self._task, description=description, total=total, detail="")

    def log(self, text: str, *, is_due: bool = False) -> bool:
        """Write a line into the log, unless there was one a short while ago. On a terminal this does nothing.

        Args:
            text: The line.
            is_due: True to write it whatever the time.

        Returns:
            True if the line was written.
        """
        is_written = not self.is_live and (is_due or time.monotonic() - self._last_log_s >= LOG_EVERY_S)
        if is_written:
            self._last_log_s = time.monotonic()
            typer.echo(text, err=True)
        return is_written


@contextmanager
def working() -> Iterator[Callable[[str], None]]:
    """Show on a terminal what is going on, where it is not counted in steps. In a log nothing shows.

    Yields:
        A function that takes the words to show.
    """
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda text: None
        return
    with console.status("starting", spinner="line", refresh_per_second=0.01) as status:
        yield status.update
