"""Selection front by front, and along a front that does not fit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evomnas.algorithms.progressive.selection import select_spread

FRONT = [(4.0, 1.0), (3.0, 2.0), (2.0, 3.0), (1.0, 4.0), (0.0, 5.0)]
BEHIND = [(9.0, 6.0), (8.0, 7.0)]


@pytest.mark.parametrize(
    ("count", "rows"), [(2, {1, 5}), (3, {1, 3, 5}), (5, {1, 2, 3, 4, 5}), (6, {0, 1, 2, 3, 4, 5}), (9, set(range(7)))]
)
def test_a_front_comes_whole_or_in_equal_steps_along_it(count, rows):
    points = np.array([BEHIND[0], *FRONT, BEHIND[1]])
    selected = select_spread(points, count)
    assert len(selected) == len(set(selected.tolist())) == min(count, 7)
    assert set(selected.tolist()) - {0, 6} == rows - {0, 6}
    assert len(selected) < 6 or 0 in selected


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=20), st.integers(2, 8))
def test_nothing_that_is_selected_is_dominated_by_what_is_left(points, count):
    losses = np.array(points, dtype=float).reshape(-1, 2)
    selected = select_spread(losses, count)
    assert len(set(selected.tolist())) == len(selected) == min(count, len(points))
    left = np.setdiff1d(np.arange(len(points)), selected)
    for row in losses[selected]:
        better = (losses[left] <= row).all(axis=1) & (losses[left] < row).any(axis=1)
        assert not better.any()
