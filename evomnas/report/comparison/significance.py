"""Whether runs of one algorithm end higher than another's, or whether chance alone would do as much.

Mann-Whitney: the rank test of [1], two-sided. Vargha-Delaney A12: the effect size of [2], the chance that a run of
the first ends higher than a run of the second, ties counted half. Holm: the correction of [3] for several pairs.

[1] Mann and Whitney, Annals of Mathematical Statistics 18, 1947.
[2] Vargha and Delaney, Journal of Educational and Behavioral Statistics 25, 2000.
[3] Holm, Scandinavian Journal of Statistics 6, 1979.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import mannwhitneyu

LEVEL = 0.05
MOST_EXACT = 2500  # product of the numbers of runs up to which p is exact (where there are no ties)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two algorithms' runs against each other.

    Attributes:
        first, second: Their names.
        effect: Vargha-Delaney A12 of the first against the second: 0.5 where neither is ahead, 1 where every run of
            the first ends higher.
        p: Two-sided, Holm-corrected over all tested pairs; None where there are too few seeds.
    """

    first: str
    second: str
    effect: float
    p: float | None

    @property
    def significant(self) -> bool:
        """Whether chance alone would hardly do as much."""
        return self.p is not None and self.p < LEVEL


def compare_pairs(finals: Mapping[str, Sequence[float]]) -> list[Pair]:
    """Every pair of algorithms, by the values at which their runs end.

    A pair is tested where its seeds could give a corrected p below `LEVEL` at all.
    """
    names = list(itertools.combinations(finals, 2))
    tested = [pair for pair in names if least_p(len(finals[pair[0]]), len(finals[pair[1]])) * len(names) < LEVEL]
    raw = [_p(finals[first], finals[second]) for first, second in tested]
    corrected = dict(zip(tested, holm(raw), strict=True))
    return [Pair(*pair, a12(finals[pair[0]], finals[pair[1]]), corrected.get(pair)) for pair in names]


def least_p(first: int, second: int) -> float:
    """The smallest two-sided p of so many runs: 2 of all the orders that they can end in are as extreme."""
    return 2 / math.comb(first + second, first)


def seeds_needed(algorithms: int) -> int:
    """Runs that each of so many algorithms needs before any corrected p can fall below `LEVEL`."""
    pairs = math.comb(algorithms, 2)
    return next(seeds for seeds in itertools.count(1) if least_p(seeds, seeds) * pairs < LEVEL)


def a12(first: Sequence[float], second: Sequence[float]) -> float:
    """Vargha-Delaney A12: U / (n m)."""
    return float(mannwhitneyu(first, second).statistic) / (len(first) * len(second))


def _p(first: Sequence[float], second: Sequence[float]) -> float:
    tied = len(np.unique([*first, *second])) < len(first) + len(second)  # the exact distribution knows no ties
    exact = not tied and len(first) * len(second) <= MOST_EXACT
    return float(mannwhitneyu(first, second, method="exact" if exact else "asymptotic").pvalue)


def holm(values: Sequence[float]) -> list[float]:
    """Holm-corrected p values, in the order given."""
    corrected, least = [0.0] * len(values), 0.0
    for rank, index in enumerate(np.argsort(values, kind="stable")):
        least = max(least, min(1.0, (len(values) - rank) * values[index]))
        corrected[index] = least
    return corrected
