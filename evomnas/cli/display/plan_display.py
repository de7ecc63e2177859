"""How long work will take that has known parts, and how much of it is left."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # imported where they are used, so that --help does not wait for torch
    from evomnas.cli.progress import ProgressDisplay
    from evomnas.deploy.durations import Plan

KEPT = "what had ended is kept, and of a training the state that is saved every 20 seconds"  # after an interruption


class PlanDisplay:
    """Shows how long work will take, and how long it still takes after every step; in a log, now and then."""

    def __init__(self, display: ProgressDisplay, work: str, piece: str = "") -> None:
        """Name the work.

        Args:
            display: Where it is shown.
            work: What is done, in a word, as `Training`.
            piece: What is counted, as `network`; empty for nothing.
        """
        self._display, self._work, self._piece = display, work, piece
        self._plan: Plan | None = None
        self._step = ""

    def begin(self, plan: Plan) -> None:
        """Say what the work will take, if there is something to do.

        Args:
            plan: The expected time of its parts.
        """
        from evomnas.report.words import format_duration

        self._plan, seconds = plan, plan.seconds
        count = sum(one != 0 for one in plan.expected.values())
        work = f"{self._work} {count} {self._piece}{'s' * (count != 1)}" if self._piece else self._work
        if seconds > 0:
            self._display.say(f"{work} takes about {format_duration(float(f'{seconds:.2g}'))}.")

    def show_step(self, text: str) -> None:
        """Show that a step begins, which ends the one before.

        Args:
            text: The step in words.
        """
        left = ""
        if self._plan is not None and text in self._plan.expected:
            if self._step:
                left = _time_left(self._plan.remaining(self._step, 1, 1))
            self._step = text
        self._display.restart(f"{text}{left}")
        self._display.log(f"{text}{left}")

    def show_epoch(self, name: str, epoch: int, epochs: int, loss: float) -> None:
        """Show that an epoch of a training has ended; in a log, the last one of each and others now and then.

        Args:
            name: What is trained.
            epoch: The number of epochs so far.
            epochs: The number of all epochs.
            loss: The mean loss of the last one.
        """
        if self._display.description != name:
            self._display.restart(name, epochs)
        left = "" if self._plan is None else _time_left(self._plan.remaining(name, epoch, epochs))
        self._display.show(name, epoch, epochs, f"loss {loss:.3f}{left}")
        self._display.log(f"{name}: epoch {epoch} of {epochs}, loss {loss:.3f}{left}", is_due=epoch == epochs)


def _time_left(seconds: float) -> str:
    from evomnas.report.words import format_time_left

    return f", {format_time_left(seconds)}" if seconds > 0 else ""
