"""How a latency is taken so that it comes out the same when taken again.

A busy neighbour, a changing clock or a cold cache move every timing on a machine, by a quarter and more;
they move the reference network's in the same moment alike. So networks are timed in rounds, in random order,
each by a short burst between two bursts of the reference network. A round counts by the ratio network /
reference, the whole by the trimmed mean of its rounds, which varies less between sessions than their median.
Latency is that ratio times the reference's own calibrated latency, which is taken once per machine and
runtime and then kept.

Where in memory a network happens to lie moves its latency, too, by several per cent for small ones. So every
network is loaded several times (`load_copies`), and its bursts go round its copies. On a busy machine that
takes as long as timing them, so it counts for the time limit.

Where a runtime works in the calling thread alone, runs are timed by that thread's processor time, which
stands still while the system lets others run; on a quiet machine it is the wall-clock time. A burst counts by
its median run. Elsewhere the wall clock is read, and a burst counts by its fastest run, the one that was
disturbed least.

The interval is a bootstrap confidence interval of the trimmed mean; measuring a network ends as soon as its
half-width is within `PRECISION`, but not before `MIN_SECONDS`, or after `TIME_LIMIT_S`, loading included.

numpy and the standard library only: this file is also sent to other machines, with Python 3.9 or newer.
"""

from __future__ import annotations

import itertools
import os
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from evomnas.results.timing import Calibration, Ratio

VERSION = 6  # of the protocol: latencies of different versions are not put side by side
MIN_ROUNDS = 8
PRECISION = 0.01
MIN_SECONDS, TIME_LIMIT_S = 0.2, 0.48  # per network: the interval does not know of slow changes
TRIMMED = 0.2  # of the rounds on either side
BURST_S = 0.001  # a burst is at least this long
MIN_BURST, LONG_RUN_S = 3, 0.005  # and at least so many runs, or one where a run is this long
MAX_BURST = 20
CALIBRATION_S = 1.0
CALIBRATION_QUANTILE = 0.1
CONFIDENCE = 0.95
RESAMPLES = 400
COPIES, COPIES_OF_SMALL, SMALL_S = 3, 6, 0.001  # of every network; small ones depend more on where they lie
LOADING_S, FEWEST_COPIES = 0.15, 2  # no more copies once loading took so long, but so many

Run = Callable[[], object]


@dataclass(frozen=True)
class Copies:
    """A network as often as it was loaded, and the seconds that this took."""

    runs: Sequence[Run]
    seconds: float = 0.0


@dataclass(frozen=True)
class Clock:
    """How a run is timed, and which of a burst's runs counts."""

    now: Callable[[], float]
    count: Callable[[Sequence[float]], float]


PROCESSOR = Clock(time.thread_time, statistics.median)
WALL = Clock(time.perf_counter, min)


@dataclass
class _Series:
    """The rounds of one network so far."""

    index: int
    burst: Callable[[], float]
    loading: float
    samples: list[float] = field(default_factory=list)
    seconds: float = 0.0

    def result(self, load: Load, time_limit_s: float) -> Ratio | None:
        """The network's ratio, once it is precise or its time is over."""
        count = len(self.samples)
        if count < MIN_ROUNDS or self.seconds < min(MIN_SECONDS, time_limit_s):
            return None
        over = self.loading + self.seconds >= time_limit_s
        if not over and count % 4:  # resampling takes its time
            return None
        low, high = interval(self.samples)
        middle = float(centre(self.samples))
        precise = high - low <= 2 * PRECISION * middle
        if not precise and not over:
            return None
        return Ratio(middle, low, high, tuple(self.samples), self.seconds, precise, load())


def compare(
    candidates: Sequence[Copies],
    reference: Copies,
    clock: Clock,
    time_limit_s: float = TIME_LIMIT_S,
    seed: int = 0,
) -> Iterator[tuple[int, Ratio]]:
    """Time candidates relative to `reference`, in interleaved rounds; yields (index, ratio) as each ends.

    Args:
        candidates: What is timed.
        reference: What each is compared with.
        clock: `PROCESSOR` where all work is done in the calling thread, else `WALL`.
        time_limit_s: For each candidate, its loading included; all get `MIN_ROUNDS` rounds and `MIN_SECONDS`.
        seed: Of the order within the rounds.
    """
    shuffle = random.Random(seed).shuffle
    load = Load()
    time_reference = _bursts(reference, clock)
    waiting = [_Series(index, _bursts(copies, clock), copies.seconds) for index, copies in enumerate(candidates)]
    before = time_reference()
    while waiting:
        shuffle(waiting)
        for series in tuple(waiting):
            started = time.perf_counter()
            own = series.burst()
            after = time_reference()
            series.samples.append(2 * own / (before + after))
            series.seconds += time.perf_counter() - started
            before = after
            result = series.result(load, time_limit_s)
            if result is not None:
                waiting.remove(series)
                yield series.index, result
                before = time_reference()  # whoever took the result may have taken his time


def calibrate(reference: Copies, clock: Clock, seconds: float = CALIBRATION_S) -> Calibration:
    """The reference network's latency on a quiet machine: a low quantile over bursts."""
    load = Load()
    burst = _bursts(reference, clock)
    end = time.perf_counter() + seconds
    samples: list[float] = []
    while len(samples) < MIN_ROUNDS or time.perf_counter() < end:
        samples.append(burst() * 1e3)
    return Calibration(float(np.quantile(samples, CALIBRATION_QUANTILE)), tuple(samples), load())


def load_copies(load: Callable[[], Run]) -> Copies:
    """Load a network as often as its latency needs it and the time allows."""
    began = time.perf_counter()
    runs = [load()]
    runs[0]()  # the first run is a cold one
    started = time.perf_counter()
    runs[0]()
    wanted = COPIES_OF_SMALL if time.perf_counter() - started < SMALL_S else COPIES
    while len(runs) < wanted and (len(runs) < FEWEST_COPIES or time.perf_counter() - began < LOADING_S):
        runs.append(load())
    return Copies(runs, time.perf_counter() - began)


class Load:
    """Cores that are busy with something else than this process, since this was made."""

    def __init__(self) -> None:
        self._start = self._now()

    def __call__(self) -> float | None:
        """The mean so far; None where the system does not tell."""
        now = self._now()
        if self._start is None or now is None or now[0] <= self._start[0]:
            return None
        (began, busy_before, own_before), (ended, busy, own) = self._start, now
        return max(0.0, busy - busy_before - own + own_before) / (ended - began)

    @staticmethod
    def _now() -> tuple[float, float, float] | None:
        try:
            with open("/proc/stat", encoding="ascii") as file:
                user, nice, system, _, _, irq, softirq, steal = map(int, file.readline().split()[1:9])
        except (OSError, ValueError):
            return None
        busy = (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
        return time.perf_counter(), busy, time.process_time()


def centre(samples: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over the last axis without the largest and the smallest `TRIMMED` of it."""
    ordered = np.sort(np.asarray(samples), axis=-1)
    cut = int(TRIMMED * ordered.shape[-1])
    middle: NDArray[np.float64] = ordered[..., cut : ordered.shape[-1] - cut].mean(axis=-1)
    return middle


def interval(samples: Sequence[float]) -> tuple[float, float]:
    """Bootstrap confidence interval of the centre; the resampling is seeded, so it is a function."""
    values = np.asarray(samples)
    rng = np.random.default_rng(len(values))
    centres = centre(values[rng.integers(len(values), size=(RESAMPLES, len(values)))])
    low, high = np.quantile(centres, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def _bursts(copies: Copies, clock: Clock) -> Callable[[], float]:
    """A function that runs a burst of the next copy, round and round."""
    following = itertools.cycle([_burst(run, clock) for run in copies.runs])
    return lambda: next(following)()


def _burst(run: Run, clock: Clock) -> Callable[[], float]:
    """A function that runs a burst and returns the seconds of the run that counts.

    How many runs make a burst follows from the fastest of three that also warm up.
    """

    def once() -> float:
        started = clock.now()
        run()
        return clock.now() - started

    fastest = max(min(once() for _ in range(3)), 1e-9)
    runs = int(np.clip(np.ceil(BURST_S / fastest), MIN_BURST if fastest < LONG_RUN_S else 1, MAX_BURST))
    return lambda: clock.count([once() for _ in range(runs)])
