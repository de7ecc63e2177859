"""Tests of whether the runs of one algorithm end higher than those of another by more than chance.

Pairs of algorithms are compared by the two-sided Mann-Whitney rank test [1]. The effect size is Vargha and Delaney's
A12 [2]: the chance that a run of the first algorithm ends higher than a run of the second, with ties counted half.
Where there are several pairs, p is corrected by Holm's method [3].

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

SIGNIFICANCE_LEVEL = 0.05
MAX_EXACT_PRODUCT = 2500  # of the two numbers of runs; up to it p is exact, where there are no ties


@dataclass(frozen=True, slots=True)
class Pair:
    """The comparison of the runs of two algorithms.

    Attributes:
        first: Name of the first algorithm.
        second: Name of the second algorithm.
        effect: A12 of the first against the second. It is 0.5 where neither is ahead, and 1 where every run of the
            first ends higher.
        p: Two-sided p, Holm-corrected over all tested pairs; None where there are too few seeds for a test.
    """

    first: str
    second: str
    effect: float
    p: float | None

    @property
    def significant(self) -> bool:
        """True where p is below `SIGNIFICANCE_LEVEL`."""
        return self.p is not None and self.p < SIGNIFICANCE_LEVEL


def compare_pairs(finals: Mapping[str, Sequence[float]]) -> list[Pair]:
    """Compare every two algorithms by the values at which their runs end.

    A pair is tested only if its numbers of runs could give a corrected p below `SIGNIFICANCE_LEVEL` at all.

    Args:
        finals: The final values of the runs of each algorithm, by the algorithm's name. Larger is better.

    Returns:
        The pairs, in the order of the algorithms.
    """
    pairs = list(itertools.combinations(finals, 2))
    runs = {name: len(values) for name, values in finals.items()}
    tested = [pair for pair in pairs if _can_be_significant(runs[pair[0]], runs[pair[1]], len(pairs))]
    p_values = [_mann_whitney_p(finals[first], finals[second]) for first, second in tested]
    corrected = dict(zip(tested, holm(p_values), strict=True))
    return [Pair(*pair, a12(finals[pair[0]], finals[pair[1]]), corrected.get(pair)) for pair in pairs]


def _can_be_significant(first: int, second: int, pairs: int) -> bool:
    return min_p(first, second) * pairs < SIGNIFICANCE_LEVEL


def min_p(first: int, second: int) -> float:
    """Return the smallest two-sided p that two numbers of runs can have.

    Two of all the orders in which the runs can end are the most extreme ones.

    Args:
        first: Number of runs of the first algorithm.
        second: Number of runs of the second algorithm.

    Returns:
        A share from 0 to 1, not corrected for several pairs.
    """
    return 2 / math.comb(first + second, first)


def seeds_needed(algorithms: int) -> int:
    """Return the number of runs that each algorithm needs before any corrected p can be below `SIGNIFICANCE_LEVEL`.

    Args:
        algorithms: Number of algorithms that are compared.

    Returns:
        The number of runs; 1 for a single algorithm, which has no pair.
    """
    pairs = math.comb(algorithms, 2)
    return next(seeds for seeds in itertools.count(1) if _can_be_significant(seeds, seeds, pairs))


def a12(first: Sequence[float], second: Sequence[float]) -> float:
    """Return Vargha and Delaney's A12 = U / (n m), the chance that a value of the first exceeds one of the second.

    Args:
        first: n values.
        second: m values.

    Returns:
        A share from 0 to 1. Ties count half.
    """
    return float(mannwhitneyu(first, second).statistic) / (len(first) * len(second))


def _mann_whitney_p(first: Sequence[float], second: Sequence[float]) -> float:
    has_ties = len(np.unique([*first, *second])) < len(first) + len(second)  # the exact distribution knows no ties
    is_exact = not has_ties and len(first) * len(second) <= MAX_EXACT_PRODUCT
    return float(mannwhitneyu(first, second, method="exact" if is_exact else "asymptotic").pvalue)


def holm(values: Sequence[float]) -> list[float]:
    """Correct p values of several tests by Holm's method.

    Args:
        values: The p values, in any order.

    Returns:
        The corrected p values, in the same order.
    """
    corrected, floor = [0.0] * len(values), 0.0  # a larger p must not become smaller than a smaller one
    for rank, index in enumerate(np.argsort(values, kind="stable")):
        floor = max(floor, min(1.0, (len(values) - rank) * values[index]))
        corrected[index] = floor
    return corrected
