"""Kendall's tau-b against SciPy, and where nothing is ranked."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats

from evomnas.core.numbers.ranks import _count_by_pairs, _count_by_sorting, kendall_tau

COLUMNS = st.integers(2, 20).flatmap(
    lambda count: st.tuples(*[arrays.arrays(np.float64, count, elements=st.integers(0, 8).map(float))] * 2)
)


@given(COLUMNS)
def test_tau_is_scipy_s_to_the_last_bit_with_ties_as_well(columns):
    found, expected = kendall_tau(*columns), float(stats.kendalltau(*columns).statistic)
    assert found == expected or (np.isnan(found) and np.isnan(expected))


@given(COLUMNS)
def test_few_and_many_values_are_counted_alike(columns):
    assert _count_by_pairs(*columns) == _count_by_sorting(*columns)


def test_tau_of_more_values_than_a_computer_compares_in_pairs():
    rng = np.random.default_rng(0)
    first = rng.normal(size=5000)
    second = first + rng.normal(size=5000)
    assert kendall_tau(first, second) == pytest.approx(stats.kendalltau(first, second).statistic, abs=1e-15)


def test_one_pair_in_the_wrong_order_by_hand():
    assert kendall_tau(np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0])) == pytest.approx(1 / 3)


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_values_have_no_rank(count):
    assert np.isnan(kendall_tau(np.zeros(count), np.zeros(count)))


def test_a_column_that_is_constant_ranks_nothing():
    assert np.isnan(kendall_tau(np.ones(5), np.arange(5.0)))
    assert np.isnan(kendall_tau(np.arange(5.0), np.ones(5)))
