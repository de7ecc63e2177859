"""The measuring protocol: how a latency is measured so that it comes out the same when measured again.

**Relative to a reference.** A busy neighbour, a changing clock rate or a cold cache change every timing on a machine,
by a quarter and more. But at the same moment they change the timing of every network alike. So networks are timed in
rounds, in random order, each in a short burst between two bursts of a reference network. A round's result is the
ratio network / reference. A network's result is the trimmed mean of its rounds, which varies less between sessions
than their median. Its latency is that ratio times the reference network's own latency, which is calibrated once per
machine and runtime and then kept.

**Several copies.** The latency of a network also depends on where in memory it happens to be, by several per cent
for small ones. So every network is loaded several times (`load_copies`), and its bursts use one copy after the
other. On a busy machine the loading takes as long as the timing, so it counts for the time limit.

**Two timers.** If a runtime works in the calling thread only, an inference is timed by that thread's processor time.
It stands still while the system runs other programs; on a quiet machine it equals the time on the wall clock. The
result of a burst is then its median inference. Otherwise, and where that clock is too coarse, the wall clock is used,
and the result of a burst is its fastest inference, the one that was disturbed least.

**The end.** The interval is a bootstrap confidence interval of the trimmed mean. Measuring a network ends as soon as
half the interval's width is within `PRECISION`, but not before `MIN_SECONDS`; and at `TIME_LIMIT_S` in any case,
loading included.

This module needs numpy and the standard library only, and Python 3.9: it is also sent to other machines.
"""

from __future__ import annotations

import itertools
import math
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from numpy.typing import NDArray

from evomnas.core.system.machine import busy_seconds, clock_tick
from evomnas.results.timing import Calibration, Ratio

VERSION = 6  # of the protocol: latencies of different versions cannot be compared
MIN_ROUNDS = 8
MAX_DISTURBED = 24  # rounds of a network that do not count, where some may not
PRECISION = 0.01  # half the width of the interval, relative to the ratio
MIN_SECONDS, TIME_LIMIT_S = 0.2, 0.48  # per network; the minimum is there since the interval misses slow changes
TRIMMED_SHARE = 0.2  # of the rounds, at either end
MAX_TICK_S = 1e-4  # a clock that goes on by more at a time cannot time inferences
MIN_BURST_S = 0.001  # a burst takes at least this long,
MIN_BURST_RUNS = 3  # and has at least this many inferences,
LONG_RUN_S = 0.005  # or one if an inference takes this long,
MAX_BURST_RUNS = 20  # and at most this many
CALIBRATION_S = 1.0
CALIBRATION_QUANTILE = 0.1
CONFIDENCE = 0.95
BOOTSTRAP_RESAMPLES = 400
MAX_COPIES, MAX_COPIES_OF_SMALL = 3, 6  # of a network in memory; small ones depend more on where they are
SMALL_NETWORK_S = 0.001  # an inference of a small network takes less than this
MAX_LOADING_S, MIN_COPIES = 0.15, 2  # after this time no further copy is loaded, if there are at least so many

Inference = Callable[[], object]  # runs a loaded network once


@dataclass(frozen=True)
class LoadedCopies:
    """A network that was loaded several times.

    Attributes:
        inferences: One function per copy, which runs it once.
        loading_seconds: The time that loading all copies took.
    """

    inferences: Sequence[Inference]
    loading_seconds: float = 0.0


@dataclass(frozen=True)
class Timer:
    """A way to time inferences.

    Attributes:
        now: Returns a time in seconds.
        summarize: Makes the result of a burst from the times of its inferences.
    """

    now: Callable[[], float]
    summarize: Callable[[Sequence[float]], float]


PROCESSOR_TIMER = Timer(time.thread_time, statistics.median)
WALL_TIMER = Timer(time.perf_counter, min)


@cache
def choose_timer(in_caller: bool) -> Timer:
    """Return the timer for a runtime on this machine.

    Args:
        in_caller: Whether all work is done in the calling thread.

    Returns:
        `PROCESSOR_TIMER` if that is so and the clock of a thread's processor time is fine enough. On Windows it goes on
        by 15.6 ms at a time, so the wall clock is used there.
    """
    return PROCESSOR_TIMER if in_caller and clock_tick(time.thread_time) <= MAX_TICK_S else WALL_TIMER


@dataclass
class Series:
    """The rounds of one network so far.

    Attributes:
        index: The network's.
        burst: Runs a burst of the network and returns its result in seconds.
        loading_seconds: The time that loading it took.
        samples: The results of its rounds, relative to the reference.
        seconds: The time that its rounds took.
        disturbed: The number of rounds that did not count.
    """

    index: int
    burst: Callable[[], float]
    loading_seconds: float = 0.0
    samples: list[float] = field(default_factory=list)
    seconds: float = 0.0
    disturbed: int = 0

    def result(self, load: Callable[[], float | None], time_limit_s: float) -> Ratio | None:
        """Return the network's ratio if it is precise or its time is over, else None.

        Args:
            load: Returns the load of the machine.
            time_limit_s: Its time in seconds, loading included.
        """
        count = len(self.samples)
        if count < MIN_ROUNDS or self.seconds < min(MIN_SECONDS, time_limit_s):
            return None
        is_over = self.loading_seconds + self.seconds >= time_limit_s
        if not is_over and count % 4:  # the bootstrap takes time: not after every round
            return None
        low, high = confidence_interval(self.samples)
        ratio = float(trimmed_mean(self.samples))
        is_precise = high - low <= 2 * PRECISION * ratio
        if not is_precise and not is_over:
            return None
        return Ratio(ratio, low, high, tuple(self.samples), self.seconds, is_precise, load())


def compare(
    candidates: Sequence[LoadedCopies],
    reference: LoadedCopies,
    timer: Timer,
    time_limit_s: float = TIME_LIMIT_S,
    seed: int = 0,
) -> Iterator[tuple[int, Ratio]]:
    """Time candidates relative to a reference network, in rounds that contain all of them.

    Args:
        candidates: The networks to time.
        reference: The network with which each of them is compared.
        timer: `PROCESSOR_TIMER` if all work is done in the calling thread, else `WALL_TIMER`.
        time_limit_s: The time for each candidate in seconds, its loading included. All get at least `MIN_ROUNDS`
            rounds and `MIN_SECONDS`.
        seed: The seed of the order within the rounds.

    Yields:
        A candidate's index and its ratio, as soon as it is known.
    """
    waiting = [
        Series(index, _make_bursts(copies, timer), copies.loading_seconds) for index, copies in enumerate(candidates)
    ]
    for index, ratio in compare_bursts(waiting, _make_bursts(reference, timer), time_limit_s, seed, BackgroundLoad()):
        assert ratio is not None  # since no round is too disturbed
        yield index, ratio


def compare_bursts(
    candidates: Sequence[Series],
    time_reference: Callable[[], float],
    time_limit_s: float,
    seed: int = 0,
    load: Callable[[], float | None] = lambda: None,
    max_drift: float = math.inf,
) -> Iterator[tuple[int, Ratio | None]]:
    """Time candidates relative to a reference, whatever runs their bursts; see `compare`.

    Args:
        candidates: The networks to time.
        time_reference: Runs a burst of the reference and returns its result in seconds.
        time_limit_s: See `compare`.
        seed: See `compare`.
        load: Returns the load of the machine.
        max_drift: A round does not count if the reference's time changes by more than this share in it.

    Yields:
        A candidate's index and its ratio; None after `MAX_DISTURBED` rounds that did not count.
    """
    shuffle = random.Random(seed).shuffle
    waiting = list(candidates)
    before = time_reference()
    while waiting:
        shuffle(waiting)
        for series in tuple(waiting):
            started = time.perf_counter()
            candidate_time = series.burst()
            after = time_reference()
            if abs(after - before) > max_drift * before:
                series.disturbed += 1
            else:
                series.samples.append(2 * candidate_time / (before + after))
            series.seconds += time.perf_counter() - started
            before = after
            result = series.result(load, time_limit_s)
            if result is not None or series.disturbed >= MAX_DISTURBED:
                waiting.remove(series)
                yield series.index, result
                before = time_reference()  # again, since the caller may have taken time with the result


def calibrate(reference: LoadedCopies, timer: Timer, seconds: float = CALIBRATION_S) -> Calibration:
    """Measure the reference network's own latency on a quiet machine: a low quantile of its bursts.

    Args:
        reference: The reference network.
        timer: `PROCESSOR_TIMER` if all work is done in the calling thread, else `WALL_TIMER`.
        seconds: The time to spend, beyond which at least `MIN_ROUNDS` bursts are timed.

    Returns:
        The latency in milliseconds, the result of every burst, and the load of the machine.
    """
    return calibrate_burst(_make_bursts(reference, timer), BackgroundLoad(), seconds)


def calibrate_burst(burst: Callable[[], float], load: Callable[[], float | None], seconds: float) -> Calibration:
    """Measure the reference network's own latency, whatever runs its bursts; see `calibrate`.

    Args:
        burst: Runs a burst of the reference and returns its result in seconds.
        load: Returns the load of the machine.
        seconds: See `calibrate`.
    """
    end = time.perf_counter() + seconds
    samples: list[float] = []
    while len(samples) < MIN_ROUNDS or time.perf_counter() < end:
        samples.append(burst() * 1e3)
    return Calibration(float(np.quantile(samples, CALIBRATION_QUANTILE)), tuple(samples), load())


def load_copies(load: Callable[[], Inference]) -> LoadedCopies:
    """Load a network several times: as often as a latency of its size needs, and as the time allows.

    Args:
        load: Loads the network and returns a function that runs it once.

    Returns:
        The copies, and the time that loading took.
    """
    began = time.perf_counter()
    inferences = [load()]
    inferences[0]()  # the first inference is slower than those that follow
    started = time.perf_counter()
    inferences[0]()
    max_copies = MAX_COPIES_OF_SMALL if time.perf_counter() - started < SMALL_NETWORK_S else MAX_COPIES
    while len(inferences) < max_copies and (
        len(inferences) < MIN_COPIES or time.perf_counter() - began < MAX_LOADING_S
    ):
        inferences.append(load())
    return LoadedCopies(inferences, time.perf_counter() - began)


class BackgroundLoad:
    """Measures how many cores other processes keep busy, from its creation on."""

    def __init__(self) -> None:
        self._start = self._now()

    def __call__(self) -> float | None:
        """Return the mean number of busy cores so far, or None if the system does not report it."""
        now = self._now()
        if self._start is None or now is None or now[0] <= self._start[0]:
            return None
        (began, busy_before, own_before), (ended, busy, own) = self._start, now
        return max(0.0, busy - busy_before - own + own_before) / (ended - began)

    @staticmethod
    def _now() -> tuple[float, float, float] | None:
        """Return the wall clock, the processor time of all processes, and that of this one, in seconds."""
        busy = busy_seconds()
        return None if busy is None else (time.perf_counter(), busy, time.process_time())


def trimmed_mean(samples: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean without the largest and the smallest samples, `TRIMMED_SHARE` of them each.

    Args:
        samples: Shape (..., n).

    Returns:
        The trimmed means over the last axis, shape (...).
    """
    ordered = np.sort(np.asarray(samples), axis=-1)
    trimmed = int(TRIMMED_SHARE * ordered.shape[-1])
    mean: NDArray[np.float64] = ordered[..., trimmed : ordered.shape[-1] - trimmed].mean(axis=-1)
    return mean


def confidence_interval(samples: Sequence[float]) -> tuple[float, float]:
    """Return the bootstrap confidence interval of the trimmed mean.

    The resampling is seeded: equal samples have equal intervals.

    Args:
        samples: Shape (n,).

    Returns:
        The lower and the upper end.
    """
    values = np.asarray(samples)
    rng = np.random.default_rng(len(values))
    means = trimmed_mean(values[rng.integers(len(values), size=(BOOTSTRAP_RESAMPLES, len(values)))])
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def _make_bursts(copies: LoadedCopies, timer: Timer) -> Callable[[], float]:
    """Return a function that runs a burst of the next copy in turn and returns its result in seconds."""
    bursts = itertools.cycle([_make_burst(inference, timer) for inference in copies.inferences])
    return lambda: next(bursts)()


def _make_burst(inference: Inference, timer: Timer) -> Callable[[], float]:
    """Return a function that runs a burst and returns its result in seconds.

    The number of inferences in a burst follows from the fastest of three that are run here to warm up.
    """

    def time_once() -> float:
        started = timer.now()
        inference()
        return timer.now() - started

    fastest = max(min(time_once() for _ in range(3)), 1e-9)
    min_runs = MIN_BURST_RUNS if fastest < LONG_RUN_S else 1
    runs = int(np.clip(np.ceil(MIN_BURST_S / fastest), min_runs, MAX_BURST_RUNS))
    return lambda: timer.summarize([time_once() for _ in range(runs)])
