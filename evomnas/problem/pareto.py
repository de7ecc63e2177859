"""Pareto fronts, hypervolume and attainment of minimised objectives (moocore)."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Generic, TypeVar

import moocore
import numpy as np
from numpy.typing import ArrayLike, NDArray

T = TypeVar("T")

KNEE_DEPTH = 0.1  # of the unit square: what lies less deep looks straight


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


def hypervolume_curve(losses: ArrayLike, reference_point: ArrayLike) -> NDArray[np.float64]:
    """`hypervolume` of the first 1, 2, ... of the points of shape (n, 2), shape (n,); infinite points add nothing.

    It is computed anew only where a point extends the front, which few do once a search is under way.
    """
    reference = np.asarray(reference_point, dtype=np.float64)
    points = np.asarray(losses, dtype=np.float64).reshape(-1, 2)
    curve = np.zeros(len(points))
    front: Front[None] = Front()
    value = 0.0
    for index, (x, y) in enumerate(points.tolist()):
        if x < reference[0] and y < reference[1] and front.add((x, y), None):
            value = hypervolume(front.points, reference)
        curve[index] = value
    return curve


class Front(Generic[T]):
    """The non-dominated ones of what was added so far, each with two losses; equal losses are all kept.

    Adding takes a bisection, so that a search of any length knows its front at any time.
    """

    def __init__(self) -> None:
        self._xs: list[float] = []  # they rise, and the ys fall
        self._ys: list[float] = []
        self._items: list[list[T]] = []

    @property
    def points(self) -> list[tuple[float, float]]:
        """The distinct losses, the first one rising."""
        return list(zip(self._xs, self._ys, strict=True))

    @property
    def items(self) -> list[T]:
        """What is on the front, the first loss rising."""
        return [item for items in self._items for item in items]

    def least_first(self, second: float) -> float | None:
        """The least first loss of those whose second one is at most `second`; None where there is none."""
        place = bisect_left(self._ys, -second, key=lambda y: -y)
        return self._xs[place] if place < len(self._xs) else None

    def add(self, losses: tuple[float, float], item: T) -> bool:
        """Add an item, and drop what it dominates; False where the front's points stay as they are."""
        x, y = losses
        before = bisect_right(self._xs, x)
        if before and self._ys[before - 1] <= y:
            if (self._xs[before - 1], self._ys[before - 1]) == (x, y):
                self._items[before - 1].append(item)
            return False
        start = end = bisect_left(self._xs, x)
        while end < len(self._ys) and self._ys[end] >= y:
            end += 1
        self._xs[start:end], self._ys[start:end], self._items[start:end] = [x], [y], [[item]]
        return True


def knees(losses: ArrayLike) -> list[int]:
    """Which points of a front of shape (n, 2) are its knees, the most marked one first; none on a straight front.

    The knee is the point that lies furthest below the straight line between the front's ends, both axes scaled to
    [0, 1] (Das, "On characterizing the knee of the Pareto curve", 1999). The parts on either side of it are
    searched in the same way. A point counts where it lies deeper than `KNEE_DEPTH`.
    """
    points = np.asarray(losses, dtype=np.float64).reshape(-1, 2)
    order = np.argsort(points[:, 1], kind="stable")
    whole = _knee(points, order)
    if whole is None:
        return []
    sides = (_knee(points, order[: whole + 1]), _knee(points, order[whole:]))
    places = [whole, *(start + side for start, side in zip((0, whole), sides, strict=True) if side is not None)]
    return [int(order[place]) for place in places]


def _knee(points: NDArray[np.float64], order: NDArray[np.intp]) -> int | None:
    """Which of the points in `order`, which rise along the second axis, is deepest below the line between its ends."""
    part = points[order]
    span = np.ptp(part, axis=0) if len(part) > 2 else np.zeros(2)
    if not np.all(span > 0):
        return None
    scaled = (part - part.min(axis=0)) / span  # from (1, 0) to (0, 1)
    depth = (1 - scaled.sum(axis=1)) / np.sqrt(2)
    deepest = int(np.argmax(depth))
    return deepest if depth[deepest] > KNEE_DEPTH else None


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
