"""The protocol: what it computes from timings. No test depends on how fast this machine is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evomnas.latency import protocol


@pytest.fixture
def clock(monkeypatch):
    """A clock that runs advance: timings become exact, whatever the machine does."""

    class Clock:
        now = 0.0
        speed = 1.0  # what a busy neighbour changes for all alike

        def __call__(self) -> float:
            return self.now

        def work(self, seconds: float):
            def run() -> None:
                self.now += seconds * self.speed

            return run

    clock = Clock()
    monkeypatch.setattr(protocol.time, "perf_counter", clock)
    return clock


def test_the_ratio_is_candidate_over_reference(clock):
    result = protocol.compare(clock.work(0.0006), clock.work(0.0002))
    assert result.ratio == pytest.approx(3.0)
    assert result.low == pytest.approx(3.0)
    assert result.high == pytest.approx(3.0)
    assert len(result.samples) == protocol.MIN_ROUNDS


def test_a_machine_that_slows_down_between_rounds_does_not_change_the_ratio(clock):
    rng = np.random.default_rng(0)
    work, reference = clock.work(0.0006), clock.work(0.0002)

    def slower_reference() -> None:
        clock.speed = float(rng.uniform(0.99, 1.01)) * (1 + clock.now)
        reference()

    assert protocol.compare(work, slower_reference).ratio == pytest.approx(3.0, rel=0.02)


def test_measuring_ends_at_the_time_limit_where_the_interval_stays_wide(clock):
    rng = np.random.default_rng(1)

    def noisy() -> None:
        clock.now += 0.0005 * float(rng.lognormal(0, 1))

    result = protocol.compare(noisy, clock.work(0.0005), time_limit_s=0.4)
    assert 0.4 <= result.seconds < 0.6
    assert result.low < result.ratio < result.high


def test_bursts_are_long_enough_to_be_timed_and_short_enough_to_interleave(clock):
    assert protocol._burst_length(clock.work(0.0001)) == 10
    assert protocol._burst_length(clock.work(0.000001)) == protocol.MAX_BURST
    assert protocol._burst_length(clock.work(1.0)) == protocol.MIN_BURST


def test_a_burst_counts_by_its_fastest_run(clock):
    times = iter([0.003, 0.001, 0.002])

    def run() -> None:
        clock.now += next(times)

    assert protocol._burst(run, 3) == pytest.approx(0.001)


def test_calibration_gives_milliseconds(clock):
    calibration = protocol.calibrate(clock.work(0.002), seconds=0.1)
    assert calibration.latency_ms == pytest.approx(2.0)
    assert len(calibration.samples_ms) >= protocol.MIN_ROUNDS


@given(st.lists(st.floats(0.1, 10), min_size=4, max_size=60))
def test_the_interval_holds_the_median_of_its_samples(samples):
    low, high = protocol.median_interval(samples)
    assert min(samples) <= low <= high <= max(samples)
    assert (low, high) == protocol.median_interval(samples)


def test_the_interval_covers_the_true_median_about_as_often_as_it_says():
    rng = np.random.default_rng(2)
    hits = 0
    for _ in range(200):
        low, high = protocol.median_interval(list(rng.lognormal(0, 0.3, size=25)))
        hits += low <= 1.0 <= high
    assert 0.88 <= hits / 200 <= 1.0
