"""How long a search still takes, against simulated searches whose rest is known."""

from __future__ import annotations

import heapq

import pytest

from evomnas.evaluation import stopwatch
from evomnas.evaluation.stopwatch import Stopwatch
from evomnas.loop.run_clock import Pace

BATCH = 8


class Simulation:
    """A search by generations on workers: each batch is measured, 1 second a network, and then trained.

    Attributes:
        estimates: After each training the seconds that are left, and the estimate of them.
        unknown: Trainings that ended before there was an estimate.
    """

    def __init__(self, monkeypatch, workers: int, budget: int, seconds_of) -> None:
        self.now = 100.0
        monkeypatch.setattr(stopwatch.time, "perf_counter", lambda: self.now)
        self.watch = Stopwatch()
        with self.watch.on("latency"):
            self.now += 12.0  # the reference network, before the session's own work
        pace, guesses = Pace(self.watch), []
        for start in range(0, budget, BATCH):
            batch = range(start, min(budget, start + BATCH))
            with self.watch.on("latency"):
                self.now += len(batch)
            waiting, at_work = list(batch), []
            while waiting or at_work:
                while waiting and len(at_work) <= workers:  # one more than work, as the pool's queue
                    number = waiting.pop(0)
                    free = self.now if len(at_work) < workers else at_work[0]
                    heapq.heappush(at_work, free + seconds_of(number))
                    self.watch.under_way += 1
                with self.watch.on("training"):
                    self.now = max(self.now, heapq.heappop(at_work))
                self.watch.trained += 1
                self.watch.under_way -= 1
                evaluated = self.watch.trained
                guesses.append((self.now, pace.seconds(budget - evaluated, batch.stop - evaluated)))
        self.unknown = sum(guess is None for _, guess in guesses)
        self.estimates = [(self.now - then, guess) for then, guess in guesses if guess is not None]


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_the_estimate_is_near_the_truth_as_soon_as_every_worker_has_trained_a_network(monkeypatch, workers):
    searched = Simulation(monkeypatch, workers, 64, lambda number: 10.0 + number % 3)
    assert searched.unknown <= max(2, workers)
    for left, guess in searched.estimates[workers:]:
        assert guess == pytest.approx(left, rel=0.25, abs=15.0)


def test_nothing_is_estimated_before_two_trainings_and_nothing_is_left_at_the_end(monkeypatch):
    searched = Simulation(monkeypatch, 1, 8, lambda number: 10.0)
    assert searched.unknown == 1
    assert searched.estimates[-1] == (0.0, 0.0)


def test_what_earlier_sessions_did_counts_for_nothing(monkeypatch):
    watch = Stopwatch()
    watch.trained = 10
    assert Pace(watch).seconds(5, 0) is None
