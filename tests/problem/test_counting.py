"""Parameters and MACs in closed form, by hand and by enumeration; tests/results compares them with built networks."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evomnas.problem.architecture import Architecture
from evomnas.problem.counting import (
    Counts,
    count_architecture,
    count_block,
    count_outputs,
    count_parts,
    smallest_architecture,
)
from evomnas.problem.published import published
from evomnas.problem.search_space import SearchSpace

NETWORK = Architecture.parse("stem8_s2-mbconv3_k5_s2_f16_n2_se0.25_id-conv_k3_s1_f24_n1_se0.5-head32")


def test_every_part_of_a_network_has_the_counts_that_paper_and_pencil_give():
    """Images of 32 pixels: 16 behind the stem, 8 behind the first block. A batch norm has two numbers per channel."""
    stem = 3 * 3 * 3 * 8
    # the first layer widens 8 channels to 24 at 16 pixels, the second 16 channels to 48 at 8 pixels
    expand = [8 * 24, 16 * 48]
    depthwise = [24 * 5 * 5, 48 * 5 * 5]
    project = [24 * 16, 48 * 16]
    # squeeze-and-excite from the wide channels to a quarter of the layer's input and back, with biases
    gates = [(24 * 2 + 2) + (2 * 24 + 24), (48 * 4 + 4) + (4 * 48 + 48)]
    first = Counts(
        params=sum(expand) + sum(depthwise) + sum(project) + sum(gates) + 2 * (24 + 24 + 16 + 48 + 48 + 16),
        macs=expand[0] * 16**2 + (depthwise[0] + project[0] + expand[1] + depthwise[1] + project[1]) * 8**2,
        depthwise_macs=(depthwise[0] + depthwise[1]) * 8**2,
    )
    convolution, gate = 16 * 24 * 3 * 3, (24 * 8 + 8) + (8 * 24 + 24)
    parts = [
        Counts(stem + 2 * 8, stem * 16**2),
        first,
        Counts(convolution + 2 * 24 + gate, convolution * 8**2),
        Counts(24 * 32 + 2 * 32 + 32 * 10 + 10, 24 * 32 * 8**2 + 32 * 10),
    ]
    assert count_parts(NETWORK, classes=10, channels=3, resolution=32) == parts
    whole = count_architecture(NETWORK, classes=10, channels=3, resolution=32)
    assert whole.params == sum(part.params for part in parts)
    assert whole.macs == sum(part.macs for part in parts)
    assert whole.depthwise_macs == first.depthwise_macs


def test_sides_are_rounded_up_as_padded_convolutions_do():
    """21 pixels: 11 behind the stem, 6 behind the first block; MACs go with the outputs' pixels."""
    parts = count_parts(NETWORK, classes=10, channels=1, resolution=21)
    assert parts[0] == Counts(72 + 16, 72 * 11**2)
    assert parts[2].macs == 16 * 24 * 9 * 6**2
    assert parts[3].macs == 24 * 32 * 6**2 + 320


@given(st.lists(st.integers(1, 3), min_size=2, max_size=5), st.integers(30, 90))
def test_every_stride_rounds_up(strides, resolution):
    """Plain convolutions of 8 channels, so that a part's MACs are its weights times its pixels."""
    blocks = "-".join(f"conv_k3_s{stride}_f8_n2" for stride in strides[1:])
    parts = count_parts(Architecture.parse(f"stem8_s{strides[0]}-{blocks}-head8"), 1, 8, resolution)
    side, sides = resolution, []
    for stride in strides:
        side = math.ceil(side / stride)
        sides.append(side)
    weights = 8 * 8 * 9
    assert [part.macs for part in parts[:-1]] == [
        weights * sides[0] ** 2, *(2 * weights * side**2 for side in sides[1:]),
    ]  # fmt: skip
    assert parts[-1].macs == 8 * 8 * side**2 + 8


def test_an_expansion_by_two_is_one():
    block = Architecture.parse("stem8_s1-mbconv2_k3_s1_f8_n1-head8").blocks[0]
    assert count_block(block, 8, 1).params == (8 * 16 + 32) + (16 * 9 + 32) + (16 * 8 + 16)


def test_counts_add_up_and_are_values():
    total = Counts(1, 2, 3) + Counts(10, 20, 30)
    assert total == Counts(11, 22, 33)
    assert Counts(1, 2) == Counts(1, 2, 0)
    with pytest.raises(AttributeError):
        total.params = 0


def test_a_depthwise_separable_convolution_has_no_expansion():
    block = Architecture.parse("stem8_s1-dconv_k3_s1_f16_n1-head8").blocks[0]
    assert count_block(block, 8, 4) == Counts((72 + 16) + (128 + 32), (72 + 128) * 16, 72 * 16)


@pytest.mark.parametrize(
    ("name", "params", "macs"),
    [("mobilenet-v2", 3.50, 300), ("mobilenet-v2@0.5", 1.95, 97), ("mobilenet-v2@1.4", 6.06, 582)],
)
def test_mobilenet_v2_has_the_counts_that_its_authors_list(name, params, macs):
    """tensorflow/models, research/slim/nets/mobilenet: millions; they count no batch norm's shift as a parameter."""
    counts = count_architecture(published(name), 1000, 3, 224)
    assert counts.params / 1e6 == pytest.approx(params, abs=0.06)
    assert counts.macs / 1e6 == pytest.approx(macs, abs=1.5)


SMALL = [
    {"stem_stride": 1, "strides": (2, 2), "filters": (8, 8), "head": 8, "ops": ("conv", "dconv")},
    {"stem_stride": 2, "strides": (2, 1), "filters": (24, 8), "head": 8, "ops": ("mbconv6", "dconv")},
    {"stem_stride": 2, "strides": (2, 2), "filters": (8, 40), "head": 8, "ops": ("mbconv3", "conv"), "width": 0.5},
    {"stem_stride": 2, "strides": (1, 2), "filters": (8, 24), "head": 999, "ops": ("dconv",)},  # the tail decides
]


@pytest.mark.parametrize("changes", SMALL)
@pytest.mark.parametrize("resolution", [9, 13, 16])
@pytest.mark.parametrize(
    "quantity",
    [lambda counts: counts.params, lambda counts: counts.macs, lambda counts: counts.macs - 40 * counts.params],
    ids=["params", "macs", "their difference"],
)
def test_the_smallest_network_is_that_of_the_whole_enumeration(changes, resolution, quantity):
    """Of a difference, too, where wide blocks can be the smaller ones: the best way to each width is kept."""
    space = SearchSpace(layers=(1, 1), stem=8, divisor=4, kernels=(3,), skips=("none",), **changes)
    genomes = itertools.product(*(range(int(size)) for size in space.gene_sizes))
    values = [quantity(count_architecture(space.decode(np.array(genome)), 10, 3, resolution)) for genome in genomes]
    found = smallest_architecture(space, quantity, 10, 3, resolution)
    assert quantity(count_architecture(found, 10, 3, resolution)) == min(values)


def test_outputs_are_counted_of_every_convolution_but_those_of_the_gates():
    """The network at the top of this file, by hand: 16 pixels behind the stem, 8 behind the first block."""
    stem, head = 8 * 16**2, 32 * 8**2
    first, second = 24 * 16**2 + (24 + 16) * 8**2, (48 + 48 + 16) * 8**2
    assert count_outputs(NETWORK, 32) == stem + first + second + 24 * 8**2 + head
