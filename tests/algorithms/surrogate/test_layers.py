"""Gains of three and four objectives: certain candidates by the hypervolume itself, uncertain ones by sampling."""

from __future__ import annotations

import moocore
import numpy as np
import pytest

from evomnas.algorithms.surrogate.acquisition import Front, Lognormal, Predictions, staircase
from evomnas.algorithms.surrogate.layers import LayeredFront


def lognormals(rng, count: int, objectives: int, deviation: float) -> Predictions:
    costs, errors, *further = (
        Lognormal(rng.normal(-0.7, 0.5, count), np.full(count, deviation)) for _ in range(objectives)
    )
    return Predictions(errors, costs, np.linspace(0.5, 1, count), tuple(further))


def gain(front: np.ndarray, point: np.ndarray, reference) -> float:
    return moocore.hypervolume(np.vstack([front, point]), ref=reference) - moocore.hypervolume(front, ref=reference)


@pytest.mark.parametrize("objectives", [3, 4])
def test_a_certain_candidate_gains_the_hypervolume_that_it_adds(objectives):
    rng = np.random.default_rng(objectives)
    points, reference = rng.random((12, objectives)), (0.9,) * objectives
    candidates = lognormals(rng, 40, objectives, 0.0)
    gains, chances = LayeredFront.of(points, reference).gains_and_chances(candidates)
    expected = np.array([gain(points, row, reference) for row in candidates.medians()])
    assert expected.max() > 0
    assert expected.min() < 1e-12
    assert gains == pytest.approx(candidates.success_chances * expected, abs=1e-12)
    assert np.array_equal(chances > 0.5, expected > 1e-12)


@pytest.mark.parametrize("objectives", [3, 4])
def test_an_uncertain_candidate_gains_the_mean_over_what_it_may_be(objectives):
    rng = np.random.default_rng(objectives)
    points, reference = rng.random((8, objectives)), tuple(np.linspace(0.8, 1.1, objectives))
    candidates = lognormals(rng, 3, objectives, 0.4)
    front = LayeredFront.of(points, reference)
    gains, chances = front.gains_and_chances(candidates)
    parts = (candidates.costs, candidates.errors, *candidates.further)
    for row in range(3):
        draws = np.exp(np.column_stack([rng.normal(part.means[row], 0.4, 1500) for part in parts]))
        found = np.array([gain(front.points, draw, reference) for draw in draws]) * candidates.success_chances[row]
        assert gains[row] == pytest.approx(found.mean(), abs=4 * found.std() / 1500**0.5)
        within = (draws < reference).all(axis=1) & ~(front.points <= draws[:, None]).all(axis=2).any(axis=1)
        assert chances[row] == pytest.approx(within.mean(), abs=4 * 0.5 / 1500**0.5)


def test_two_objectives_are_a_front_without_layers():
    """A third objective that all networks share, thickness 1, leaves the gains of the other two."""
    rng = np.random.default_rng(1)
    points, candidates = rng.random((6, 2)), lognormals(rng, 10, 2, 0.3)
    plane = Front(staircase(*points.T), (0.9, 1.1)).gains_and_chances(candidates)
    third = Lognormal(np.zeros(10), np.zeros(10))
    wide = Predictions(candidates.errors, candidates.costs, candidates.success_chances, (third,))
    layered = LayeredFront.of(np.column_stack([points, np.ones(6)]), (1.1, 0.9, 2.0)).gains_and_chances(wide)
    assert np.allclose(layered, plane)


def test_without_a_reference_point_the_front_can_grow_at_its_ends():
    front = LayeredFront.of(np.array([[1.0, 3.0, 2.0], [2.0, 1.0, 2.0], [4.0, 4.0, 4.0]]), None)
    assert front.points.tolist() == [[1.0, 3.0, 2.0], [2.0, 1.0, 2.0]]
    assert front.reference_point == pytest.approx((2.1, 3.2, 2.2))


def test_a_network_joins_a_front_and_hides_what_it_dominates():
    front = LayeredFront.of(np.array([[1.0, 3.0, 2.0], [2.0, 1.0, 2.0]]), (9.0, 9.0, 9.0)).joined_by(0.5, 3.0, 2.0)
    assert front.points.tolist() == [[0.5, 3.0, 2.0], [2.0, 1.0, 2.0]]
    assert front.reference_point == (9.0, 9.0, 9.0)
