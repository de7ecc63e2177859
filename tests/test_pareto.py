"""Fronts and hypervolume, against deap and brute force."""

from __future__ import annotations

import numpy as np
from deap import base, creator, tools
from hypothesis import given
from hypothesis import strategies as st

from evomnas.pareto import hypervolume, non_dominated

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
def test_hypervolume_is_the_share_of_dominated_cells(losses):
    """Brute force: integer points in a 5 x 4 box of unit cells."""
    cells = sum(any(a <= x and b <= y for a, b in losses) for x in range(5) for y in range(4))
    assert np.isclose(hypervolume(losses, (5, 4)), cells / 20)


def test_without_points_the_front_is_empty_and_the_hypervolume_zero():
    assert non_dominated([]).tolist() == []
    assert hypervolume([], (1, 1)) == 0.0
    assert hypervolume([(2, 0), (0, 1)], (1, 1)) == 0.0
