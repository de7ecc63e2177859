"""How alike two columns of numbers rank: Kendall's tau-b.

SciPy has it, too, in a package that takes longer to import than a run takes to be shown.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
MAX_PAIRED = 150  # values whose pairs are compared one by one; of more, sorting is faster


def kendall_tau(first: Floats, second: Floats) -> float:
    """Return Kendall's tau-b of two columns of values.

    Args:
        first: Values, shape (n,), none NaN.
        second: Values, shape (n,), none NaN.

    Returns:
        From -1 to 1; NaN where all values of a column are equal, or there are fewer than two.
    """
    count = _count_by_pairs if len(first) <= MAX_PAIRED else _count_by_sorting
    surplus, ordered, ordered_too = count(first, second)
    if not ordered or not ordered_too:
        return float("nan")
    return max(-1.0, min(1.0, surplus / math.sqrt(ordered) / math.sqrt(ordered_too)))


def _count_by_pairs(first: Floats, second: Floats) -> tuple[int, int, int]:
    """Return the pairs that are ordered alike less those that are not, and the pairs that differ in either column."""
    above, above_too = (values[:, None] > values for values in (first, second))
    alike, against = np.count_nonzero(above & above_too), np.count_nonzero(above & above_too.T)
    return int(alike - against), int(np.count_nonzero(above)), int(np.count_nonzero(above_too))


def _count_by_sorting(first: Floats, second: Floats) -> tuple[int, int, int]:
    """Return the same as `_count_by_pairs`, of columns whose pairs are too many to be looked at."""
    order = np.lexsort((second, first))
    one, two = first[order], second[order]
    pairs = len(one) * (len(one) - 1) // 2
    differ, differ_too = np.diff(one) != 0, np.diff(two) != 0
    ties, ties_too = _pairs_within(differ), _pairs_within(np.diff(np.sort(two)) != 0)
    # Tied pairs are ordered neither way.
    surplus = pairs - ties - ties_too + _pairs_within(differ | differ_too) - 2 * _inversions(two)
    return surplus, pairs - ties, pairs - ties_too


def _pairs_within(is_edge: NDArray[np.bool_]) -> int:
    """Return the number of pairs within groups of neighbours, between which there are edges of the shape (n - 1,)."""
    ends = np.concatenate([[-1], np.flatnonzero(is_edge), [len(is_edge)]])
    sizes = np.diff(ends)
    return int((sizes * (sizes - 1) // 2).sum())


def _inversions(values: Floats) -> int:
    """Return how many pairs stand in falling order, by a merge sort that counts."""
    rows = np.full((1 << (len(values) - 1).bit_length(), 1), np.inf)
    rows[: len(values), 0] = values
    count = 0
    while len(rows) > 1:
        width = rows.shape[1]
        rows = rows.reshape(-1, 2 * width)
        order = rows.argsort(axis=1, kind="stable")
        places = np.arange(2 * width)
        count += int(((order - places) * (order >= width)).sum())  # how far values of the right halves move to the left
        rows = np.take_along_axis(rows, order, axis=1)
    return count
