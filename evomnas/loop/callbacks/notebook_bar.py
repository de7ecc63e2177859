"""The progress of a search in a notebook: one bar, which is drawn over and over in the same place."""

from __future__ import annotations

import sys
from html import escape
from importlib import import_module
from typing import Any

from evomnas.loop.progress import OnProgress, Progress


def ignore_progress(progress: Progress) -> None:
    """Show nothing.

    Args:
        progress: Where a search stands.
    """


def usual_display() -> OnProgress:
    """Return what shows the progress of a search where nobody says so: a bar in a notebook, and nothing elsewhere."""
    ipython: Any = sys.modules.get("IPython")  # a notebook has imported it
    shell = None if ipython is None else ipython.get_ipython()
    return ignore_progress if shell is None or not hasattr(shell, "kernel") else NotebookBar()


class NotebookBar:
    """A bar in the output of a cell, with words."""

    def __init__(self) -> None:
        """Draw nothing yet."""
        self._handle: Any = None
        self._shown = ""

    def __call__(self, progress: Progress) -> None:
        """Draw the bar anew, if it has changed; see `evomnas.loop.progress.OnProgress`.

        Args:
            progress: Where the search stands.
        """
        markup = bar_markup(progress)
        if markup == self._shown:
            return
        display: Any = import_module("IPython.display")
        self._shown = markup
        if self._handle is None:
            self._handle = display.display(display.HTML(markup), display_id=True)
        else:
            self._handle.update(display.HTML(markup))


def bar_markup(progress: Progress) -> str:
    """Return the progress of a search as HTML.

    Args:
        progress: Where it stands.
    """
    best = "" if progress.best_accuracy is None else f", best {progress.best_accuracy:.1%}"
    failed = f", {progress.failed} failed" if progress.failed else ""
    words = f"{progress.phase}, {progress.evaluated} of {progress.budget} networks{best}{failed}"
    return f'<progress max="{progress.budget}" value="{progress.evaluated}"></progress> {escape(words)}'
