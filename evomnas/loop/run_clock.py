"""Where a run's time goes: its seconds by purpose, over all sessions in which it was carried on."""

from __future__ import annotations

import time

from evomnas.evaluation.stopwatch import Stopwatch
from evomnas.results.manifest import Seconds
from evomnas.results.run import Run


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
