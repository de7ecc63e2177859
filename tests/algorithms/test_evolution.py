"""Aging evolution: who lives, who breeds, and that it climbs."""

from __future__ import annotations

import numpy as np
import pytest

from evomnas.algorithms.evolution import BROOD_SIZE, EvoConstrained, EvolutionFitness, EvoWeighted
from evomnas.algorithms.goals import Constrained, WeightedProduct
from evomnas.core.errors import InputError
from evomnas.problem.pretrained.donors import find_donor
from evomnas.problem.pretrained.space import space_around
from evomnas.problem.search_space import SearchSpace

SPACE = SearchSpace(filters=(8, 8, 16), layers=(1, 2, 1), strides=(1, 2, 1), stem=8, head=16)


def losses_of(genomes: np.ndarray) -> np.ndarray:
    """More of everything is more accurate and slower: latencies from 1 to 2."""
    share = (genomes / np.maximum(SPACE.gene_sizes - 1, 1)).mean(axis=1)
    return np.stack([1 - 0.9 * share, 1 + share], axis=1)


def play(searcher, networks: int) -> np.ndarray:
    asked = []
    while sum(map(len, asked)) < networks:
        genomes = searcher.ask()
        searcher.tell(genomes, losses_of(genomes), np.zeros(len(genomes)))
        asked.append(genomes)
    return np.concatenate(asked)


def test_the_oldest_leave_whether_they_are_good_or_not():
    searcher = EvoWeighted(SPACE, 1, target_ms=1.5, population=10, tournament=3)
    asked = play(searcher, 10 + 3 * BROOD_SIZE)
    assert [list(one) for one in searcher._population] == asked[-10:].tolist()


def test_the_first_population_holds_the_reference_network():
    first = EvoWeighted(SPACE, 1, target_ms=1.5, population=12, tournament=3).ask()
    assert len(first) == 12
    assert first[0].tolist() == SPACE.reference().tolist()


def test_half_of_the_first_population_are_landmarks_if_there_are_enough():
    space = space_around(find_donor("efficientnet-lite0"), 96)
    landmarks = space.landmarks().tolist()
    assert len(landmarks) > 3
    for size in (6, 7):
        first = EvoWeighted(space, 1, target_ms=1.5, population=size, tournament=2).ask().tolist()
        assert len(first) == size
        assert [genome for genome in first if genome in landmarks] == first[:3] == landmarks[:3]


def test_the_best_of_the_whole_population_is_every_mutants_parent_where_the_tournament_is_as_large():
    """Each is then one or few genes away from it; drawn at random it would differ in most of 18."""
    searcher = EvoWeighted(SPACE, 1, target_ms=1.5, population=400, tournament=400)
    first = searcher.ask()
    searcher.tell(first, losses_of(first), np.zeros(len(first)))
    best = first[np.argmax(searcher.goals[0](losses_of(first)))]
    distances = (searcher.ask() != best).sum(axis=1)
    assert distances.max() <= 6


def test_it_climbs():
    searcher = EvoWeighted(SPACE, 1, target_ms=1.5)
    scores = searcher.goals[0](losses_of(play(searcher, 400)))
    assert np.mean(scores[-50:]) > np.mean(scores[:20]) + 0.1


def test_the_hard_formulation_ends_close_below_the_target():
    searcher = EvoConstrained(SPACE, 1, target_ms=1.5)
    latencies = losses_of(play(searcher, 600))[-100:, 1]
    assert 1.4 < latencies[latencies <= 1.5].max() <= 1.5
    assert (latencies <= 1.5).mean() > 0.5


def test_failures_take_no_place_in_the_population():
    searcher = EvoWeighted(SPACE, 1, target_ms=1.5)
    genomes = searcher.ask()
    violations = np.where(np.arange(len(genomes)) % 2, np.inf, 0.0)
    searcher.tell(genomes, np.where(violations[:, None] > 0, np.inf, losses_of(genomes)), violations)
    assert [list(one) for one in searcher._population] == genomes[violations == 0].tolist()


def test_wrong_options_are_named():
    with pytest.raises(InputError, match="population must be a whole number from 2 to 10000, got 1"):
        EvoWeighted(SPACE, 1, target_ms=1.0, population=1)
    with pytest.raises(InputError, match="tournament may be at most the population, 4, got 5"):
        EvoConstrained(SPACE, 1, target_ms=1.0, population=4, tournament=5)
    with pytest.raises(InputError, match="the target must be positive"):
        EvoConstrained(SPACE, 1, target_ms=0.0)


# --- to the number ---------------------------------------------------------------------------------------


def test_five_networks_are_bred_at_a_time_after_the_first_population():
    for population in (4, 20):
        searcher = EvoWeighted(SPACE, 1, target_ms=1.5, population=population, tournament=2)
        sizes = []
        for _ in range(3):
            genomes = searcher.ask()
            sizes.append(len(genomes))
            searcher.tell(genomes, losses_of(genomes), np.zeros(len(genomes)))
        assert sizes == [population, 5, 5]


def test_a_space_without_a_reference_network_begins_with_as_many():
    space = SearchSpace(filters=(8, 8), layers=(1, 2), strides=(1, 2), stem=8, head=16, ops=("conv",))
    assert space.reference() is None
    first = EvoWeighted(space, 1, target_ms=1.5, population=12).ask()
    assert len({space.decode(genome) for genome in first}) == 12


def test_a_mutant_differs_in_one_gene_on_average():
    """Each of 18 genes is drawn anew with a chance of 1/18, and then is what it was once in as many times as it has
    choices. Mutants of known networks do not count: they are bred again."""
    searcher = EvoWeighted(SPACE, 1, target_ms=1.5, population=2, tournament=1)
    distances = []
    for _ in range(300):
        parents = np.array([list(one) for one in searcher._population]) if searcher._population else None
        genomes = searcher.ask()
        if parents is not None:
            distances += [min((genome != parent).sum() for parent in parents) for genome in genomes]
        searcher.tell(genomes, losses_of(genomes), np.zeros(len(genomes)))
    changes = sum(1 - 1 / size for size in SPACE.gene_sizes) / 18
    none = np.prod([1 - (1 - 1 / size) / 18 for size in SPACE.gene_sizes])
    expected = changes / (1 - none)  # of those that differ at all
    assert expected - 0.05 < np.mean(distances) < expected + 0.2  # one that builds the same network is no mutant


def test_networks_beyond_a_limit_are_parents_of_last_resort():
    """The smaller the excess the better, whatever the goal says; at the same excess the goal decides."""
    for better, worse in (((0.0, 0.1), (0.2, 0.9)), ((0.1, 0.2), (0.2, 0.9)), ((0.0, 0.5), (0.0, 0.4))):
        fitness = [EvolutionFitness(values) for values in (better, worse)]
        assert fitness[0] > fitness[1]
    searcher = EvoWeighted(SPACE, 1, target_ms=1.5, population=40, tournament=40)
    genomes = searcher.ask()
    violations = np.where(np.arange(40) == 7, 0.0, 1.0 + np.arange(40))
    losses = np.where(violations[:, None] > 0, np.inf, losses_of(genomes))
    searcher.tell(genomes, losses, violations)
    assert len(searcher._population) == 40
    # forty draws with replacement from forty: two of three tournaments have it, and it wins
    assert ((searcher.ask() != genomes[7]).sum(axis=1) <= 3).sum() >= 3


def test_networks_without_a_goal_s_value_leave_no_offspring():
    """An infinite loss without any violation, as nobody should tell."""
    searcher = EvoWeighted(SPACE, 1, target_ms=1.5, population=6, tournament=2)
    genomes = searcher.ask()
    losses = np.where(np.arange(6)[:, None] < 2, np.inf, losses_of(genomes))
    searcher.tell(genomes, losses, np.zeros(6))
    assert [list(one) for one in searcher._population] == genomes[2:].tolist()


def test_where_all_failed_networks_are_drawn():
    searcher = EvoWeighted(SPACE, 1, target_ms=1.5, population=4, tournament=2)
    genomes = searcher.ask()
    searcher.tell(genomes, np.full((4, 2), np.inf), np.full(4, np.inf))
    assert len({SPACE.decode(genome) for genome in [*genomes, *searcher.ask()]}) == 9


def test_the_goals_are_the_paper_s_soft_reward_and_its_hard_formulation():
    assert EvoWeighted(SPACE, 1, target_ms=2.0).goals == (WeightedProduct(2.0, -0.07, -0.07),)
    assert EvoWeighted(SPACE, 1, target_ms=2.0, alpha=0.0, beta=-1.0).goals == (WeightedProduct(2.0, 0.0, -1.0),)
    assert EvoConstrained(SPACE, 1, target_ms=2.0).goals == (Constrained(2.0),)
    for kind in (EvoWeighted, EvoConstrained):
        assert len(kind(SPACE, 1, target_ms=2.0).ask()) == 20


@pytest.mark.parametrize("kind", [EvoWeighted, EvoConstrained])
def test_options_at_their_limits_are_allowed(kind):
    assert len(kind(SPACE, 1, target_ms=1.0, population=2, tournament=1).ask()) == 2
    kind(SPACE, 1, target_ms=1.0, population=3, tournament=3)
    with pytest.raises(InputError, match="tournament must be a whole number from 1 to 10000, got 0"):
        kind(SPACE, 1, target_ms=1.0, tournament=0)
