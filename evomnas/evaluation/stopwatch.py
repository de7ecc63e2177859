"""Where the time goes: seconds by purpose, and the trainings that they paid for."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

PURPOSES = ("training", "latency", "algorithm")


class Stopwatch:
    """Wall-clock seconds by purpose: trainings, latencies with what they need, and the algorithm's own.

    A purpose within another one's time has it to itself, as when a network is bred and measured while others train.

    Attributes:
        trained: Number of trainings that have ended.
        under_way: Number of trainings that have begun, or wait for a worker, and have not ended.
    """

    def __init__(self) -> None:
        """Start at 0, for no purpose."""
        self.trained = self.under_way = 0
        self._seconds = dict.fromkeys(PURPOSES, 0.0)
        self._purpose, self._since = "", time.perf_counter()

    def seconds(self) -> dict[str, float]:
        """Return the seconds so far, by purpose."""
        self._turn_to(self._purpose)
        return dict(self._seconds)

    @contextmanager
    def on(self, purpose: str) -> Iterator[None]:
        """Count the time of a block for a purpose.

        Args:
            purpose: One of `PURPOSES`.
        """
        before = self._purpose
        self._turn_to(purpose)
        try:
            yield
        finally:
            self._turn_to(before)

    def _turn_to(self, purpose: str) -> None:
        now = time.perf_counter()
        if self._purpose:
            self._seconds[self._purpose] += now - self._since
        self._purpose, self._since = purpose, now
