"""Built detectors: their sizes against closed forms and two counters, their features and the order of their answers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models.detection import ssdlite320_mobilenet_v3_large
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
from torchvision.models.detection.image_list import ImageList

from evomnas.core.errors import InputError
from evomnas.networks.detection.costs import detector_costs
from evomnas.networks.detection.detector import Detector, add_detector, build_detector
from evomnas.networks.detection.features import TappedLayer
from evomnas.networks.detection.heads import Head, by_anchor
from evomnas.networks.layer_costs import total_cost
from evomnas.networks.network import Network, build_network
from evomnas.problem.architecture import Architecture
from evomnas.problem.detection.anchors import anchor_boxes
from evomnas.problem.detection.counting import count_detector
from evomnas.problem.detection.plan import FeatureMap, plan_detector
from evomnas.problem.published import published

TINY = {  # by how the last layer with a stride is tapped
    "expansion": "stem8_s2-mbconv3_k3_s2_f8_n2_se0.25_id-mbconv3_k5_s2_f16_n2_se0.5_id-head24",
    "pooling skip": "stem8_s2-mbconv3_k3_s2_f8_n2_id-mbconv3_k3_s2_f16_n2_pool-head24",
    "no expansion": "stem8_s2-mbconv3_k3_s2_f8_n2_id-dconv_k3_s2_f16_n1_se0.25_pool-head24",
    "plain convolution": "stem8_s2-dconv_k3_s2_f8_n1-conv_k3_s3_f16_n2_se0.25-head24",
    "no stride": "stem8_s4-mbconv3_k3_s1_f8_n2_id-head24",
    "traits": "stem8_s2-mbconv3_k3_s2_f8_n2_id-mbconv3_k5_s2_f16_n1-head24-relu6_same_eps0.00001",
}


def blank(architecture: Architecture, classes: int, resolution: int) -> Detector:
    """A detector with shapes and no numbers."""
    with torch.device("meta"):
        network = Network(architecture, 1, 3, dropout=0.0, bn_momentum=0.1)
        return Detector(network, plan_detector(architecture, resolution), classes, bn_momentum=0.1).eval()


COUNTED_EACH_TIME = ("no expansion", "no stride")  # the others are counted in the thorough tests


@pytest.mark.parametrize(
    "notation",
    [
        *(
            pytest.param(notation, id=name, marks=() if name in COUNTED_EACH_TIME else pytest.mark.thorough)
            for name, notation in TINY.items()
        ),
        pytest.param(str(published("mnasnet-a1")), id="mnasnet-a1"),
    ],
)
def test_closed_form_and_torch_count_the_same(notation):
    architecture = Architecture.parse(notation)
    counts = count_detector(plan_detector(architecture, 97), 6)
    detector = blank(architecture, 5, 97)
    assert sum(weight.numel() for weight in detector.parameters()) == counts.params
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        detector(torch.empty(1, 3, 97, 97, device="meta"))
    assert counter.get_total_flops() == 2 * counts.macs


def test_closed_form_and_ptflops_count_the_same():
    architecture = Architecture.parse(TINY["expansion"])
    counts = count_detector(plan_detector(architecture, 97), 6)
    cost = total_cost(detector_costs(architecture, 5, 3, 97))
    assert (cost.params, cost.macs + cost.se_macs, cost.se_macs) == (counts.params, counts.macs, counts.gate_macs)


def test_torchvision_s_own_detector_has_the_size_of_our_heads_and_extras():
    """Its maps have 672, 480, 512, 256, 256 and 128 channels, and six anchors each."""
    with torch.device("meta"):
        model = ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=91)
        filters = [672, 480, 512, 256, 256, 128]
        heads = [Head(FeatureMap(channels, 1, 6), 91, bn_momentum=0.1) for channels in filters]
    sizes = {name: sum(weight.numel() for weight in part.parameters()) for name, part in model.named_children()}
    ours = sum(weight.numel() for head in heads for weight in head.parameters())
    assert ours == sizes["head"]
    assert ours + sizes["backbone"] == 3_440_060


@pytest.mark.parametrize("notation", TINY.values(), ids=TINY)
def test_a_backbone_computes_what_its_network_computes(notation):
    """With tapping, the head's map is as before, and the first map is what the modules up to the tap give."""
    architecture = Architecture.parse(notation)
    network = build_network(architecture, 3, seed=4).eval()
    images = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = network.head(network.blocks(network.stem(images)))
        features = add_detector(network, 5, 96).eval().features
        first, *others = features(images)
        assert torch.equal(expected, others[0] if features.extras and len(others) > len(features.extras) else first)
        x = features.stem(images)
        for layer in features.layers():
            if isinstance(layer, TappedLayer):
                assert torch.equal(first, layer.body[: layer.expansion](x))
                assert layer.expansion in (0, 3)
            x = layer(x)[1] if isinstance(layer, TappedLayer) else layer(x)


def test_the_detector_answers_with_the_planned_shapes():
    architecture = published("mnasnet-small")
    detector = build_detector(architecture, 3, 128, channels=1).eval()
    maps = detector.features(torch.zeros(2, 1, 128, 128))
    assert [tuple(place.shape[1:]) for place in maps] == [
        (place.filters, place.size, place.size) for place in detector.plan.maps
    ]
    offsets, logits = detector(torch.zeros(2, 1, 128, 128))
    assert offsets.shape == (2, detector.plan.boxes, 4)
    assert logits.shape == (2, detector.plan.boxes, 4)


def test_answers_are_ordered_by_row_column_and_anchor():
    rows, columns, anchors, values = 2, 3, 5, 4
    x = torch.arange(anchors * values * rows * columns).view(1, anchors * values, rows, columns)
    answers = by_anchor(x, values)[0].view(rows, columns, anchors, values)
    for row, column, anchor, value in ((0, 0, 0, 0), (1, 2, 4, 3), (0, 1, 3, 2)):
        assert answers[row, column, anchor, value] == x[0, anchor * values + value, row, column]


def test_anchors_are_torchvision_s_but_for_those_of_the_first_map():
    plan = plan_detector(published("mobilenet-v2"), 320)
    generator = DefaultBoxGenerator([[2, 3]] * 6, min_ratio=0.2, max_ratio=0.95)
    maps = [torch.empty(1, 1, place.size, place.size) for place in plan.maps]
    corners = generator(ImageList(torch.empty(1, 3, 320, 320), [(320, 320)]), maps)[0].numpy() / 320
    ours = anchor_boxes(plan)[plan.maps[0].boxes :]
    ours = np.concatenate([ours[:, :2] - ours[:, 2:] / 2, ours[:, :2] + ours[:, 2:] / 2], axis=1)
    assert np.abs(ours - corners[6 * 20 * 20 :]).max() < 1e-6


def test_weights_follow_from_the_seed_alone():
    architecture = Architecture.parse(TINY["expansion"])
    state = torch.random.get_rng_state()
    first, again, other = (
        torch.cat([weight.flatten() for weight in build_detector(architecture, 3, 96, seed=seed).parameters()])
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(state, torch.random.get_rng_state())


def test_heads_and_extras_begin_with_small_weights():
    """The standard deviation of both published SSDLites, 0.03, on some 400,000 weights."""
    detector = build_detector(published("mnasnet-small"), 80, 96)
    convolutions = [module for module in detector.heads.modules() if isinstance(module, nn.Conv2d)]
    weights = torch.cat([module.weight.flatten() for module in convolutions])
    assert math.isclose(weights.std().item(), 0.03, rel_tol=0.02)
    assert all((module.bias == 0).all() for module in convolutions if module.bias is not None)


def test_a_detector_keeps_the_weights_of_its_network():
    network = build_network(Architecture.parse(TINY["expansion"]), 7, seed=3)
    weights = {name: value.clone() for name, value in network.state_dict().items()}
    features = add_detector(network, 5, 96).features.state_dict()
    shared = {name for name in weights if not name.startswith("classifier")}
    assert shared == {name for name in features if not name.startswith("extras")}
    assert all(torch.equal(weights[name], features[name]) for name in shared)


def test_images_that_are_too_small_are_refused():
    with pytest.raises(InputError, match="96 to 512 pixels a side, not 64x64"):
        build_detector(Architecture.parse(TINY["expansion"]), 3, 64)
