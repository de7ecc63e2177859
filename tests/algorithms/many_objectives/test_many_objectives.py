"""Three objectives: who can minimise them, and that they do."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
from playing import SPACE, losses_of, make, play

from evomnas.algorithms.base import ManyObjectives, max_objectives
from evomnas.algorithms.many_objectives.nsga3 import most_partitions
from evomnas.core import registry
from evomnas.core.errors import InputError
from evomnas.problem.pareto import hypervolume

ABLE = sorted(name for name in registry.available("algorithms") if max_objectives(name) > 2)


def three_losses(genomes: np.ndarray) -> np.ndarray:
    """A third objective that is in conflict with the other two."""
    shares = genomes / np.maximum(SPACE.gene_sizes - 1, 1)
    return np.column_stack([losses_of(genomes), 2 - shares[:, 1::2].mean(axis=1)])


def search(name: str, seed: int, rounds: int) -> np.ndarray:
    algorithm = make(name, SPACE, seed)
    algorithm.learn_objectives(3)
    return play(algorithm, rounds, three_losses)


def test_those_that_look_for_a_front_can_minimise_more_than_two():
    assert ABLE == ["nsga2", "nsga2-surrogate", "nsga3", "random"]
    assert [max_objectives(name) for name in ABLE] == [6, 4, 6, 6]
    assert max_objectives("rl-weighted") == 2
    assert all(isinstance(make(name, SPACE, 1), ManyObjectives) for name in ABLE)


@pytest.mark.parametrize("name", [pytest.param(one, marks=[pytest.mark.thorough] * ("-" in one)) for one in ABLE])
def test_three_objectives_are_searched_and_the_seed_decides(name):
    rounds = 4 if name == "nsga2-surrogate" else 8
    first, again = (search(name, 1, rounds) for _ in range(2))
    assert np.array_equal(first, again)
    assert len({SPACE.decode(genome) for genome in first}) == len(first)


@pytest.mark.parametrize("name", ["nsga2", "nsga3"])
def test_fronts_of_three_objectives_are_better_than_random_ones(name):
    corner = (1.0, 6.0, 2.0)
    found, drawn = (
        np.median([hypervolume(three_losses(search(one, seed, 8)), corner) for seed in range(3)])
        for one in (name, "random")
    )
    assert found > drawn


def test_the_surrogate_finds_more_in_fewer_networks_than_random_search():
    corner = (1.0, 6.0, 2.0)
    found = hypervolume(three_losses(search("nsga2-surrogate", 1, 4)), corner)
    assert found > hypervolume(three_losses(search("random", 1, 2)), corner)


def test_a_result_of_the_wrong_width_is_refused():
    algorithm = make("nsga3", SPACE, 1)
    algorithm.learn_objectives(3)
    genomes = algorithm.ask()
    with pytest.raises(ValueError, match=r"losses of shape \(20, 3\)"):
        algorithm.tell(genomes, losses_of(genomes), np.zeros(20))


def test_failures_and_ties_of_three_objectives_are_survived():
    algorithm = make("nsga3", SPACE, 2)
    algorithm.learn_objectives(3)
    play(algorithm, 3, lambda g: np.full((len(g), 3), np.inf), lambda g: np.full(len(g), np.inf))
    assert len(play(algorithm, 3, lambda g: np.ones((len(g), 3)))) == 60


@pytest.mark.parametrize(("objectives", "population"), [(2, 20), (3, 20), (3, 15), (4, 20), (6, 6)])
def test_there_are_as_many_directions_as_the_population_can_follow(objectives, population):
    partitions = most_partitions(objectives, population)
    assert comb(partitions + objectives - 1, objectives - 1) <= population
    assert comb(partitions + objectives, objectives - 1) > population


def test_nsga3_needs_a_network_for_each_objective():
    algorithm = registry.load("algorithms", "nsga3")(SPACE, 1, population=4)
    with pytest.raises(InputError, match="population must be a whole number from 6 to 10000, got 4"):
        algorithm.learn_objectives(6)
