"""Detectors as plans: feature maps at every resolution, anchors, and sizes in closed form against published ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import architectures

from evomnas.core.errors import InputError
from evomnas.core.resolution import area, sides
from evomnas.problem.architecture import Architecture
from evomnas.problem.detection.anchors import anchor_boxes
from evomnas.problem.detection.counting import count_detector
from evomnas.problem.detection.plan import DetectorPlan, plan_detector
from evomnas.problem.published import published

PUBLISHED = {  # by network and logits: parameters and MACs at 320 px; the papers print 4.3 M and 0.8 B, 4.9 M and 0.8 B
    ("mobilenet-v2", 81): (4_337_013, 788_830_144),
    ("mobilenet-v2", 91): (4_500_543, 804_397_504),
    ("mnasnet-a1", 91): (4_912_181, 837_819_232),
    ("mnasnet-a1", 81): (4_745_771, 821_099_872),
    ("mnasnet-b1", 91): (5_378_983, 832_237_504),
}
SIDES = {  # of the feature maps of a network with a total stride of 32
    320: [20, 10, 5, 3, 2, 1],
    224: [14, 7, 4, 2, 1],
    160: [10, 5, 3, 2, 1],
    128: [8, 4, 2, 1],
    96: [6, 3, 2, 1],
    512: [32, 16, 8, 4, 2, 1],
}


@pytest.mark.parametrize(("name", "logits"), PUBLISHED)
def test_detectors_have_the_published_sizes_to_the_digit(name, logits):
    counts = count_detector(plan_detector(published(name), 320), logits)
    assert (counts.params, counts.macs) == PUBLISHED[name, logits]


def test_the_parts_of_the_paper_s_detector_add_up():
    counts = count_detector(plan_detector(published("mnasnet-a1"), 320), 91)
    assert ((counts.backbone + counts.extras).params, counts.heads.params) == (3_262_998, 1_649_183)


def a1_variant(number: int, **changes: object) -> DetectorPlan:
    """MnasNet-A1's plan at 320 px with another map, and with it other extra layers where these follow from it."""
    plan = plan_detector(published("mnasnet-a1"), 320)
    maps = list(plan.maps)
    maps[number] = replace(maps[number], **changes)
    return replace(plan, maps=tuple(maps))


@pytest.mark.parametrize(
    ("plan", "params", "macs"),
    [(a1_variant(0, filters=112), "4.74", "0.770"), (a1_variant(0, anchors=6), "5.10", "0.914")],
    ids=["tapped at a block's output", "six anchors on the first map"],
)
def test_wrong_variants_have_other_sizes(plan, params, macs):
    counts = count_detector(plan, 91)
    assert (f"{counts.params / 1e6:.2f}", f"{counts.macs / 1e9:.3f}") == (params, macs)


def test_a_detector_without_the_head_s_1280_channels_has_another_size():
    """The map would have the 320 channels of the last block, and the convolution to 1280 would not be counted."""
    plan = a1_variant(1, filters=320)
    counts, head = count_detector(plan, 91), 320 * 1280 + 2 * 1280
    assert f"{(counts.params - head) / 1e6:.2f}" == "3.69"
    assert f"{(counts.macs - 320 * 1280 * 10**2) / 1e9:.3f}" == "0.716"


@pytest.mark.parametrize("resolution", SIDES)
def test_maps_end_with_the_first_of_a_single_place(resolution):
    plan = plan_detector(published("mobilenet-v2@0.5"), resolution)
    assert [place.size for place in plan.maps] == SIDES[resolution]
    assert [place.anchors for place in plan.maps] == [3] + [6] * (len(plan.maps) - 1)
    assert [place.filters for place in plan.maps[2:]] == list(plan.extras) == [512, 256, 256, 128][: len(plan.extras)]


def test_the_paper_s_detector_has_the_known_maps_and_boxes():
    plan = plan_detector(published("mnasnet-a1"), 320)
    assert [place.filters for place in plan.maps] == [672, 1280, 512, 256, 256, 128]
    assert plan.boxes == 3 * 400 + 6 * (100 + 25 + 9 + 4 + 1) == 2034


@pytest.mark.parametrize(
    ("blocks", "tapped", "maps"),
    [
        ("mbconv6_k3_s2_f16_n2_id-dconv_k3_s2_f24_n1", 2, [(16, 48), (64, 24)]),
        ("mbconv6_k3_s2_f16_n2_id-conv_k5_s2_f24_n2_pool", 2, [(16, 48), (64, 24)]),
        ("mbconv6_k3_s4_f16_n2_id-mbconv3_k3_s1_f24_n1", 0, [(48, 96), (64, 24)]),
        ("mbconv6_k3_s1_f16_n2_id", None, [(64, 96)]),
    ],
    ids=["without expansion", "plain convolution", "stride of 4", "no stride"],
)
def test_layers_of_every_kind_are_tapped(blocks, tapped, maps):
    """At 192 px, of which the stem leaves 96."""
    plan = plan_detector(Architecture.parse(f"stem8_s2-{blocks}-head64"), 192)
    assert plan.tapped == tapped
    assert [(place.filters, place.size) for place in plan.maps[: len(maps)]] == maps


@given(architectures, st.integers(96, 512) | st.tuples(st.integers(96, 512), st.integers(96, 512)))
def test_any_architecture_has_a_plan_with_an_anchor_for_every_box(architecture, resolution):
    architecture = replace(architecture, resolution=None)
    assume(architecture.total_stride <= min(sides(resolution)))
    assume(architecture.total_stride >= 8)
    plan = plan_detector(architecture, resolution)
    assert len(plan.extras) <= 4
    assert area(plan.maps[-1].size) == 1 or len(plan.extras) == 4
    anchors = anchor_boxes(plan)
    assert anchors.shape == (plan.boxes, 4)
    assert (anchors > 0).all()
    assert (anchors <= 1).all()


def test_anchors_lie_around_their_places():
    """By hand: the first map has 2 x 2 places, the second a single one."""
    plan = plan_detector(Architecture.parse("stem8_s1-mbconv3_k3_s48_f8_n1-mbconv3_k3_s2_f8_n1-head8"), 96)
    assert [place.size for place in plan.maps] == [2, 1]
    anchors = anchor_boxes(plan)
    root2, root3 = 2**0.5, 3**0.5
    first = [(0.1, 0.1), (0.2 * root2, 0.2 / root2), (0.2 / root2, 0.2 * root2)]
    places = [(0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)]  # row by row
    assert np.allclose(anchors[:12], [(*place, *shape) for place in places for shape in first])
    second = [(0.95, 0.95), (0.95**0.5, 0.95**0.5), (1, 0.95 / root2), (0.95 / root2, 1), (1, 0.95 / root3)]
    assert np.allclose(anchors[12:], [(0.5, 0.5, *shape) for shape in [*second, (0.95 / root3, 1)]])


def test_a_network_s_own_resolution_counts():
    assert plan_detector(Architecture.parse(f"128px-{published('mobilenet-v2')}"), 320).resolution == 128


@pytest.mark.parametrize(
    ("network", "resolution", "message"),
    [
        (published("mobilenet-v2"), 95, "96 to 512 pixels a side, not 95x95 pixels: choose another resolution"),
        (published("mobilenet-v2"), (96, 513), "not 96x513 pixels"),
        (Architecture.parse("stem8_s2-conv_k3_s64_f8_n1-head8"), 96, "block 1 brings the total stride to 128"),
    ],
)
def test_images_that_do_not_suit_are_refused(network, resolution, message):
    with pytest.raises(InputError, match=message):
        plan_detector(network, resolution)
