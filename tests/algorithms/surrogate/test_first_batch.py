"""Networks as numbers, and the batch that is chosen before anything is known of errors."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from strategies import points

from evomnas.algorithms.surrogate.features import NetworkEncoder, concatenate, drop_duplicates
from evomnas.algorithms.surrogate.first_batch import _extreme_genomes, first_batch, first_candidates
from evomnas.problem.counting import count_architecture
from evomnas.problem.genes.block_genes import GENES
from evomnas.problem.search_space import SearchSpace
from evomnas.problem.tabular_space import TabularSpace

SPACE = SearchSpace(filters=(8, 8, 16), layers=(1, 2, 1), strides=(1, 2, 1), stem=8, head=16)
GRID = np.array(list(itertools.product(range(3), repeat=5)), dtype=np.int64)
TABLE = TabularSpace([list("abc")] * 5, GRID, 7)


@given(points())
def test_sizes_are_those_of_the_network_whose_output_has_four_pixels(point):
    """Logarithms of MACs, parameters, layers, and 1 + layers with squeeze-and-excite and 1 + layers with a skip."""
    space, genome = point
    network = space.decode(genome)
    side = 4
    for stride in reversed(space.strides):
        side *= stride
    counts = count_architecture(network, classes=1, channels=3, resolution=side * space.stem_stride)
    layers = [(block.se > 0, block.skip != "none") for block in network.blocks for _ in range(block.layers)]
    [sizes] = np.exp(NetworkEncoder(space)(genome[None]).sizes)
    expected = [counts.macs, counts.params, len(layers), *(1 + sum(column) for column in zip(*layers, strict=True))]
    assert sizes == pytest.approx(expected)


def test_choices_are_one_hot_with_a_column_more_for_what_no_choice_is():
    """The only skip is identity, which no layer of the second block can carry: so it is none, which is no choice."""
    space = SearchSpace(filters=(8, 8), layers=(1, 1), strides=(1, 2), stem=8, head=8, skips=("identity",))
    encode = NetworkEncoder(space)
    sizes = [4, 2, 2, 1, 3, 2] * 2
    assert encode.gene.tolist() == [gene for gene, size in enumerate(sizes) for _ in range(size + 1)]
    genome = np.array([3, 1, 1, 0, 0, 1, 0, 1, 0, 0, 2, 0])
    [row] = encode(genome[None]).one_hot
    codes = [row[encode.gene == gene].tolist().index(1.0) for gene in range(12)]
    assert codes == [3, 1, 1, 0, 0, 1, 0, 1, 0, 1, 2, 0]
    assert row.sum() == 12
    assert GENES[3] == "skip"


def test_a_table_s_networks_are_their_choices_without_sizes():
    encode = NetworkEncoder(TABLE)
    networks = encode(GRID[:4])
    assert encode.gene.tolist() == [gene for gene in range(5) for _ in range(3)]
    assert np.array_equal(networks.one_hot, np.concatenate([np.eye(3)[GRID[:4, gene]] for gene in range(5)], axis=1))
    assert networks.sizes.shape == (4, 0)
    assert networks.keys == tuple(map(TABLE.decode, GRID[:4]))
    assert encode.key(GRID[2]) == networks.keys[2]
    assert len(encode(GRID[:0])) == 0


@pytest.mark.parametrize("space", [SPACE, TABLE])
def test_networks_are_taken_by_rows_joined_and_kept_once(space):
    encode = NetworkEncoder(space)
    networks = encode(space.sample(6, np.random.default_rng(0)))
    assert len(networks) == 6
    some = networks[np.array([4, 1])]
    assert some.keys == (networks.keys[4], networks.keys[1])
    assert np.array_equal(some.genomes, networks.genomes[[4, 1]])
    both = concatenate(some, networks)
    for name in ("genomes", "one_hot", "sizes"):
        assert np.array_equal(getattr(both, name), np.concatenate([getattr(some, name), getattr(networks, name)]))
    assert both.keys == some.keys + networks.keys
    assert drop_duplicates(both).keys == tuple(dict.fromkeys(both.keys))
    assert drop_duplicates(both, set(some.keys)).keys == tuple(
        dict.fromkeys(key for key in both.keys if key not in some.keys)
    )
    with pytest.raises(AttributeError, match="keys"):
        both.keys = ()


@pytest.mark.parametrize("space", [SPACE, TABLE])
def test_the_extremes_have_the_least_and_the_largest_effect_of_every_gene(space):
    encode = NetworkEncoder(space)
    effects = np.random.default_rng(1).normal(size=len(encode.gene))
    effects[-1], effects[0] = 99.0, -99.0
    low, high = _extreme_genomes(effects, encode, space.gene_sizes)
    for gene, size in enumerate(space.gene_sizes):
        own = effects[np.flatnonzero(encode.gene == gene)[: int(size)]].tolist()
        assert own[low[gene]] == min(own)
        assert own[high[gene]] == max(own)


def test_candidates_are_400_random_networks_and_as_many_mixes_with_the_extremes():
    """Of a space with many networks hardly one comes twice, but that some mixes have all of an extreme's genes."""
    space = SearchSpace()
    networks = first_candidates(NetworkEncoder(space), np.random.default_rng(0))
    rng = np.random.default_rng(0)
    assert np.array_equal(networks.genomes[0], space.reference())
    assert np.array_equal(networks.genomes[1:400], [space.draw(rng) for _ in range(400)][1:])
    drawn, mixes = networks.sizes[:400, 0], networks.sizes[400:, 0]
    assert 300 < len(mixes) <= 400
    assert mixes[:2] == pytest.approx([mixes.min(), mixes.max()], abs=0.1)  # the extremes, but for the fit's error
    assert mixes.min() < drawn.min() < drawn.max() < mixes.max()
    assert mixes.std() > 1.5 * drawn.std()
    shares = [(networks.genomes[402:] == end).mean(axis=1) for end in networks.genomes[400:402]]
    assert np.histogram(np.maximum(*shares), bins=3, range=(0.4, 1.0))[0].min() > 20  # every share of their genes


def test_of_a_table_candidates_are_networks_that_it_holds():
    networks = first_candidates(NetworkEncoder(TABLE), np.random.default_rng(0))
    assert len(set(networks.keys)) == len(networks) > 150
    assert np.array_equal(networks.genomes[0], TABLE.reference())


def distance_order(batch: list[int], one_hot: np.ndarray, band: list[int]) -> dict[int, float]:
    """With how many choices each of a band agrees with the most similar one of a batch."""
    return {row: max((float(one_hot[row] @ one_hot[other]) for other in batch), default=1.0) for row in band}


@pytest.mark.parametrize("reference", [False, True])
@pytest.mark.parametrize("count", [3, 6, 10])
def test_each_band_of_costs_gives_the_network_that_differs_most_from_those_before(reference, count):
    networks = NetworkEncoder(TABLE)(GRID[::3])  # 81: bands of at most 64 are compared as a whole
    costs = np.random.default_rng(5).permutation(81).astype(float)
    key = networks.keys[40] if reference else None
    rows = first_batch(networks, costs, count, np.random.default_rng(6), [key]).tolist()
    assert len(rows) == len(set(rows)) == count
    if reference:
        assert rows[0] == 40
    order = np.argsort(costs).tolist()
    batch = list(dict.fromkeys([*([40] if reference else []), order[0], order[-1]]))
    assert set(batch) <= set(rows)
    for band in np.array_split(order, count - len(batch)) if count > len(batch) else ():
        left = [int(row) for row in band if row not in batch]
        [chosen] = [row for row in left if row in rows]
        agreements = distance_order(batch, networks.one_hot, left)
        assert agreements[chosen] == min(agreements.values())
        batch.append(chosen)
    assert set(batch) == set(rows)


def test_without_costs_bands_are_random_and_each_differs_most_from_those_before():
    networks = NetworkEncoder(TABLE)(GRID)
    batches = {tuple(first_batch(networks, None, 9, np.random.default_rng(seed))) for seed in range(5)}
    assert len(batches) == 5
    for rows in batches:
        agreements = (networks.one_hot[list(rows)] @ networks.one_hot[list(rows)].T)[np.triu_indices(9, 1)]
        assert agreements.max() <= 3  # of five genes; two of random ones often have four in common


def test_all_are_taken_where_there_are_no_more_than_wanted():
    networks = NetworkEncoder(TABLE)(GRID[:6])
    costs = np.array([3.0, 1.0, 2.0, 6.0, 5.0, 4.0])
    for wanted in (6, 7, 50):
        assert sorted(first_batch(networks, costs, wanted, np.random.default_rng(0))) == list(range(6))
        assert sorted(first_batch(networks, None, wanted, np.random.default_rng(0))) == list(range(6))


def test_a_batch_of_two_has_both_ends_and_one_of_one_the_reference_network():
    networks = NetworkEncoder(TABLE)(GRID[:9])
    costs = np.arange(9.0)
    assert sorted(first_batch(networks, costs, 2, np.random.default_rng(0))) == [0, 8]
    assert first_batch(networks, costs, 1, np.random.default_rng(0), [networks.keys[4]]).tolist() == [4]


def test_behind_the_reference_network_the_order_is_random():
    networks = NetworkEncoder(TABLE)(GRID)
    costs = np.arange(243.0)
    batches = [
        first_batch(networks, costs, 10, np.random.default_rng(seed), [networks.keys[100]]) for seed in range(40)
    ]
    assert all(batch[0] == 100 for batch in batches)
    places = [batch.tolist().index(0) for batch in batches]  # of the cheapest one
    assert min(places) == 1
    assert max(places) == 9


def test_landmarks_are_in_the_batch_the_first_of_them_at_its_beginning():
    networks = NetworkEncoder(TABLE)(GRID)
    costs = np.arange(243.0)
    wanted = [networks.keys[row] for row in (100, 7, 200)]
    for seed in range(10):
        batch = first_batch(networks, costs, 6, np.random.default_rng(seed), [*wanted, "elsewhere"]).tolist()
        assert batch[0] == 100
        assert {7, 200, 0, 242} < set(batch)
    assert first_batch(networks, costs, 2, np.random.default_rng(0), wanted).tolist() == [100, 7]
