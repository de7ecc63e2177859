"""A front of three objectives or more, and what candidates would bring to it.

The part of the box below the reference point that nothing dominates yet is cut into layers along its last objective, at
the values that the front has there. Within a layer, the same networks of the front dominate, whatever the last
objective is; so it is a front of one objective less. In the end there are layers of two objectives, each of which is
cut into boxes, a box for each step of its staircase.

What a candidate brings to a box is, as all objectives are independent, the product of what it brings along each of
them; see `acquisition`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evomnas.algorithms.surrogate.acquisition import REFERENCE_MARGIN, Lognormal, Predictions, staircase
from evomnas.problem.pareto import non_dominated

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LayeredFront:
    """A front of three objectives or more, and the reference point of its hypervolume; see `Gaining`.

    Attributes:
        points: Costs, errors and further objectives of its networks, shape (k, m).
        reference_point: The reference point, in the same order.
    """

    points: Floats
    reference_point: tuple[float, ...]

    @classmethod
    def of(cls, points: Floats, reference_point: tuple[float, ...] | None) -> LayeredFront:
        """Return the front of networks.

        Args:
            points: Costs, errors and further objectives of n networks, shape (n, m), n > 0.
            reference_point: The reference point, in the same order. None if it is unknown, or beyond all networks: then
                it lies `REFERENCE_MARGIN` of the front's range beyond the front's ends.
        """
        front = np.unique(points[non_dominated(points)], axis=0)
        if reference_point is None:
            spans = np.ptp(front, axis=0)
            ends = front.max(axis=0) + REFERENCE_MARGIN * np.where(spans > 0, spans, front[0])
            reference_point = tuple(ends.tolist())
        return cls(front, reference_point)

    def joined_by(self, cost: float, error: float, *further: float) -> LayeredFront:
        """See `Gaining.joined_by`."""
        return LayeredFront.of(np.vstack([self.points, (cost, error, *further)]), self.reference_point)

    def gains_and_chances(self, candidates: Predictions) -> tuple[Floats, Floats]:
        """See `Gaining.gains_and_chances`."""
        points = self.points[np.all(self.points < self.reference_point, axis=1)]
        objectives = (candidates.costs, candidates.errors, *candidates.further)
        lengths = [
            _Lengths.of(numbers, values, limit)
            for numbers, values, limit in zip(objectives, points.T, self.reference_point, strict=True)
        ]
        chances, gains = _sum_layers(points, lengths)
        return candidates.success_chances * gains, chances


@dataclass(frozen=True, slots=True)
class _Lengths:
    """How likely and how far candidates lie below values of one objective.

    Attributes:
        values: The front's values, rising, and behind them that of the reference point, shape (v,).
        below: The chances to lie below each of them, and the mean distances, shape (2, n, v).
    """

    values: Floats
    below: Floats

    @classmethod
    def of(cls, numbers: Lognormal, values: Floats, limit: float) -> _Lengths:
        ends = np.append(np.unique(values), limit)
        return cls(ends, np.stack(numbers.below(ends[None])))

    def at(self, values: Floats) -> Floats:
        """Return chances and distances below some of the values, shape (2, n, k)."""
        found: Floats = self.below[:, :, np.searchsorted(self.values, values)]
        return found


def _sum_layers(points: Floats, lengths: list[_Lengths]) -> Floats:
    """Return the sum over all boxes that nothing dominates: of chances, and of mean volumes, shape (2, n).

    Args:
        points: Networks of the front, shape (k, m), all within the reference point.
        lengths: Of each objective.
    """
    limits = [length.values[-1] for length in lengths]
    if len(lengths) == 2:
        costs, errors = staircase(points[:, 0], points[:, 1])
        widths = np.diff(lengths[0].at(np.append(costs, limits[0])), axis=2, prepend=0.0)
        boxes: Floats = (widths * lengths[1].at(np.append(limits[1], errors))).sum(axis=2)
        return boxes
    levels = np.unique(points[:, -1])
    thickness = np.diff(lengths[-1].at(np.append(levels, limits[-1])), axis=2, prepend=0.0)
    total = thickness[:, :, 0] * _sum_layers(points[:0, :-1], lengths[:-1])
    for number, level in enumerate(levels, start=1):
        within = points[points[:, -1] <= level, :-1]
        total += thickness[:, :, number] * _sum_layers(within[non_dominated(within)], lengths[:-1])
    return total
