"""The protocol: what it computes from timings. No test depends on how fast this machine is."""

from __future__ import annotations

import itertools
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evomnas.latency.devices import protocol
from evomnas.latency.devices.protocol import LoadedCopies


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
    clock.wall = protocol.Timer(clock, min)
    clock.processor = protocol.Timer(clock, statistics.median)
    return clock


def test_the_ratio_is_candidate_over_reference(clock):
    [(index, result)] = protocol.compare(
        [LoadedCopies([clock.work(0.0006)])], LoadedCopies([clock.work(0.0002)]), clock.wall
    )
    assert index == 0
    assert result.precise
    assert result.ratio == pytest.approx(3.0)
    assert result.low == pytest.approx(3.0)
    assert result.high == pytest.approx(3.0)
    assert len(result.samples) >= protocol.MIN_ROUNDS
    assert result.seconds >= protocol.MIN_SECONDS


def test_a_slow_network_is_precise_after_the_fewest_rounds(clock):
    [(_, result)] = protocol.compare([LoadedCopies([clock.work(0.5)])], LoadedCopies([clock.work(0.001)]), clock.wall)
    assert result.precise
    assert len(result.samples) == protocol.MIN_ROUNDS


def test_a_machine_that_slows_down_between_rounds_does_not_change_the_ratio(clock):
    rng = np.random.default_rng(0)
    work, reference = clock.work(0.0006), clock.work(0.0002)

    def slower_reference() -> None:
        clock.speed = float(rng.uniform(0.99, 1.01)) * (1 + clock.now)
        reference()

    [(_, result)] = protocol.compare([LoadedCopies([work])], LoadedCopies([slower_reference]), clock.wall)
    assert result.ratio == pytest.approx(3.0, rel=0.02)


def test_candidates_are_timed_in_the_same_rounds_in_random_order(clock):
    order = []

    def candidate(number: int):
        def run() -> None:
            order.append(number)
            clock.now += 0.0005 * (number + 1)

        return run

    results = dict(
        protocol.compare(
            [LoadedCopies([candidate(number)]) for number in range(3)],
            LoadedCopies([clock.work(0.0005)]),
            clock.wall,
            seed=4,
        )
    )
    assert {number: result.ratio for number, result in results.items()} == pytest.approx({0: 1.0, 1: 2.0, 2: 3.0})
    bursts = [number for number, before in zip(order, [None, *order], strict=False) if number != before]
    rounds = {tuple(bursts[start : start + 3]) for start in range(3, len(bursts) - 3, 3)}  # the first ones warm up
    assert len(rounds) > 1
    assert all(sorted(one) == [0, 1, 2] for one in rounds if len(set(one)) == 3)


def test_bursts_go_round_the_copies_of_a_network(clock):
    """One copy lies badly in memory and takes half as long again: it is a seventh of the rounds, and trimmed off."""
    copies = [clock.work(seconds) for seconds in (*[0.0005] * 6, 0.00075)]
    [(_, result)] = protocol.compare([LoadedCopies(copies)], LoadedCopies([clock.work(0.0005)]), clock.wall)
    assert result.ratio == pytest.approx(1.0)
    assert sorted(set(np.round(result.samples, 6))) == [1.0, 1.5]


def test_a_candidate_that_is_precise_early_does_not_wait_for_a_noisy_one(clock):
    rng = np.random.default_rng(3)

    def noisy() -> None:
        clock.now += 0.0005 * float(rng.lognormal(0, 1))

    steady = LoadedCopies([clock.work(0.0005)])
    results = list(protocol.compare([LoadedCopies([noisy]), steady], steady, clock.wall, time_limit_s=5.0))
    assert [index for index, _ in results] == [1, 0]
    assert [result.precise for _, result in results] == [True, False]
    assert results[0][1].seconds < 0.5 < 5.0 <= results[1][1].seconds


def test_measuring_ends_at_the_time_limit_where_the_interval_stays_wide(clock):
    rng = np.random.default_rng(1)

    def noisy() -> None:
        clock.now += 0.0005 * float(rng.lognormal(0, 1))

    [(_, result)] = protocol.compare(
        [LoadedCopies([noisy])], LoadedCopies([clock.work(0.0005)]), clock.wall, time_limit_s=0.4
    )
    assert not result.precise
    assert 0.4 <= result.seconds < 0.6
    assert result.low < result.ratio < result.high


def test_loading_counts_for_the_time_limit_but_not_for_the_least_time(clock):
    rng = np.random.default_rng(1)

    def noisy() -> None:
        clock.now += 0.0005 * float(rng.lognormal(0, 1))

    reference = LoadedCopies([clock.work(0.0005)])
    for loading, least in ((0.3, 0.7), (5.0, protocol.MIN_SECONDS)):
        [(_, result)] = protocol.compare([LoadedCopies([noisy], loading)], reference, clock.wall, time_limit_s=1.0)
        assert least <= result.seconds < least + 0.15
        assert not result.precise


def test_copies_are_loaded_until_there_are_enough_or_the_time_is_over(clock):
    def load(loading: float, running: float):
        def one() -> protocol.Inference:
            clock.now += loading
            return clock.work(running)

        return one

    few, many = protocol.MAX_COPIES, protocol.MAX_COPIES_OF_SMALL
    for loading, running, copies in ((0.001, 0.01, few), (0.001, 0.0001, many), (0.06, 0.0001, 3), (1.0, 0.0001, 2)):
        loaded = protocol.load_copies(load(loading, running))
        assert len(loaded.inferences) == copies
        assert loaded.loading_seconds == pytest.approx(copies * loading + 2 * running)


def test_the_centre_is_the_mean_without_a_fifth_on_either_side():
    assert protocol.trimmed_mean([9.0, 1.0, 2.0, 3.0, 100.0]) == pytest.approx((2 + 3 + 9) / 3)
    assert protocol.trimmed_mean([3.0, 1.0]) == pytest.approx(2.0)
    rows = np.array([[1.0, 1.0, 1.0, 1.0, 6.0], [-5.0, 0.0, 1.0, 2.0, 3.0]])
    np.testing.assert_allclose(protocol.trimmed_mean(rows), [1.0, 1.0])


@pytest.mark.parametrize(("seconds", "runs"), [(0.0001, 10), (0.000001, 20), (0.004, 3), (0.006, 1), (1.0, 1)])
def test_bursts_are_long_enough_to_be_timed_and_short_enough_to_interleave(clock, seconds, runs):
    burst = protocol._make_burst(clock.work(seconds), clock.wall)
    before = clock.now
    burst()
    assert clock.now - before == pytest.approx(runs * seconds)


def test_a_burst_counts_by_its_fastest_run_on_the_wall_and_its_median_in_processor_time(clock):
    for which, expected in ((clock.wall, 0.001), (clock.processor, 0.002)):
        times = itertools.cycle([0.003, 0.001, 0.002])

        def run(times=times) -> None:
            clock.now += next(times)

        assert protocol._make_burst(run, which)() == pytest.approx(expected)


def test_processor_time_stands_still_while_others_run():
    def run() -> None:
        time.sleep(0.01)  # as good as being preempted
        sum(range(10_000))

    assert (
        protocol._make_burst(run, protocol.PROCESSOR_TIMER)() < 0.01 <= protocol._make_burst(run, protocol.WALL_TIMER)()
    )


def test_calibration_gives_milliseconds(clock):
    calibration = protocol.calibrate(LoadedCopies([clock.work(0.002)]), clock.wall, seconds=0.1)
    assert calibration.latency_ms == pytest.approx(2.0)
    assert len(calibration.samples_ms) >= protocol.MIN_ROUNDS


def test_calibration_looks_past_a_neighbour_s_busy_moments(clock):
    speeds = itertools.cycle([1.0, 1.0, 1.6, 1.6, 1.6, 1.6])

    def run() -> None:
        clock.now += 0.002 * next(speeds)

    assert protocol.calibrate(LoadedCopies([run]), clock.wall, seconds=0.5).latency_ms == pytest.approx(2.0)


def test_load_counts_the_cores_that_others_keep_busy():
    """A busy child process is somebody else; this process itself is not."""
    load = protocol.BackgroundLoad()
    if load() is None and not Path("/proc/stat").exists():
        pytest.skip("the system does not tell")
    child = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        time.sleep(0.7)
        seen = load()
    finally:
        child.kill()
        child.wait()
    assert seen is not None
    assert seen > 0.2


@given(st.lists(st.floats(0.1, 10), min_size=4, max_size=60))
def test_the_interval_lies_within_its_samples(samples):
    low, high = protocol.confidence_interval(samples)
    rounding = 1e-12  # of means
    assert min(samples) - rounding <= low <= high <= max(samples) + rounding
    assert (low, high) == protocol.confidence_interval(samples)


def test_the_interval_covers_the_true_centre_about_as_often_as_it_says():
    rng = np.random.default_rng(2)
    hits = 0
    for _ in range(200):
        low, high = protocol.confidence_interval(list(rng.normal(1, 0.3, size=25)))
        hits += low <= 1.0 <= high
    assert 0.88 <= hits / 200 <= 1.0
