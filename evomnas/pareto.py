"""Pareto fronts, hypervolume and attainment of minimised objectives (moocore)."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

import moocore
import numpy as np
from numpy.typing import ArrayLike, NDArray


def non_dominated(losses: ArrayLike) -> NDArray[np.bool_]:
    """Which of the points of shape (n, m) no other point dominates; equal points are all kept."""
    points = np.asarray(losses, dtype=np.float64)
    if len(points) == 0:
        return np.zeros(0, dtype=bool)
    return np.asarray(moocore.is_nondominated(points, keep_weakly=True), dtype=bool)


def knee(front: ArrayLike) -> int:
    """The index of a front's knee, of points of shape (n, 2): the one farthest below the line through its two ends.

    Both objectives count by their range on the front (Das, Structural Optimization 1999); of a front of one or two
    points, or where none lies below the line, it is the first.
    """
    points = np.asarray(front, dtype=np.float64).reshape(-1, 2)
    low, span = points.min(0), np.ptp(points, axis=0)
    scaled = (points - low) / np.where(span > 0, span, 1.0)
    return int(np.argmin(scaled.sum(1)))


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


def hypervolume_curve(losses: ArrayLike, reference_point: ArrayLike) -> NDArray[np.float64]:
    """`hypervolume` of the first 1, 2, ... of the points of shape (n, 2), shape (n,); infinite points add nothing.

    It is computed anew only where a point extends the front, which few do once a search is under way.
    """
    reference = np.asarray(reference_point, dtype=np.float64)
    points = np.asarray(losses, dtype=np.float64).reshape(-1, 2)
    curve = np.zeros(len(points))
    front: tuple[list[float], list[float]] = [], []
    value = 0.0
    for index, (x, y) in enumerate(points.tolist()):
        if x < reference[0] and y < reference[1] and _extend(front, x, y):
            value = hypervolume(np.column_stack(front), reference)
        curve[index] = value
    return curve


def _extend(front: tuple[list[float], list[float]], x: float, y: float) -> bool:
    """Add a point to a front, whose xs rise and ys fall, unless one there is as good; drop what it dominates."""
    xs, ys = front
    before = bisect_right(xs, x)
    if before and ys[before - 1] <= y:
        return False
    start = end = bisect_left(xs, x)
    while end < len(ys) and ys[end] >= y:
        end += 1
    xs[start:end], ys[start:end] = [x], [y]
    return True


def attainment(fronts: Sequence[ArrayLike], level: int) -> NDArray[np.float64]:
    """Where at least `level` of the fronts attain: the surface's corners, shape (n, 2), from left to right.

    A front, of shape (k, 2), attains every point that one of its points equals or dominates. A front without
    points attains nothing, and counts. With a level of 1 this is the joined front; with all, what all attain.
    (Fonseca et al., EMO 2011.)
    """
    sets = [points for points in (np.asarray(one, dtype=np.float64).reshape(-1, 2) for one in fronts) if len(points)]
    if level > len(sets):
        return np.zeros((0, 2))
    numbers = np.repeat(np.arange(len(sets)), [len(points) for points in sets])
    surfaces = moocore.eaf(np.concatenate(sets), numbers)
    corners = surfaces[surfaces[:, 2] == np.unique(surfaces[:, 2])[level - 1], :2]
    return np.asarray(corners[np.argsort(corners[:, 0])], dtype=np.float64)
