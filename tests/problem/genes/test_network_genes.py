"""Genes of whole networks: resolution, width and activation, one by one and together."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from evomnas.algorithms.surrogate.features import NetworkEncoder
from evomnas.core.errors import InputError
from evomnas.problem.counting import count_architecture, smallest_architecture
from evomnas.problem.search_space import SearchSpace

PLAIN = {
    "filters": (8, 12), "layers": (1, 1), "strides": (1, 2), "stem": 8, "stem_stride": 1, "head": 16, "divisor": 4,
    "kernels": (3, 5), "se_ratios": (0.0,), "filter_multipliers": (1.0, 1.5),
}  # fmt: skip
LISTS = {
    "ops": ("pass", "ffn2", "uib2a3", "extradw2"), "skips": ("identity",), "layer_offsets": (0,),
    "block_filters": ((0, 12), (12, 8)),
}  # fmt: skip
SPACE = SearchSpace(
    **PLAIN, **LISTS, resolutions=(8, 12), widths=(0.5, 1.0), activations=("relu", "hswish")
)  # fmt: skip
EVERY = [np.array(genome) for genome in itertools.product(*map(range, SPACE.gene_sizes.tolist()))]
NETWORKS = [SPACE.decode(genome) for genome in EVERY]


def test_every_network_is_counted_once_and_encoded_as_it_was():
    distinct = list(dict.fromkeys(NETWORKS))
    assert SPACE.networks == len(distinct) < len(EVERY) == SPACE.genomes
    for network in distinct[::40]:
        assert SPACE.decode(SPACE.encode(network)) == network
    assert {network.stem for network in distinct} == {4, 8}
    assert {(network.resolution, network.traits.activation) for network in distinct} == {
        (8, "relu"), (8, "hswish"), (12, "relu"), (12, "hswish"),
    }  # fmt: skip


def test_the_blocks_are_those_of_a_space_of_that_width_alone():
    alone = SearchSpace(**PLAIN, **LISTS, width=0.5)
    blocks = {network.blocks for network in NETWORKS if network.stem == 4}
    assert len(blocks) == alone.networks
    assert blocks == {alone.decode(genome[:12]).blocks for genome in EVERY}


def test_draws_reach_all_networks_of_all_widths(rng):
    drawn = Counter(SPACE.decode(SPACE.draw(rng)) for _ in range(600))
    narrow = sum(count for network, count in drawn.items() if network.stem == 4)
    share = sum(network.stem == 4 for network in set(NETWORKS)) / SPACE.networks
    assert abs(narrow / 600 - share) < 0.1
    assert set(drawn) <= set(NETWORKS)


def test_predictors_know_networks_by_their_genes():
    some = EVERY[::53]
    encoded = NetworkEncoder(SPACE)(np.array(some))
    networks = [SPACE.decode(genome) for genome in some]
    assert len(set(encoded.keys)) == len(set(networks)) == len(set(zip(encoded.keys, networks, strict=True)))


def test_the_smallest_network_is_that_of_the_whole_enumeration():
    found = smallest_architecture(SPACE, lambda counts: counts.macs, 10, 3, 12)
    least = min(count_architecture(network, 10, 3, 12).macs for network in set(NETWORKS))
    assert count_architecture(found, 10, 3, 12).macs == least
    assert found in NETWORKS


def test_the_reference_network_is_the_largest_at_the_first_activation():
    space = SearchSpace(**PLAIN, resolutions=(8, 12), widths=(0.5, 1.0), activations=("hswish", "relu"))
    reference = space.reference_network()
    assert (reference.resolution, reference.stem, str(reference.traits)) == (12, 8, "hswish")
    assert space.decode(space.reference()) == reference


def test_what_no_gene_has_is_refused_by_name():
    network = NETWORKS[0]
    with pytest.raises(InputError, match="resolution 9 is not in this search space, which has 8, 12"):
        SPACE.encode(replace(network, resolution=9))
    with pytest.raises(InputError, match="activation relu6 is not in this search space, which has relu, hswish"):
        SPACE.encode(replace(network, traits=replace(network.traits, activation="relu6")))
    with pytest.raises(InputError, match="stem, head or number of blocks differ"):
        SPACE.encode(replace(network, stem=6))
    with pytest.raises(InputError, match=r"gene 13 \(width\) must be a whole number below 2, got 2"):
        SPACE.decode([0] * 13 + [2, 0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"widths": (0.45, 0.5)}, r"two of the widths \[0.45, 0.5\] give the same stem: .* a divisor below 4"),
        ({"widths": (1.0, 1.0)}, "widths must list none twice"),
        ({"widths": (-1.0,)}, "widths must be positive"),
        ({"widths": (0.5,), "width": 0.5}, "with widths there is no width"),
        ({"activations": ("gelu",)}, "unknown activation 'gelu': allowed are relu, relu6, hswish"),
        ({"block_kernels": ((3,),)}, "block_kernels needs a list for every one of the 2 blocks"),
        ({"block_kernels": ((3,), (4,))}, "kernel size 4 is not an odd number"),
        ({"block_skips": (("none",), ())}, "block_skips must list at least one choice for every block"),
        ({"block_filters": ((8,), (-8,))}, "block_filters must lie between 0 and"),
    ],
)
def test_what_cannot_be_a_choice_is_refused(changes, message):
    with pytest.raises(InputError, match=message):
        SearchSpace(**PLAIN | changes)
