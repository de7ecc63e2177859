"""Weights of torchvision's networks: all but the last layer, and files that are not what they should be."""

from __future__ import annotations

import hashlib
import io

import pytest
import torch
import torchvision
from torch import nn

from evomnas.core.errors import InputError
from evomnas.networks.network import build_network
from evomnas.networks.pretrained.planting import load_weights, plant_weights
from evomnas.networks.torchvision_models import TorchvisionNetwork, build_any_network
from evomnas.problem.pretrained.donors import find_donor
from evomnas.problem.pretrained.files import DonorFile, read_weights
from evomnas.problem.sections import TrainingSection
from evomnas.training.trainer import _parameter_groups


def file_of(name: str, module: nn.Module) -> DonorFile:
    content = io.BytesIO()
    torch.save(module.state_dict(), content)
    return DonorFile(name, content.getvalue(), hashlib.sha256(content.getvalue()).hexdigest())


@pytest.fixture(scope="module")
def theirs() -> nn.Module:
    torch.manual_seed(3)
    return torchvision.models.mobilenet_v3_small().eval()


@pytest.fixture(scope="module")
def weights(theirs):
    return load_weights(file_of("mobilenet_v3_small", theirs))


def built(name: str, channels: int) -> nn.Module:
    return build_any_network(TorchvisionNetwork(name), 7, channels, dropout=0.0, bn_momentum=0.1, seed=0).eval()


def features(module: nn.Module, images: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return module.classifier[:-1](module.avgpool(module.features(images)).flatten(1))


def test_all_but_the_last_layer_is_torchvision_s(theirs, weights):
    ours = built("mobilenet_v3_small", 3)
    before = ours.classifier[-1].weight.clone()
    plant_weights(ours, weights)
    assert torch.equal(ours.classifier[-1].weight, before)
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(features(ours, images), features(theirs, images))


def test_a_grey_image_is_answered_as_one_whose_colours_are_equal(theirs, weights):
    ours = built("mobilenet_v3_small", 1)
    plant_weights(ours, weights)
    grey = torch.randn(2, 1, 64, 64, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(features(ours, grey), features(theirs, grey.expand(-1, 3, -1, -1)))


def test_a_file_of_another_network_is_refused():
    with pytest.raises(InputError, match="the file holds no weights of mobilenet_v3_small: "):
        load_weights(file_of("mobilenet_v3_small", nn.Linear(2, 2)))


def test_no_other_network_inherits_a_donor_s_weights():
    donor = load_weights(read_weights(find_donor("efficientnet-lite0")))
    with pytest.raises(InputError, match="of another library cannot inherit the weights of efficientnet-lite0"):
        plant_weights(built("mobilenet_v3_small", 3), donor)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small"])
def test_the_last_layer_alone_has_the_classifier_s_learning_rate(name):
    recipe = TrainingSection(epochs=1, learning_rate=0.1, head_rate=10.0)
    module = built(name, 3)
    body, head = _parameter_groups(module, recipe)
    assert [tuple(one.shape) for one in head["params"]][-1:] == [(7,)]
    assert (len(head["params"]), head["lr"]) == (2, 1.0)
    assert len(body["params"]) + 2 == len(list(module.parameters()))


def test_our_own_networks_have_the_groups_that_they_had():
    network = build_network(find_donor("efficientnet-lite0").architecture, 7)
    body, head = _parameter_groups(network, TrainingSection(epochs=1, head_rate=10.0))
    named = list(network.named_parameters())
    assert all(a is b for a, (_, b) in zip(body["params"], named, strict=False))
    assert [name for name, _ in named[len(body["params"]) :]] == ["classifier.weight", "classifier.bias"]
    assert len(head["params"]) == 2
