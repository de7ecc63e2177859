"""Trainings from pretrained weights: batch norm that is taken anew and frozen, the classifier's rate, the donor."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from evomnas.core.seeding import torch_generator
from evomnas.data.splits import load_dataset
from evomnas.networks.network import build_network
from evomnas.networks.pretrained.weights import load_donor
from evomnas.problem.loading import load_definition
from evomnas.problem.pretrained.files import donor_file
from evomnas.training.batches import TrainingBatches
from evomnas.training.proxy_task import ProxyTask
from evomnas.training.schedules import CosineSchedule
from evomnas.training.trainer import Trainer, renew_statistics

SETTINGS = ["data.resolution=32", "data.train_images=80", "training.epochs=1", "training.batch=40"]
NETWORK = "stem8_s2-dconv_k3_s1_f8_n1-mbconv3_k3_s2_f16_n2_id-head24"


@pytest.fixture(scope="module")
def problem():
    """The digits, enlarged to 32 pixels, around EfficientNet-Lite0."""
    return load_definition("digits", SETTINGS, donor="efficientnet-lite0")


@pytest.fixture(scope="module")
def dataset(problem):
    return load_dataset(problem.data)


@pytest.fixture(scope="module")
def donor(problem):
    return load_donor(donor_file(problem.weights))


@pytest.fixture
def batches(tiny, tiny_dataset):
    return TrainingBatches(tiny_dataset.train_images, tiny_dataset.train_labels, 10, (), torch.device("cpu"))


def norms(network: nn.Module) -> list[nn.BatchNorm2d]:
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]


def trainer(tiny, batches, **changes) -> Trainer:
    recipe = tiny.training.model_copy(update=changes)
    network = build_network(tiny.space.mobilenet_v2(), 10, 1, seed=1)
    return Trainer(network, batches, recipe, lambda steps: CosineSchedule(0.0, steps), torch_generator(2))


def test_statistics_are_the_means_over_the_training_images(tiny, batches):
    network = build_network(tiny.space.mobilenet_v2(), 10, 1, seed=1)
    norms(network)[0].running_mean.fill_(99.0)
    momenta = [norm.momentum for norm in norms(network)]
    renew_statistics(network, batches, batch_size=50)
    count = len(batches.labels)
    with torch.no_grad():
        first = network.stem[0](batches.normalise(batches.pixels.take(torch.arange(len(batches.pixels)))))
    parts = first.tensor_split(count // 50)
    expected_mean = torch.stack([part.mean((0, 2, 3)) for part in parts]).mean(0)
    expected_variance = torch.stack([part.var((0, 2, 3)) for part in parts]).mean(0)
    torch.testing.assert_close(norms(network)[0].running_mean, expected_mean, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(norms(network)[0].running_var, expected_variance, rtol=1e-4, atol=1e-5)
    assert [norm.momentum for norm in norms(network)] == momenta


def test_frozen_statistics_stay_while_all_weights_learn(tiny, batches):
    frozen, running = trainer(tiny, batches, statistics="frozen"), trainer(tiny, batches)
    for one, is_frozen in ((frozen, True), (running, False)):
        before = {name: value.clone() for name, value in one.network.state_dict().items()}
        one.train_epoch()
        after = one.network.state_dict()
        changed = {name for name in before if not torch.equal(before[name], after[name])}
        assert any("running_mean" in name for name in changed) != is_frozen
        assert {name for name, _ in one.network.named_parameters()} <= changed


def test_the_classifier_may_learn_faster_than_the_rest(tiny, batches):
    groups = trainer(tiny, batches, head_rate=10.0, optimizer="adamw", learning_rate=0.003).optimizer.param_groups
    assert [group["initial_lr"] for group in groups] == [0.003, 0.03]
    assert [parameter.shape for parameter in groups[1]["params"]] == [(10, tiny.space.head), (10,)]
    assert len(trainer(tiny, batches).optimizer.param_groups) == 1


def test_images_are_normalised_as_the_donor_s_were(donor, dataset):
    mean, std = donor.normalisation(1)
    assert (mean.tolist(), std.tolist()) == ([127.0], [128.0])
    batches = TrainingBatches(dataset.train_images, dataset.train_labels, 10, (), torch.device("cpu"), (mean, std))
    pixels = torch.from_numpy(dataset.train_images[:2])
    torch.testing.assert_close(batches.normalise(pixels), (pixels.float() - 127) / 128)
    np.testing.assert_allclose(donor.normalisation(3)[1], [128.0] * 3)


def test_a_candidate_s_training_is_a_function_of_problem_donor_and_network(problem, dataset, donor):
    task = ProxyTask(dataset, problem.data, problem.training, "cpu", donor)
    network = replace(problem.space.reference_network(), resolution=32)
    first = task.train(network)
    task.train(problem.space.decode(np.zeros(len(problem.space.gene_sizes))))
    again = task.train(network)
    assert (first.accuracy, first.losses) == (again.accuracy, again.losses)
    halved = replace(donor, state={name: value / 2 for name, value in donor.state.items()})
    other = ProxyTask(dataset, problem.data, problem.training, "cpu", halved).train(network)
    assert other.losses != first.losses


@pytest.mark.thorough
def test_pretrained_weights_learn_in_steps_in_which_random_ones_do_not(problem, dataset, donor):
    network, recipe = problem.space.reference_network(), problem.training.model_copy(update={"epochs": 6})
    inherited = ProxyTask(dataset, problem.data, recipe, "cpu", donor).train(network)
    random = ProxyTask(dataset, problem.data, recipe, "cpu").train(network)
    assert inherited.accuracy > random.accuracy + 0.2
