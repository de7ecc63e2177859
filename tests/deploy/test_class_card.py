"""What people see of the classes of a trained network: recall, confusion, worst mistakes, and the majority's share."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from PIL import Image
from sklearn import metrics

from evomnas.deploy.cards.class_card import class_card, class_scores, confusion_csv
from evomnas.deploy.full_training import FullTask
from evomnas.deploy.saving import load_network
from evomnas.deploy.trained_networks import train_networks
from evomnas.results.answers.mistakes import Answers


@pytest.fixture(scope="module")
def card(trained) -> str:
    return (trained.folder / "README.md").read_text()


def test_the_card_has_recall_confusion_and_the_worst_mistakes_on_the_test_images(card, trained, task):
    answers = task.predictions(load_network(trained.folder)).classes
    recall = metrics.recall_score(task.test.labels, answers, average=None)
    for name, share, images in zip(task.test.classes, recall, np.bincount(task.test.labels), strict=True):
        assert f"| {name} | {images} | {share:.1%} |" in card
    for name, row in zip(task.test.classes, metrics.confusion_matrix(task.test.labels, answers), strict=True):
        assert f"| {' | '.join([name, *map(str, row)])} |" in card
    mistakes = trained.result.answers.mistakes
    assert len(mistakes) == 12
    for number, mistake in enumerate(mistakes, start=1):
        assert f"(mistake-{number}.png) | {mistake.label} | {mistake.answer} | {mistake.confidence:.1%} |" in card
        with Image.open(trained.folder / f"mistake-{number}.png") as picture:
            shown = np.asarray(picture)[::6, ::6]
        np.testing.assert_array_equal(shown, task.test.images[mistake.image, 0])


def test_what_one_answer_scores_stands_beside_the_accuracy(card, trained, task):
    counts = np.bincount(task.test.labels)
    assert f"Answering {counts.argmax()} to every image has {counts.max() / counts.sum():.1%} accuracy" in card
    content = json.loads((trained.folder / "model.json").read_text())["test"]
    confusion = trained.result.answers.confusion
    assert content["balanced_accuracy"] == confusion.score("balanced-accuracy")
    assert content["macro_f1"] == confusion.score("macro-f1")
    assert content["majority_share"] == counts.max() / counts.sum()
    assert f"| Balanced accuracy | {100 * content['balanced_accuracy']:.2f} % ± " in card


def test_scripts_get_recall_by_class(trained):
    row = class_scores(trained.result, trained.classes)
    assert list(row["recall"].values()) == trained.result.answers.confusion.recall.tolist()
    assert row["test_macro_f1"] == trained.result.answers.confusion.score("macro-f1")
    assert set(class_scores(None, ()).values()) == {None}


def test_a_thousand_classes_are_shown_as_the_worst_and_the_most_confused(rng):
    names = [f"class {number}" for number in range(1000)]
    labels = np.repeat(np.arange(1000), 5)
    answers = np.where(rng.random(5000) < 0.9, labels, (labels + 1) % 1000)
    answers[labels == 7], answers[labels == 500] = 8, np.arange(5)
    found = Answers.of(labels, answers, np.full(5000, 0.5), 1000)
    card = class_card(found, names, {})
    assert len(card.text) < 3000
    assert "The 15 classes of 1000 that are recognised least." in card.text
    assert "| class 7 | 5 | 0.0% | class 8 (5) |" in card.text
    assert "| class 7 | class 8 | 5 of 5 |" in card.text
    rows = list(csv.DictReader(io.StringIO(card.files["confusion.csv"])))
    assert {"class": "class 7", "answer": "class 8", "images": "5"} in rows
    assert sum(int(row["images"]) for row in rows) == 5000
    assert "- | class" in card.text  # a mistake without a picture


def test_names_from_outside_stay_text_in_a_card():
    names = ["[a](http://b)|<b>", 'one, "two"\nthree']
    found = Answers.of(np.array([0, 1, 1]), np.array([1, 0, 1]), np.full(3, 0.5), 2)
    card = class_card(found, names, {})
    assert "<b>" not in card.text
    assert "[a](" not in card.text.replace(r"\[a\](", "")
    rows = list(csv.reader(io.StringIO(confusion_csv(found.confusion, names))))
    assert rows == [
        ["class", "answer", "images"],
        [names[0], names[1], "1"],
        [names[1], names[0], "1"],
        [names[1], names[1], "1"],
    ]


def test_a_network_without_mistakes_has_no_pictures_of_any():
    labels = np.arange(12)
    card = class_card(Answers.of(labels, labels, np.ones(12), 12), [str(label) for label in labels], {})
    assert "No test image was given a wrong class" in card.text
    assert "Worst mistakes" not in card.text
    assert class_card(None, ["a"], {}) == ("", {})


def test_a_training_of_an_older_version_gets_its_answers_without_a_training_and_keeps_its_card(
    finished_run, trained, monkeypatch
):
    monkeypatch.setattr(FullTask, "train", lambda *_, **__: pytest.fail("was trained again"))
    archive, notation = finished_run.archive, str(trained.network)
    statement = "DELETE FROM answers WHERE network = ? AND context NOT IN (SELECT context FROM trainings)"
    archive._connection.execute(statement, (notation,))
    card = trained.folder / "README.md"
    before = card.read_text()
    card.write_text("my own words")
    try:
        [again] = train_networks(finished_run, [trained.network], device="cpu")
        assert again.result.answers == trained.result.answers
        assert again.result.score == trained.result.score
        assert card.read_text() == "my own words"
    finally:
        card.write_text(before)


def test_balanced_weights_of_the_proxy_task_are_those_of_the_full_training(rare, tmp_path):
    task = FullTask(rare, "cpu")
    assert task.context()["recipe"]["class_weights"] == "balanced"
    plain = rare.model_copy(update={"training": rare.training.model_copy(update={"class_weights": None})})
    assert "class_weights" not in FullTask(plain, "cpu").context()["recipe"]
    network = rare.space.mobilenet_v2()
    recalls = []
    for one in (task, FullTask(plain, "cpu")):
        classifier = one.train(network, tmp_path / f"{len(recalls)}.pt").classifier
        recalls.append(one.answers(one.predictions(classifier)).confusion.recall)
    assert recalls[1].tolist() == [1, 0]
    assert recalls[0][1] > 0
