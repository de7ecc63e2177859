"""Pareto fronts and hypervolume of minimised objectives (moocore)."""

from __future__ import annotations

import moocore
import numpy as np
from numpy.typing import ArrayLike, NDArray


def non_dominated(losses: ArrayLike) -> NDArray[np.bool_]:
    """Which of the points of shape (n, m) no other point dominates; equal points are all kept."""
    points = np.asarray(losses, dtype=np.float64)
    if len(points) == 0:
        return np.zeros(0, dtype=bool)
    return np.asarray(moocore.is_nondominated(points, keep_weakly=True), dtype=bool)


def hypervolume(losses: ArrayLike, reference_point: ArrayLike) -> float:
    """Share of the box between the origin and `reference_point` that the points of shape (n, m) dominate.

    Points outside the box count for nothing; without any point the share is 0, and 1 cannot be exceeded.
    """
    reference = np.asarray(reference_point, dtype=np.float64)
    points = np.asarray(losses, dtype=np.float64).reshape(-1, len(reference))
    points = points[np.all(points < reference, axis=1)]
    if len(points) == 0:
        return 0.0
    return float(moocore.hypervolume(points, ref=reference)) / float(np.prod(reference))
