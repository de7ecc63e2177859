"""Pretrained baselines: which networks, at which resolutions, and with which recipes."""

from __future__ import annotations

import pytest

from evomnas.core.errors import InputError
from evomnas.problem.architecture import Architecture
from evomnas.problem.loading import load_definition
from evomnas.problem.pretrained.baselines import pretrained_baselines
from evomnas.problem.pretrained.donors import PUBLISHED_WEIGHTS, find_donor
from evomnas.problem.pretrained.preset import FULL, PROXY

SETTINGS = ["data.resolution=96", "training.epochs=2", "full.epochs=3", "training.seed=7"]


@pytest.fixture(scope="module")
def around():
    return load_definition("digits", SETTINGS, donor="efficientnet-lite0")


@pytest.fixture(scope="module")
def plain():
    return load_definition("digits", [*SETTINGS, "training.class_weights=balanced"])


def test_they_are_all_known_networks_at_every_resolution_of_the_space_the_largest_first(around):
    baselines = pretrained_baselines(around)
    assert [one.name for one in baselines[::5]] == list(PUBLISHED_WEIGHTS)
    assert [one.resolution for one in baselines] == [96, 80, 72, 64, 48] * len(PUBLISHED_WEIGHTS)
    assert len({one.id for one in baselines}) == len(baselines)
    assert baselines[1].label == "efficientnet-lite0 at 80 px"


def test_an_architecture_has_its_own_traits_and_the_id_that_it_has_in_archives(around):
    [first, *_] = pretrained_baselines(around, ["mobilenet-v2"])
    architecture = Architecture.parse(str(first))
    assert (architecture.id, architecture.resolution) == (first.id, 96)
    assert architecture.traits == find_donor("mobilenet-v2").architecture.traits != around.space.traits


def test_a_network_of_torchvision_s_says_its_resolution_in_front(around):
    assert [one.notation for one in pretrained_baselines(around, ["resnet18", "resnet18"])][:2] == [
        "96px-torchvision:resnet18", "80px-torchvision:resnet18",
    ]  # fmt: skip


def test_a_problem_without_a_donor_has_them_at_its_one_resolution_and_without_a_prefix(plain):
    for one in pretrained_baselines(plain, ["efficientnet-lite1", "resnet18"]):
        assert one.resolution == 96
        assert one.notation.startswith(("stem32", "torchvision:"))


def test_an_unknown_name_is_refused_with_the_nearest_one(plain):
    with pytest.raises(InputError, match="unknown network with pretrained weights 'resnet19'.*did you mean resnet18"):
        pretrained_baselines(plain, ["resnet19"])


def test_fine_tuning_keeps_the_recipes_of_a_problem_with_a_donor(around):
    other = around.fine_tuning("mobilenet-v2")
    assert (other.training, other.full, other.weights.donor) == (around.training, around.full, "mobilenet-v2")
    assert around.fine_tuning("efficientnet-lite0") == around


def test_fine_tuning_takes_recipes_that_suit_pretrained_weights_in_place_of_those_for_random_ones(plain):
    tuned = plain.fine_tuning("resnet18")
    for section, recipe in ((tuned.training, PROXY), (tuned.full, FULL)):
        assert {name: getattr(section, name) for name in recipe} == recipe
    assert (tuned.training.seed, tuned.training.class_weights) == (7, "balanced")
    assert tuned.data == plain.data
