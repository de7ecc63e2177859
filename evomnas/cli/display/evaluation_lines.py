"""A line for each network that a search evaluates."""

from __future__ import annotations

from collections.abc import Callable

from evomnas.loop.callbacks.base import Callback
from evomnas.problem.definition import Definition
from evomnas.report.words import format_cost, format_duration, format_losses
from evomnas.results.run import Result, Run


class EvaluationLines(Callback):
    """Writes what came of each network, and which network it is."""

    def __init__(self, write: Callable[[str], object]) -> None:
        """Write lines somewhere.

        Args:
            write: Takes each line.
        """
        self._write = write

    def on_evaluation(self, run: Run, result: Result) -> None:
        """See `Callback.on_evaluation`."""
        self._write(format_evaluation(run.definition, result))


def format_evaluation(definition: Definition, result: Result) -> str:
    """Return what came of a network, in a line.

    Args:
        definition: The problem.
        result: The network and what came of it.

    Returns:
        The line, such as `98125cb0  93.1% at 0.0493 ms, 8.1 s, joins the front`.
    """
    evaluation = result.evaluation
    name = evaluation.architecture.id
    if evaluation.failure is not None:
        return f"{name}  failed: {evaluation.failure.message}"
    cost = "" if evaluation.measured is None else f" ({format_cost(definition, evaluation.measured.latency_ms)})"
    if evaluation.losses is None:
        word = "cut off, as it is dominated" if evaluation.status == "cut" else "beyond a limit"
        return f"{name}  {word}{cost}"
    seconds = "" if evaluation.seconds is None else f", {format_duration(evaluation.seconds)}"
    front = ", joins the front" if result.on_front else ""
    return f"{name}  {format_losses(definition, evaluation.losses)}{seconds}{front}"
