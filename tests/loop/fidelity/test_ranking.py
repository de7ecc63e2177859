"""How trainings of different lengths rank networks: where chance decides."""

from __future__ import annotations

import numpy as np
import pytest

from evomnas.loop.fidelity.ranking import compare_rankings, propose_epochs


def test_a_column_that_is_constant_ranks_nothing():
    ranking = compare_rankings({1: np.ones(8), 2: np.arange(8.0)}, np.arange(8.0))[1]
    assert np.isnan(ranking.tau)
    assert ranking.chance == 0


def noisy(count: int, noise: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores of whole trainings of networks that truly differ, and the seed's noise of one more training."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=count)
    return truth + noise * rng.normal(size=count), truth + noise * rng.normal(size=count)


def test_trainings_that_rank_exactly_alike_are_proposed_and_the_shortest_of_them():
    whole, repeat = noisy(16, 0.3, 1)
    rankings = compare_rankings({1: whole.copy(), 2: whole.copy(), 5: whole}, repeat)
    assert list(rankings) == [1, 2, 5]
    assert all((one.difference, one.difference_interval, one.chance) == (0, (0, 0), 1) for one in rankings.values())
    assert propose_epochs(rankings) == 1


def test_trainings_that_rank_by_chance_are_not_proposed():
    whole, repeat = noisy(24, 0.3, 2)
    chance = np.random.default_rng(3).normal(size=24)
    rankings = compare_rankings({1: chance, 2: whole + 1e-3, 5: whole}, repeat)
    assert rankings[1].difference_interval[1] < 0
    assert rankings[1].chance < 0.05
    assert propose_epochs(rankings) == 2


def test_where_whole_trainings_rank_by_chance_nothing_shorter_is_proposed():
    rng = np.random.default_rng(4)
    whole, repeat, short = rng.normal(size=(3, 12))
    rankings = compare_rankings({1: short, 5: whole}, repeat)
    assert rankings[5].interval[0] <= 0
    assert propose_epochs(rankings) == 5


@pytest.mark.thorough
def test_intervals_are_as_wide_as_repeating_the_pilot_shows():
    """Of 60 pilots with other networks, about 90 % of the intervals hold the mean tau of all."""
    found = []
    for seed in range(60):
        whole, repeat = noisy(20, 0.7, seed)
        found.append(compare_rankings({1: whole}, repeat)[1])
    mean = np.mean([one.tau for one in found])
    inside = np.mean([one.interval[0] <= mean <= one.interval[1] for one in found])
    assert 0.75 <= inside <= 1


def test_the_same_scores_give_the_same_intervals():
    whole, repeat = noisy(10, 0.5, 5)
    first, second = (compare_rankings({1: whole[::-1].copy(), 2: whole}, repeat) for _ in range(2))
    assert first == second
