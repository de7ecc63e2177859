"""Operators on genomes: valid genomes, respected block boundaries, the stated rates."""

from __future__ import annotations

import numpy as np
import pytest
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from scipy.stats import binom, chisquare

from evomnas.algorithms.operators import (
    BlockCrossover,
    GeneMutation,
    NetworkDuplicates,
    SpaceSampling,
    make_operators,
)
from evomnas.problem.genes.block_genes import GENES
from evomnas.problem.search_space import SearchSpace

SPACE = SearchSpace()
PROBLEM = Problem(42, 2, 1, xl=np.zeros(42), xu=SPACE.gene_sizes - 1, vtype=int)


def test_the_reference_network_comes_first_and_all_genomes_are_valid(rng):
    genomes = SpaceSampling(SPACE)._do(PROBLEM, 30, random_state=rng)
    assert SPACE.decode(genomes[0]) == SPACE.mobilenet_v2()
    assert ((genomes >= 0) & (genomes < SPACE.gene_sizes)).all()


def test_a_space_without_the_reference_network_is_sampled_all_the_same(rng):
    space = SearchSpace(ops=("conv",))
    assert SpaceSampling(space)._do(PROBLEM, 5, random_state=rng).shape == (5, 42)


def test_sampling_draws_every_value_of_every_gene_alike(rng):
    """No bias at the edges, whatever the size of the population: 7 is a multiple of no number of choices."""
    draws = np.concatenate([SpaceSampling(SPACE)._do(PROBLEM, 7, random_state=rng)[1:] for _ in range(400)])
    for gene, size in enumerate(SPACE.gene_sizes):
        assert chisquare(np.bincount(draws[:, gene], minlength=size)).pvalue > 1e-5


def test_sampling_draws_pairs_of_genes_independently(rng):
    draws = SPACE.sample(3600, rng)
    for first, second in ((0, 1), (0, 3), (4, 5), (5, 10), (36, 40)):
        size = int(SPACE.gene_sizes[second])
        counts = np.bincount(draws[:, first] * size + draws[:, second], minlength=size * int(SPACE.gene_sizes[first]))
        assert chisquare(counts).pvalue > 1e-5


def test_crossover_exchanges_whole_blocks_evenly_and_at_least_one(rng):
    parents = np.stack([np.zeros((2000, 42), dtype=int), np.ones((2000, 42), dtype=int)])
    children = BlockCrossover(len(GENES))._do(PROBLEM, parents, random_state=rng)
    blocks = children.reshape(2, 2000, 7, len(GENES))
    assert (blocks == blocks[..., :1]).all()  # no block is cut
    assert (children.sum(axis=0) == 1).all()  # each gene goes to one child, its alternative to the other
    exchanged = blocks[0, :, :, 0].sum(axis=1)
    assert exchanged.min() >= 1
    assert chisquare(blocks[0, :, :, 0].sum(axis=0)).pvalue > 1e-4
    # one block for certain, the six others with a half each
    expected = 2000 * binom.pmf(np.arange(7), 6, 0.5)
    assert chisquare(np.bincount(exchanged - 1, minlength=7), expected).pvalue > 1e-4


def test_crossover_takes_place_with_its_stated_probability(rng):
    """As pymoo calls it: the rest of the pairs are handed on as they are."""
    zeros, ones = (Population.new("X", np.full((3000, 42), value)) for value in (0, 1))
    parents = [Population.create(zero, one) for zero, one in zip(zeros, ones, strict=True)]
    children = BlockCrossover(len(GENES), prob=0.9).do(PROBLEM, parents, random_state=rng).get("X")
    pure = (children == children[:, :1]).all(axis=1).sum() / 2  # both children of a pair are, or neither
    untouched = 3000 * (0.1 + 0.9 * 0.5**6)  # exchanging all seven blocks leaves parents, too
    assert abs(pure - untouched) < 5 * np.sqrt(untouched)


def test_mutation_changes_genes_at_the_stated_rate_to_every_other_value_alike(rng):
    sizes = SPACE.gene_sizes
    x = np.stack([np.arange(24000) % size for size in sizes], axis=1)
    mutated = GeneMutation(rate=0.25)._do(PROBLEM, x, random_state=rng)
    assert ((mutated >= 0) & (mutated < sizes)).all()
    changed = (mutated != x).sum(axis=0)
    assert (np.abs(changed - 6000) < 5 * np.sqrt(6000)).all()
    for gene, size in enumerate(sizes):
        moves = np.zeros((size, size))
        np.add.at(moves, (x[:, gene], mutated[:, gene]), 1)
        others = moves[~np.eye(size, dtype=bool)]
        assert chisquare(others).pvalue > 1e-5  # from every value to every other, first and last included
    assert (GeneMutation(rate=1.0)._do(PROBLEM, x, random_state=rng) != x).all()


def test_mutation_changes_half_a_gene_per_child_on_average_unless_told(rng):
    x = np.zeros((20000, 42), dtype=int)
    mutated = GeneMutation()._do(PROBLEM, x, random_state=rng)
    assert abs((mutated != x).sum(axis=1).mean() - 0.5) < 5 / np.sqrt(20000)


def test_mutation_leaves_genes_alone_that_have_one_choice(rng):
    problem = Problem(2, 2, 1, xl=np.zeros(2), xu=np.array([0, 3]), vtype=int)
    mutated = GeneMutation(rate=1.0)._do(problem, np.zeros((50, 2), dtype=int), random_state=rng)
    assert (mutated[:, 0] == 0).all()
    assert (mutated[:, 1] > 0).all()


@pytest.mark.parametrize("kept", [10_000, 1])
def test_duplicates_are_networks_and_not_genomes(kept, monkeypatch):
    monkeypatch.setattr("evomnas.algorithms.operators.MAX_DECODED_GENOMES", kept)
    space = SearchSpace(filters=(8,), layers=(1,), strides=(2,), stem=8, stem_stride=1, head=8)
    none, identity, pool = ([0, 0, 0, skip, 0, 0] for skip in (0, 1, 2))
    population = Population.new("X", np.array([none, identity, pool, none]))
    duplicates = NetworkDuplicates(space)
    assert duplicates.do(population).get("X").tolist() == [none, pool]
    duplicates.remember([space.decode(pool)])
    assert duplicates.do(population).get("X").tolist() == [none]
    assert len(duplicates.do(population, Population.new("X", np.array([identity])))) == 0


def test_pairs_are_crossed_with_a_chance_of_nine_tenths_and_every_child_may_mutate():
    operators = make_operators(SPACE)
    assert set(operators) == {"sampling", "crossover", "mutation", "eliminate_duplicates"}
    assert (operators["crossover"].prob.value, operators["mutation"].prob.value) == (0.9, 1.0)
    assert operators["crossover"].genes_per_block == 6
    assert (operators["crossover"].n_parents, operators["crossover"].n_offsprings) == (2, 2)


@pytest.mark.thorough
def test_networks_are_decoded_once_until_ten_thousand_are_at_hand():
    decoded = []

    class Counting(SearchSpace):
        def decode(self, genome):
            decoded.append(1)
            return super().decode(genome)

    duplicates = NetworkDuplicates(Counting())
    genomes = SPACE.sample(10_000, np.random.default_rng(0))
    for genome in genomes:
        duplicates.decode(genome)
    assert len(decoded) == len(np.unique(genomes, axis=0)) == 10_000
    duplicates.decode(genomes[0])
    assert len(decoded) == 10_000
    duplicates.decode(np.zeros(42, dtype=np.int64))  # one too many: all are forgotten
    assert duplicates.decode(genomes[0]) == SPACE.decode(genomes[0])
    assert len(decoded) == 10_002
