"""DPP-Net's steps: which block grows, from which networks, and by what is known of costs."""

from __future__ import annotations

import numpy as np
import pytest
from playing import SPACE, losses_of

from evomnas.algorithms.progressive.dpp_net import DPPNet
from evomnas.core.errors import InputError
from evomnas.problem.tabular_space import TabularSpace

GENES = 3  # per block of the table
ROWS = np.array(list(np.ndindex(*[2] * 9)))
TABLE = TabularSpace([["a", "b"]] * 9, ROWS, 0, genes_per_block=GENES)


def step(searcher: DPPNet, losses=losses_of) -> np.ndarray:
    genomes = searcher.ask()
    searcher.tell(genomes, losses(genomes), np.zeros(len(genomes)))
    return genomes


def of_table(genomes: np.ndarray) -> np.ndarray:
    """Losses in conflict: every gene that is 1 costs something and brings something."""
    return np.stack([0.5 - 0.04 * genomes.sum(axis=1), 1.0 + genomes @ np.arange(1, 10)], axis=1)


def test_the_first_step_has_the_reference_network_and_children_that_differ_from_it_in_the_first_block():
    first = DPPNet(SPACE, 1).ask()
    assert len(first) == 8
    assert np.array_equal(first[0], SPACE.reference())
    assert (first[:, SPACE.genes_per_block :] == SPACE.reference()[SPACE.genes_per_block :]).all()


def test_every_step_grows_the_next_block_of_the_best_networks_so_far():
    searcher = DPPNet(TABLE, 1, batch=4)
    known = step(searcher, of_table)
    for number in (1, 2, 0, 1):
        parents = searcher._parents().copy()
        assert all(parent in known.tolist() for parent in parents.tolist())
        genomes = step(searcher, of_table)
        others = np.delete(np.arange(9), np.s_[number * GENES : (number + 1) * GENES])
        for genome in genomes:
            assert (genome[others] == parents[:, others]).all(axis=1).any()
        known = np.concatenate([known, genomes])


def test_candidates_are_chosen_by_costs_that_are_free_and_those_beyond_a_limit_are_not():
    searcher = DPPNet(TABLE, 2, batch=3)
    assert len(searcher.consider(0.0)) == 8  # the reference network and the others of its first block
    step(searcher, of_table)
    candidates = searcher.consider(0.0)
    costs = np.where(np.arange(len(candidates)) % 2, np.inf, of_table(candidates)[:, 1])
    searcher.weigh(candidates, costs)
    asked = searcher.ask().tolist()
    assert len(asked) == 3
    assert all(genome in candidates[::2].tolist() for genome in asked)


def test_costs_that_take_time_are_asked_for_of_a_few_or_of_none():
    searcher = DPPNet(SPACE, 1)
    assert len(searcher.consider(0.001)) == 0  # nothing is known yet that would tell candidates apart
    step(searcher)
    measured = searcher.consider(0.04)
    assert len(measured) == 20
    searcher.weigh(measured, losses_of(measured)[:, 1])
    assert all(genome in measured.tolist() for genome in searcher.ask().tolist())
    other = DPPNet(SPACE, 1)
    step(other)
    assert len(other.consider(0.06)) == 0
    assert len(other.ask()) == 8


def test_it_says_how_far_its_predictions_were_off():
    searcher = DPPNet(TABLE, 1)
    step(searcher, of_table)
    assert searcher.metrics() == {}
    for _ in range(3):
        step(searcher, of_table)
    assert 1.0 <= searcher.metrics()["misprediction"] < 1.5
    genomes = searcher.ask()
    searcher.tell(genomes, np.full((len(genomes), 2), np.inf), np.full(len(genomes), np.inf))
    assert searcher.metrics() == {}


def test_a_batch_has_two_networks_at_least():
    with pytest.raises(InputError, match="batch must be a whole number from 2"):
        DPPNet(SPACE, 1, batch=1)
