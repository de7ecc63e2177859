"""Architectures: notation, JSON, canonical form, errors."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pytest
from hypothesis import given
from strategies import architectures

from evomnas.core.errors import InputError
from evomnas.problem.architecture import Architecture, Block


@given(architectures)
def test_notation_and_json_round_trip(architecture):
    assert Architecture.parse(str(architecture)) == architecture
    assert Architecture.from_dict(json.loads(json.dumps(architecture.to_dict()))) == architecture


@given(architectures)
def test_canonical_form_is_a_fixed_point(architecture):
    again = replace(architecture, blocks=architecture.blocks)
    assert again == architecture
    assert again.id == architecture.id


def one_block(**changes):
    values = {"op": "conv", "kernel": 3, "stride": 2, "filters": 16, "layers": 1, "skip": "none"} | changes
    return Architecture(8, 1, (Block(**values),), 32)


def test_identity_that_no_layer_can_carry_is_none():
    assert one_block(skip="identity") == one_block(skip="none")
    assert one_block(skip="identity", layers=2) != one_block(skip="none", layers=2)


def test_pooling_skip_is_identity_where_every_layer_keeps_its_shape():
    same = {"stride": 1, "filters": 8}
    assert one_block(skip="pool", **same) == one_block(skip="identity", **same)
    assert one_block(skip="pool") != one_block(skip="identity")


def test_an_inverted_bottleneck_without_expansion_is_a_depthwise_separable_convolution():
    assert one_block(op="mbconv1") == one_block(op="dconv")


@pytest.mark.parametrize(
    ("notation", "message"),
    [
        ("", "not an architecture"),
        ("stem8_s1-head16", "not an architecture"),
        ("stem8-conv_k3_s1_f8_n1-head16", "the stem .*'stem8' is not like stem32_s2"),
        ("stem8_s1-conv_k3_s1_f8_n1-head", "the head"),
        ("stem8_s1-conv_k3_s1_f8_n1-conv_k3_s1_n1-head16", "block 2 .*'conv_k3_s1_n1'"),
        ("stem8_s1-conv_k4_s1_f8_n1-head16", "block 1 .*kernel size 4 is not an odd"),
        ("stem8_s1-conv_k3_s1_f0_n1-head16", "block 1 .*filters must lie between 1 and 16384, got 0"),
        ("stem8_s1-conv_k3_s1_f8_n1_se1.5-head16", "block 1 .*SE ratio"),
        ("stem8_s1-conv_k3_s1_f8_n1_idd-head16", "block 1"),
        ("stem0_s1-conv_k3_s1_f8_n1-head16", "stem must lie between 1 and 16384, got 0"),
        ("8x5000px-stem8_s1-conv_k3_s1_f8_n1-head16", "resolution must lie between 1 and 4096, got"),
        ("8xpx-stem8_s1-conv_k3_s1_f8_n1-head16", "cannot read the stem"),
        ("stem8_s1-conv_k3_s1_f8_n1-head99999", "head must lie between 1 and 16384"),
        ("stem8_s1-conv_k3_s1_f8_n1000-head16", "block 1 .*layers must lie between 1 and 100"),
        ("stem8_s1-conv_k101_s1_f8_n1-head16", "block 1 .*kernel size 101"),
        ("stem8_s1-conv_k3_s1_f9999999999999_n1-head16", "cannot read block 1"),
        ("stem\u0668_s1-conv_k3_s1_f8_n1-head16", "cannot read the stem"),
        ("stem8_s1-conv_k3_s1_f8_n1-head16-relu7", "the traits of the architecture: 'relu7' is not like relu6_same"),
        ("stem8_s1" + "-conv_k3_s1_f8_n1" * 101 + "-head16", "1 to 100 blocks, not 101"),
    ],
)
def test_malformed_notation_names_the_place(notation, message):
    with pytest.raises(InputError, match=message):
        Architecture.parse(notation)


def test_strides_that_shrink_the_image_below_a_pixel_name_the_block():
    architecture = Architecture.parse("stem8_s2-conv_k3_s2_f8_n1-conv_k3_s2_f8_n1-head16")
    architecture.check_resolution(8)
    with pytest.raises(InputError, match="block 2 brings the total stride to 8, more than the image's 7 pixels"):
        architecture.check_resolution(7)
    with pytest.raises(InputError, match="the stem brings the total stride to 2"):
        architecture.check_resolution(1)
    with pytest.raises(InputError, match="at least 1 pixel"):
        architecture.check_resolution(0)
    architecture.check_resolution((8, 9))
    with pytest.raises(InputError, match="more than the image's 7 pixels"):
        architecture.check_resolution((64, 7))


def test_a_resolution_that_is_a_square_is_one_number():
    square = Architecture.parse("8px-stem8_s1-conv_k3_s1_f8_n1-head16")
    assert replace(square, resolution=(8, 8)) == square == Architecture.parse(str(square).replace("8px", "8x8px"))
    assert replace(square, resolution=[6, 8]) == Architecture.parse("6x8px-stem8_s1-conv_k3_s1_f8_n1-head16")
    with pytest.raises(InputError, match="one number of pixels, or .height, width."):
        replace(square, resolution=(8, 8, 8))


@pytest.mark.parametrize(
    "notation",
    [
        "stem1_s1-conv_k1_s1_f1_n1-head1",
        "stem16384_s16384-conv_k99_s16384_f16384_n100-head16384",
        "stem8_s1" + "-conv_k3_s1_f8_n1" * 100 + "-head8",
        "stem8_s1-mbconv99_k3_s1_f8_n1_se1-head8",
    ],
)
def test_the_least_and_the_largest_values_are_allowed(notation):
    assert str(Architecture.parse(notation)) == notation


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kernel": 100}, "kernel size 100 is not an odd number from 1 to 99"),
        ({"kernel": 101}, "kernel size 101"),
        ({"kernel": 0}, "kernel size 0"),
        ({"kernel": -1}, "kernel size -1"),
        ({"stride": 0}, "stride must lie between 1 and 16384, got 0"),
        ({"stride": 16385}, "stride must lie between 1 and 16384"),
        ({"filters": 16385}, "filters must lie between 1 and 16384"),
        ({"layers": 101}, "layers must lie between 1 and 100"),
        ({"layers": 0}, "layers must lie between 1 and 100"),
        ({"se": 1.01}, r"SE ratio must lie in \[0, 1\]"),
        ({"se": -0.01}, r"SE ratio must lie in \[0, 1\]"),
        ({"op": "mbconv0"}, "unknown op 'mbconv0'"),
        ({"op": "mbconv100"}, "unknown op 'mbconv100'"),
        ({"skip": "id"}, "unknown skip 'id': allowed are none, identity, pool"),
    ],
)
def test_a_block_refuses_what_lies_beyond(changes, message):
    with pytest.raises(InputError, match=message):
        one_block(**changes)


@pytest.mark.parametrize("name", ["stem", "stem_stride", "head"])
@pytest.mark.parametrize("value", [0, 16385])
def test_stem_and_head_refuse_what_lies_beyond(name, value):
    values = {"stem": 8, "stem_stride": 1, "blocks": one_block().blocks, "head": 8} | {name: value}
    with pytest.raises(InputError, match=f"{name} must lie between 1 and 16384, got {value}"):
        Architecture(**values)


def test_a_network_has_a_block():
    with pytest.raises(InputError, match="has 1 to 100 blocks, not 0"):
        Architecture(8, 1, (), 8)


def test_expansion_is_the_number_of_an_inverted_bottleneck_and_one_for_all_others():
    assert [Block(op, 3, 1, 8, 1).expansion for op in ("conv", "dconv", "mbconv1", "mbconv2", "mbconv12")] == [
        1, 1, 1, 2, 12,
    ]  # fmt: skip


def test_a_squeeze_is_the_ratio_rounded_down_and_never_nothing():
    """0.25 of 16, of 15 and of 3 channels: 4, 3.75 and 0.75."""
    assert [Block("conv", 3, 1, 8, 1, se=0.25).squeeze(width) for width in (16, 15, 3)] == [4, 3, 1]


@pytest.mark.parametrize(
    ("skip", "in_filters", "stride", "expected"),
    [
        ("none", 8, 1, "none"),
        ("identity", 8, 1, "identity"),
        ("pool", 8, 1, "identity"),
        ("none", 4, 1, "none"),
        ("identity", 4, 1, "none"),
        ("pool", 4, 1, "pool"),
        ("identity", 16, 1, "none"),
        ("pool", 16, 1, "pool"),
        ("none", 8, 2, "none"),
        ("identity", 8, 2, "none"),
        ("pool", 8, 2, "pool"),
    ],
)
def test_a_layer_s_shortcut_follows_from_its_shape(skip, in_filters, stride, expected):
    """Identity needs equal shapes; pooling is identity where shapes are equal."""
    assert Block("conv", 3, 2, 8, 2, skip=skip).shortcut(in_filters, stride) == expected


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("in_filters", [4, 8, 16])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("skip", ["none", "identity", "pool"])
def test_the_canonical_skip_is_the_weakest_that_builds_the_same_shortcuts(stride, in_filters, layers, skip):
    """By trying all of them, from the weakest to the strongest."""

    def shortcuts(block: Block) -> list[str]:
        shapes = [(in_filters, stride), *[(8, 1)] * (layers - 1)]
        return [block.shortcut(width, step) for width, step in shapes]

    block = Block("conv", 3, stride, 8, layers, skip=skip)
    same = [one for one in ("none", "identity", "pool") if shortcuts(replace(block, skip=one)) == shortcuts(block)]
    assert Architecture(in_filters, 1, (block,), 8).blocks[0].skip == same[0]


def test_the_notation_of_every_field_is_the_documented_one():
    blocks = (
        Block("dconv", 3, 1, 16, 1),
        Block("mbconv6", 3, 2, 24, 2, skip="identity"),
        Block("mbconv3", 5, 2, 40, 3, se=0.25, skip="pool"),
    )
    network = Architecture(32, 2, blocks, 1280)
    assert str(network) == (
        "stem32_s2-dconv_k3_s1_f16_n1-mbconv6_k3_s2_f24_n2_id-mbconv3_k5_s2_f40_n3_se0.25_pool-head1280"
    )
    assert network.id == hashlib.blake2b(str(network).encode(), digest_size=4).hexdigest()
    assert network.total_stride == 2 * 1 * 2 * 2


@pytest.mark.parametrize(
    ("ratio", "text"), [(0.25, "0.25"), (1.0, "1"), (0.1, "0.1"), (1e-7, "0.0000001"), (1 / 3, "0.3333333333333333")]
)
def test_a_ratio_is_written_without_an_exponent_and_without_zeros_at_its_end(ratio, text):
    assert str(Block("conv", 3, 1, 8, 1, se=ratio)) == f"conv_k3_s1_f8_n1_se{text}"


def test_layers_come_in_order_with_what_goes_into_each():
    network = Architecture.parse("stem8_s2-conv_k3_s2_f16_n2-conv_k3_s1_f24_n1-head8")
    first, second = network.blocks
    assert list(network.layers()) == [(1, 1, first, 8, 2), (1, 2, first, 16, 1), (2, 1, second, 16, 1)]


def test_a_long_text_that_is_no_architecture_is_quoted_in_part():
    """80 characters of all, 60 of a part: an error remains one line of a terminal or two."""
    with pytest.raises(InputError, match=rf"not an architecture: '{'x' * 80}':"):
        Architecture.parse("x" * 500)
    with pytest.raises(InputError, match=rf"cannot read the stem of the architecture: '{'x' * 60}' is not like"):
        Architecture.parse("x" * 500 + "-conv_k3_s1_f8_n1-head8")


def test_architectures_and_blocks_are_values():
    network = one_block()
    assert len({network, Architecture.parse(str(network)), one_block(kernel=5)}) == 2
    with pytest.raises(AttributeError):
        network.head = 3
    with pytest.raises(AttributeError):
        network.blocks[0].kernel = 5
