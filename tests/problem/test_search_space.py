"""The search space: decoding, encoding, sampling, size."""

from __future__ import annotations

import functools
import itertools
import json
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare
from strategies import points

from evomnas.core.errors import InputError
from evomnas.problem.architecture import Architecture
from evomnas.problem.genes.block_genes import GENES
from evomnas.problem.published import published
from evomnas.problem.search_space import SearchSpace, round_filters

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


def test_the_choices_of_a_block_are_the_paper_s():
    """Block 2 of MobileNetV2: 24 filters, so 18, 24 and 30, which are rounded to multiples of 8; 2 layers."""
    assert PAPER.choices(1) == (
        ("conv", "dconv", "mbconv3", "mbconv6"),
        (3, 5),
        (0.0, 0.25),
        ("none", "identity", "pool"),
        (24, 24, 32),  # 16 would be below nine tenths of 18
        (1, 2, 3),
    )
    assert (PAPER.blocks, PAPER.genes_per_block) == (7, 6)


def test_layers_never_go_below_one_and_stay_at_the_base_where_no_offset_is_left():
    space = SearchSpace(filters=(8, 8, 8), layers=(1, 2, 3), strides=(1, 1, 1), layer_offsets=(-2, -1))
    assert [space.layer_choices(number) for number in range(3)] == [(1,), (1,), (1, 2)]


def test_a_base_of_one_layer_offers_one_and_two():
    assert PAPER.layer_choices(0) == (1, 2)
    assert PAPER.layer_choices(3) == (3, 4, 5)


def test_the_base_is_mobilenet_v2_s_before_any_rounding():
    """Sandler et al., "MobileNetV2", CVPR 2018, table 2."""
    assert PAPER.filters == (16, 24, 32, 64, 96, 160, 320)
    assert PAPER.layers == (1, 2, 3, 4, 3, 3, 1)
    assert PAPER.strides == (1, 2, 2, 2, 1, 2, 1)
    assert (PAPER.stem, PAPER.stem_stride, PAPER.head, PAPER.width, PAPER.divisor) == (32, 2, 1280, 1.0, 8)


def test_mobilenet_v2_is_a_point_of_the_space():
    reference = PAPER.mobilenet_v2()
    assert PAPER.decode(PAPER.encode(reference)) == reference
    assert [block.filters for block in reference.blocks] == [16, 24, 32, 64, 96, 160, 320]
    assert [block.layers for block in reference.blocks] == [1, 2, 3, 4, 3, 3, 1]
    assert [block.expansion for block in reference.blocks] == [1, 6, 6, 6, 6, 6, 6]
    assert reference == published("mobilenet-v2")
    assert PAPER.decode(PAPER.reference()) == reference


def test_mobilenet_v2_at_half_the_width_keeps_its_head():
    half = SearchSpace(width=0.5).mobilenet_v2()
    assert half == published("mobilenet-v2@0.5")
    assert (half.stem, half.stem_stride, half.head) == (16, 2, 1280)


@pytest.mark.parametrize(
    "changes",
    [{"ops": ("conv", "dconv")}, {"kernels": (5,)}, {"se_ratios": (0.25,)}, {"skips": ("pool",)}],
)
def test_a_space_without_what_mobilenet_v2_is_made_of_has_no_reference(changes):
    assert SearchSpace(**changes).reference() is None


@pytest.mark.parametrize(
    ("filters", "divisor", "expected"),
    [(16 * 0.35, 8, 8), (24 * 0.5, 8, 16), (32 * 0.35, 8, 16), (320 * 1.4, 8, 448), (96 * 0.75, 8, 72), (11, 4, 12)],
)
def test_filters_are_rounded_as_in_the_published_code(filters, divisor, expected):
    assert round_filters(filters, divisor) == expected


@given(st.floats(0.5, 2000), st.sampled_from([1, 2, 4, 8]))
def test_filters_are_rounded_to_the_nearest_multiple_or_to_the_next_where_that_takes_more_than_a_tenth(
    filters, divisor
):
    """By trying all multiples; of two that are as near the larger one."""
    multiples = np.arange(1, 2000 // divisor + 3) * divisor
    nearest = max(multiples[np.abs(multiples - filters) == np.abs(multiples - filters).min()])
    assert round_filters(filters, divisor) == (nearest if nearest >= 0.9 * filters else nearest + divisor)


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


@functools.cache
def decoded(space: SearchSpace) -> dict[tuple[int, ...], Architecture]:
    """All genomes of a small space, in order, with what they build."""
    genomes = itertools.product(*(range(int(size)) for size in space.gene_sizes))
    return {genome: space.decode(np.array(genome)) for genome in genomes}


@pytest.mark.parametrize("space", BRUTE)
def test_two_genomes_share_an_architecture_exactly_where_they_build_the_same_layers(space):
    """By enumeration, which also counts genomes and distinct networks."""
    seen: dict[object, object] = {}
    for genome, architecture in decoded(space).items():
        assert seen.setdefault(described(space, genome), architecture) == architecture
    assert len(set(seen.values())) == len(seen)
    assert space.genomes == len(decoded(space))
    assert space.networks == len(seen)


@pytest.mark.parametrize("space", BRUTE)
def test_encoding_gives_the_first_genome_of_a_network(space):
    first: dict[Architecture, tuple[int, ...]] = {}
    for genome, network in decoded(space).items():
        first.setdefault(network, genome)
    some = list(first.items())[:: max(1, len(first) // 300)]
    assert [tuple(space.encode(network)) for network, _ in some] == [genome for _, genome in some]


@pytest.mark.parametrize("space", [*BRUTE[:5], BRUTE[6]])
def test_draws_are_even_over_the_distinct_networks(space, rng):
    """Blocks in a chain included, where the ways to go on depend on the width."""
    counts = Counter(
        space.decode(space.draw(rng))
        for _ in range(12 * min(space.networks, 1000) // (1 if space.networks <= 1000 else 4))
    )
    if space.networks <= 1000:
        assert len(counts) == space.networks
        assert chisquare(list(counts.values())).pvalue > 1e-4
    else:  # each hardly ever comes twice: so look at what each block is
        for number in range(space.blocks):
            drawn = Counter(network.blocks[number] for network in counts.elements())
            ways = Counter(network.blocks[number] for network in set(decoded(space).values()))
            expected = np.array([ways[block] for block in drawn]) / sum(ways.values()) * drawn.total()
            assert set(drawn) <= set(ways)
            assert chisquare(list(drawn.values()), expected * drawn.total() / expected.sum()).pvalue > 1e-4


def test_neighbours_are_all_networks_one_gene_away():
    space = BRUTE[6]
    genome = space.encode(space.decode(np.array([0, 0, 1, 0, 2, 1, 1, 0, 0, 2, 1, 0])))
    expected = {
        neighbour
        for other, neighbour in decoded(space).items()
        if sum(a != b for a, b in zip(other, genome, strict=True)) == 1
    }
    network = space.decode(genome)
    found = space.neighbours(network)
    assert len(found) == len(set(found))
    assert set(found) == expected - {network}


def test_the_paper_s_space_has_fewer_networks_than_genomes():
    assert PAPER.networks < PAPER.genomes
    assert PAPER.networks > PAPER.genomes * (2 / 3) ** PAPER.blocks  # skips that coincide are the only reason


def test_every_one_gene_change_is_another_network_or_one_of_these():
    """Which neighbours of a genome build the same network: skips that no layer, or every layer, can carry."""
    space = SearchSpace(
        filters=(8, 8), layers=(1, 1), strides=(1, 2), stem=8, head=8, ops=("conv", "dconv"), kernels=(3,), divisor=2
    )
    same = set()
    for genome, architecture in decoded(space).items():
        for gene, size in enumerate(space.gene_sizes):
            for value in range(genome[gene] + 1, size):
                if decoded(space)[*genome[:gene], value, *genome[gene + 1 :]] == architecture:
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


@pytest.mark.parametrize("count", [1, 5, 7, 12])
def test_a_sample_of_any_size_uses_choices_as_evenly_as_can_be(count, rng):
    genomes = PAPER.sample(count, rng)
    assert genomes.shape == (count, 42)
    for gene, size in enumerate(PAPER.gene_sizes):
        uses = np.bincount(genomes[:, gene], minlength=size)
        assert uses.max() - uses.min() <= 1
        assert len(uses) == size


def test_a_single_sampled_genome_is_uniformly_distributed(rng):
    genomes = np.concatenate([PAPER.sample(1, rng) for _ in range(400)])
    for gene, size in enumerate(PAPER.gene_sizes[:6]):
        assert chisquare(np.bincount(genomes[:, gene], minlength=size)).pvalue > 1e-4


@pytest.mark.parametrize(
    ("genome", "message"),
    [
        (np.zeros(41, dtype=int), r"shape \(42,\)"),
        (np.r_[4, np.zeros(41, dtype=int)], "gene 0 .op of block 1. must be a whole number below 4, got 4"),
        (np.r_[np.zeros(41, dtype=int), -1], "gene 41 .layers of block 7."),
        (np.r_[np.zeros(8, dtype=int), 2, 9, np.zeros(32, dtype=int)], "gene 8 .se of block 2. .* below 2, got 2"),
        (np.zeros((1, 42), dtype=int), r"shape \(42,\), got \(1, 42\)"),
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
        ({"filters": (), "layers": (), "strides": ()}, "1 to 100 blocks"),
        ({"layers": (1,) * 6}, "one value per block"),
        ({"strides": (1,) * 8}, "one value per block"),
        ({"stem": 0}, "stem and head must be at least 1"),
        ({"stem_stride": 0}, "stem and head must be at least 1"),
        ({"strides": (0,) * 7}, "must be at least 1"),
        ({"layers": (0,) * 7}, "must be at least 1"),
        ({"filters": (0,) * 7}, "must be at least 1"),
        ({"filters": (16_385,) * 7}, "filters, stem and head may be at most 16384"),
        ({"stem": 16_385}, "filters, stem and head may be at most 16384"),
        ({"strides": (16_385,) * 7}, "stride must lie between 1 and 16384, got 16385"),
        ({"divisor": 16_385}, "must be positive"),
        ({"width": -1.0}, "must be positive"),
        ({"filter_multipliers": (0.0,)}, "must be positive"),
        ({"filter_multipliers": (100.5,)}, "multipliers at most 100"),
        ({"ops": ()}, r"ops must list at least one choice and none twice, got \[\]"),
        ({"layer_offsets": (0, 0)}, "layer_offsets must list at least one choice and none twice"),
        ({"ops": ("conv", "x"), "kernels": (3, 4)}, "unknown op 'x'.*; kernel size 4 is not"),
    ],
)
def test_wrong_spaces_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        SearchSpace(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"filters": (16_384,), "layers": (100,), "strides": (16_384,), "stem": 16_384, "head": 16_384}
        | {"filter_multipliers": (1.0,), "layer_offsets": (0,)},
        {"filters": (1,), "layers": (1,), "strides": (1,), "stem": 1, "stem_stride": 1, "head": 1, "divisor": 1},
        {"filters": (8,) * 100, "layers": (1,) * 100, "strides": (1,) * 100},
        {"filters": (8,), "layers": (1,), "strides": (1,), "width": 100.0},
        {"filters": (8,), "layers": (1,), "strides": (1,), "divisor": 16_384},
        {"filters": (8,), "layers": (1,), "strides": (1,), "filter_multipliers": (100.0,)},
    ],
)
def test_spaces_at_the_limits_are_allowed(changes):
    space = SearchSpace(**changes)
    assert str(space.decode(np.zeros(len(space.gene_sizes))))


def test_spaces_are_values():
    assert len({SearchSpace(), SearchSpace(), SearchSpace(head=8)}) == 2
    with pytest.raises(AttributeError):
        PAPER.head = 8


@pytest.mark.parametrize(
    ("notation", "message"),
    [
        ("stem16_s1-dconv_k3_s1_f8_n1-head8", "stem, head or number of blocks differ"),
        ("stem8_s2-dconv_k3_s1_f8_n1-head8", "stem, head or number of blocks differ"),
        ("stem8_s1-dconv_k3_s1_f8_n1-head16", "stem, head or number of blocks differ"),
        ("stem8_s1-dconv_k3_s1_f8_n1-dconv_k3_s1_f8_n1-head8", "stem, head or number of blocks differ"),
        ("stem8_s1-dconv_k3_s2_f8_n1-head8", "block 1: stride 2 is not 1"),
        ("stem8_s1-dconv_k7_s1_f8_n1-head8", "block 1: kernel 7 is not in this search space, which has 3, 5$"),
        ("stem8_s1-dconv_k3_s1_f8_n4-head8", "block 1: layers 4 is not in this search space, which has 1, 2$"),
    ],
)
def test_a_network_is_encoded_only_where_all_of_it_belongs_to_the_space(notation, message):
    space = SearchSpace(filters=(8,), layers=(1,), strides=(1,), stem=8, stem_stride=1, head=8)
    space.encode(Architecture.parse("stem8_s1-dconv_k3_s1_f8_n1-head8"))
    with pytest.raises(InputError, match=message):
        space.encode(Architecture.parse(notation))


def test_encoding_a_network_outside_the_space_names_the_place():
    with pytest.raises(InputError, match="block 5: filters 112 is not in this search space, which has"):
        PAPER.encode(published("mnasnet-a1"))
    with pytest.raises(InputError, match="stem, head or number of blocks"):
        PAPER.encode(published("mnasnet-a1@0.5"))
