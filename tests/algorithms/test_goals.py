"""Scalar goals: the published figures, and the order that they give."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evomnas.algorithms.goals import REWARD_EXPONENTS, Constrained, WeightedProduct, exponent_for, weighted_product
from evomnas.core.errors import InputError


@pytest.mark.parametrize(("latency", "multiplier"), [(40, 1.045), (78, 0.997), (103, 0.978), (110, 0.974), (75, 1.0)])
def test_the_soft_reward_multiplies_by_what_the_paper_s_exponent_gives_at_75_ms(latency, multiplier):
    assert weighted_product(1.0, latency, 75) == pytest.approx(multiplier, abs=5e-4)
    assert weighted_product(0.75, latency, 75) == pytest.approx(0.75 * multiplier, abs=5e-4)


def test_the_hard_reward_is_the_accuracy_within_the_target_and_falls_in_proportion_beyond_it():
    accuracies, latencies = np.array([0.75, 0.75, 0.75]), np.array([10.0, 75.0, 150.0])
    assert weighted_product(accuracies, latencies, 75, *REWARD_EXPONENTS["hard"]) == pytest.approx([0.75, 0.75, 0.375])


def test_the_exponent_follows_from_5_percent_accuracy_for_twice_the_latency():
    assert exponent_for() == pytest.approx(-0.0704, abs=5e-5)
    assert exponent_for(0.05) == pytest.approx(math.log(1 / 1.05) / math.log(2))
    # with it both networks of the rule earn the same
    one, other = weighted_product([0.70, 0.70 * 1.05], [75, 150], 75, exponent_for(), exponent_for())
    assert one == pytest.approx(other)
    assert exponent_for(0.1, 4) == pytest.approx(-0.0688, abs=5e-5)  # log(1 / 1.1) / log(4)


@given(
    st.floats(0.01, 1), st.floats(0.01, 1), st.floats(0.1, 100), st.floats(0.1, 100), st.floats(0.1, 100),
    st.floats(-2, -0.001), st.floats(-2, -0.001),
)  # fmt: skip
def test_more_accuracy_and_less_latency_are_never_rewarded_less(a1, a2, l1, l2, target, alpha, beta):
    better = max(a1, a2), min(l1, l2)
    worse = min(a1, a2), max(l1, l2)
    rewards = weighted_product([better[0], worse[0]], [better[1], worse[1]], target, alpha, beta)
    assert rewards[0] >= rewards[1] * (1 - 1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.0, 1.0, 1.0), r"accuracy must lie in \(0, 1\], got 0.0"),
        ((1.1, 1.0, 1.0), r"accuracy must lie in \(0, 1\]"),
        ((math.nan, 1.0, 1.0), r"accuracy must lie in \(0, 1\]"),
        ((0.5, 0.0, 1.0), "latency must be positive and finite, got 0.0"),
        ((0.5, math.inf, 1.0), "latency must be positive"),
        ((0.5, 1.0, 0.0), "the target must be positive, got 0: for example --target-ms 0.5"),
    ],
)
def test_values_out_of_range_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        weighted_product(*arguments)


def test_exponents_that_would_reward_latency_are_refused():
    with pytest.raises(InputError, match="beta must be 0 or negative, got 0.07: else latency would be rewarded"):
        WeightedProduct(1.0, -0.07, 0.07)
    with pytest.raises(InputError, match="the gain must be positive"):
        exponent_for(-0.05)


def test_goals_rank_losses_and_know_failures():
    losses = np.array([[0.25, 75.0], [1.0, 75.0], [np.inf, np.inf]])
    assert WeightedProduct(75.0)(losses).tolist() == [0.75, 0.0, -np.inf]


def test_the_hard_formulation_takes_the_most_accurate_within_the_target_before_all_others():
    losses = np.array([[0.3, 74.0], [0.2, 75.0], [0.01, 75.1], [0.0, 150.0], [np.inf, np.inf]])
    scores = Constrained(75.0)(losses)
    assert np.argsort(-scores).tolist() == [1, 0, 2, 3, 4]
    assert scores[:2] == pytest.approx([0.7, 0.8])
    assert scores[3] == -1.0


# --- to the number ---------------------------------------------------------------------------------------


def test_the_target_itself_is_within_it():
    """On either side another exponent counts: 0 within, -1 beyond."""
    rewards = weighted_product([1.0, 1.0, 1.0], [0.5, 2.0, 4.0], 2.0, 0.0, -1.0)
    assert rewards.tolist() == [1.0, 1.0, 0.5]
    rewards = weighted_product([0.5, 0.5], [1.0, 4.0], 2.0, -1.0, -2.0)
    assert rewards.tolist() == [0.5 * 2.0, 0.5 * 0.25]
    assert Constrained(2.0)(np.array([[0.25, 2.0], [0.25, 3.0]])).tolist() == [0.75, -0.5]


def test_the_named_exponents_are_the_paper_s():
    assert REWARD_EXPONENTS == {"soft": (-0.07, -0.07), "hard": (0.0, -1.0)}
    assert WeightedProduct(1.0) == WeightedProduct(1.0, -0.07, -0.07)
    losses = np.array([[0.25, 4.0]])
    assert WeightedProduct(1.0)(losses)[0] == pytest.approx(0.75 * 4.0**-0.07)
    assert weighted_product(0.75, 4.0, 1.0) == WeightedProduct(1.0)(losses)[0]


def test_an_accuracy_of_one_and_the_smallest_are_rewarded():
    assert weighted_product([1.0, 1e-300], [1.0, 1.0], 1.0).tolist() == [1.0, 1e-300]


@pytest.mark.parametrize("losses", [[np.inf, 1.0], [0.5, np.inf], [np.nan, 1.0], [np.inf, np.inf]])
def test_a_reward_needs_both_losses(losses):
    assert WeightedProduct(1.0)(np.array([losses, [0.5, 1.0]])).tolist() == [-np.inf, 0.5]


def test_no_accuracy_is_no_reward_and_a_little_is_a_little():
    rewards = WeightedProduct(1.0)(np.array([[1.0, 1.0], [1.5, 1.0], [0.75, 1.0], [0.0, 1.0]]))
    assert rewards.tolist() == [0.0, 0.0, 0.25, 1.0]


@pytest.mark.parametrize("goal", [WeightedProduct, Constrained])
@pytest.mark.parametrize("target", [1e-99, 0.5, 1, 1e99])
def test_positive_targets_are_taken(goal, target):
    assert goal(target).target == target


@pytest.mark.parametrize("goal", [WeightedProduct, Constrained])
@pytest.mark.parametrize(
    ("target", "message"),
    [
        (1e-100, "the target must be positive, got 1e-100"),
        (1e100, r"the target must be positive, got 1e\+100"),
        (-1.0, "the target must be positive"),
        (math.inf, "the target must be positive"),
        (math.nan, "the target must be positive"),
        (True, "target_ms must be a number of milliseconds, got True: for example --target-ms 0.5"),
        ([1.0], "this goal takes one target"),
        ("1", "target_ms must be a number of milliseconds, got '1'"),
    ],
)
def test_other_targets_are_refused(goal, target, message):
    with pytest.raises(InputError, match=message):
        goal(target)


@pytest.mark.parametrize("name", ["alpha", "beta"])
def test_exponents_are_finite_and_not_positive(name):
    assert getattr(WeightedProduct(1.0, **{name: 0.0}), name) == 0.0
    assert getattr(WeightedProduct(1.0, **{name: -3.0}), name) == -3.0
    for value in (0.01, math.inf, -math.inf, math.nan):
        with pytest.raises(InputError, match=f"{name} must be 0 or negative, got"):
            WeightedProduct(1.0, **{name: value})


def test_an_exponent_needs_a_gain_and_a_factor_above_one():
    for arguments in ((0.0, 2.0), (-0.1, 2.0), (0.05, 1.0), (0.05, 0.5), (math.nan, 2.0), (0.05, math.nan)):
        with pytest.raises(InputError, match="the gain must be positive and the factor above 1"):
            exponent_for(*arguments)


def test_goals_say_what_they_are():
    assert str(WeightedProduct(1.0)) == "weighted product with exponent -0.07"
    assert str(WeightedProduct(1.0, 0.0, -1.0)) == "weighted product with exponents 0 within the target and -1 beyond"
    assert str(Constrained(1.0)) == "highest accuracy within the target"
    assert (WeightedProduct(1.0).measure, Constrained(1.0).measure) == ("reward", "score")


@pytest.mark.parametrize("goal", [WeightedProduct(1.0), Constrained(1.0)])
def test_goals_are_values(goal):
    assert len({goal, type(goal)(1.0), type(goal)(2.0)}) == 2
    with pytest.raises(AttributeError, match="target"):
        goal.target = 2.0
