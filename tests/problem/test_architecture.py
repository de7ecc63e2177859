"""Architectures: notation, JSON, canonical form, errors."""

from __future__ import annotations

import json

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
    again = Architecture(architecture.stem, architecture.stem_stride, architecture.blocks, architecture.head)
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
        ("stem8_s1-conv_k3_s1_f8_n1-head99999", "head must lie between 1 and 16384"),
        ("stem8_s1-conv_k3_s1_f8_n1000-head16", "block 1 .*layers must lie between 1 and 100"),
        ("stem8_s1-conv_k101_s1_f8_n1-head16", "block 1 .*kernel size 101"),
        ("stem8_s1-conv_k3_s1_f9999999999999_n1-head16", "cannot read block 1"),
        ("stem\u0668_s1-conv_k3_s1_f8_n1-head16", "cannot read the stem"),
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
