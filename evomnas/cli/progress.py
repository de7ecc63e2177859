"""Progress on standard error: a live line on a terminal, or a line now and then in a log.

Nothing here draws by itself while a latency is taken: a line changes when something has happened. Only the first line
of a log may come by itself, after a moment.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:  # numpy takes a moment, and --help needs none of it
    from evomnas.data.prepared.notices import Notice

PHASES = {  # of a search, in words; those of `evomnas.evaluation.interface.OnPhase`
    "reading": "reading the images",
    "loading": "getting ready to train",
    "calibrating": "measuring the reference network",
    "preparing": "preparing networks",
    "measuring": "measuring networks",
    "waiting": "waiting for another run's training or latency",
    "teaching": "fine-tuning the donor, which teaches",
    "training": "training networks",
}
LOG_EVERY_S = 20.0
LOG_AFTER_S = 0.5
WIDE_COLUMNS, NARROW_COLUMNS = 100, 70  # of a terminal: a long bar from the one on, none below the other


class ProgressDisplay:
    """The progress of work that is counted in steps: words, a bar, the count, and details behind it.

    As a context manager it is on the terminal from the beginning of the block to its end, or to `stop`.

    Attributes:
        is_live: True on a terminal, where `show` draws the live line; False elsewhere, where `log` writes lines.
        description: The words before the bar.
    """

    def __init__(
        self,
        description: str,
        *,
        has_remaining_time: bool = False,
        has_count: bool = True,
        note_to: Callable[[str], object] | None = None,
    ) -> None:
        """Prepare the display. Nothing is drawn yet.

        Args:
            description: The first words before the bar.
            has_remaining_time: True to show the time that is left, as it follows from the steps since `restart`. False
                for a spinner instead, which turns whenever something has happened.
            has_count: True to show the number of steps behind the bar; False where the words before it have it.
            note_to: Takes the lines that stay in place of standard error; nothing else is shown then. None shows all.
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

        console = Console(stderr=True)
        spinner = SpinnerColumn("line" if console.options.ascii_only else "dots")  # dots are no ASCII
        columns: list[ProgressColumn] = [] if has_remaining_time else [spinner]
        columns.append(TextColumn("{task.description:9}", markup=False))
        if console.width >= NARROW_COLUMNS:
            columns.append(BarColumn(bar_width=24 if console.width >= WIDE_COLUMNS else 10))
        columns += [MofNCompleteColumn()] * has_count + [TimeRemainingColumn()] * has_remaining_time
        columns.append(TextColumn("{task.fields[detail]}", markup=False))
        if console.width < NARROW_COLUMNS and not (has_count or has_remaining_time):  # what is too long ends the line
            columns = [spinner, TextColumn("{task.description}  {task.fields[detail]}", markup=False)]
        self._note_to = note_to
        self.is_live, self.description = console.is_terminal and note_to is None, description
        # Without a refresh thread, which would draw while a latency is taken.
        self._bar = Progress(*columns, console=console, auto_refresh=False, transient=True)
        self._task = self._bar.add_task(description, total=None, detail="")
        self._last_log_s = -float("inf")
        self._later: threading.Timer | None = None
        self._block = ExitStack()

    def __enter__(self) -> ProgressDisplay:
        if self.is_live:
            self._bar.start()
        self._block.enter_context(showing_preparations(self.note, self._show_preparation))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._block.close()
        self.stop()

    def _show_preparation(self, notice: Notice) -> None:
        words = notice.describe_progress()
        self.show("preparing images", notice.done, notice.images, words)
        self.log(words)

    def stop(self) -> None:
        """Take the live line away, if it is there, and write no line that was due later."""
        self._forget_later()
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

    def say(self, text: str) -> None:
        """Write a line that stays, on a terminal above the live line.

        Args:
            text: The line.
        """
        if self.is_live:
            self._bar.console.print(text, markup=False, highlight=False)
        else:
            self._write(text)

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
        self._forget_later()
        is_log = not self.is_live and self._note_to is None
        is_written = is_log and (is_due or time.monotonic() - self._last_log_s >= LOG_EVERY_S)
        if is_written:
            self._last_log_s = time.monotonic()
            typer.echo(text, err=True)
        return is_written

    def note(self, text: str) -> None:
        """Print a line that stays, above the live line or into the log.

        Args:
            text: The line.
        """
        if self.is_live:
            self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            self._write(text)

    def _write(self, text: str) -> None:
        """Write a line that stays where there is no live line."""
        if self._note_to is None:
            typer.echo(text, err=True)
        else:
            self._note_to(text)

    def log_later(self, text: str) -> None:
        """Write a line into the log after a moment, unless another one or the end comes before.

        Args:
            text: The line.
        """
        self._forget_later()
        if not self.is_live and self._note_to is None:
            self._later = threading.Timer(LOG_AFTER_S, typer.echo, (text,), {"err": True})
            self._later.daemon = True
            self._later.start()

    def _forget_later(self) -> None:
        if self._later is not None:
            self._later.cancel()


@contextmanager
def working(is_shown: bool = True) -> Iterator[Callable[[str], None]]:
    """Show on a terminal what is going on, where it is not counted in steps. In a log nothing shows.

    Args:
        is_shown: False to show nothing at all.

    Yields:
        A function that takes the words to show.
    """
    if not is_shown:
        yield lambda text: None
        return
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        with showing_preparations(partial(typer.echo, err=True), lambda notice: None):
            yield lambda text: None
        return
    with (
        console.status("starting", spinner="line", refresh_per_second=0.01) as status,
        showing_preparations(
            partial(console.print, markup=False, highlight=False, soft_wrap=True),
            lambda notice: status.update(notice.describe_progress()),
        ),
    ):
        yield status.update


@contextmanager
def showing_preparations(note: Callable[[str], object], show: Callable[[Notice], object]) -> Iterator[None]:
    """Say what is prepared of images in a block.

    Args:
        note: Prints a line that stays: when a preparation begins, or something happened.
        show: Shows where one stands.

    Yields:
        Nothing.
    """
    from evomnas.data.prepared.notices import listening

    begun: set[tuple[Path, int]] = set()

    def on_notice(notice: Notice) -> None:
        preparation = notice.folder, notice.images
        if notice.event:
            note(f"{notice.event[0].upper()}{notice.event[1:]}.")
        elif preparation not in begun and notice.done < notice.images:
            begun.add(preparation)
            note(f"{notice.describe()}.")
        else:
            show(notice)

    with listening(on_notice):
        yield
