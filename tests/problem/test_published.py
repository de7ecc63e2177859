"""Published networks: width multipliers, and strides that fit small images."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evomnas.core.errors import InputError
from evomnas.problem.architecture import Architecture
from evomnas.problem.published import PUBLISHED_NETWORKS, fit_to_resolution, published


@pytest.mark.parametrize("name", sorted(PUBLISHED_NETWORKS))
def test_a_name_stands_for_its_notation_and_a_multiplier_of_one_changes_nothing(name):
    assert str(published(name)) == PUBLISHED_NETWORKS[name]
    assert published(f"{name}@1") == published(f"{name}@1.0") == published(name)


def test_a_multiplier_scales_stem_and_blocks_to_multiples_of_eight():
    """MnasNet-B1 at a half: 32, 16, 24, 40, 80, 96, 192, 320 halved; 12 becomes 16, as 8 would be below 90 %."""
    half = published("mnasnet-b1@0.5")
    assert half.stem == 16
    assert [block.filters for block in half.blocks] == [8, 16, 24, 40, 48, 96, 160]
    assert half.head == 1280
    whole = published("mnasnet-b1")
    assert [(b.op, b.kernel, b.stride, b.layers) for b in half.blocks] == [
        (b.op, b.kernel, b.stride, b.layers) for b in whole.blocks
    ]


def test_the_lites_scale_their_middle_blocks_alone_and_round_layers_up():
    """Lite4: filters times 1.4, layers times 1.8; 1.8 * (2, 2, 3, 3, 4) = (3.6, 3.6, 5.4, 5.4, 7.2)."""
    assert [block.layers for block in published("efficientnet-lite4").blocks] == [1, 4, 4, 6, 6, 8, 1]
    assert [block.filters for block in published("efficientnet-lite4").blocks] == [24, 32, 56, 112, 160, 272, 448]
    for number in range(5):
        lite = published(f"efficientnet-lite{number}")
        assert (lite.stem, lite.head, str(lite.traits)) == (32, 1280, "relu6_same")


def test_only_mobilenet_v2_s_head_grows_and_only_above_one():
    """As the authors do it: 1280 x 1.4 = 1792, and never fewer than 1280."""
    assert published("mobilenet-v2@1.4").head == 1792
    assert published("mobilenet-v2@0.35").head == 1280
    assert published("mnasnet-a1@1.4").head == 1280


@pytest.mark.parametrize("width", ["50", "50.0", "0.05", "0.123456789"])
def test_multipliers_up_to_50_are_taken(width):
    assert published(f"mnasnet-small@{width}").stem == max(8, 8 * math.floor(float(width) + 0.5))


@pytest.mark.parametrize(
    "width", ["", "0", "0.0", "50.1", "51", "-1", "1e1", "a", ".5", "1.", "1000", "0.5@0.5", "nan"]
)
def test_other_multipliers_are_refused_with_an_example(width):
    with pytest.raises(InputError, match="must be a number up to 50: for example mnasnet-small@0.5"):
        published(f"mnasnet-small@{width}")


def test_an_unknown_name_is_refused_with_the_nearest_one():
    with pytest.raises(InputError, match="unknown network 'mnasnet-a2'.*did you mean mnasnet-a1"):
        published("mnasnet-a2@0.5")


def strides(architecture: Architecture) -> list[int]:
    return [architecture.stem_stride, *(block.stride for block in architecture.blocks)]


@pytest.mark.parametrize(
    ("resolution", "expected"),
    [
        (32, [2, 1, 2, 2, 2, 1, 2, 1]),  # 2**5 pixels go through five strides of 2
        (31, [1, 1, 2, 2, 2, 1, 2, 1]),
        (16, [1, 1, 2, 2, 2, 1, 2, 1]),
        (15, [1, 1, 1, 2, 2, 1, 2, 1]),
        (4, [1, 1, 1, 1, 2, 1, 2, 1]),
        (1, [1] * 8),
    ],
)
def test_the_first_strides_become_one_until_an_image_fits(resolution, expected):
    network = published("mobilenet-v2")
    assert strides(network) == [2, 1, 2, 2, 2, 1, 2, 1]
    small = fit_to_resolution(network, resolution)
    assert strides(small) == expected
    assert [block.filters for block in small.blocks] == [block.filters for block in network.blocks]


@given(st.lists(st.integers(1, 3), min_size=2, max_size=6), st.integers(1, 80))
def test_no_more_strides_are_changed_than_must_be(values, resolution):
    blocks = "-".join(f"conv_k3_s{stride}_f8_n1" for stride in values[1:])
    small = strides(fit_to_resolution(Architecture.parse(f"stem8_s{values[0]}-{blocks}-head8"), resolution))
    cut = next(place for place in range(len(values) + 1) if math.prod(values[place:]) <= resolution)
    assert small == [1] * cut + values[cut:]
