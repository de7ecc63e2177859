"""Published networks that are built here: the published parameters, and the logits of other implementations."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from evomnas.core.errors import InputError
from evomnas.networks.layer_costs import count_any_cost
from evomnas.networks.references.catalogue import REFERENCES
from evomnas.networks.references.mobilenet_v1 import MobileNetV1
from evomnas.networks.references.nasnet import LARGE, NASNetA, _Halve
from evomnas.networks.torchvision_models import (
    ReferenceNetwork,
    build_any_network,
    build_off_the_shelf,
    explain_incompatibility,
    off_the_shelf,
    parse_network,
)


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("mobilenet_v1", 4_231_976),  # timm; the paper's 4.2 million
        ("nasnet_a_mobile", 5_289_978),  # Keras's trainable ones; the paper's 5.3 million
        ("condensenet_74_4", 4.8e6),  # the paper's table
        ("condensenet_74_8", 2.9e6),
    ],
)
def test_parameters_are_the_published_ones(name, params):
    with torch.device("meta"):
        network = build_off_the_shelf(name, 1000, 3)
    found = sum(parameter.numel() for parameter in network.parameters())
    assert found == pytest.approx(params, abs=0 if isinstance(params, int) else 0.05e6)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("name", "macs"),
    [
        ("mobilenet_v1", 569e6), ("nasnet_a_mobile", 564e6), ("condensenet_74_4", 529e6), ("condensenet_74_8", 274e6),
    ],
)  # fmt: skip
def test_macs_are_the_published_ones(name, macs):
    """CondenseNet's published figures count activations and pooling, too."""
    assert count_any_cost(ReferenceNetwork(name), 1000, 3, 224).macs == pytest.approx(macs, rel=0.05)


def test_the_large_nasnet_has_the_parameters_of_timm_s():
    with torch.device("meta"):
        ours, theirs = NASNetA(1000, 3, LARGE), timm.create_model("nasnetalarge")
    assert sum(one.numel() for one in ours.parameters()) == sum(one.numel() for one in theirs.parameters())


def test_mobilenet_v1_has_the_logits_of_timm_s():
    """Both have their tensors in the order in which an image passes them."""
    torch.manual_seed(0)
    theirs, ours = timm.create_model("mobilenetv1_100", num_classes=7), MobileNetV1(7, 3)
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.uniform_(module.bias, 0.1, 0.5)
    names = ours.state_dict()
    ours.load_state_dict(dict(zip(names, theirs.state_dict().values(), strict=True)))
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        logits, expected = ours.eval()(images), theirs.eval()(images)
    assert expected.std() > 1e-3
    torch.testing.assert_close(logits, expected)


QUICK = "condensenet_74_8"


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name == QUICK else pytest.mark.thorough) for name in REFERENCES]
)
def test_they_take_small_grey_images_and_have_a_notation(name):
    network = off_the_shelf(name)
    assert parse_network(str(network)) == network
    assert str(network) == f"reference:{name}"
    module = build_any_network(network, 5, 1, dropout=0.0, bn_momentum=0.1, seed=0).eval()
    assert module(torch.zeros(1, 1, 9, 12)).shape == (1, 5)
    assert (explain_incompatibility(network, 1, 2) is None) == (name != "nasnet_a_mobile")
    with pytest.raises(InputError, match="unknown reference network 'nasnet'"):
        parse_network("reference:nasnet")


@pytest.mark.thorough
def test_the_large_nasnet_has_the_logits_of_timm_s():
    torch.manual_seed(0)
    theirs, ours = timm.create_model("nasnetalarge", num_classes=7), NASNetA(7, 3, LARGE)
    # where a cell halves the input before the last one, timm's has the module of the last one first
    names = list(ours.state_dict())
    for number, cell in enumerate(ours.cells):
        if isinstance(cell.adjust_before, _Halve):
            parts = [
                [n for n in names if n.startswith(f"cells.{number}.{part}.")] for part in ("adjust_before", "adjust")
            ]
            start = names.index(parts[0][0])
            names[start : start + sum(map(len, parts))] = [*parts[1], *parts[0]]
    ours.load_state_dict(dict(zip(names, theirs.state_dict().values(), strict=True)))
    images = torch.randn(1, 3, 67, 67)
    with torch.inference_mode():
        torch.testing.assert_close(ours.eval()(images), theirs.eval()(images))
