"""A search as lines of JSON on standard output, for scripts and continuous integration."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from evomnas.loop.callbacks.base import Callback
from evomnas.loop.progress import Progress
from evomnas.results.run import Result, Run


class JsonLines(Callback):
    """Prints an object for each event; docs/commands.md lists the events and their keys."""

    def __init__(self) -> None:
        """Print nothing yet."""
        self._latest: tuple[str, int] | None = None  # phase and evaluated networks of the last line

    def on_begin(self, run: Run) -> None:
        """See `Callback.on_begin`."""
        record, manifest = run.record, run.manifest
        self._print(
            "begin", folder=str(run.folder), problem=run.definition.name, algorithm=record.algorithm, seed=record.seed,
            budget=manifest.budget, evaluations=manifest.evaluations,
        )  # fmt: skip

    def on_evaluation(self, run: Run, result: Result) -> None:
        """See `Callback.on_evaluation`."""
        failure = result.evaluation.failure
        self._print(
            "evaluation", **result.to_dict(), generation=result.generation, seconds=result.evaluation.seconds,
            failure=None if failure is None else {"kind": failure.kind, "message": failure.message},
        )  # fmt: skip

    def on_generation(self, run: Run) -> None:
        """See `Callback.on_generation`."""
        self._print("generation", **self._standing(run))

    def on_end(self, run: Run) -> None:
        """See `Callback.on_end`."""
        self._print("end", status=run.manifest.status, **self._standing(run))

    def note(self, text: str) -> None:
        """Print what a person would be told.

        Args:
            text: A line.
        """
        self._print("note", text=text)

    def show(self, progress: Progress) -> None:
        """Print where the search stands, if that is new; see `evomnas.loop.progress.OnProgress`.

        Args:
            progress: Where it stands.
        """
        state = progress.phase, progress.evaluated
        if state != self._latest:
            self._latest = state
            self._print(
                "progress", phase=progress.phase, evaluated=progress.evaluated, budget=progress.budget,
                failed=progress.failed, seconds_left=progress.seconds_left,
            )  # fmt: skip

    def print_result(self, run: Run, report: Path) -> None:
        """Print what a search has found.

        Args:
            run: The run.
            report: The report's page.
        """
        front = [result.to_dict() for result in run.front()]
        self._print("result", folder=str(run.folder), report=str(report), front=front, **self._standing(run))

    def print_plan(self, lines: Sequence[tuple[str, str]]) -> None:
        """Print what a search would do.

        Args:
            lines: Titles and sentences.
        """
        self._print("plan", lines=[{"title": title, "text": text} for title, text in lines])

    @staticmethod
    def _standing(run: Run) -> dict[str, Any]:
        manifest = run.manifest
        return {
            "evaluations": manifest.evaluations,
            "hypervolume": manifest.hypervolume,
            "seconds": manifest.seconds.total,
        }

    @staticmethod
    def _print(event: str, **values: Any) -> None:
        typer.echo(json.dumps({"event": event, **values}))
