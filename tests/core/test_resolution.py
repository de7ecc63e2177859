"""Sizes of images: one number for a square, else height and width, however they are written."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import resolutions

from evomnas import Architecture, measure_latency
from evomnas.core.errors import InputError
from evomnas.core.resolution import (
    area,
    describe_resolution,
    divided,
    format_resolution,
    normalised,
    parse_resolution,
    sides,
    to_resolution,
)
from evomnas.networks.layer_costs import count_cost

NETWORK = Architecture.parse("stem8_s1-conv_k3_s1_f8_n1-head16")


@given(resolutions)
def test_a_size_is_read_back_from_what_is_written(resolution):
    size = normalised(resolution)
    assert parse_resolution(format_resolution(size)) == size
    assert to_resolution(*sides(size)) == size
    assert normalised(list(sides(size))) == size
    assert isinstance(size, int) == (sides(size)[0] == sides(size)[1])


@given(resolutions, st.integers(1, 9))
def test_both_sides_are_divided_and_rounded_up(resolution, stride):
    assert sides(divided(normalised(resolution), stride)) == tuple(
        math.ceil(side / stride) for side in sides(resolution)
    )
    assert area(resolution) == np.zeros(sides(resolution)).size


def test_words_say_which_side_comes_first():
    assert describe_resolution(96) == "96x96 pixels"
    assert describe_resolution((96, 128)) == "96x128 pixels (height x width)"


@pytest.mark.parametrize("text", ["", "x", "96x", "x96", "96x128x3", "9.5", "-3", "٨", "96 x 128"])
def test_what_is_no_size_says_how_one_is_written(text):
    with pytest.raises(InputError, match="write pixels as 224, or as 96x128 for height x width"):
        parse_resolution(text)


@pytest.mark.parametrize("wrong", [0, (8, 0), (8, 8, 8), [], "8", 8.5])
def test_functions_refuse_what_is_no_size(wrong):
    for refuse in (count_cost, lambda architecture, resolution: measure_latency(architecture, resolution=resolution)):
        with pytest.raises(InputError, match="resolution|size of images"):
            refuse(NETWORK, resolution=wrong)


def test_functions_take_squares_and_others():
    assert count_cost(NETWORK, resolution=(8, 12)) == count_cost(NETWORK, resolution=[8, 12])
    assert count_cost(NETWORK, resolution=(8, 8)) == count_cost(NETWORK, resolution=np.int64(8))
