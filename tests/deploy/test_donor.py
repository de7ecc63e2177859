"""A search around a donor, from the first candidate to the card of a trained network."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from evomnas.deploy.baselines import train_baselines
from evomnas.deploy.export import export_network
from evomnas.deploy.formats.request import Request
from evomnas.deploy.full_training import FullTask
from evomnas.deploy.saving import load_network
from evomnas.deploy.trained_networks import train_networks
from evomnas.latency.runtimes.base import open_runtime
from evomnas.loop.launch import search
from evomnas.problem.loading import load_definition
from evomnas.problem.pretrained.files import donor_file
from evomnas.problem.pretrained.heritage import RULES
from evomnas.results.run import Run

SETTINGS = [
    "data.resolution=40", "data.train_images=60", "training.epochs=1", "full.epochs=1", "full.batch=32",
    "space.resolutions=[32, 40]",
]  # fmt: skip


@pytest.fixture(scope="module")
def problem(few_digits):
    return load_definition("digits", [*SETTINGS, *few_digits], donor="efficientnet-lite0")


@pytest.fixture(scope="module")
def run(problem, tmp_path_factory) -> Run:
    return search(problem, "random", budget=2, out=tmp_path_factory.mktemp("donor") / "run")


@pytest.mark.thorough
def test_a_worker_gets_the_donor_and_gives_the_same_bits(run, problem, tmp_path):
    elsewhere = search(problem, "random", budget=2, out=tmp_path / "run", workers=1)
    found, again = (
        {str(one.evaluation.architecture): one.evaluation for one in each.results()} for each in (run, elsewhere)
    )
    assert found.keys() == again.keys()
    for notation, evaluation in found.items():
        assert evaluation.trained.losses == again[notation].trained.losses
        assert evaluation.trained.accuracy == again[notation].trained.accuracy


def test_trainings_depend_on_the_donor_and_the_rules_and_latencies_do_not(run, problem):
    context = run.archive.context(run.record.training_context)
    file = donor_file(problem.weights)
    assert context["donor"] == {"name": "efficientnet-lite0", "weights": file.sha256, "rules": RULES}
    assert "donor" not in run.archive.context(run.record.measurement_context)
    assert run.record.definition == problem


def test_every_network_was_measured_at_its_own_resolution(run):
    for result in run.results():
        network = result.evaluation.architecture
        assert network.resolution in (32, 40)
        assert str(network).startswith(f"{network.resolution}px-stem32_s2-dconv")
        assert str(network).endswith("-relu6_same")


@pytest.fixture(scope="module")
def trained(run):
    """The donor itself at 32 pixels, below the problem's 40, trained in full."""
    network = replace(run.record.definition.space.reference_network(), resolution=32)
    [result] = train_networks(run, [network])
    return network, result


def test_a_chosen_network_is_trained_and_saved_at_its_resolution_with_the_donor_s_normalisation(run, trained):
    network, result = trained
    classifier = load_network(result.folder)
    assert (classifier.resolution, classifier.normalise.mean.item(), classifier.normalise.std.item()) == (32, 127, 128)
    card = (result.folder / "README.md").read_text()
    assert "grey images of 32x32 pixels" in card
    assert "the weights of efficientnet-lite0 (SHA-256 579344248a93e230...): Apache-2.0" in card
    assert str(network) in card
    details = json.loads((result.folder / "model.json").read_text())
    assert details["resolution"] == 32
    assert result.result.score.accuracy > 0.15  # chance is 0.1, and this was a single epoch


def test_its_score_is_found_by_the_run_and_by_another_training(run, trained):
    network, result = trained
    assert run.reader.full_trainings()[str(network)].score == result.result.score
    [again] = train_networks(run, [network])
    assert again.result == result.result


@pytest.mark.thorough
def test_an_exported_file_takes_images_of_that_resolution(run, trained):
    """It computes the network's logits, and so gives its answers wherever the last bits do not decide."""
    network, result = trained
    exported = export_network(run, network, Request())
    [export] = exported.exports
    images = np.asarray(FullTask(run.record.definition, "cpu").for_network(network).test.images)
    assert images.shape == (60, 1, 32, 32)
    with torch.no_grad():
        expected = load_network(result.folder)(torch.from_numpy(images)).numpy()
    image = np.zeros((1, 1, 32, 32), dtype=np.float32)
    run_file = open_runtime("onnxruntime").load((exported.folder / export.file).read_bytes(), image, 1)
    logits = np.empty_like(expected)
    for number, image[0] in enumerate(images):
        logits[number] = run_file()
    np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-3)
    best, second = np.sort(expected, axis=1)[:, :-3:-1].T
    undecided = int((best - second < 3e-3).sum())
    assert undecided < 10
    assert abs(export.correct - result.result.score.correct) <= undecided
    assert export.agreement >= 1 - undecided / 60


def test_networks_that_cannot_inherit_say_so(problem, tmp_path):
    names = ["mobilenet-v2", "resnet18"]
    found = train_baselines(problem, names, tmp_path / "archive.sqlite", tmp_path / "networks", device="cpu")
    assert [one.name for one in found] == names
    assert all(one.result is None and one.measurement is None for one in found)
    refusal = "it cannot inherit the weights of efficientnet-lite0: "
    assert found[0].reason.startswith(f"{refusal}the donor's weights work with the traits relu6_same")
    assert found[1].reason == f"{refusal}its parts are others"


@pytest.mark.thorough
def test_the_donor_is_a_baseline(problem, tmp_path):
    names = ["efficientnet-lite0"]
    [found] = train_baselines(problem, names, tmp_path / "archive.sqlite", tmp_path / "networks", device="cpu")
    assert found.result.score.accuracy > 0.15  # chance is 0.1


def test_the_task_of_a_network_has_the_images_at_its_resolution(problem):
    task = FullTask(problem, "cpu")
    small = task.for_network(replace(problem.space.reference_network(), resolution=32))
    assert small.training.images.shape[2:] == (32, 32)
    assert task.training.images.shape[2:] == (40, 40)
    assert (
        task.for_network(problem.space.reference_network())
        is task
        is small.for_network(problem.space.reference_network())
    )
    assert small is task.for_network(replace(problem.space.decode(np.zeros(43)), resolution=32))
    assert small.search_images_fingerprint == task.search_images_fingerprint
    assert small.context() == task.context() | {"resolution": 32}
    assert small.scored_context()["test"] == task.test.fingerprint
    assert small.test.images.shape[2:] == (32, 32)


def test_the_training_begins_with_the_donor_s_function(problem):
    """The weights of the donor's own network are the donor's; batch norm's statistics are those of the images."""
    task = FullTask(problem, "cpu")
    module = task._build(problem.space.reference_network(), np.random.SeedSequence(1))
    task._inherit(module)
    weights = {name for name, _ in module.named_parameters() if not name.startswith(("classifier.", "stem.1"))}
    for name in weights:
        assert torch.equal(module.state_dict()[name], task.donor.state[name]), name
