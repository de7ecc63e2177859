"""The search space: decoding, encoding, sampling, size."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evomnas.errors import InputError
from evomnas.space import GENES, SearchSpace, round_filters

PAPER = SearchSpace()


@st.composite
def spaces(draw):
    count = draw(st.integers(1, 4))

    def per_block(values):
        return tuple(draw(st.lists(values, min_size=count, max_size=count)))

    return SearchSpace(
        filters=per_block(st.integers(4, 64)),
        layers=per_block(st.integers(1, 4)),
        strides=per_block(st.integers(1, 2)),
        stem=draw(st.integers(4, 32)),
        stem_stride=draw(st.integers(1, 2)),
        head=draw(st.integers(8, 64)),
        width=draw(st.sampled_from([0.35, 0.5, 1.0, 1.4])),
        divisor=draw(st.sampled_from([1, 4, 8])),
    )


@given(spaces(), st.integers(0, 2**32))
def test_encode_inverts_decode(space, seed):
    genome = space.sample(1, np.random.default_rng(seed))[0]
    architecture = space.decode(genome)
    assert space.decode(space.encode(architecture)) == architecture


def test_the_full_block_has_432_choices_as_the_paper_says():
    assert math.prod(len(choices) for choices in PAPER.choices(1)) == 432


def test_the_paper_s_space_counts_seven_blocks_two_of_them_with_two_layer_choices():
    assert PAPER.genomes == 432**5 * 288**2


def test_a_base_of_one_layer_offers_one_and_two():
    assert PAPER.layer_choices(0) == (1, 2)
    assert PAPER.layer_choices(3) == (3, 4, 5)


def test_mobilenet_v2_is_a_point_of_the_space():
    reference = PAPER.mobilenet_v2()
    assert PAPER.decode(PAPER.encode(reference)) == reference
    assert [block.filters for block in reference.blocks] == [16, 24, 32, 64, 96, 160, 320]
    assert [block.layers for block in reference.blocks] == [1, 2, 3, 4, 3, 3, 1]
    assert [block.expansion for block in reference.blocks] == [1, 6, 6, 6, 6, 6, 6]


@pytest.mark.parametrize(
    ("filters", "divisor", "expected"),
    [(16 * 0.35, 8, 8), (24 * 0.5, 8, 16), (32 * 0.35, 8, 16), (320 * 1.4, 8, 448), (96 * 0.75, 8, 72), (11, 4, 12)],
)
def test_filters_are_rounded_as_in_the_published_code(filters, divisor, expected):
    assert round_filters(filters, divisor) == expected


@given(st.floats(0.5, 2000), st.sampled_from([1, 4, 8]))
def test_rounded_filters_are_multiples_and_never_below_nine_tenths(filters, divisor):
    rounded = round_filters(filters, divisor)
    assert rounded % divisor == 0
    assert rounded >= 0.9 * filters
    assert rounded - filters <= divisor


def test_genomes_of_one_network_decode_to_one_architecture():
    """Brute force over a small space: equal architectures exactly where the described layers are equal."""
    space = SearchSpace(
        filters=(8,), layers=(1,), strides=(2,), stem=8, stem_stride=1, head=8, ops=("conv", "mbconv3"), kernels=(3,)
    )
    seen: dict[object, object] = {}
    for genome in itertools.product(*(range(size) for size in space.gene_sizes)):
        architecture = space.decode(np.array(genome))
        block = architecture.blocks[0]
        skips = []  # what each layer's shortcut is, from the definition of the skips
        for layer in range(block.layers):
            chosen = space.skips[genome[GENES.index("skip")]]
            fits = layer > 0 or (space.strides[0] == 1 and block.filters == 8)
            skips.append("identity" if fits and chosen != "none" else "pool" if chosen == "pool" else "none")
        network = (block.op, block.kernel, block.se, block.filters, block.layers, tuple(skips))
        assert seen.setdefault(network, architecture) == architecture
    assert len(set(seen.values())) == len(seen)


def test_sampling_uses_every_choice_of_every_gene_equally_often(rng):
    genomes = PAPER.sample(36, rng)
    for gene, size in enumerate(PAPER.gene_sizes):
        assert np.bincount(genomes[:, gene], minlength=size).tolist() == [36 // size] * size


@pytest.mark.parametrize(
    ("genome", "message"),
    [
        (np.zeros(41, dtype=int), r"shape \(42,\)"),
        (np.r_[4, np.zeros(41, dtype=int)], "gene 0 .op of block 1. must be a whole number below 4, got 4"),
        (np.r_[np.zeros(41, dtype=int), -1], "gene 41 .layers of block 7."),
        (np.r_[0.5, np.zeros(41)], "gene 0"),
    ],
)
def test_wrong_genomes_are_refused(genome, message):
    with pytest.raises(InputError, match=message):
        PAPER.decode(genome)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"filters": (8,)}, "one value per block"),
        ({"ops": ("conv", "conv")}, "none twice"),
        ({"kernels": (4,)}, "kernel size 4"),
        ({"se_ratios": (2.0,)}, "SE ratio"),
        ({"skips": ("jump",)}, "unknown skip 'jump'"),
        ({"width": 0.0}, "must be positive"),
        ({"head": 0}, "at least 1"),
    ],
)
def test_wrong_spaces_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        SearchSpace(**changes)


def test_encoding_a_network_outside_the_space_names_the_place():
    from evomnas.zoo import published

    with pytest.raises(InputError, match="block 5: filters 112 is not in this search space, which has"):
        PAPER.encode(published("mnasnet-a1"))
    with pytest.raises(InputError, match="stem, head or number of blocks"):
        PAPER.encode(published("mnasnet-a1@0.5"))
