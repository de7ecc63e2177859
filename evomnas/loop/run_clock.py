"""Where a run's time goes: its seconds by purpose, over all sessions in which it was carried on."""

from __future__ import annotations

import time

from evomnas.evaluation.interface import AnyEvaluator
from evomnas.results.run import SECONDS, Run


class Clock:
    """Keeps the run's seconds by purpose up to date in its manifest, on top of those of the sessions before."""

    def __init__(self, run: Run, evaluator: AnyEvaluator, started: float) -> None:
        """The session has `started` at a reading of `time.perf_counter`."""
        self._run, self._evaluator, self._started = run, evaluator, started
        self._before, self._spent = dict(run.manifest["seconds"]), evaluator.spent.so_far()

    def note(self) -> float:
        """Bring the manifest up to date; returns the run's seconds so far."""
        total = time.perf_counter() - self._started
        seconds = {name: value - self._spent[name] for name, value in self._evaluator.spent.so_far().items()}
        seconds |= {"total": total, "other": total - sum(seconds.values())}
        noted: dict[str, float] = {name: round(self._before[name] + seconds[name], 3) for name in SECONDS}
        self._run.manifest["seconds"] = noted
        return noted["total"]
