"""The search space: decoding, encoding, sampling, size."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import points

from evomnas.core.errors import InputError
from evomnas.problem.architecture import Architecture
from evomnas.problem.search_space import GENES, SearchSpace, round_filters

PAPER = SearchSpace()


@given(points())
def test_encode_inverts_decode(point):
    space, genome = point
    architecture = space.decode(genome)
    assert space.decode(space.encode(architecture)) == architecture


@given(points())
def test_every_genome_survives_notation_and_json(point):
    space, genome = point
    architecture = space.decode(genome)
    assert Architecture.parse(str(architecture)) == architecture
    again = Architecture.from_dict(json.loads(json.dumps(architecture.to_dict())))
    assert again == architecture
    assert again.id == architecture.id


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


def described(space: SearchSpace, genome: tuple[int, ...]) -> object:
    """What a genome builds, block by block and layer by layer, from the documented choices: no Architecture."""
    rows = np.array(genome).reshape(-1, len(GENES))
    inputs, blocks = round_filters(space.stem * space.width, space.divisor), []
    for number, (op, kernel, se, skip, filters, count) in enumerate(rows):
        layers = []
        outputs = round_filters(space.filters[number] * space.filter_multipliers[filters] * space.width, space.divisor)
        for layer in range(space.layer_choices(number)[count]):
            stride = space.strides[number] if layer == 0 else 1
            keeps_shape = stride == 1 and inputs == outputs
            chosen = space.skips[skip]
            shortcut = "add" if keeps_shape and chosen != "none" else "pool" if chosen == "pool" else "none"
            squeeze = max(1, int(inputs * space.se_ratios[se])) if space.se_ratios[se] else 0
            name = "dconv" if space.ops[op] == "mbconv1" else space.ops[op]
            layers.append((name, space.kernels[kernel], stride, outputs, squeeze, shortcut))
            inputs = outputs
        blocks.append(tuple(layers))
    return tuple(blocks)


BRUTE = [
    SearchSpace(filters=(8,), layers=(1,), strides=(2,), stem=8, stem_stride=1, head=8),
    SearchSpace(filters=(8,), layers=(2,), strides=(1,), stem=8, stem_stride=2, head=8, kernels=(3,)),
    SearchSpace(filters=(16,), layers=(2,), strides=(1,), stem=12, head=8, se_ratios=(0.0, 0.125, 0.25), divisor=2),
    SearchSpace(filters=(4,), layers=(1,), strides=(1,), stem=4, head=8, se_ratios=(0.3, 0.125, 0.25), divisor=4),
    SearchSpace(
        filters=(8,), layers=(1,), strides=(1,), stem=8, head=8, se_ratios=(0.25, 0.3), ops=("dconv", "mbconv1")
    ),
    SearchSpace(
        filters=(8, 8, 8), layers=(1, 1, 2), strides=(1, 2, 1), stem=8, head=8, ops=("dconv",), kernels=(3,),
        se_ratios=(0.0,), layer_offsets=(0, 1), divisor=2,
    ),
    SearchSpace(
        filters=(10, 10), layers=(1, 1), strides=(1, 1), stem=8, head=8, ops=("conv", "mbconv3"), kernels=(5,),
        divisor=8,
    ),
]  # fmt: skip


@pytest.mark.parametrize("space", BRUTE)
def test_two_genomes_share_an_architecture_exactly_where_they_build_the_same_layers(space):
    """By enumeration, which also counts genomes and distinct networks."""
    seen: dict[object, object] = {}
    genomes = list(itertools.product(*(range(size) for size in space.gene_sizes)))
    for genome in genomes:
        architecture = space.decode(np.array(genome))
        assert seen.setdefault(described(space, genome), architecture) == architecture
    assert len(set(seen.values())) == len(seen)
    assert space.genomes == len(genomes)
    assert space.networks == len(seen)


def test_the_paper_s_space_has_fewer_networks_than_genomes():
    assert PAPER.networks < PAPER.genomes
    assert PAPER.networks > PAPER.genomes * (2 / 3) ** PAPER.blocks  # skips that coincide are the only reason


def test_every_one_gene_change_is_another_network_or_one_of_these():
    """Which neighbours of a genome build the same network: skips that no layer, or every layer, can carry."""
    space = SearchSpace(
        filters=(8, 8), layers=(1, 1), strides=(1, 2), stem=8, head=8, ops=("conv", "dconv"), kernels=(3,), divisor=2
    )
    same = set()
    for genome in itertools.product(*(range(size) for size in space.gene_sizes)):
        architecture = space.decode(np.array(genome))
        for gene, size in enumerate(space.gene_sizes):
            for value in range(genome[gene] + 1, size):
                if space.decode(np.array([*genome[:gene], value, *genome[gene + 1 :]])) == architecture:
                    block, name = divmod(gene, len(GENES))
                    inputs = (8, architecture.blocks[0].filters)[block]
                    keeps_shape = space.strides[block] == 1 and inputs == architecture.blocks[block].filters
                    pair = tuple(space.skips[index] for index in (genome[gene], value))
                    same.add((GENES[name], keeps_shape, architecture.blocks[block].layers > 1, pair))
    assert same == {
        ("skip", True, False, ("identity", "pool")),  # where every layer keeps its shape, pooling is identity
        ("skip", True, True, ("identity", "pool")),
        ("skip", False, False, ("none", "identity")),  # where the only layer changes it, identity is nothing
    }


def test_no_layer_can_change_sides_in_the_paper_s_space():
    """Blocks of stride 1 differ in filters from the block before: no layer could as well belong to that."""
    for number in range(1, PAPER.blocks):
        before, after = (
            {round_filters(PAPER.filters[block] * factor, 8) for factor in PAPER.filter_multipliers}
            for block in (number - 1, number)
        )
        assert PAPER.strides[number] > 1 or not before & after


def test_rounding_may_make_two_filter_choices_one():
    space = SearchSpace(filters=(8,), layers=(1,), strides=(1,), stem=8, head=8, divisor=8)
    filters = [space.decode(np.array([0, 0, 0, 0, gene, 0])).blocks[0].filters for gene in range(3)]
    assert filters == [8, 8, 16]
    # 4 ops, 2 kernels, 2 SE ratios: at 8 filters 2 skips x 2 layer counts, at 16 filters 2 with one layer, 3 with two
    assert space.networks == 16 * (2 * 2 + 2 + 3)


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
        (["a"] * 42, "a genome is a vector of whole numbers"),
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
        ({"head": 20_000}, "at most 16384"),
        ({"width": 101.0}, "at most 100"),
        ({"divisor": 0}, "must be positive"),
        ({"filter_multipliers": (float("nan"),)}, "must be positive"),
        ({"filter_multipliers": (-1.0,)}, "must be positive"),
        ({"filter_multipliers": (90.0,)}, "filters must lie between 1 and 16384, got 28800"),
        ({"layer_offsets": (1000,)}, "layers must lie between 1 and 100"),
        ({"layers": (101,) * 7}, "layers at most 100"),
        ({"kernels": (101,)}, "kernel size 101"),
        ({"filters": (8,) * 101, "layers": (1,) * 101, "strides": (1,) * 101}, "1 to 100 blocks"),
    ],
)
def test_wrong_spaces_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        SearchSpace(**changes)


def test_encoding_a_network_outside_the_space_names_the_place():
    from evomnas.problem.published import published

    with pytest.raises(InputError, match="block 5: filters 112 is not in this search space, which has"):
        PAPER.encode(published("mnasnet-a1"))
    with pytest.raises(InputError, match="stem, head or number of blocks"):
        PAPER.encode(published("mnasnet-a1@0.5"))
