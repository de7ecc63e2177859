"""The choice of candidates, exactly: gains by numerical integration, batches by trying all."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from evomnas.algorithms.surrogate.acquisition import (
    Predictions,
    best_batch,
    candidate_worth,
    expected_gain,
    staircase,
)

points = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=1, max_size=8)
candidates = st.tuples(st.floats(-2, 10), st.floats(-2, 10), st.floats(0.05, 3), st.floats(0, 1))


def predictions(*rows: tuple[float, float, float, float]) -> Predictions:
    """Of candidates (cost, mean, deviation, chance)."""
    return Predictions(*np.array(rows, dtype=float).reshape(-1, 4).T)


def height(front, cost: float, top: float) -> float:
    """The least error on the front at a cost."""
    return min((error for at, error in zip(*front, strict=True) if at <= cost), default=top)


def mean_improvement(limit: float, mean: float, deviation: float) -> float:
    """By how much a normal error lies below a limit, on average."""
    density = norm(mean, deviation).pdf
    return quad(lambda error: (limit - error) * density(error), mean - 12 * deviation, limit)[0]


def integrated_gain(front, cost: float, mean: float, deviation: float, chance: float) -> float:
    """The area that lies between the front and a candidate, over all its errors and all costs that it would serve.

    The corner lies a tenth of the front's range beyond the front's ends, or beyond the candidate: where the front is
    one point, a tenth of 1.
    """
    costs, errors = front
    right = max(costs[-1], cost) + 0.1 * (np.ptp(costs) or 1.0)
    top = max(errors[0], mean) + 0.1 * (np.ptp(errors) or 1.0)
    total = 0.0
    edges = sorted({cost, right, *(float(at) for at in costs if at > cost)})
    for left, end in itertools.pairwise(edges):
        total += (end - left) * mean_improvement(height(front, left, top), mean, deviation)
    return chance * total


@settings(max_examples=30)
@given(points, candidates)
def test_the_expected_gain_is_the_integral_over_errors_and_costs(found, candidate):
    front = staircase(*np.array(found, dtype=float).T)
    [gain] = expected_gain(front, predictions(candidate))
    assert gain == pytest.approx(integrated_gain(front, *candidate), rel=1e-5, abs=1e-9)


@given(points, st.lists(candidates, min_size=1, max_size=5))
def test_candidates_are_judged_by_themselves(found, rows):
    front = staircase(*np.array(found, dtype=float).T)
    alone = [candidate_worth(front, predictions(row))[0] for row in rows]
    assert candidate_worth(front, predictions(*rows)) == pytest.approx(np.array(alone), rel=1e-12)
    assert expected_gain(front, predictions(*rows)[np.array([0])]) == pytest.approx(
        expected_gain(front, predictions(*rows))[:1]
    )


@given(points, candidates)
def test_the_worth_is_the_gain_times_the_chance_of_an_error_below_the_front(found, candidate):
    """At a stair's own cost its own height counts; cheaper than all, nothing is in the way."""
    front = staircase(*np.array(found, dtype=float).T)
    for cost in (candidate[0], round(candidate[0])):
        row = (float(cost), *candidate[1:])
        joining = norm.cdf((height(front, cost, math.inf) - row[1]) / row[2])
        gain = expected_gain(front, predictions(row))[0]
        assert candidate_worth(front, predictions(row))[0] == pytest.approx(gain * joining, rel=1e-9)


@given(points, st.lists(candidates, max_size=7), st.integers(0, 8))
def test_a_batch_takes_the_worthiest_of_the_rest_each_time_the_one_before_has_joined(found, rows, count):
    front = staircase(*np.array(found, dtype=float).T)
    batch = best_batch(count, front, predictions(*rows)).tolist()
    assert len(batch) == len(set(batch)) == min(count, len(rows))
    costs, errors = map(list, zip(*found, strict=True))
    left = list(range(len(rows)))
    for row in batch:
        now = staircase(np.array(costs, dtype=float), np.array(errors, dtype=float))
        worths = candidate_worth(now, predictions(*(rows[one] for one in left)))
        assert worths[left.index(row)] == pytest.approx(worths.max(), rel=1e-9)
        left.remove(row)
        costs.append(rows[row][0])
        errors.append(rows[row][1])


def test_a_batch_larger_than_the_shortlist_is_filled():
    """The worth of 300 candidates is computed again and again; a larger batch has them all."""
    rng = np.random.default_rng(0)
    rows = np.column_stack([rng.random(320), rng.random(320), np.full(320, 0.1), np.ones(320)])
    front = np.array([0.5]), np.array([0.5])
    assert len(best_batch(310, front, predictions(*rows))) == 310


def test_without_points_there_is_no_stair():
    costs, errors = staircase(np.zeros(0), np.zeros(0))
    assert len(costs) == len(errors) == 0


def test_predictions_are_values():
    with pytest.raises(AttributeError):
        predictions((0.0, 0.0, 1.0, 1.0)).costs = np.zeros(1)
