"""Fronts and hypervolume, against deap and brute force."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from deap import base, creator, tools
from hypothesis import assume, given
from hypothesis import strategies as st

from evomnas.problem.pareto import (
    PlaneFront,
    WideFront,
    attainment,
    hypervolume,
    hypervolume_curve,
    knees,
    non_dominated,
)

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
    front = PlaneFront()
    for index, loss in enumerate(losses):
        before = front.points
        assert front.add(loss, index) == (front.points != before)
    kept = np.flatnonzero(non_dominated(losses)).tolist()
    assert sorted(front.items) == kept
    assert front.points == sorted({losses[index] for index in kept})


@given(points, st.floats(-1, 7))
def test_a_growing_front_knows_the_least_first_loss_among_small_enough_second_ones(losses, max_second):
    front = PlaneFront()
    for loss in losses:
        front.add(loss, None)
    for limit in (max_second, round(max_second)):
        expected = min((first for first, second in losses if second <= limit), default=None)
        assert front.least_first_loss((limit,)) == expected


triples = st.lists(st.tuples(*(st.integers(0, 3).map(float),) * 3), max_size=12)


@given(triples, st.tuples(st.integers(-1, 4), st.integers(-1, 4)))
def test_a_growing_front_of_three_losses_is_the_front_of_all_that_was_added(losses, limits):
    front = WideFront(3)
    for index, loss in enumerate(losses):
        before = front.points
        assert front.add(loss, index) == (front.points != before)
    kept = np.flatnonzero(non_dominated(losses)).tolist()
    assert sorted(front.items) == kept
    assert front.points == sorted({losses[index] for index in kept})
    expected = min((first for first, *others in losses if np.all(np.array(others) <= limits)), default=None)
    assert front.least_first_loss(limits) == expected


@given(triples)
def test_the_curve_of_three_losses_is_the_hypervolume_of_each_beginning(losses):
    curve = hypervolume_curve(np.array(losses).reshape(-1, 3), (3, 3, 3))
    expected = [hypervolume(losses[: end + 1], (3, 3, 3)) for end in range(len(losses))]
    assert np.allclose(curve, expected)


def test_the_knee_of_three_losses_is_furthest_below_the_plane_of_the_ends():
    front = np.array([(0.0, 1.0, 1.0), (1.0, 0.0, 1.0), (1.0, 1.0, 0.0), (0.6, 0.6, 0.6), (0.2, 0.4, 0.3)])
    # The ends' plane has the sum 2, and a point of the sum s lies (2 - s) / 3 below it on every axis.
    assert knees(front) == [4]
    assert knees(front[[4, 2, 0, 1, 3]] * (1, 1024, 0.1)) == [0]  # whatever the order and the units
    assert knees(front[:4]) == [3]  # 0.07 below on every axis, which is 0.12 along the diagonal
    shallow = front[:4].copy()
    shallow[3] = 0.62  # 0.047 and 0.08
    assert knees(shallow) == []


def test_a_loss_that_says_nothing_new_changes_no_knee():
    front = np.array([(0.0, 1.0), (0.1, 0.3), (0.2, 0.1), (0.5, 0.05), (1.0, 0.0)])
    assert knees(np.column_stack([front, front[:, 1]])) == knees(front)[:1] == [2]  # the same end has two losses
    assert knees(np.column_stack([front, np.ones(5)])) == knees(front)  # and a constant one is none


@given(st.lists(st.tuples(*[st.integers(0, 6)] * 3), min_size=1, max_size=8, unique=True))
def test_the_knee_of_three_losses_is_the_deepest_by_trying_all_mixes(points):
    front = np.array(points, dtype=float)[non_dominated(points)]
    assume(np.all(np.ptp(front, axis=0) > 0))
    scaled = (front - front.min(axis=0)) / np.ptp(front, axis=0)
    ends = [min(scaled.tolist(), key=lambda point, axis=axis: (point[axis], sum(point))) for axis in range(3)]
    shares = [(a / 60, b / 60, (60 - a - b) / 60) for a in range(61) for b in range(61 - a)]
    mixes = np.array(shares) @ np.array(ends)
    depths = [(mixes - point).min(axis=1).max() * 3**0.5 for point in scaled]  # too low by at most 0.06
    found = knees(front)
    if found:
        assert max(depths) - 0.06 <= depths[found[0]]
        assert depths[found[0]] > 0.1 - 0.06
    else:
        assert max(depths) <= 0.1


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
    for corner in ((2.0, 2.5), (2.5, 2.0)):
        curve = hypervolume_curve(losses, corner)
        expected = [hypervolume(losses[: count + 1], corner) for count in range(len(losses))]
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


def test_the_knee_itself_is_an_end_of_the_parts_on_either_side():
    """Each part has one point between its ends. By hand, depths before the division by the root of two:

    of the whole, 1 - 0.10 - 0.18 = 0.72 at the third point, 0.70 at the second and the fourth; of the part below it,
    1 - 15/90 - 5/18 = 0.56; of the part above it, 1 - 5/10 - 7/82 = 0.41.
    """
    front = [(0, 100), (5, 25), (10, 18), (25, 5), (100, 0)]
    assert knees(front) == [2, 3, 1]
    assert knees(front[:3]) == [1]
    assert knees(front[2:]) == [1]


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


steps = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=12)


@given(steps, st.randoms(use_true_random=False))
def test_knees_are_the_deepest_points_of_the_front_and_of_its_parts_on_either_side(steps, random):
    """Fractions, by the distance from the line between the ends; a tenth of the unit square is deep enough."""
    xs, ys = (list(itertools.accumulate((step[axis] for step in steps), initial=0)) for axis in (0, 1))
    front = [(Fraction(x), Fraction(ys[-1] - y)) for x, y in zip(xs, ys, strict=True)]

    def deepest(start: int, end: int) -> list[int]:
        """The place of the knee between two places, both included, if there is one."""
        (left, top), (right, bottom) = front[start], front[end]
        depths = []
        for x, y in front[start : end + 1]:
            below = 1 - (x - left) / (right - left) - (y - bottom) / (top - bottom)  # 0 on the line, 1 in the corner
            depths.append((float(below) / math.sqrt(2), -y))  # of two as deep, the one of the smaller second loss
        place = depths.index(max(depths))
        assume(abs(depths[place][0] - 0.1) > 1e-9)
        assume(sum(abs(depth - depths[place][0]) < 1e-9 for depth, _ in depths) == 1)  # else rounding decides
        return [start + place] if end - start > 1 and depths[place][0] > 0.1 else []

    expected = deepest(0, len(front) - 1)
    if expected:
        # from the front's end with the least second loss
        expected += deepest(expected[0], len(front) - 1) + deepest(0, expected[0])
    order = random.sample(range(len(front)), len(front))
    shuffled = [tuple(map(float, front[place])) for place in order]
    assert [order[row] for row in knees(shuffled)] == expected
