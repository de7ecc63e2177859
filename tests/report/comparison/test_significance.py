"""Rank tests, against counts of all orders and against figures worked out by hand."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evomnas.report.comparison.significance import a12, compare_pairs, holm, min_p, seeds_needed


def wins(first, second) -> float:
    """U of the first: pairs that it wins, ties half."""
    return sum(1.0 if x > y else 0.5 if x == y else 0.0 for x in first for y in second)


def p_of_all_orders(first, second) -> float:
    """Two-sided p by counting every way to deal the values to two sides."""
    values = [*first, *second]
    middle = len(first) * len(second) / 2
    distance = abs(wins(first, second) - middle)
    deals = list(itertools.combinations(range(len(values)), len(first)))
    extreme = 0
    for deal in deals:
        mine = [values[i] for i in deal]
        others = [values[i] for i in range(len(values)) if i not in deal]
        extreme += abs(wins(mine, others) - middle) >= distance - 1e-9
    return extreme / len(deals)


@given(st.lists(st.integers(0, 1000), min_size=9, max_size=9, unique=True))
def test_p_is_the_share_of_orders_that_are_as_extreme(values):
    [pair] = compare_pairs({"a": values[:4], "b": values[4:]})
    assert pair.p == pytest.approx(p_of_all_orders(values[:4], values[4:]))


@given(st.lists(st.integers(0, 4), min_size=1, max_size=6), st.lists(st.integers(0, 4), min_size=1, max_size=6))
def test_the_effect_is_the_chance_to_win(first, second):
    assert a12(first, second) == pytest.approx(wins(first, second) / (len(first) * len(second)))
    assert a12(first, second) + a12(second, first) == pytest.approx(1)


def test_an_example_by_hand():
    # of 3 x 3 pairs a wins (4,1) (4,3) (6,1) (6,3) (6,5) (2,1): 6; never tested, as 2 of 20 orders are as extreme
    [pair] = compare_pairs({"a": [2, 4, 6], "b": [1, 3, 5]})
    assert (pair.effect, pair.p, pair.significant) == (pytest.approx(6 / 9), None, False)


def test_equal_values_everywhere_are_no_difference():
    [pair] = compare_pairs({"a": [0.5] * 6, "b": [0.5] * 6})
    assert (pair.effect, pair.p, pair.significant) == (0.5, 1.0, False)


def test_runs_apart_are_significant_from_four_seeds_on():
    for seeds, least in ((3, 2 / 20), (4, 2 / 70)):
        assert min_p(seeds, seeds) == pytest.approx(least)
    [pair] = compare_pairs({"a": [5, 6, 7, 8], "b": [1, 2, 3, 4]})
    assert (pair.p, pair.effect, pair.significant) == (pytest.approx(2 / 70), 1.0, True)


def test_more_pairs_need_more_seeds():
    # 1 pair: 2/70 < 0.05 with 4; 3 pairs: 6/70 is not, 6/252 is; 6 pairs: 12/252 < 0.05; 10 pairs: 20/252 is not
    assert [seeds_needed(algorithms) for algorithms in (2, 3, 4, 5)] == [4, 5, 5, 6]
    four = {name: [4 * number + place for place in range(4)] for number, name in enumerate("abc")}
    assert {pair.p for pair in compare_pairs(four)} == {None}
    five = {name: [5 * number + place for place in range(5)] for number, name in enumerate("abc")}
    assert [pair.p for pair in compare_pairs(five)] == pytest.approx([3 * 2 / 252] * 3)


def test_one_algorithm_has_nothing_to_be_compared_with():
    assert compare_pairs({"a": [1.0, 2.0]}) == []
    assert seeds_needed(1) == 1


def test_holm_multiplies_by_the_number_of_hypotheses_that_are_left():
    # sorted 0.01 0.02 0.03 0.04: 0.04, 3 x 0.02 = 0.06, 2 x 0.03 = 0.06, then no less than the one before
    assert holm([0.02, 0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.06, 0.04, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


def test_many_seeds_with_ties_are_tested_too():
    first, second = [number % 7 for number in range(40)], [number % 7 + 3 for number in range(40)]
    [pair] = compare_pairs({"a": first, "b": second})
    assert pair.significant
    assert pair.effect == pytest.approx(wins(first, second) / 1600)
    assert not math.isnan(pair.p)
