"""`evomnas run --dry-run`: what it says, that it does nothing, and what it refuses as the search would."""

from __future__ import annotations

import json
import re

import pytest
from typer.testing import CliRunner

from evomnas.cli import search  # noqa: F401 it registers its commands
from evomnas.cli.app import app
from evomnas.core.system import device
from evomnas.evaluation.executors import factory


def call(*arguments: object):
    return CliRunner().invoke(app, ["run", *map(str, arguments), "--dry-run"])


def test_it_says_what_would_happen_and_does_nothing(tiny_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.rglob("*"))
    done = call(
        tiny_file, "--budget", 10, "--workers", 1, "--time", "10m", "--candidate-time", "2m",
        "--set", "constraints.max_latency_ms=3", "--algo", "nsga2", "--population", 4, "--set", "training.epochs=2",
    )  # fmt: skip
    assert (done.exit_code, done.stderr) == (0, "")
    lines = {line[:10].strip(): line[10:] for line in done.stdout.splitlines()}
    assert list(lines) == ["Problem", "Space", "Data", "Training", "Latency", "Search", "Limits", "Writes"]
    assert lines["Data"] == "199 images to train on, 719 score a network; 8x8 pixels"
    assert lines["Training"].startswith(
        "each network 2 epochs of 3 steps of 50 images: 398 images through a network, 3,980 in"
    )
    assert lines["Latency"] == "of one image of 8x8 pixels, in onnxruntime on local, 1 thread"
    assert lines["Search"] == "nsga2, population = 4, seed 1: 10 networks, by 1 worker process"
    assert lines["Limits"] == "max_latency_ms = 3.0, 10 min 0 s for the search, 2 min 0 s for a candidate"
    assert lines["Writes"].startswith("runs/tiny-nsga2-s1, and its evaluations to ")
    assert set(tmp_path.rglob("*")) == before


def test_a_phone_is_not_contacted(tiny_file, monkeypatch):
    monkeypatch.setenv("PATH", "")  # there is no adb, and nobody asks for it
    done = call(tiny_file, "--set", "latency.runtime=litert", "--set", "latency.target=adb://")
    assert done.exit_code == 0, done.output
    said = "in litert on adb://, 1 thread; a dry run does not contact it, and evomnas doctor --target does"
    assert said in done.stdout


def test_own_images_are_counted_by_folds_and_their_settings_are_given(photographs):
    done = call(photographs, "--auto-fidelity", "--workers", 0)
    assert "Set training.epochs = 30" in done.stderr
    assert "Found 2 classes" in done.stdout
    assert "unless the pilot before it finds fewer epochs" in done.stdout
    found = re.search(r"some (\d+) images .* each of (\d) folds, (\d+) score", done.stdout)
    trained, folds, scored = map(int, found.groups())
    assert trained == round(scored * (folds - 1) / folds)


def test_a_table_has_neither_data_nor_trainings(tabular_file):
    lines = json.loads(call(tabular_file, "--json").stdout)["lines"]
    assert [line["title"] for line in lines] == ["Problem", "Space", "Search", "Limits", "Writes"]
    assert lines[1]["text"] == "243 distinct networks"
    assert lines[3]["text"] == "none of latency, size or time"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--budget", 0], "the budget must be at least 1 evaluation, got 0"),
        (["--option", "bogus=1"], "bogus"),
        (["--workers", 0, "--candidate-time", "1m"], "is kept by worker processes"),
        (["--async", "--algo", "dpp-net"], "dpp-net learns from whole generations: drop --async"),
        (["--auto-fidelity"], "nothing is trained"),
        (["--learn-from", "nowhere"], "searches a table, of which archives know nothing: drop --learn-from"),
        (["--track", "bogus"], "unknown tracker 'bogus': there are"),
        (["--archive", __file__], "as an archive: file is not a database"),
    ],
)
def test_it_refuses_what_the_search_would_refuse(options, message, tabular_file):
    done = call(tabular_file, *options)
    assert done.exit_code == 2
    assert message in done.stderr


def test_what_it_learns_first_is_counted_and_an_archive_that_is_none_is_refused(tiny_file, finished_run, tmp_path):
    done = call(tiny_file, "--budget", 1, "--learn-from", finished_run.folder)
    assert f"Learns    first from 24 networks in {finished_run.folder}\n" in done.stdout
    assert "seed 1: 1 network, by" in done.stdout
    (tmp_path / "notes.txt").write_text("hello")
    refused = call(tiny_file, "--learn-from", tmp_path / "notes.txt")
    assert refused.exit_code == 2
    assert "notes.txt as an archive: file is not a database" in refused.stderr


def test_an_empty_file_stays_empty(tabular_file, tmp_path):
    (tmp_path / "new.sqlite").touch()
    assert call(tabular_file, "--archive", tmp_path / "new.sqlite").exit_code == 0
    assert (tmp_path / "new.sqlite").stat().st_size == 0


def test_a_folder_that_holds_a_run_is_refused(tabular_file, tmp_path):
    assert (
        CliRunner().invoke(app, ["run", str(tabular_file), "--budget", "2", "--out", str(tmp_path / "r")]).exit_code
        == 0
    )
    assert "holds a run already" in call(tabular_file, "--out", tmp_path / "r").stderr
    again = call(tabular_file, "--out", tmp_path / "s")
    assert "which has some already" in again.stdout


@pytest.mark.parametrize(("options", "line"), [((), True), (("--device", "cpu"), False), (("--workers", 1), False)])
def test_a_processor_that_trains_in_place_of_a_gpu_is_told(options, line, tiny_file, monkeypatch):
    def choose(device="auto"):
        return "cpu" if device == "cpu" else "cuda"

    monkeypatch.setattr(device, "choose_device", choose)
    monkeypatch.setattr(factory, "choose_device", choose)
    monkeypatch.setattr(factory, "usable_cores", lambda: 16)
    monkeypatch.setattr(factory, "free_memory_gib", lambda: None)
    done = call(tiny_file, *options)
    assert done.exit_code == 0, done.output
    told = "--device cpu: 16 processes train networks of this size faster than a GPU, which --device cuda takes"
    assert (told in done.stderr) is line


def test_nothing_is_told_of_devices_where_nothing_is_trained(monkeypatch, tabular_file):
    monkeypatch.setattr(device, "choose_device", lambda name="auto": "cuda")
    monkeypatch.setattr(factory, "choose_device", lambda name="auto": "cuda")
    assert "--device" not in call(tabular_file, "--budget", 4).output
