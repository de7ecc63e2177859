"""Where a search stands, on a live line or in a log."""

from __future__ import annotations

import threading
from importlib import import_module
from typing import TYPE_CHECKING

from evomnas.cli.progress import PHASES, ProgressDisplay

if TYPE_CHECKING:  # imported where they are used, so that --help does not wait for torch
    from evomnas.loop.progress import Progress
    from evomnas.problem.definition import Definition


class SearchDisplay:
    """Shows where a search stands; in a log, a line per generation and now and then."""

    def __init__(self, display: ProgressDisplay, definition: Definition) -> None:
        """Show the progress of a search.

        Args:
            display: Where.
            definition: The problem.
        """
        self._display, self._definition = display, definition
        self._seen: set[str] = set()  # phases that the log has a line of
        self._logged = (-1, -1)  # generation and evaluated networks of the last line
        self._importing: threading.Thread | None = None

    def __call__(self, progress: Progress) -> None:
        """Show where the search stands; see `evomnas.loop.progress.OnProgress`.

        Args:
            progress: Where it stands.
        """
        if progress.phase == "training" and self._importing is None:
            # matplotlib takes a second, and this process has nothing else to do now
            self._importing = threading.Thread(target=import_module, args=("evomnas.report.run_report",), daemon=True)
            self._importing.start()
        step, detail = format_step(progress, self._definition), format_progress(progress, self._definition)
        self._display.show(step, progress.evaluated, progress.budget, detail)
        self._log(progress, ", ".join(filter(None, (step, detail))))

    def _log(self, progress: Progress, line: str) -> None:
        """Write a line where a phase comes for the first time, a generation is trained, or a while has passed."""
        phase, state = progress.phase, (progress.generation, progress.evaluated)
        if phase == "starting":
            return
        if phase == "reading":  # which may fail at once: a line of an error is preceded by none
            self._display.log_later(line)
            return
        is_new = phase not in self._seen
        if is_new or state != self._logged:
            is_due = is_new or progress.evaluated >= progress.budget
            is_due |= phase == "training" and progress.generation != self._logged[0]
            if self._display.log(line, is_due=is_due):
                self._seen.add(phase)
                self._logged = state if phase == "training" else self._logged


def format_step(progress: Progress, definition: Definition) -> str:
    """Return what a search is doing, in words.

    Args:
        progress: Where it stands.
        definition: The problem.

    Returns:
        The words, such as `training 3 of 16` or `preparing 8 networks`.
    """
    if progress.phase == "training":
        if progress.evaluated >= progress.budget:
            return f"{progress.evaluated} of {progress.budget} evaluated"
        work = "training" if definition.trains else "looking up"
        return f"{work} {progress.evaluated + 1} of {progress.budget}"
    if progress.phase == "reading" and not definition.trains:
        return "reading the table"
    words = PHASES.get(progress.phase, progress.phase)
    networks = f"{progress.batch} network{'s' * (progress.batch != 1)}" if progress.batch else "networks"
    return words.removesuffix("networks") + networks if words.endswith("networks") else words


def format_progress(progress: Progress, definition: Definition) -> str:
    """Return what a search has found so far and how long it will take, in words.

    Args:
        progress: Where it stands.
        definition: The problem.

    Returns:
        The words, such as `best 93.1% at 0.0493 ms, about 2 min left, 1 failed`. Empty before the first network is
        prepared.
    """
    from evomnas.report.words import format_losses, format_time_left

    if progress.phase not in ("preparing", "measuring", "waiting", "training"):
        return ""
    is_timed = definition.trains and progress.evaluated < progress.budget
    parts = [
        "" if progress.best is None else f"best {format_losses(definition, progress.best)}",
        format_time_left(progress.seconds_left) if is_timed else "",
        f"{progress.failed} failed" if progress.failed else "",
        f"{progress.cut} cut off" if progress.cut else "",
        f"{progress.reused} known from other runs" if progress.reused else "",
    ]
    return ", ".join(filter(None, parts))
