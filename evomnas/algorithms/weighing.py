"""How many costs of candidates are worth knowing before a batch is chosen."""

from __future__ import annotations

MAX_SHARE = 0.1  # of the time of a batch's evaluations, for the costs of candidates that may not be evaluated
MAX_CANDIDATES = 64  # per batch
MIN_PER_NETWORK = 2  # of the batch, which is chosen from the measured ones alone; with fewer, none is measured


def measurable_candidates(price: float, batch: int) -> int:
    """Return of how many candidates the costs may be measured for a batch.

    Args:
        price: See `evomnas.algorithms.base.Weighing.consider`; positive.
        batch: Number of networks of the batch.

    Returns:
        The number; 0 where there would be too few to choose a batch from.
    """
    maximum = min(MAX_CANDIDATES, int(MAX_SHARE * batch / price))
    return maximum if maximum >= MIN_PER_NETWORK * batch else 0
