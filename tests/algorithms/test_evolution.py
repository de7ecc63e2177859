"""Aging evolution: who lives, who breeds, and that it climbs."""

from __future__ import annotations

import numpy as np
import pytest

from evomnas.algorithms.evolution import BROOD_SIZE, EvoConstrained, EvoWeighted
from evomnas.core.errors import InputError
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
