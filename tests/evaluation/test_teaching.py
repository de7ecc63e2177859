"""The fine-tuned donor teaches candidates: once per search, with the same bits wherever they are trained."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from evomnas.core.errors import EverythingFailed, InputError
from evomnas.data.splits import load_dataset
from evomnas.evaluation.factory import open_evaluator
from evomnas.loop.launch import resume, search
from evomnas.networks.pretrained.weights import load_donor
from evomnas.problem.loading import load_definition
from evomnas.problem.pretrained.files import donor_file
from evomnas.results.archive import Archive
from evomnas.results.evaluation import TrainingDiverged
from evomnas.training.proxy_task import ProxyTask

SETTINGS = ("data.resolution=40", "data.train_images=60", "data.validation=0.05", "training.epochs=1", "full.epochs=2",
            "space.resolutions=[32, 40]")  # fmt: skip


@pytest.fixture(scope="module")
def problem():
    return load_definition("digits", [*SETTINGS, "weights.teach=true"], donor="efficientnet-lite0")


@pytest.fixture(scope="module")
def run(problem, tmp_path_factory):
    return search(problem, "random", budget=2, out=tmp_path_factory.mktemp("taught") / "run")


@pytest.fixture
def task(problem):
    return ProxyTask(
        load_dataset(problem.data), problem.data, problem.training, "cpu", load_donor(donor_file(problem.weights))
    )


def losses(run) -> dict[str, tuple[float, ...]]:
    return {str(one.evaluation.architecture): one.evaluation.trained.losses for one in run.results()}


@pytest.mark.thorough
def test_a_search_with_a_teacher_is_the_same_on_workers_and_after_a_stop(run, problem, tmp_path, stopped_at):
    assert losses(search(problem, "random", budget=2, out=tmp_path / "workers" / "run", workers=1)) == losses(run)
    with stopped_at("add_training", 2):
        search(problem, "random", budget=2, out=tmp_path / "stopped" / "run")
    assert losses(resume(tmp_path / "stopped" / "run")) == losses(run)


@pytest.mark.thorough
def test_without_a_teacher_trainings_and_their_context_are_others(run, problem, tmp_path):
    alone = problem.model_copy(update={"weights": problem.weights.model_copy(update={"teach": False})})
    untaught = search(alone, "random", budget=1, out=tmp_path / "run")
    notation, found = next(iter(losses(untaught).items()))
    assert found != losses(run)[notation]
    before, now = (one.archive.context(one.record.training_context)["donor"] for one in (untaught, run))
    assert set(now) - set(before) == {"teaching"}
    assert now["teaching"]["recipe"]["epochs"] == 2
    assert (now["teaching"]["temperature"], now["teaching"]["share"]) == (2, 0.9)


def test_what_the_teacher_says_are_the_answers_of_the_fine_tuned_donor(problem, task):
    logits = task.teach(problem.teaching, 0)
    network = task.with_recipe(problem.teaching).fit(problem.space.reference_network()).network.eval()
    batches = task.batches
    with torch.no_grad():
        expected = network(batches.normalise(batches.pixels.take(torch.arange(60)))).numpy()
    assert logits.shape == (60, 10)
    np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-4)
    assert task.lessons == ()


def test_the_donor_is_fine_tuned_once_and_only_if_something_is_trained(run, problem, tmp_path, monkeypatch):
    calls, teach = [], ProxyTask.teach
    monkeypatch.setattr(ProxyTask, "teach", lambda *arguments: calls.append(arguments) or teach(*arguments))
    networks = [result.evaluation.architecture for result in run.results()]
    with open_evaluator(problem, run.archive) as evaluator:
        assert list(evaluator.train([])) == []
        evaluator.evaluate(networks)  # which are known
    assert calls == []
    with open_evaluator(problem, Archive(tmp_path / "archive.sqlite")) as evaluator:
        for network in networks:
            list(evaluator.for_run(None).train([network]))
    assert len(calls) == 1


@pytest.mark.thorough
def test_a_worker_is_taught_and_gives_the_same_bits(run, problem):
    [network, *_] = [result.evaluation.architecture for result in run.results()]
    with open_evaluator(problem, Archive(), workers=1) as evaluator:
        list(evaluator.train([network]))
        assert evaluator.training_of(network).losses == losses(run)[str(network)]


@pytest.mark.thorough
def test_with_folds_each_training_has_a_teacher_of_its_own(problem, monkeypatch, tmp_path):
    folded = problem.model_copy(update={"data": problem.data.model_copy(update={"folds": 2, "train_images": 30})})
    numbers, teach = [], ProxyTask.teach
    monkeypatch.setattr(ProxyTask, "teach", lambda *arguments: numbers.append(arguments[2]) or teach(*arguments))
    with open_evaluator(folded, Archive(tmp_path / "archive.sqlite")) as evaluator:
        [network] = evaluator.train([folded.space.reference_network()])
        assert evaluator.training_of(network).accuracy > 0
    assert numbers == [0, 1]


@pytest.mark.thorough
def test_a_donor_that_cannot_be_fine_tuned_ends_the_search(problem, monkeypatch, tmp_path):
    def fail(*_):
        raise TrainingDiverged("the loss became nan")

    monkeypatch.setattr(ProxyTask, "teach", fail)
    with pytest.raises(EverythingFailed, match="the donor cannot be fine-tuned to teach: the loss became nan"):
        search(problem, "random", budget=1, out=tmp_path / "run")


def test_a_teacher_of_mixtures_is_refused():
    with pytest.raises(InputError, match="the donor answers images, not mixtures: drop mixup of data.augment"):
        load_definition(
            "digits", [*SETTINGS, "weights.teach=true", 'data.augment=["mixup"]'], donor="efficientnet-lite0"
        )
