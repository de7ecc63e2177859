"""How well shorter trainings rank networks, compared with a repeat of the whole ones.

The yardstick is a whole training of each network with another seed. Even whole trainings rank networks otherwise when
they are repeated, so their own rank correlation with the repeat is the most that a shorter training can reach.

Few networks tell little about a rank correlation. So the networks are drawn anew, with replacement, `SAMPLES` times
(bootstrap), and what all correlations of a sample have in common cancels in their difference.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evomnas.core.numbers.ranks import kendall_tau

SAMPLES = 2000
QUANTILES = (0.05, 0.95)
MARGIN = 0.1  # shorter trainings rank as well if their correlation is lower by less than this
MIN_CHANCE = 2 / 3  # with which they must do so to be proposed

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Ranking:
    """Rank correlations of trainings of one length.

    Attributes:
        tau: Kendall's tau-b between their scores and those of whole trainings with another seed, from -1 to 1; NaN
            where all networks have the same score.
        interval: Its 5 % and 95 % quantiles over the networks.
        difference: That tau less the one of whole trainings; 0 for these.
        difference_interval: Its quantiles.
        chance: The share of the samples in which the difference is above -`MARGIN`.
    """

    tau: float
    interval: tuple[float, float]
    difference: float
    difference_interval: tuple[float, float]
    chance: float


def compare_rankings(scores: Mapping[int, Floats], repeat: Floats) -> dict[int, Ranking]:
    """Compare trainings of different lengths with whole ones that were repeated.

    Args:
        scores: The scores of the same n networks by the epochs of their trainings, shape (n,) each; the most epochs are
            those of whole trainings.
        repeat: Their scores by whole trainings with another seed, shape (n,).

    Returns:
        The rankings by epochs, ascending.
    """
    rng = np.random.default_rng(0)
    draws = [np.arange(len(repeat)), *(rng.integers(len(repeat), size=len(repeat)) for _ in range(SAMPLES))]
    epochs = sorted(scores)
    taus = np.array([[kendall_tau(scores[one][draw], repeat[draw]) for one in epochs] for draw in draws])
    differences = taus - taus[:, -1:]
    return {
        one: Ranking(
            tau=float(taus[0, column]),
            interval=_quantiles(taus[1:, column]),
            difference=float(differences[0, column]),
            difference_interval=_quantiles(differences[1:, column]),
            chance=float((differences[1:, column] > -MARGIN).mean()),
        )
        for column, one in enumerate(epochs)
    }


def propose_epochs(rankings: Mapping[int, Ranking]) -> int:
    """Return the fewest epochs that rank networks as well as whole trainings do, as far as that is known.

    Args:
        rankings: By epochs; the most are those of whole trainings.

    Returns:
        The epochs. They are those of whole trainings where it is not known that fewer do, or where whole trainings
        themselves do not rank networks: then nothing can be compared.
    """
    whole = max(rankings)
    if not rankings[whole].interval[0] > 0:
        return whole
    return min(epochs for epochs, ranking in rankings.items() if epochs == whole or ranking.chance >= MIN_CHANCE)


def _quantiles(values: Floats) -> tuple[float, float]:
    """Return the 5 % and 95 % quantiles of the values that are not NaN; NaN where there are none."""
    known = values[np.isfinite(values)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.quantile(known, QUANTILES)
    return float(low), float(high)
