"""Where a run's time goes: its seconds by purpose, over all sessions in which it was carried on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from evomnas.evaluator import AnyEvaluator
from evomnas.runs import SECONDS, Run


class Clock:
    """Keeps the run's seconds by purpose up to date in its manifest, on top of those of the sessions before."""

    def __init__(self, run: Run, evaluator: AnyEvaluator, started: float) -> None:
        """The session has `started` at a reading of `time.perf_counter`."""
        self._run, self._evaluator, self._started = run, evaluator, started
        self._before = dict(run.manifest["seconds"])
        self._spent = evaluator.spent.training, evaluator.spent.latency
        self._algorithm = 0.0

    @contextmanager
    def algorithm_s_turn(self) -> Iterator[None]:
        """Add the time that the block takes to the algorithm's own."""
        started = time.perf_counter()
        yield
        self._algorithm += time.perf_counter() - started

    def note(self) -> float:
        """Bring the manifest up to date; returns the run's seconds so far."""
        spent, total = self._evaluator.spent, time.perf_counter() - self._started
        seconds = {"training": spent.training - self._spent[0], "latency": spent.latency - self._spent[1]}
        seconds["algorithm"] = self._algorithm
        seconds |= {"total": total, "other": total - sum(seconds.values())}
        noted: dict[str, float] = {name: round(self._before[name] + seconds[name], 3) for name in SECONDS}
        self._run.manifest["seconds"] = noted
        return noted["total"]
