"""Pareto fronts, hypervolume, knees and attainment. All objectives are minimised. moocore does the heavy work."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import moocore
import numpy as np
from numpy.typing import ArrayLike, NDArray

Item = TypeVar("Item")

MIN_KNEE_DEPTH = 0.1  # in a front scaled to the unit square; a bend that is less deep looks straight to the eye


def non_dominated(losses: ArrayLike) -> NDArray[np.bool_]:
    """Return a mask of the points that no other point dominates.

    Args:
        losses: Points, shape (n, m). There may be none.

    Returns:
        Shape (n,). Equal points do not dominate each other, so all of them are kept.
    """
    points = np.asarray(losses, dtype=np.float64)
    if len(points) == 0:
        return np.zeros(0, dtype=bool)
    return np.asarray(moocore.is_nondominated(points, keep_weakly=True), dtype=bool)


def hypervolume(losses: ArrayLike, reference_point: ArrayLike) -> float:
    """Return the share of the box between the origin and the reference point that some points dominate.

    Args:
        losses: Points, shape (n, m). There may be none.
        reference_point: The box's upper corner, shape (m,), all positive.

    Returns:
        A share from 0, also without any point, to 1. Points outside the box count for nothing.
    """
    reference = np.asarray(reference_point, dtype=np.float64)
    points = np.asarray(losses, dtype=np.float64).reshape(-1, len(reference))
    points = points[np.all(points < reference, axis=1)]
    if len(points) == 0:
        return 0.0
    return float(moocore.hypervolume(points, ref=reference)) / float(np.prod(reference))


def hypervolume_curve(losses: ArrayLike, reference_point: ArrayLike) -> NDArray[np.float64]:
    """Return the hypervolume of the first 1, 2, 3, ... points.

    It is computed anew only where a point extends the front. Once a search is under way, few points do.

    Args:
        losses: Points in their order, shape (n, m). An infinite point adds nothing.
        reference_point: As of `hypervolume`, shape (m,).

    Returns:
        Shape (n,). Element i is the `hypervolume` of points 0 to i.
    """
    reference = np.asarray(reference_point, dtype=np.float64)
    points = np.asarray(losses, dtype=np.float64).reshape(-1, len(reference))
    within = np.all(points < reference, axis=1)
    curve = np.zeros(len(points))
    front = growing_front(len(reference))
    value = 0.0
    for index, point in enumerate(points.tolist()):
        if within[index] and front.add(tuple(point), None):
            value = hypervolume(front.points, reference)
        curve[index] = value
    return curve


class Front(ABC, Generic[Item]):
    """A Pareto front that grows: of all items added so far, it keeps those that no other dominates.

    Every item has losses. Items of equal losses are all kept.
    """

    @property
    @abstractmethod
    def points(self) -> list[tuple[float, ...]]:
        """The distinct losses on the front, in the order of a rising first loss."""

    @property
    @abstractmethod
    def items(self) -> list[Item]:
        """The items on the front, in the order of `points`."""

    @abstractmethod
    def least_first_loss(self, max_others: Sequence[float]) -> float | None:
        """Return the least first loss among the items whose other losses are small enough.

        Args:
            max_others: The largest values of all losses but the first that are small enough.

        Returns:
            The least first loss; None where no item's other losses are small enough.
        """

    @abstractmethod
    def add(self, losses: tuple[float, ...], item: Item) -> bool:
        """Add an item unless another dominates it, and drop the items that it dominates.

        Args:
            losses: The item's losses.
            item: The item.

        Returns:
            True where `points` has changed; False where the item is dominated, or lies on a point that was there.
        """


class PlaneFront(Front[Item]):
    """A growing front of two losses. Adding takes a bisection, so a search of any length can know its front."""

    def __init__(self) -> None:
        self._firsts: list[float] = []  # the first losses, rising; the second losses fall
        self._seconds: list[float] = []
        self._items: list[list[Item]] = []

    @property
    def points(self) -> list[tuple[float, ...]]:
        """See `Front.points`."""
        return list(zip(self._firsts, self._seconds, strict=True))

    @property
    def items(self) -> list[Item]:
        """See `Front.items`."""
        return [item for items in self._items for item in items]

    def least_first_loss(self, max_others: Sequence[float]) -> float | None:
        """See `Front.least_first_loss`."""
        (max_second,) = max_others
        place = bisect_left(self._seconds, -max_second, key=lambda second: -second)
        return self._firsts[place] if place < len(self._firsts) else None

    def add(self, losses: tuple[float, ...], item: Item) -> bool:
        """See `Front.add`."""
        first, second = losses
        before = bisect_right(self._firsts, first)
        if before and self._seconds[before - 1] <= second:
            if (self._firsts[before - 1], self._seconds[before - 1]) == (first, second):
                self._items[before - 1].append(item)
            return False
        start = end = bisect_left(self._firsts, first)
        while end < len(self._seconds) and self._seconds[end] >= second:
            end += 1
        self._firsts[start:end], self._seconds[start:end], self._items[start:end] = [first], [second], [[item]]
        return True


class WideFront(Front[Item]):
    """A growing front of more than two losses. Adding takes a comparison with every point of it."""

    def __init__(self, objectives: int) -> None:
        self._points = np.zeros((0, objectives))  # in lexicographic order
        self._items: list[list[Item]] = []

    @property
    def points(self) -> list[tuple[float, ...]]:
        """See `Front.points`."""
        return [tuple(point) for point in self._points.tolist()]

    @property
    def items(self) -> list[Item]:
        """See `Front.items`."""
        return [item for items in self._items for item in items]

    def least_first_loss(self, max_others: Sequence[float]) -> float | None:
        """See `Front.least_first_loss`."""
        firsts = self._points[np.all(self._points[:, 1:] <= np.asarray(max_others), axis=1), 0]
        return float(firsts.min()) if len(firsts) else None

    def add(self, losses: tuple[float, ...], item: Item) -> bool:
        """See `Front.add`."""
        point = np.array(losses, dtype=np.float64)
        no_worse = np.flatnonzero(np.all(self._points <= point, axis=1))
        if len(no_worse):
            if np.array_equal(self._points[no_worse[0]], point):
                self._items[no_worse[0]].append(item)
            return False
        kept = np.flatnonzero(~np.all(self._points >= point, axis=1))
        points = np.vstack([self._points[kept], point])
        order = np.lexsort(points.T[::-1])
        items = [*(self._items[place] for place in kept), [item]]
        self._points, self._items = points[order], [items[place] for place in order]
        return True


def growing_front(objectives: int) -> Front[Any]:
    """Return a front without any item.

    Args:
        objectives: The number of losses of an item, two or more.
    """
    return PlaneFront() if objectives == 2 else WideFront(objectives)


def knees(losses: ArrayLike) -> list[int]:
    """Return the knees of a front.

    A knee is the point that lies furthest below the mixes of the front's ends, when all axes are scaled to [0, 1] (Das,
    "On characterizing the knee of the Pareto curve", 1999). The ends are the points with the least of each loss. It is
    a knee only if it lies deeper than `MIN_KNEE_DEPTH`.

    Of two losses, the mixes are the straight line between the ends. The parts of the front on either side of the knee
    are searched in the same way. Of more losses, a point lies as far below the mixes as one of them can be worse than
    it in every loss, times the root of their number. Axes on which all points are equal do not count.

    Args:
        losses: The front's points, shape (n, m), in any order.

    Returns:
        Rows of `losses`: of two losses up to three, the most marked knee first, of more at most one; none where the
        front is straight.
    """
    points = np.asarray(losses, dtype=np.float64)
    if len(points) == 0:
        return []
    if points.shape[1] > 2:
        points = points[:, np.ptp(points, axis=0) > 0]
    if points.shape[1] < 2:
        return []
    if points.shape[1] > 2:
        return _wide_knee(points)
    order = np.argsort(points[:, 1], kind="stable")
    main_knee = _knee(points, order)
    if main_knee is None:
        return []
    side_knees = (_knee(points, order[: main_knee + 1]), _knee(points, order[main_knee:]))
    places = [
        main_knee,
        *(start + knee for start, knee in zip((0, main_knee), side_knees, strict=True) if knee is not None),
    ]
    return [int(order[place]) for place in places]


def _knee(points: NDArray[np.float64], order: NDArray[np.intp]) -> int | None:
    """Return the place in `order` of the point deepest below the line between the ends; None where none is deep enough.

    `order` holds the rows of the part to search, sorted so that the second loss rises.
    """
    part = points[order]
    span = np.ptp(part, axis=0) if len(part) > 2 else np.zeros(2)
    if not np.all(span > 0):
        return None
    scaled = (part - part.min(axis=0)) / span  # the line between the ends goes from (1, 0) to (0, 1)
    depth = (1 - scaled.sum(axis=1)) / np.sqrt(2)
    deepest = int(np.argmax(depth))
    return deepest if depth[deepest] > MIN_KNEE_DEPTH else None


def _wide_knee(points: NDArray[np.float64]) -> list[int]:
    """Return the row of the knee of points with more than two losses, all of which vary; none if none is deep enough.

    Several losses may have the same end: the smallest network has the fewest parameters and MACs. So the ends may span
    less than a plane, and the depth is found by a linear program.
    """
    scaled = (points - points.min(axis=0)) / np.ptp(points, axis=0)
    sums = scaled.sum(axis=1)
    ends = scaled[[np.lexsort((sums, column))[0] for column in scaled.T]]
    depths = np.array([_depth(ends, point) for point in scaled])
    deepest = int(np.argmax(depths))
    return [deepest] if depths[deepest] > MIN_KNEE_DEPTH else []


def _depth(ends: NDArray[np.float64], point: NDArray[np.float64]) -> float:
    """Return how far a point lies below the mixes of the ends, shape (m, m), along the diagonal; negative above them.

    Of all mixes it is the one whose smallest excess over the point is the largest.
    """
    from scipy.optimize import linprog  # here: SciPy takes half a second, and most fronts have two losses

    count = len(point)
    found = linprog(
        np.append(np.zeros(count), -1.0),  # the shares of the ends, and the excess, which is maximised
        A_ub=np.column_stack([-ends.T, np.ones(count)]),
        b_ub=-point,
        A_eq=np.append(np.ones(count), 0.0)[None],
        b_eq=[1.0],
        bounds=[(0.0, None)] * count + [(None, None)],
    )
    return float(-found.fun * np.sqrt(count))


def attainment(fronts: Sequence[ArrayLike], level: int) -> NDArray[np.float64]:
    """Return the corners of the attainment surface: the boundary of what enough of the fronts attain.

    A front attains every point that one of its own points equals or dominates. A front without points attains nothing,
    but it counts as a front. At level 1 the surface is the joined front; at the level of all fronts it bounds the
    points that all of them attain (Fonseca et al., EMO 2011).

    Args:
        fronts: Each of shape (k, 2), k may be 0.
        level: How many of the fronts must attain a point, at least 1.

    Returns:
        The corners, shape (n, 2), in the order of a rising first loss; none where too few fronts have points.
    """
    sets = [
        points for points in (np.asarray(front, dtype=np.float64).reshape(-1, 2) for front in fronts) if len(points)
    ]
    if level > len(sets):
        return np.zeros((0, 2))
    set_numbers = np.repeat(np.arange(len(sets)), [len(points) for points in sets])
    surfaces = moocore.eaf(np.concatenate(sets), set_numbers)
    corners = surfaces[surfaces[:, 2] == np.unique(surfaces[:, 2])[level - 1], :2]
    return np.asarray(corners[np.argsort(corners[:, 0])], dtype=np.float64)
