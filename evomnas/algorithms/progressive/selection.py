"""Selection of networks by Pareto dominance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evomnas.problem.pareto import non_dominated


def select_spread(losses: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Select points front by front. Of a front that does not fit whole, take points at equal steps along it.

    Args:
        losses: (error, cost), finite, shape (n, 2).
        count: Number of points to select, at least 2.

    Returns:
        Rows, shape (min(n, count),). The two ends of a front that is cut are among them, if there is room for two.
    """
    rest, selected = np.arange(len(losses)), np.zeros(0, dtype=np.int64)
    while len(rest) and len(selected) < count:
        is_front = non_dominated(losses[rest])
        front, room = rest[is_front], count - len(selected)
        if len(front) > room:
            by_cost = front[np.argsort(losses[front, 1], kind="stable")]
            front = by_cost[np.linspace(0, len(front) - 1, room).round().astype(np.int64)]
        selected, rest = np.concatenate([selected, front]), rest[~is_front]
    return selected
