"""A run's time: its seconds by purpose, over all sessions in which it was carried on, and how many are left."""

from __future__ import annotations

import time

from evomnas.evaluation.stopwatch import Stopwatch
from evomnas.results.manifest import Seconds
from evomnas.results.run import Run

MIN_PACED_TRAININGS = 2  # before the pace of a session is known


class Pace:
    """The pace at which a session evaluates networks, from its own trainings and measurements alone."""

    def __init__(self, stopwatch: Stopwatch) -> None:
        """Begin a session.

        Args:
            stopwatch: The evaluator's.
        """
        self._stopwatch, self._at_start, self._trained = stopwatch, stopwatch.seconds(), stopwatch.trained

    def seconds(self, remaining: int, measured: int) -> float | None:
        """Estimate how long the rest of the networks takes, if each of them takes as long as those before.

        Trainings that are under way count as half done: without that, several workers would seem slow at first.

        Args:
            remaining: Networks that were not evaluated yet, those under way included.
            measured: How many of them were measured already.

        Returns:
            The seconds. None before each worker has trained a network, and at least `MIN_PACED_TRAININGS` were trained.
        """
        trained, at_work = self._stopwatch.trained - self._trained, max(0, self._stopwatch.under_way - 1)  # one waits
        if trained < max(MIN_PACED_TRAININGS, at_work):
            return None
        spent = {name: seconds - self._at_start[name] for name, seconds in self._stopwatch.seconds().items()}
        half_done = min(remaining, at_work) / 2
        return (
            spent["training"] / (trained + half_done) * (remaining - half_done)
            + spent["latency"] / (trained + measured) * max(0, remaining - measured)
            + spent["algorithm"] / trained * remaining
        )


class RunClock:
    """Keeps the seconds in a run's manifest up to date, on top of those of the sessions before."""

    def __init__(self, run: Run, stopwatch: Stopwatch, started: float) -> None:
        """Begin a session.

        Args:
            run: The run.
            stopwatch: The evaluator's.
            started: When the session began, a reading of `time.perf_counter`.
        """
        self._run, self._stopwatch, self._started = run, stopwatch, started
        self._earlier, self._at_start = run.manifest.seconds, stopwatch.seconds()

    def note(self) -> float:
        """Bring the manifest up to date.

        Returns:
            The run's seconds so far.
        """
        total = time.perf_counter() - self._started
        spent = {name: seconds - self._at_start[name] for name, seconds in self._stopwatch.seconds().items()}
        spent |= {"total": total, "other": max(0.0, total - sum(spent.values()))}  # clocks are read one after another
        sums = {name: round(getattr(self._earlier, name) + seconds, 3) for name, seconds in spent.items()}
        self._run.manifest.seconds = Seconds(**sums)
        return self._run.manifest.seconds.total
