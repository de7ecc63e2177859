"""train, baselines and export as their users run them, in this process where no signal is sent."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from evomnas.cli import search  # noqa: F401 its commands register themselves
from evomnas.cli.deploy import app
from evomnas.cli.shipping import export  # noqa: F401 it registers itself
from evomnas.deploy import trained_networks
from evomnas.report.words import headline
from evomnas.results.run import Run

COMMAND = [sys.executable, "-c", "from evomnas.cli import main; main()"]


def evomnas(*arguments: object):
    return CliRunner().invoke(app, [str(one) for one in arguments])


@pytest.fixture
def copied(finished_run, trained, exports, tmp_path):
    """A copy of the finished run, its archive, and what was trained and exported."""
    return shutil.copytree(finished_run.folder.parent, tmp_path / "copy") / finished_run.folder.name


def test_train_says_scores_and_the_next_command(finished_run, trained, exports):
    """What was trained and exported before is shown again."""
    result = evomnas("train", finished_run.folder, trained.network.id)
    assert result.exit_code == 0, result.stderr
    score = trained.result.score
    assert f"{score.accuracy:.2%}  {score.interval[0]:.2%} to {score.interval[1]:.2%}" in result.stdout
    following = re.search(r"^Export: +evomnas (.*)$", result.stdout, re.MULTILINE)
    assert following[1].split()[1:3] == [str(finished_run.folder), trained.network.id]
    [row] = json.loads(evomnas("train", finished_run.folder, trained.network.id, "--format", "json").stdout)
    assert (row["test_accuracy"], row["test_images"]) == (score.accuracy, score.images)
    assert f"Test accuracy: of {score.images} test images after full training (" in result.stdout
    assert "; in the search: of the validation images after 1 epoch of training." in result.stdout


def test_scores_stand_in_the_headline_and_in_what_show_prints_once_there_are_any(finished_run, trained):
    score, name = trained.result.score, trained.network.id
    printed = evomnas("show", finished_run.folder).stdout
    header, *rows = printed.splitlines()
    assert re.split(r"  +", header)[:6] == ["id", "accuracy", "±", "expected", "on front", "test accuracy"]
    cells = next(re.split(r"  +", row) for row in rows if row.startswith(name))
    assert cells[5] == f"{score.accuracy:.2%}"
    assert f"Test accuracy: of {score.images} test images after full training (" in printed
    everything = json.loads(evomnas("show", finished_run.folder, "--all", "--format", "json").stdout)
    row = next(row for row in everything if row["id"] == name)
    assert (row["test_accuracy"], row["test_interval"]) == (score.accuracy, list(score.interval))
    assert any(row["test_accuracy"] is None for row in everything)
    assert f"; trained in full, {name} has {score.accuracy:.1%} on the test images; " in headline(
        finished_run, finished_run.results()
    )


def test_train_says_why_there_is_no_knee_and_which_network_it_takes(copied, monkeypatch):
    monkeypatch.setattr(Run, "knees", lambda self, results=None: [])
    monkeypatch.setattr(trained_networks, "train_networks", lambda run, architectures, **options: iter(()))
    result = evomnas("train", copied, "--knee")
    assert result.exit_code == 0, result.stderr
    best = Run.open(copied).front()[-1].evaluation.architecture.id
    assert re.fullmatch(
        rf"The front has no knee: .* --knee takes the one with the best score: {best}\.\n", result.stderr
    )


def test_a_training_with_fewer_epochs_says_its_time_and_the_commands_that_follow(copied, trained):
    done = evomnas("train", copied, trained.network.id, "--epochs", 2, "--set", "full.dropout=0")
    assert done.exit_code == 0, done.stderr
    timing, said, first, *_ = done.stderr.splitlines()
    assert timing == f"timing a step of {trained.network.id}"
    assert re.fullmatch(r"Training 1 network takes about .* s\.", said)
    assert re.fullmatch(rf"{trained.network.id}: epoch [12] of 2, loss [\d.]+, (under|about) \d+ .* left", first)
    place = copied / "networks" / f"{trained.network.id}-epochs-2-dropout-0.0"
    assert f"Use:     evomnas predict {place} photo.jpg" in done.stdout
    following = re.search(r"^Export: +evomnas (.*)$", done.stdout, re.MULTILINE)[1]
    assert following.endswith("--set full.epochs=2 --set full.dropout=0 --quantize int8")
    exported = evomnas(*following.split())
    assert exported.exit_code == 0, exported.stderr
    assert f"Files:   {place}" in exported.stdout
    assert "Exporting takes about" in exported.stderr
    assert "Huffman" not in exported.stdout
    assert (place / "model-int8.onnx").is_file()


def test_export_prints_one_table_of_all_exports(copied, trained, exports):
    result = evomnas("export", copied, trained.network.id)
    assert result.exit_code == 0, result.stderr
    rows = result.stdout.splitlines()
    assert rows[0].split()[:2] == ["format", "variant"]
    assert sum(row.startswith("onnx ") for row in rows) == len(exports)
    assert f"In PyTorch: {trained.result.score.accuracy:.2%}" in result.stdout
    assert "WARNING" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "RUN"], "train takes networks, as evomnas train"),
        (["train", "RUN", "0123abcd"], "has no network '0123abcd': evomnas show"),
        (["train", "RUN", "--front", "--knee"], "or one of --front and --knee"),
        (["train", "RUN", "mnasnet-a1"], "more than the image's 8 pixels"),
        (["train", "RUN", "ID", "--set", "data.resolution=9"], "data.resolution belongs to what was searched"),
        (["train", "RUN", "ID", "--epochs", "0"], "full.epochs: input should be greater than or equal to 1"),
        (
            ["train", "RUN", "ID", "--epochs", "1", "--set", "full.epochs=2"],
            "--epochs and --set full.epochs say the same",
        ),
        (
            ["train", "RUN", "ID", "--precision", "int8", "--set", "full.precision=float"],
            "--precision and --set full.precision say the same",
        ),
        (["train", "RUN", "ID", "--precision", "int4"], "--precision is float or int8, got int4"),
        (["export", "RUN", "ID", "--precision", "int8"], "evomnas train RUN ID --set full.precision=int8"),
        (["export", "RUN", "ID", "--epochs", "3"], "is not trained yet: evomnas train RUN ID --set full.epochs=3"),
        (["train", "nowhere", "--knee"], "holds no run"),
        (["export", "RUN", "ID", "--quantize", "int4"], "--quantize knows int8 alone, not 'int4'"),
        (["export", "RUN", "ID", "--to", "onnxx"], "unknown export format 'onnxx'"),
        (["export", "RUN", "ID", "--prune", "2"], "--prune takes a share between 0 and 1, as 0.5, got 2"),
        (["export", "RUN", "ID", "--factorize", "0.001"], "--factorize 0.001 leaves nothing of this network's head"),
        (["export", "RUN", "mobilenet-v2"], "is not trained yet: evomnas train"),
        (["baselines", "digits", "resnet19"], "unknown reference network 'resnet19'"),
        (["baselines", "nas-bench-macro"], "is a table: there are no images"),
        (["baselines", "images"], "needs a path: --set data.path=FOLDER"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments, message, finished_run, trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"RUN": str(finished_run.folder), "ID": trained.network.id}
    before = sorted(finished_run.folder.rglob("*"))
    result = evomnas(*(names.get(one, one) for one in arguments))
    assert result.exit_code == 2, result.stderr
    for name, value in names.items():
        message = message.replace(name, value)
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
    assert not list(tmp_path.iterdir())
    assert sorted(finished_run.folder.rglob("*")) == before


def test_image_folders_go_through_search_training_and_export(photographs, photograph_exports):
    """The imagenet problem from end to end, in small: its form, space, recipe and augmentations."""
    run, trained, exported = photograph_exports
    manifest = json.loads((trained.folder / "model.json").read_text())
    assert trained.result.score.images == 6
    assert (manifest["classes"], manifest["trained_on"]) == (["n01 ants", "n02 bees"], 24)
    assert (manifest["recipe"]["optimizer"], manifest["channels"], manifest["resolution"]) == ("rmsprop", 3, 32)
    exports = {one.variant: one for one in exported.exports}
    assert exports["float"].agreement == 1.0
    assert exports["int8"].images == 6
    elsewhere = photographs.rename(photographs.parent / "elsewhere")
    before = sorted(run.folder.rglob("*"))
    try:
        done = evomnas("export", run.folder, trained.network.id, "--quantize", "int8", "--huffman")
    finally:
        elsewhere.rename(photographs)
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert f"data.path {photographs} does not exist" in done.stderr
    assert sorted(run.folder.rglob("*")) == before


@pytest.mark.thorough
def test_an_interrupted_training_says_how_to_go_on_and_goes_on(finished_run, trained, copied):
    shutil.rmtree(copied / "networks")
    student = next(one.evaluation.architecture for one in finished_run.results() if not one.on_front)
    command = [*COMMAND, "train", str(copied), student.id, trained.network.id]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not (first := process.stderr.readline()).startswith(student.id):
        assert first
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert f"Go on with the same command: evomnas train {copied} {student.id} {trained.network.id}\n" in errors
    assert "Traceback" not in errors
    done = evomnas(*command[3:])
    assert done.exit_code == 0, done.stderr
    assert {one.name for one in (copied / "networks").iterdir()} == {student.id, trained.network.id}
