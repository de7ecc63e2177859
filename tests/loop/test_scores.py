"""Searches for other scores than accuracy, and by cross-validation. Real trainings of tiny networks throughout."""

from __future__ import annotations

import json

import numpy as np
import pytest

from evomnas.core.errors import InputError
from evomnas.data.splits import load_dataset
from evomnas.evaluation.executors.factory import make_executor
from evomnas.evaluation.executors.jobs import TrainingJob
from evomnas.loop.launch import resume, search
from evomnas.report.run_report import write_report
from evomnas.report.words import headline
from evomnas.results.evaluation import Cut, NetworkEvaluation
from evomnas.results.run import Result, Run
from evomnas.training.proxy_task import ProxyTask


def scored_by(definition, score):
    """The same problem with another score."""
    return definition.model_copy(update={"data": definition.data.model_copy(update={"score": score})})


@pytest.fixture(scope="module")
def accurate_run(rare, tmp_path_factory):
    """Ten networks of the problem with a rare class, searched for accuracy."""
    return search(rare, "random", budget=10, seed=1, out=tmp_path_factory.mktemp("rare") / "accuracy")


def recall_of_the_best(run) -> list[float]:
    """The recall of both classes of the network with the best score."""
    return run.reader.answers(run.front()[-1].evaluation.architecture).confusion.recall.tolist()


def test_the_most_accurate_network_answers_one_class_and_the_most_balanced_does_not(accurate_run, rare, monkeypatch):
    assert recall_of_the_best(accurate_run) == [1, 0]
    monkeypatch.setattr(ProxyTask, "train", lambda *_: pytest.fail("was trained again"))
    folder = accurate_run.folder.parent / "balanced"
    balanced = search(scored_by(rare, "balanced-accuracy"), "random", budget=10, seed=1, out=folder)
    assert min(recall_of_the_best(balanced)) > 0.5
    for result in balanced.results():
        evaluation = result.evaluation
        recall = balanced.reader.answers(evaluation.architecture).confusion.recall
        assert evaluation.losses[0] == evaluation.relative_losses[0] == 1 - np.mean(recall)
        assert result.to_dict()["score"] == np.mean(recall)
        assert result.to_dict()["accuracy"] == evaluation.trained.accuracy != evaluation.score
    assert balanced.manifest.hypervolume < accurate_run.manifest.hypervolume


def test_a_run_says_how_many_images_its_largest_and_smallest_classes_have(accurate_run):
    data = json.loads((accurate_run.folder / "run.json").read_text())["data"]
    assert data["largest"] == {"name": "0", "images": 388}
    assert data["smallest"] == {"name": "1", "images": 12}
    assert data["majority"] == {"name": "0", "images": 194}
    assert accurate_run.archive.class_names(accurate_run.search_images_fingerprint) == ["0", "1"]


def test_the_worst_mistakes_of_the_front_and_the_reference_have_pictures(accurate_run):
    images = accurate_run.search_images_fingerprint
    for result in accurate_run.explained(accurate_run.results()):
        mistakes = accurate_run.reader.answers(result.evaluation.architecture).mistakes
        assert mistakes
        assert all(accurate_run.archive.picture(images, one.image) for one in mistakes)


@pytest.mark.thorough
def test_a_run_without_answers_is_searched_again_for_another_score(rare, tmp_path):
    """As an archive of an older version, which kept none."""
    run = search(rare, "random", budget=2, seed=1, out=tmp_path / "run")
    accuracies = [result.evaluation.trained.accuracy for result in run.results()]
    run.archive._connection.execute("DELETE FROM answers")
    assert [result.evaluation.trained.accuracy for result in Run.open(run.folder).results()] == accuracies
    other = search(scored_by(rare, "macro-f1"), "random", budget=2, seed=1, out=tmp_path / "other")
    assert [result.evaluation.status for result in other.results()] == ["ok"] * 2
    assert [result.evaluation.trained.accuracy for result in other.results()] == accuracies
    assert [result.evaluation.trained.accuracy for result in Run.open(run.folder).results()] == accuracies


def test_a_search_by_likelihood_trains_nothing_anew_and_its_report_tells_both(accurate_run, rare, monkeypatch):
    monkeypatch.setattr(ProxyTask, "train", lambda *_: pytest.fail("was trained again"))
    folder = accurate_run.folder.parent / "likelihood"
    run = search(scored_by(rare, "likelihood"), "random", budget=10, seed=1, out=folder)
    rows = [result.to_dict() for result in run.results()]
    for row in rows:
        assert row["score"] == np.exp(-row["validation_loss"])
        assert row["losses"][0] == 1 - row["score"]
        assert 0 < row["score_error"] < row["score"] < 1
    known = {result.evaluation.architecture.id: result.to_dict() for result in accurate_run.results()}
    assert all(known[row["id"]]["validation_loss"] == row["validation_loss"] for row in rows)
    assert known[rows[0]["id"]]["score"] == rows[0]["accuracy"]
    best = max(rows, key=lambda row: row["score"])
    assert run.front()[-1].to_dict()["id"] == best["id"]
    page = write_report(run).read_text()
    assert "validation likelihood" in page
    assert headline(run, run.results())


@pytest.mark.thorough
def test_a_run_that_was_begun_for_one_score_goes_on_for_it(rare, tmp_path, stopped_at):
    definition = scored_by(rare, "macro-f1")
    with stopped_at("add_training", 2):
        search(definition, "random", budget=2, seed=2, out=tmp_path / "run")
    run = resume(tmp_path / "run")
    assert run.definition.data.score == "macro-f1"
    undisturbed = search(definition, "random", budget=2, seed=2, out=tmp_path / "whole" / "run")
    scores = [[result.evaluation.score for result in one.results()] for one in (run, undisturbed)]
    assert scores[0] == scores[1]


@pytest.fixture(scope="module")
def folded(tiny):
    """The tiny problem, cross-validated."""
    return tiny.model_copy(update={"data": tiny.data.model_copy(update={"folds": 3})})


@pytest.mark.thorough
def test_a_cross_validated_search_is_resumed_and_shared_and_the_same_on_any_number_of_workers(
    folded, tmp_path, stopped_at
):
    whole = search(folded, "random", budget=3, seed=2, out=tmp_path / "whole" / "run")
    with stopped_at("add_training", 2):
        search(folded, "random", budget=3, seed=2, out=tmp_path / "run")
    resumed = resume(tmp_path / "run")
    expected = [(result.evaluation.trained.accuracy, result.evaluation.trained.losses) for result in whole.results()]
    assert [(one.evaluation.trained.accuracy, one.evaluation.trained.losses) for one in resumed.results()] == expected
    assert len(set(expected)) > 1
    executor = make_executor(folded, 2)
    try:
        executor.load(load_dataset(folded.data))
        architectures = [result.evaluation.architecture for result in whole.results()]
        outcomes = dict(executor.run(map(TrainingJob, architectures), lambda: None))
    finally:
        executor.close()
    assert [(outcomes[one].accuracy, outcomes[one].losses) for one in architectures] == expected
    assert [outcomes[one].answers for one in architectures] == [whole.reader.answers(one) for one in architectures]
    data = json.loads((whole.folder / "run.json").read_text())["data"]
    pool = len(load_dataset(folded.data).train_labels)
    assert (data["folds"], data["validation"]) == (3, pool)
    assert 190 < data["train"] <= folded.data.train_images
    assert whole.results()[0].evaluation.score_error < 0.03  # as so many images tell
    cut = NetworkEvaluation(architectures[0], None, Cut((2.0,), 0.5, 1.5))  # one epoch of three trainings
    assert whole.cut_trainings([Result(0, 0, cut, False)]).saved_seconds == 3


@pytest.mark.thorough
def test_a_cross_validated_search_takes_no_trainings_of_one_that_is_not(folded, tiny, tmp_path):
    plain = search(tiny, "random", budget=2, seed=2, out=tmp_path / "plain")
    cross = search(folded, "random", budget=2, seed=2, out=tmp_path / "cross")
    assert [one.architecture for one in cross.asks] == [one.architecture for one in plain.asks]
    assert cross.manifest.reused.networks == 0
    assert cross.search_images_fingerprint != plain.search_images_fingerprint


def test_too_many_folds_are_refused_before_the_search(tiny, tmp_path):
    data = tiny.data.model_copy(update={"folds": 2000})
    with pytest.raises(InputError, match="at most 1438 folds"):
        search(tiny.model_copy(update={"data": data}), out=tmp_path / "run")
