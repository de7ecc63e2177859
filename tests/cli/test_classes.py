"""What the command says where one class has 97 of 100 images: what one answer scores, another score, class weights."""

from __future__ import annotations

import json
import re

import pytest
from typer.testing import CliRunner

from evomnas.cli import deploy, runs, search, show  # noqa: F401 they register themselves
from evomnas.cli.app import app
from evomnas.cli.shipping import export  # noqa: F401
from evomnas.report.reproduce import problem_file
from evomnas.report.words import headline
from evomnas.results.run import Run

PROPOSAL = (
    "Class '0' has 388 images and '1' 12: accuracy hardly counts the small one. --set data.score=balanced-accuracy "
    "counts all classes alike"
)


LEFT_OUT = ("score", "traits")  # of the problem's file: it chooses no score, and traits are the default


def evomnas(*arguments: object):
    result = CliRunner().invoke(app, [str(one) for one in arguments])
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture(scope="module")
def file(rare, tmp_path_factory):
    """The problem with a rare class as a file, which chooses no score."""
    path = tmp_path_factory.mktemp("file") / "rare.toml"
    values = rare.model_dump(mode="json", exclude_none=True)
    lines = [f'name = "{rare.name}"']
    for section in ("space", "data", "training", "full"):
        lines.append(f"[{section}]")
        lines += [f"{name} = {json.dumps(value)}" for name, value in values[section].items() if name not in LEFT_OUT]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def accurate(file):
    """A run of three networks for accuracy, and what it said."""
    folder = file.parent / "accurate"
    return folder, evomnas("run", file, "--budget", 3, "--workers", 0, "--out", folder, "--algo", "random")


@pytest.fixture(scope="module")
def balanced(file, accurate):
    """The same for balanced accuracy."""
    folder = file.parent / "balanced"
    arguments = ("--budget", 3, "--workers", 0, "--out", folder, "--algo", "random")
    return folder, evomnas("run", file, "--set", "data.score=balanced-accuracy", *arguments)


def test_a_search_proposes_balanced_accuracy_once_and_says_what_one_answer_has(accurate):
    _, said = accurate
    assert said.stderr.count(f"{PROPOSAL}.\n") == 1
    assert "Answering '0' to every image has 97.0%.\n" in said.stdout
    assert said.stdout.startswith("id        accuracy      ±  latency ms")


def test_a_search_for_another_score_proposes_none_and_names_it(balanced):
    folder, said = balanced
    assert "hardly counts" not in said.stderr
    assert re.search(r"best \d+\.\d% balanced accuracy at ", said.stderr)
    assert "Answering '0' to every image has 97.0% accuracy and 50.0% balanced accuracy.\n" in said.stdout
    assert said.stdout.startswith("id        balanced accuracy")
    best = Run.open(folder).front()[-1].evaluation
    assert f"{best.score:.1%} balanced accuracy at " in said.stdout
    row = next(line for line in said.stdout.splitlines() if line.startswith(best.architecture.id))
    assert row.split()[1:4] == [f"{best.score:.2%}", f"{best.score_error:.2%}", f"{best.trained.accuracy:.2%}"]
    assert 'score = "balanced-accuracy"' in problem_file(Run.open(folder))


@pytest.mark.thorough
def test_a_search_for_accuracy_by_choice_or_with_equal_classes_hears_of_no_other_score(file, tiny_file, tmp_path):
    chosen = ("run", file, "--set", "data.score=accuracy", "--out", tmp_path / "chosen")
    for arguments in (chosen, ("run", tiny_file, "--out", tmp_path / "equal")):
        assert "hardly counts" not in evomnas(*arguments, "--budget", 1, "--workers", 0, "--algo", "random").stderr


@pytest.mark.thorough
def test_an_estimate_says_what_folds_cost_and_proposes_balanced_accuracy(file, monkeypatch):
    monkeypatch.setattr("evomnas.loop.estimate.SAMPLED_NETWORKS", 2)
    without_weights = ("--set", "training.class_weights=none")
    said = evomnas("estimate", file, "--set", "data.folds=3", *without_weights, "--workers", 0, "--budget", 4)
    assert said.stdout.startswith("Folds     3 trainings of each network, for a score of all 400 images\n")
    weights = "--set training.class_weights=balanced lets them weigh the same in training"
    assert said.stderr == f"{PROPOSAL}, and {weights}.\n"
    plain = json.loads(evomnas("estimate", file, "--workers", 0, "--format", "json").stdout)
    assert plain["data"]["smallest"] == {"name": "1", "images": 12}
    assert "folds" not in plain["data"]


def test_what_ships_is_shown_beside_what_one_answer_has(balanced, file):
    folder, _ = balanced
    network = Run.open(folder).front()[-1].evaluation.architecture.id
    constant = "Answering '0' to every image has 97.0% accuracy and 50.0% balanced accuracy on the 100 test images.\n"
    said = evomnas("train", folder, network)
    assert constant in said.stdout
    assert "test balanced accuracy" in said.stdout.splitlines()[0]
    [row] = json.loads(evomnas("train", folder, network, "--format", "json").stdout)
    assert row["test_balanced_accuracy"] == (row["recall"]["0"] + row["recall"]["1"]) / 2
    assert f"{row['test_balanced_accuracy']:.2%} ± " in said.stdout
    assert (row["majority_class"], row["majority_share"]) == ("0", 0.97)
    assert row["validation_score"] == Run.open(folder).front()[-1].evaluation.score
    shown = f"{row['test_balanced_accuracy']:.1%} balanced accuracy on the test images"
    assert f"{network} has {shown}" in headline(Run.open(folder), Run.open(folder).results())
    listed = next(line for line in evomnas("list", folder.parent).stdout.splitlines() if line.startswith(str(folder)))
    assert f"{row['validation_score']:.1%} balanced accuracy at " in listed
    exported = evomnas("export", folder, network)
    assert constant in exported.stdout
    assert f"{row['test_balanced_accuracy']:.2%} balanced accuracy.\n" in exported.stdout
    [exported_row] = json.loads(evomnas("export", folder, network, "--format", "json").stdout)
    assert exported_row["balanced_accuracy"] == pytest.approx(row["test_balanced_accuracy"])
    arguments = ("baselines", file, "mobilenet-v2@0.1", "--archive", folder.parent / "evomnas.sqlite")
    assert "Answering '0' to every image has 97.0% on the 100 test images.\n" in evomnas(*arguments).stdout
    [baseline] = json.loads(evomnas(*arguments, "--format", "json").stdout)
    assert set(baseline["recall"]) == {"0", "1"}
