"""Off-the-shelf networks: torchvision's own, at the problem's size, beside the front."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import torchvision

from evomnas.core import registry
from evomnas.core.errors import InputError
from evomnas.deploy.baselines import baseline_network, default_baselines, train_baselines
from evomnas.deploy.trained_networks import train_networks
from evomnas.latency.prepare import prepare
from evomnas.loop.launch import search
from evomnas.networks.layer_costs import count_any_cost
from evomnas.networks.torchvision_models import (
    TORCHVISION_MODELS,
    TorchvisionNetwork,
    build_any_network,
    build_torchvision,
    explain_incompatibility,
    parse_network,
)
from evomnas.problem.loading import load_definition
from evomnas.report.run_report import write_report
from evomnas.results.evaluation import FullTraining, Measurement
from evomnas.results.full_trainings import fully_trained

NAMES = ["mobilenet-v2@0.1", "mobilenet_v3_small", "squeezenet1_1"]


@pytest.fixture(scope="module")
def run(few_digits, tmp_path_factory):
    """A run of one network."""
    definition = load_definition("digits", [*few_digits, "data.train_images=60", "training.epochs=1", "full.epochs=2"])
    return search(definition, "random", budget=1, out=tmp_path_factory.mktemp("run") / "run")


@pytest.fixture(scope="module")
def baselines(run, tmp_path_factory):
    """A folder and three off-the-shelf networks on the run's problem; one cannot take eight pixels."""
    folder, plans = tmp_path_factory.mktemp("baselines"), []
    arguments = run.definition, NAMES, run.archive.path, folder
    trained = train_baselines(*arguments, device="cpu", on_plan=plans.append)
    train_baselines(*arguments, device="cpu", on_plan=plans.append)
    first, again = (plan.expected for plan in plans)
    assert all(0 < first[name] < 600 for name in NAMES[:2])
    assert again == dict.fromkeys(NAMES[:2], 0.0)  # nothing is left to do
    return folder, {baseline.name: baseline for baseline in trained}


def test_they_are_trained_measured_and_saved(baselines, run):
    folder, by_name = baselines
    assert list(by_name) == NAMES
    for name in NAMES[:2]:
        baseline = by_name[name]
        assert isinstance(baseline.result, FullTraining)
        assert isinstance(baseline.measurement, Measurement)
        content = json.loads((folder / name / "model.json").read_text())
        assert content["network"] == str(baseline.network)
        assert [*content["origin"]] == ["problem", "data"]  # no search found it
        assert content["latency"]["ms"] == baseline.measurement.latency_ms
        assert (run.archive.full_training(_key(run), baseline.network)) == baseline.result
        row = baseline.to_dict()
        assert row["reason"] is None
        assert row["latency_ci"][0] <= row["latency_ms"] <= row["latency_ci"][1]
        assert row["test_images"] == 60


def _key(run) -> str:
    from evomnas.results.readers import full_training_alias

    [key] = run.archive.alias_contexts(full_training_alias(run.definition, run.search_images_fingerprint))
    return key


def test_one_that_cannot_take_the_resolution_says_why(baselines):
    baseline = baselines[1]["squeezenet1_1"]
    assert (baseline.result, baseline.measurement) == (None, None)
    assert baseline.to_dict()["reason"].startswith("it cannot take images of 8 pixels: ")


def test_nothing_is_done_twice(baselines, run, monkeypatch):
    monkeypatch.setattr(
        "evomnas.deploy.full_training.FullTask.train", lambda *_, **__: pytest.fail("was trained again")
    )
    monkeypatch.setattr("evomnas.deploy.baselines.prepare_here", lambda *_: pytest.fail("was measured again"))
    again = train_baselines(run.definition, NAMES, run.archive.path, baselines[0], device="cpu")
    assert {baseline.name: baseline for baseline in again} == baselines[1]


def test_a_report_gets_them_from_the_archive_without_reading_images(baselines, run, monkeypatch):
    [result] = run.results()
    [trained] = train_networks(run, [result.evaluation.architecture], device="cpu")
    monkeypatch.setattr("evomnas.deploy.full_training.load_training_images", lambda *_: pytest.fail("read the images"))
    by_notation = {network.notation: network for network in fully_trained(run)}
    for name in NAMES[:2]:
        baseline = baselines[1][name]
        listed = by_notation[str(baseline.network)]
        assert (listed.result, listed.measurement) == (baseline.result, baseline.measurement)
    assert by_notation["torchvision:mobilenet_v3_small"].name == "mobilenet_v3_small"
    assert by_notation[str(trained.network)].result == trained.result
    accuracies = [network.result.score.accuracy for network in fully_trained(run)]
    assert accuracies == sorted(accuracies, reverse=True)
    page = write_report(run).read_text()
    assert "Trained in full" in page
    assert f">{accuracies[0]:.2%}</td>" in page


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "googlenet"])
@pytest.mark.thorough
def test_networks_of_torchvision_s_are_its_own_with_other_ends(name):
    """The same number of parameters, but for the first convolution and the classes."""
    counted = count_any_cost(TorchvisionNetwork(name), 1000, 3, 64)
    options = {} if name != "googlenet" else {"aux_logits": False, "init_weights": False}
    whole = getattr(torchvision.models, name)(weights=None, **options)
    assert counted.params == sum(parameter.numel() for parameter in whole.parameters())
    network = build_any_network(TorchvisionNetwork(name), 7, 1, dropout=0.2, bn_momentum=0.1, seed=0).eval()
    assert network(torch.zeros(2, 1, 64, 64)).shape == (2, 7)


def test_torchvision_s_published_macs_are_counted():
    """ResNet-18: 1.814 GFLOPS by torchvision's own table, which counts a multiply-add as one."""
    published = torchvision.models.ResNet18_Weights.IMAGENET1K_V1.meta["_ops"]
    assert count_any_cost(TorchvisionNetwork("resnet18"), 1000, 3, 224).macs / 1e9 == pytest.approx(
        published, rel=0.002
    )


def test_a_runtime_computes_the_logits_of_an_off_the_shelf_network():
    runtime = registry.load("runtimes", "onnxruntime")()
    prepared = prepare(runtime, TorchvisionNetwork("mobilenet_v3_small"), 5, 1, 28)
    logits = runtime.load(prepared.model, prepared.images, 1)()
    assert np.abs(prepared.logits).max() > 1e-3
    np.testing.assert_allclose(logits, prepared.logits, rtol=1e-3, atol=1e-4)


SMALLEST = {"alexnet": 63, "inception_v3": 75}  # pixels; the others take 32


@pytest.mark.thorough
def test_all_off_the_shelf_networks_take_photographs_of_32_pixels_or_say_that_they_do_not():
    for name in default_baselines():
        smallest = SMALLEST.get(name, 32)
        assert explain_incompatibility(baseline_network(name, smallest), 3, smallest) is None
    for name, smallest in SMALLEST.items():
        reason = explain_incompatibility(baseline_network(name, 32), 3, smallest - 1)
        assert reason.startswith(f"it cannot take images of {smallest - 1} pixels: ")


@pytest.mark.parametrize("name", TORCHVISION_MODELS)
def test_torchvision_s_networks_have_the_parameters_that_it_lists(name):
    with torch.device("meta"):
        network = build_torchvision(name, 1000, 3)
    listed = torchvision.models.get_model_weights(name).IMAGENET1K_V1.meta["num_params"]
    auxiliary_head = 3_326_696 if name == "inception_v3" else 0  # googlenet is listed without
    assert sum(parameter.numel() for parameter in network.parameters()) == listed - auxiliary_head


def test_names_and_notations_that_nobody_knows_are_one_line():
    with pytest.raises(InputError, match="unknown reference network 'resnet19'.*did you mean resnet18"):
        baseline_network("resnet19", 32)
    with pytest.raises(InputError, match="unknown network of torchvision 'resnet19'"):
        parse_network("torchvision:resnet19")
    assert parse_network(str(TorchvisionNetwork("resnet18"))) == TorchvisionNetwork("resnet18")
    assert parse_network(str(baseline_network("mnasnet-a1", 32))) == baseline_network("mnasnet-a1", 32)
