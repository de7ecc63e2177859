"""News of a search for those who follow it."""

from __future__ import annotations

from evomnas.results.run import Result, Run


class Callback:
    """Follows a search. Its methods do nothing; a subclass overrides those that it wants.

    All are called in the process that searches, one after the other, and the search waits for them.
    """

    def on_begin(self, run: Run) -> None:
        """Take notice that a search begins, or goes on.

        Args:
            run: Its run, whose images were read; `run.results()` has what earlier sessions evaluated.
        """

    def on_evaluation(self, run: Run, result: Result) -> None:
        """Take notice of a network that was evaluated in this session, or that failed or is beyond a limit.

        Args:
            run: The run.
            result: The network and what came of it. `on_front` says whether it is on the front so far.
        """

    def on_generation(self, run: Run) -> None:
        """Take notice of new generations, at most once a second.

        Args:
            run: The run, whose files are up to date.
        """

    def on_end(self, run: Run) -> None:
        """Take notice that the session ends, by its budget, its time, an interruption or an error.

        Args:
            run: The run, whose files are up to date; `run.manifest.status` says how it ended.
        """
