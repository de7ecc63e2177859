"""How many costs are worth knowing: a tenth of the batch's time, at most 64, and none where too few could be."""

from __future__ import annotations

import math

import pytest

from evomnas.algorithms.weighing import measurable_candidates


@pytest.mark.parametrize(
    ("price", "batch", "count"),
    [(0.05, 8, 16), (0.051, 8, 0), (0.02, 8, 40), (1e-6, 8, 64), (math.inf, 8, 0), (1e-6, 33, 0)],
)
def test_costs_are_known_of_as_many_candidates_as_a_tenth_of_the_time_pays(price, batch, count):
    assert measurable_candidates(price, batch) == count
