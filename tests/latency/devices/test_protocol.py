"""The protocol: what it computes from timings. No test depends on how fast this machine is."""

from __future__ import annotations

import io
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
from scipy.stats import trim_mean

from evomnas.core.system import machine
from evomnas.latency.devices import protocol
from evomnas.latency.devices.protocol import LoadedCopies

pytestmark = pytest.mark.usefixtures("real_measurements")


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


# --- exactly -----------------------------------------------------------------------------------------------


def test_version_6_is_these_numbers():
    """Latencies of one version are put side by side, also on other machines: whoever changes one raises the version."""
    numbers = {name: value for name, value in vars(protocol).items() if isinstance(value, int | float)}
    assert numbers == {
        "VERSION": 6,
        "MIN_ROUNDS": 8,
        "MAX_DISTURBED": 24,
        "PRECISION": 0.01,
        "MIN_SECONDS": 0.2,
        "TIME_LIMIT_S": 0.48,
        "TRIMMED_SHARE": 0.2,
        "MAX_TICK_S": 1e-4,
        "MIN_BURST_S": 0.001,
        "MIN_BURST_RUNS": 3,
        "LONG_RUN_S": 0.005,
        "MAX_BURST_RUNS": 20,
        "CALIBRATION_S": 1.0,
        "CALIBRATION_QUANTILE": 0.1,
        "CONFIDENCE": 0.95,
        "BOOTSTRAP_RESAMPLES": 400,
        "MAX_COPIES": 3,
        "MAX_COPIES_OF_SMALL": 6,
        "SMALL_NETWORK_S": 0.001,
        "MAX_LOADING_S": 0.15,
        "MIN_COPIES": 2,
    }


def test_a_steady_network_is_measured_for_a_fifth_of_a_second(clock):
    """Rounds of 3 x 0.6 ms and 5 x 0.2 ms, 2.8 ms: 71 take less than 0.2 s, and 72 can be divided by four."""
    [(_, result)] = protocol.compare(
        [LoadedCopies([clock.work(0.0006)])], LoadedCopies([clock.work(0.0002)]), clock.wall
    )
    assert len(result.samples) == 72
    assert result.seconds == pytest.approx(72 * 0.0028)


def test_precision_is_looked_at_after_every_fourth_round_alone(clock):
    """Eight rounds of 40 or of 30 ms take more than 0.2 s; of 22 ms, ten do, and the twelfth is the next one."""
    for candidate, rounds in ((0.030, 8), (0.020, 8), (0.012, 12)):
        [(_, result)] = protocol.compare(
            [LoadedCopies([clock.work(candidate)])], LoadedCopies([clock.work(0.010)]), clock.wall
        )
        assert (len(result.samples), result.precise) == (rounds, True)


def test_each_sample_is_a_burst_relative_to_the_mean_of_the_two_reference_bursts_around_it(clock):
    """All take longer than 5 ms, so that a burst is one inference; the last one ends at the time limit."""
    times = [0.01, 0.02, 0.04, 0.02, 0.05, 0.01, 0.03, 0.02, 0.01]
    following = iter([0.01] * 3 + times + [0.01])  # three warm up, and one follows the result

    def reference() -> None:
        clock.now += next(following)

    [(_, result)] = protocol.compare([LoadedCopies([clock.work(0.06)])], LoadedCopies([reference]), clock.wall)
    expected = [0.06 / ((before + after) / 2) for before, after in itertools.pairwise(times)]
    assert list(result.samples) == pytest.approx(expected)
    assert result.seconds == pytest.approx(8 * 0.06 + sum(times[1:]))
    assert not result.precise


def test_what_the_caller_does_with_a_result_changes_no_other(clock):
    """The machine is ten times as slow after the first result: the reference network is timed again at once."""
    slow, fast = LoadedCopies([clock.work(0.5)]), LoadedCopies([clock.work(0.010)])
    found = {}
    for index, result in protocol.compare([slow, fast, fast], LoadedCopies([clock.work(0.010)]), clock.wall):
        found[index] = result
        clock.now += 1000.0
        clock.speed *= 10
    for index, ratio in enumerate((50.0, 1.0, 1.0)):
        assert list(found[index].samples) == pytest.approx([ratio] * len(found[index].samples))
        assert found[index].seconds < 1000


def test_measuring_ends_with_the_first_precise_interval(clock):
    """Half as wide as one per cent: looked at after every fourth round that is late enough, and not before."""
    rng = np.random.default_rng(5)

    def noisy() -> None:
        clock.now += 0.02 * float(rng.lognormal(0, 0.03))

    [(_, result)] = protocol.compare(
        [LoadedCopies([noisy])], LoadedCopies([clock.work(0.010)]), clock.wall, time_limit_s=1000.0
    )
    count = len(result.samples)
    assert result.precise
    assert count > 8
    for rounds in range(8, count + 1, 4):
        low, high = protocol.confidence_interval(result.samples[:rounds])
        is_precise = (high - low) / 2 <= 0.01 * trim_mean(result.samples[:rounds], 0.2)
        assert is_precise == (rounds == count)
    assert (result.low, result.high) == protocol.confidence_interval(result.samples)
    assert result.ratio == pytest.approx(trim_mean(result.samples, 0.2))


@pytest.mark.parametrize(("limit", "rounds"), [(None, 16), (0.3, 10), (0.1, 8), (0.05, 8)])
def test_the_time_limit_ends_it_in_any_round_but_after_eight(clock, limit, rounds):
    """Rounds of 30 ms, whose ratios go from 1 to 3 and back: 16 are the first that take 0.48 s."""
    times = itertools.cycle([0.010, 0.030])

    def noisy() -> None:
        clock.now += next(times)

    def reference() -> None:
        clock.now += 0.010

    options = {} if limit is None else {"time_limit_s": limit}
    noisy_copies = LoadedCopies([noisy])
    [(_, result)] = protocol.compare([noisy_copies], LoadedCopies([reference]), clock.wall, **options)
    assert (len(result.samples), result.precise) == (rounds, False)


def test_the_order_within_rounds_follows_from_the_seed(clock):
    def order(seed: int) -> list[int]:
        calls: list[int] = []

        def candidate(number: int):
            def run() -> None:
                calls.append(number)
                clock.now += 0.01

            return run

        networks = [LoadedCopies([candidate(number)]) for number in range(4)]
        list(protocol.compare(networks, LoadedCopies([clock.work(0.01)]), clock.wall, seed=seed))
        return calls

    assert order(1) == order(1) != order(2)


@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=40))
def test_the_trimmed_mean_is_scipy_s(samples):
    assert protocol.trimmed_mean(samples) == pytest.approx(trim_mean(samples, 0.2))


@pytest.mark.parametrize("count", [4, 9, 30])
def test_the_interval_is_a_percentile_bootstrap_of_400_seeded_resamples(count):
    """Resample by resample; between two neighbours the quantile is taken in proportion."""
    samples = np.random.default_rng(3).lognormal(0, 0.2, count)
    draws = np.random.default_rng(count).integers(count, size=(400, count))
    means = sorted(trim_mean([samples[index] for index in row], 0.2) for row in draws.tolist())

    def quantile(share: float) -> float:
        place = share * 399
        below = int(place)
        return means[below] + (place - below) * (means[below + 1] - means[below])

    assert protocol.confidence_interval(samples) == pytest.approx((quantile(0.025), quantile(0.975)), rel=1e-12)


def test_calibration_takes_a_second_by_default_and_eight_bursts_at_least(clock):
    """Bursts of 3 x 2 ms: 167 are the first that take a second. One of half a second: eight of one inference."""
    assert len(protocol.calibrate(LoadedCopies([clock.work(0.002)]), clock.wall).samples_ms) == 167
    calibration = protocol.calibrate(LoadedCopies([clock.work(0.5)]), clock.wall, seconds=0.1)
    assert calibration.samples_ms == pytest.approx((500.0,) * 8)
    assert calibration.latency_ms == pytest.approx(500.0)


def test_the_calibrated_latency_is_the_lower_tenth_of_the_bursts(clock):
    """Eleven bursts of 10 to 20 ms, in any order: a tenth of ten steps above the fastest one."""
    times = iter([0.010] * 3 + [0.013, 0.020, 0.011, 0.010, 0.018, 0.016, 0.015, 0.014, 0.017, 0.012, 0.019])

    def run() -> None:
        clock.now += next(times)

    calibration = protocol.calibrate(LoadedCopies([run]), clock.wall, seconds=0.165)
    assert len(calibration.samples_ms) == 11
    assert calibration.latency_ms == pytest.approx(11.0)


@pytest.mark.parametrize(
    ("loading", "running", "copies"),
    [
        (0.001, 0.001, 3),  # a millisecond is not small
        (0.001, 0.00099, 6),
        (0.030, 0.0001, 5),  # the fifth begins at 0.12 s and ends at 0.15
        (0.031, 0.0001, 5),
        (0.038, 0.0001, 4),
        (0.074, 0.0001, 3),
        (0.2, 0.0001, 2),
        (0.2, 0.5, 2),
    ],
)
def test_so_many_copies_are_loaded(clock, loading, running, copies):
    """Loading begins for as long as 0.15 seconds have not passed, the two first inferences included."""
    calls = []

    def load() -> protocol.Inference:
        clock.now += loading
        calls.append(clock.now)
        return clock.work(running)

    began = clock.now
    loaded = protocol.load_copies(load)
    assert len(loaded.inferences) == len(calls) == copies
    assert loaded.loading_seconds == pytest.approx(clock.now - began) == pytest.approx(copies * loading + 2 * running)


def test_whether_a_network_is_small_is_decided_by_its_second_inference(clock):
    times = iter([0.5, 0.0001])

    def run() -> None:
        clock.now += next(times)

    assert len(protocol.load_copies(lambda: run).inferences) == 2  # the first one took the time for more
    times = iter([0.01, 0.0001])
    assert len(protocol.load_copies(lambda: run).inferences) == 6


@pytest.mark.parametrize(
    ("seconds", "runs"), [(0.0, 20), (5e-5, 20), (6e-5, 17), (0.0004, 3), (0.00499, 3), (0.005, 1), (0.5, 1)]
)
def test_a_burst_has_so_many_inferences(seconds, runs):
    """By a timer that tells the same time before each, so that nothing is rounded."""
    calls = []
    timer = protocol.Timer(itertools.cycle([0.0, seconds]).__next__, min)
    burst = protocol._make_burst(lambda: calls.append(1), timer)
    assert len(calls) == 3  # they warm up
    assert burst() == seconds
    assert len(calls) == 3 + runs


def test_the_fastest_of_the_first_three_inferences_says_how_many_make_a_burst(clock):
    """0.1 ms: ten of them take a millisecond."""
    times, calls = iter([0.004, 0.0001, 0.002]), []

    def run() -> None:
        calls.append(1)
        clock.now += next(times, 0.0001)

    burst = protocol._make_burst(run, clock.wall)
    burst()
    assert len(calls) == 3 + 10


def test_bursts_take_the_copies_in_turn(clock):
    burst = protocol._make_bursts(LoadedCopies([clock.work(seconds) for seconds in (0.01, 0.02, 0.03)]), clock.wall)
    assert [burst() for _ in range(7)] == pytest.approx([0.01, 0.02, 0.03, 0.01, 0.02, 0.03, 0.01])


@pytest.fixture
def system(clock, monkeypatch):
    """What the kernel says of all processors, in ticks of a hundredth of a second; and of this process."""

    class System:
        line = "cpu 1000 200 300 90000 5000 60 70 80 999 999"
        own = 5.0

        def open(self, path: str, encoding: str = "") -> io.StringIO:
            assert path == "/proc/stat"
            if not self.line:
                raise FileNotFoundError(path)
            return io.StringIO(f"{self.line}\ncpu0 1 2 3 4 5 6 7 8\n")

    system = System()
    monkeypatch.setattr(machine, "open", system.open, raising=False)
    monkeypatch.setattr(machine, "sysconf", lambda name: {"SC_CLK_TCK": 100}[name])
    monkeypatch.setattr(protocol.time, "process_time", lambda: system.own)
    return system


def test_the_load_is_the_others_share_of_the_processor_time_that_was_not_idle(clock, system):
    """In 2 seconds 1.1 + 0.2 + 0.3 + 0.4 + 0.5 + 0.6 were spent, 0.5 of them here; idle and waiting do not count."""
    load = protocol.BackgroundLoad()
    assert load() is None  # no time has passed
    clock.now, system.own = 2.0, 5.5
    system.line = "cpu 1110 220 330 90999 5999 100 120 140 999 999"
    assert load() == pytest.approx((3.1 - 0.5) / 2)
    clock.now, system.own = 4.0, 9.0  # this process took more than all: clocks tick apart
    assert load() == 0.0


def test_a_system_that_does_not_tell_has_no_load(clock, system):
    before = protocol.BackgroundLoad()
    clock.now = 1.0
    assert before() == 0.0
    for line in ("", "cpu 1 2 3", "cpu a b c d e f g h"):
        system.line = line
        assert before() is None
        assert protocol.BackgroundLoad()() is None
        assert protocol.calibrate(LoadedCopies([clock.work(0.5)]), clock.wall).load is None


def test_results_say_what_the_load_was_meanwhile(clock, system):
    def work() -> None:
        clock.now += 0.5
        user = int(system.line.split()[1]) + 25  # a quarter of a second: half a core
        system.line = f"cpu {user} 200 300 90000 5000 60 70 80"

    copies = LoadedCopies([work])
    [(_, result)] = protocol.compare([copies], LoadedCopies([work]), clock.wall)
    assert result.load == pytest.approx(0.5)
    assert protocol.calibrate(copies, clock.wall, seconds=0.1).load == pytest.approx(0.5)


def test_timers_and_copies_are_values():
    for value, name in ((LoadedCopies([]), "inferences"), (protocol.WALL_TIMER, "now")):
        with pytest.raises(AttributeError):
            setattr(value, name, None)
    assert LoadedCopies([]).loading_seconds == 0.0
