"""Latencies relative to the reference network, as a device reports them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Ratio:
    """Latency relative to the reference network.

    Attributes:
        ratio: Trimmed mean over rounds.
        low, high: Bootstrap confidence interval (95 %).
        samples: The ratio of every round.
        seconds: Time spent on this network, the reference's bursts included.
        precise: Whether the interval came within `PRECISION`; else the time limit ended it.
        load: Cores that were busy with something else meanwhile; None where the system does not tell.
    """

    ratio: float
    low: float
    high: float
    samples: tuple[float, ...]
    seconds: float
    precise: bool
    load: float | None


@dataclass(frozen=True)
class Calibration:
    """The reference network's own latency in milliseconds, with every burst's, and the load meanwhile."""

    latency_ms: float
    samples_ms: tuple[float, ...]
    load: float | None
