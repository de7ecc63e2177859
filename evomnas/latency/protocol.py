"""How a latency is taken so that it comes out the same when taken again.

A busy neighbour, a changing clock or a cold cache move every timing on a machine, by a quarter and more;
they move the reference network's in the same moment alike. So a network is timed in rounds, each a short
burst of the network between two bursts of the reference network. A burst counts by its fastest run, a
round by the ratio network / reference, the whole by the median of its rounds. Latency is that ratio times
the reference's own calibrated latency, which is taken once per machine and runtime and then kept.

The interval is a bootstrap confidence interval of the median over rounds; measuring ends as soon as its
half-width is within `PRECISION`, or after `TIME_LIMIT_S`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MIN_ROUNDS = 12
PRECISION = 0.01
TIME_LIMIT_S = 0.5
BURST_S = 0.001  # a burst is at least this long and at least MIN_BURST runs
MIN_BURST = 3
MAX_BURST = 20
CALIBRATION_S = 1.0
CONFIDENCE = 0.95
RESAMPLES = 400

Run = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Ratio:
    """Latency relative to the reference network.

    Attributes:
        ratio: Median over rounds.
        low, high: Bootstrap confidence interval (95 %).
        samples: The ratio of every round.
        seconds: How long measuring took.
    """

    ratio: float
    low: float
    high: float
    samples: tuple[float, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """The reference network's own latency in milliseconds, with every burst's."""

    latency_ms: float
    samples_ms: tuple[float, ...]


def compare(candidate: Run, reference: Run, time_limit_s: float = TIME_LIMIT_S) -> Ratio:
    """Time `candidate` relative to `reference`, in interleaved rounds."""
    started = time.perf_counter()
    runs, reference_runs = _burst_length(candidate), _burst_length(reference)
    before = _burst(reference, reference_runs)
    samples: list[float] = []
    while True:
        own = _burst(candidate, runs)
        after = _burst(reference, reference_runs)
        samples.append(2 * own / (before + after))
        before = after
        elapsed = time.perf_counter() - started
        if len(samples) >= MIN_ROUNDS and len(samples) % 4 == 0:
            low, high = median_interval(samples)
            if high - low <= 2 * PRECISION * float(np.median(samples)) or elapsed >= time_limit_s:
                return Ratio(float(np.median(samples)), low, high, tuple(samples), elapsed)


def calibrate(reference: Run, seconds: float = CALIBRATION_S) -> Calibration:
    """The reference network's latency: the median over bursts of each burst's fastest run."""
    runs = _burst_length(reference)
    end = time.perf_counter() + seconds
    samples: list[float] = []
    while len(samples) < MIN_ROUNDS or time.perf_counter() < end:
        samples.append(_burst(reference, runs) * 1e3)
    return Calibration(float(np.median(samples)), tuple(samples))


def median_interval(samples: list[float] | tuple[float, ...]) -> tuple[float, float]:
    """Bootstrap confidence interval of the median; the resampling is seeded, so it is a function."""
    values = np.asarray(samples)
    rng = np.random.default_rng(len(values))
    medians: NDArray[np.float64] = np.median(values[rng.integers(len(values), size=(RESAMPLES, len(values)))], axis=1)
    low, high = np.quantile(medians, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def _burst_length(run: Run) -> int:
    """Runs per burst, from the fastest of three runs that also warm up."""
    fastest = _burst(run, 3)
    return int(np.clip(np.ceil(BURST_S / fastest), MIN_BURST, MAX_BURST))


def _burst(run: Run, runs: int) -> float:
    """The fastest of `runs` runs, in seconds."""
    fastest = float("inf")
    for _ in range(runs):
        started = time.perf_counter()
        run()
        fastest = min(fastest, time.perf_counter() - started)
    return fastest
