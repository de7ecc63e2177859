"""Everything that a search shows while it works, as the user wants it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from evomnas.cli.display.search_progress import SearchDisplay
from evomnas.cli.display.verbosity import Verbosity
from evomnas.cli.progress import ProgressDisplay

if TYPE_CHECKING:  # imported where they are used, so that --help does not wait for torch
    from evomnas.cli.display.json_lines import JsonLines
    from evomnas.loop.callbacks.base import Callback
    from evomnas.loop.progress import OnProgress
    from evomnas.problem.definition import Definition


class SearchOutput:
    """The progress of a search.

    Attributes:
        display: The live line, or the log.
        lines: Prints JSON instead; None where people read.
    """

    def __init__(self, verbosity: Verbosity) -> None:
        """Prepare what is shown.

        Args:
            verbosity: How much.
        """
        self.lines: JsonLines | None = None
        note_to = None
        if verbosity is Verbosity.QUIET:
            note_to = ignore_note
        elif verbosity is Verbosity.JSON:
            from evomnas.cli.display.json_lines import JsonLines

            self.lines = JsonLines()
            note_to = self.lines.note
        self._is_verbose = verbosity is Verbosity.VERBOSE
        self.display = ProgressDisplay("starting", has_count=False, note_to=note_to)

    def callbacks(self, trackers: Sequence[str]) -> list[Callback]:
        """Return those who follow the search.

        Args:
            trackers: Of each `--track`.

        Raises:
            InputError: There is no such tracker, or its package is not installed.
        """
        return [*self._own_callbacks(), *self._trackers(trackers)]

    def _own_callbacks(self) -> list[Callback]:
        if self.lines is not None:
            return [self.lines]
        if not self._is_verbose:
            return []
        from evomnas.cli.display.evaluation_lines import EvaluationLines

        return [EvaluationLines(self.display.note)]

    def _trackers(self, names: Sequence[str]) -> list[Callback]:
        """Return trackers, of which one that fails is said in a line."""
        if not names:
            return []
        from evomnas.loop.callbacks.audience import Audience
        from evomnas.report.trackers.opening import open_trackers

        return [Audience(open_trackers(names), self.display.note)]

    def on_progress(self, definition: Definition) -> OnProgress:
        """Return the function that shows where the search stands.

        Args:
            definition: The problem.
        """
        return SearchDisplay(self.display, definition) if self.lines is None else self.lines.show


def ignore_note(text: str) -> None:
    """Show nothing.

    Args:
        text: A line that nobody wants.
    """
