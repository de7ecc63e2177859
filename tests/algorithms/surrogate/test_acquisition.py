"""The choice of candidates, exactly: gains by integration and by sampled hypervolumes, batches by trying all."""

from __future__ import annotations

import itertools
import math

import moocore
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from evomnas.algorithms.surrogate.acquisition import (
    Front,
    Lognormal,
    Predictions,
    best_batch,
    candidate_worth,
    staircase,
)
from evomnas.problem.pareto import non_dominated

SHIFT = 0.125


def expected_gain(front: Front, candidates: Predictions) -> np.ndarray:
    return front.gains_and_chances(candidates)[0]


def joining_chance(front: Front, candidates: Predictions) -> np.ndarray:
    return front.gains_and_chances(candidates)[1]


grid = st.integers(1, 9).map(float)
points = st.lists(st.tuples(grid, grid), min_size=1, max_size=8)  # (cost, error)
references = st.none() | st.tuples(st.floats(2, 12), st.floats(2, 12))  # (error, cost)
logs = st.floats(-1, 2.5)
candidates = st.tuples(  # logarithms of error and cost: mean and deviation of each; and the chance of a result
    logs, st.floats(0.05, 1.5), logs, st.just(0.0) | st.floats(0.05, 1.5), st.floats(0, 1)
)
Row = tuple[float, float, float, float, float]


def predictions(*rows: Row) -> Predictions:
    errors, error_deviations, costs, cost_deviations, chances = np.array(rows, dtype=float).reshape(-1, 5).T
    return Predictions(Lognormal(errors, error_deviations, SHIFT), Lognormal(costs, cost_deviations), chances)


def front_of(found, reference) -> Front:
    return Front(staircase(*np.array(found, dtype=float).T), reference)


def corner(front: Front, row: Row) -> tuple[float, float]:
    """The reference point (error, cost): the given one, or a tenth of the front's range beyond front and candidate.

    The range of a front of one point is the point's own loss.
    """
    if front.reference_point is not None:
        return front.reference_point
    costs, errors = front.stairs
    median_error, median_cost = math.exp(row[0]) - SHIFT, math.exp(row[2])
    return (
        max(errors[0], median_error) + 0.1 * (np.ptp(errors) or errors[0]),
        max(costs[-1], median_cost) + 0.1 * (np.ptp(costs) or costs[0]),
    )


def height(front: Front, cost: float, top: float) -> float:
    """The least error on the front at a cost, up to the reference point's."""
    return min([error for at, error in zip(*front.stairs, strict=True) if at <= cost] + [top])


def mean_below(limit: float, mean: float, deviation: float, shift: float) -> float:
    """By how much a lognormal number lies below a limit, on average, by integrating over its normal logarithm."""
    if limit + shift <= 0:
        return 0.0
    end = math.log(limit + shift)
    if deviation == 0:
        return max(0.0, limit + shift - math.exp(mean))
    start = mean - 12 * deviation
    if end <= start:
        return 0.0
    bulk = min(end, mean + 12 * deviation)
    return quad(
        lambda log: (limit + shift - math.exp(log)) * norm.pdf(log, mean, deviation), start, bulk,
        epsabs=1e-12, epsrel=1e-10, points=[mean] if start < mean < bulk else None,
    )[0]  # fmt: skip


def integrated_gain(front: Front, row: Row) -> float:
    """The area between the front and the candidate: for every cost, how likely it is served, times the error below."""
    error, error_deviation, cost, cost_deviation, chance = row
    top, right = corner(front, row)
    edges = sorted({0.0, right, *(float(at) for at in front.stairs[0] if at < right)})
    total = 0.0
    for left, end in itertools.pairwise(edges):
        width = mean_below(end, cost, cost_deviation, 0.0) - mean_below(left, cost, cost_deviation, 0.0)
        total += width * mean_below(height(front, left, top), error, error_deviation, SHIFT)
    return chance * total


@settings(max_examples=20, deadline=None)
@given(points, references, candidates)
def test_the_expected_gain_is_the_integral_over_errors_and_costs(found, reference, row):
    front = front_of(found, reference)
    [gain] = expected_gain(front, predictions(row))
    assert gain == pytest.approx(integrated_gain(front, row), rel=1e-5, abs=1e-8)


def samples(row: Row, count: int) -> np.ndarray:
    """(cost, error) of a candidate, drawn, shape (count, 2)."""
    rng = np.random.default_rng(0)
    error, error_deviation, cost, cost_deviation, _ = row
    errors = np.exp(error + error_deviation * rng.normal(size=count)) - SHIFT
    return np.column_stack([np.exp(cost + cost_deviation * rng.normal(size=count)), errors])


@settings(deadline=None)
@given(points, references, candidates)
def test_the_expected_gain_is_the_mean_of_sampled_hypervolumes(found, reference, row):
    front = front_of(found, reference)
    top, right = corner(front, row)
    known = np.minimum(np.column_stack(front.stairs), [right, top])
    before = moocore.hypervolume(known, ref=[right, top])
    drawn = np.minimum(samples(row, 300), [right, top])
    gains = row[4] * np.array(
        [moocore.hypervolume(np.vstack([known, [one]]), ref=[right, top]) - before for one in drawn]
    )
    # What is as rare as one sample in thousands is missing from them: at most the whole box then.
    rare = 2e-4 * right * (top + SHIFT)
    [gain] = expected_gain(front, predictions(row))
    assert gain == pytest.approx(gains.mean(), abs=6 * gains.std() / np.sqrt(300) + rare)


@settings(deadline=None)
@given(points, references, candidates)
def test_the_chance_to_join_is_the_share_of_samples_that_nothing_dominates(found, reference, row):
    front = front_of(found, reference)
    top, right = corner(front, row)
    joining = [
        cost < right and error < top and not any(c <= cost and e <= error for c, e in zip(*front.stairs, strict=True))
        for cost, error in samples(row, 1000)
    ]
    assert joining_chance(front, predictions(row))[0] == pytest.approx(np.mean(joining), abs=0.08)


@given(points, references, st.lists(candidates, min_size=1, max_size=5))
def test_candidates_are_judged_by_themselves_and_worth_is_gain_times_chance(found, reference, rows):
    front = front_of(found, reference)
    alone = [candidate_worth(front, predictions(row))[0] for row in rows]
    assert candidate_worth(front, predictions(*rows)) == pytest.approx(np.array(alone), rel=1e-9)
    products = [expected_gain(front, predictions(row))[0] * joining_chance(front, predictions(row))[0] for row in rows]
    assert alone == pytest.approx(products, rel=1e-9)


@given(points, st.tuples(st.floats(2, 12), st.floats(2, 12)), candidates)
def test_what_lies_beyond_the_reference_point_brings_nothing(found, reference, row):
    """A certain cost beyond it, and an error that is certain for all purposes."""
    error, cost = reference
    front = front_of(found, reference)
    dear = (*row[:2], math.log(cost) + 0.01, 0.0, 1.0)
    poor = (math.log(error + SHIFT) + 0.2, 0.005, *row[2:])
    assert candidate_worth(front, predictions(dear))[0] == 0.0
    assert candidate_worth(front, predictions(poor))[0] < 1e-12


def test_a_cost_of_the_front_is_served_already():
    """A candidate of the same known cost as a stair joins where its error is lower, and only there."""
    front = front_of([(2.0, 3.0), (4.0, 1.0)], (5.0, 8.0))
    for cost, limit in ((1.9, 5.0), (2.0, 3.0), (3.9, 3.0), (4.0, 1.0)):
        row = (math.log(2.0 + SHIFT), 0.3, math.log(cost), 0.0, 1.0)
        expected = norm.cdf((math.log(limit + SHIFT) - row[0]) / 0.3)
        assert joining_chance(front, predictions(row))[0] == pytest.approx(expected)


# --- scales of the cost -----------------------------------------------------------------------------------


@given(points, references, st.lists(candidates, min_size=1, max_size=6), st.integers(-6, 6))
def test_another_unit_of_cost_changes_no_choice(found, reference, rows, power):
    """Milliseconds or seconds: the gain has the same factor for all."""
    unit = 2.0**power
    front = front_of(found, reference)
    told = None if reference is None else (reference[0], reference[1] * unit)
    other = front_of([(cost * unit, error) for cost, error in found], told)
    others = [(*row[:2], row[2] + math.log(unit), *row[3:]) for row in rows]
    assert expected_gain(other, predictions(*others)) == pytest.approx(
        unit * expected_gain(front, predictions(*rows)), rel=1e-6, abs=1e-9 * unit
    )
    assert joining_chance(other, predictions(*others)) == pytest.approx(
        joining_chance(front, predictions(*rows)), rel=1e-6, abs=1e-9
    )


@given(points, st.tuples(st.floats(2, 12), st.floats(2, 12)), candidates, st.floats(0.2, 4))
def test_a_monotone_change_of_the_costs_changes_gains_but_neither_the_front_nor_the_chance_to_join(
    found, reference, row, power
):
    """The order of the costs says what dominates; hypervolume is an area, and so depends on their scale."""
    front = front_of(found, reference)
    changed = front_of([(cost**power, error) for cost, error in found], (reference[0], reference[1] ** power))
    assert changed.stairs[1].tolist() == front.stairs[1].tolist()
    assert changed.stairs[0] == pytest.approx(front.stairs[0] ** power)
    other = (*row[:2], row[2] * power, row[3] * power, row[4])
    assert joining_chance(changed, predictions(other)) == pytest.approx(
        joining_chance(front, predictions(row)), rel=1e-6, abs=1e-9
    )


# --- batches ----------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(points, references, st.lists(candidates, max_size=7), st.integers(0, 8))
def test_a_batch_takes_the_worthiest_of_the_rest_each_time_the_one_before_has_joined(found, reference, rows, count):
    batch = best_batch(count, front_of(found, reference), predictions(*rows)).tolist()
    assert len(batch) == len(set(batch)) == min(count, len(rows))
    members = list(found)
    left = list(range(len(rows)))
    for row in batch:
        worths = candidate_worth(front_of(members, reference), predictions(*(rows[one] for one in left)))
        assert worths[left.index(row)] == pytest.approx(worths.max(), rel=1e-9)
        left.remove(row)
        members.append((math.exp(rows[row][2]), math.exp(rows[row][0]) - SHIFT))


def test_a_batch_starts_with_the_largest_worth_and_spreads_over_the_front():
    front = front_of([(1.0, 3.0), (2.0, 2.0), (3.0, 1.0)], (4.0, 4.0))
    # Two candidates side by side that would each gain most, and one elsewhere that gains less.
    costs, errors = np.array([1.5, 1.51, 2.5, 3.0]), np.array([2.0, 2.0, 1.6, 3.9])
    rows = [
        (math.log(error + SHIFT), 1e-3, math.log(cost), 0.0, 1.0) for cost, error in zip(costs, errors, strict=True)
    ]
    found = candidate_worth(front, predictions(*rows))
    assert found.argmax() == 0
    assert found[1] > found[2]
    assert best_batch(2, front, predictions(*rows)).tolist() == [0, 2]
    assert sorted(best_batch(9, front, predictions(*rows))) == [0, 1, 2, 3]
    unlikely = [(*rows[0][:4], 0.0), *rows[1:]]
    assert best_batch(1, front, predictions(*unlikely)).tolist() == [1]


def test_a_batch_larger_than_the_shortlist_is_filled():
    """The worth of 300 candidates is computed again and again; a larger batch has them all."""
    rng = np.random.default_rng(0)
    rows = [(error, 0.1, cost, 0.0, 1.0) for error, cost in rng.random((320, 2))]
    assert len(best_batch(310, front_of([(1.5, 1.5)], None), predictions(*rows))) == 310


@given(points)
def test_the_staircase_is_what_no_point_dominates(found):
    stairs, heights = staircase(*np.array(found, dtype=float).T)
    unique = np.unique(np.array(found, dtype=float), axis=0)
    assert np.column_stack([stairs, heights]).tolist() == unique[non_dominated(unique)].tolist()


def test_without_points_there_is_no_stair():
    costs, errors = staircase(np.zeros(0), np.zeros(0))
    assert len(costs) == len(errors) == 0


def test_predictions_are_values():
    with pytest.raises(AttributeError, match="costs"):
        predictions((0.0, 1.0, 0.0, 1.0, 1.0)).costs = Lognormal(np.zeros(1), np.zeros(1))
