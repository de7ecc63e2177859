"""Fronts and hypervolume, against deap and brute force."""

from __future__ import annotations

import numpy as np
import pytest
from deap import base, creator, tools
from hypothesis import given
from hypothesis import strategies as st

from evomnas.problem.pareto import Front, attainment, hypervolume, hypervolume_curve, knees, non_dominated

points = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=12)
if not hasattr(creator, "Losses"):
    creator.create("Losses", base.Fitness, weights=(-1.0, -1.0))
    creator.create("Point", list, fitness=creator.Losses)


@given(points)
def test_the_front_agrees_with_deap_s(losses):
    individuals = []
    for loss in losses:
        individual = creator.Point(loss)
        individual.fitness.values = loss
        individuals.append(individual)
    front = tools.sortNondominated(individuals, len(individuals), first_front_only=True)[0] if individuals else []
    kept = {id(individual) for individual in front}
    assert non_dominated(losses).tolist() == [id(individual) in kept for individual in individuals]


@given(points)
def test_a_growing_front_is_the_front_of_all_that_was_added(losses):
    front = Front()
    for index, loss in enumerate(losses):
        before = front.points
        assert front.add(loss, index) == (front.points != before)
    kept = np.flatnonzero(non_dominated(losses)).tolist()
    assert sorted(front.items) == kept
    assert front.points == sorted({losses[index] for index in kept})


@given(points)
def test_hypervolume_is_the_share_of_dominated_cells(losses):
    """Brute force: integer points in a 5 x 4 box of unit cells."""
    cells = sum(any(a <= x and b <= y for a, b in losses) for x in range(5) for y in range(4))
    assert np.isclose(hypervolume(losses, (5, 4)), cells / 20)


def test_without_points_the_front_is_empty_and_the_hypervolume_zero():
    assert non_dominated([]).tolist() == []
    assert hypervolume([], (1, 1)) == 0.0
    assert hypervolume([(2, 0), (0, 1)], (1, 1)) == 0.0


somewhere = st.tuples(st.floats(0, 3), st.floats(0, 3))
failed = st.just((np.inf, np.inf))


@given(st.lists(st.one_of(somewhere, failed, st.tuples(st.integers(0, 3), st.integers(0, 3))), max_size=25))
def test_a_hypervolume_curve_is_the_hypervolume_of_every_beginning(losses):
    curve = hypervolume_curve(losses, (2.0, 2.5))
    expected = [hypervolume(losses[: count + 1], (2.0, 2.5)) for count in range(len(losses))]
    np.testing.assert_allclose(curve, expected, rtol=1e-12)
    assert np.all(np.diff(curve) >= 0)


fronts = st.lists(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=6), min_size=1, max_size=7)


@given(fronts, st.data())
def test_attainment_counts_the_fronts_that_attain_a_point(sets, data):
    level = data.draw(st.integers(1, len(sets)))
    corners = attainment(sets, level)
    for x in range(7):
        for y in range(7):
            attaining = sum(any(a <= x and b <= y for a, b in front) for front in sets)
            assert any(a <= x and b <= y for a, b in corners) == (attaining >= level)
    assert np.all(np.diff(corners[:, 0]) > 0)
    assert np.all(np.diff(corners[:, 1]) < 0)


def test_the_knee_is_furthest_below_the_line_between_the_ends():
    front = [(0.0, 10.0), (0.1, 2.0), (0.5, 1.0), (1.0, 0.0)]
    assert knees(front)[0] == 1
    assert knees(front[::-1])[0] == 2  # whatever their order


def test_parts_of_a_front_have_knees_of_their_own():
    front = [(0, 100), (5, 60), (10, 50), (15, 20), (50, 10), (60, 5), (100, 0)]
    assert knees(front) == [3, 5, 1]


@pytest.mark.parametrize("front", [[], [(1, 1)], [(0, 1), (1, 0)], [(0, 2), (1, 1), (2, 0)], [(1, 1), (1, 1), (1, 1)]])
def test_a_straight_front_has_no_knee(front):
    assert knees(front) == []


@given(st.lists(st.tuples(st.floats(0.01, 1), st.floats(0.01, 100)), min_size=3, max_size=30))
def test_knees_do_not_depend_on_units(points):
    front = np.array(points)[non_dominated(points)]
    assert knees(front) == knees(front * (1, 1024))


@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99)), min_size=3, max_size=12, unique_by=lambda p: p[0]))
def test_the_knee_s_distance_is_the_largest(points):
    """Against the distance from a line by its cross product."""
    xs, ys = sorted(x for x, _ in points), sorted((y for _, y in points), reverse=True)
    front = np.array(list(zip(xs, ys, strict=True)), dtype=float)
    if ys[0] == ys[-1]:
        return
    scaled = (front - front.min(0)) / np.ptp(front, axis=0)
    (x1, y1), (x2, y2) = scaled[0], scaled[-1]
    below = [(x2 - x1) * (y1 - y) - (x1 - x) * (y2 - y1) for x, y in scaled]
    assert not knees(front) or np.isclose(below[knees(front)[0]], max(below))
