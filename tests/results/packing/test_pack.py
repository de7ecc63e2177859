"""A packed run says elsewhere what the run says here, and holds nothing of others."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from evomnas.cli import compare, deploy, measure, runs, search, show  # noqa: F401 they register themselves
from evomnas.cli.app import app
from evomnas.cli.shipping import export  # noqa: F401
from evomnas.core.errors import InputError
from evomnas.loop.launch import search as search_problem
from evomnas.report.page_data import page_data
from evomnas.report.run_words import full_training_table
from evomnas.results.certainty.judged import judge
from evomnas.results.packing.pack import pack
from evomnas.results.run import Run


def copy_of(run: Run, folder: Path) -> Run:
    return Run.open(Path(shutil.copytree(run.folder.parent, folder)) / run.folder.name)


def answer(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(one) for one in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def trained_run(finished_run, trained, exports, tmp_path) -> Run:
    """A run with a network that was trained in full and exported, and another training that was interrupted."""
    run = copy_of(finished_run, tmp_path / "here")
    (run.folder / "networks" / "begun").mkdir()
    for folder in ("begun", trained.network.id):
        (run.folder / "networks" / folder / "checkpoint.pt").write_bytes(bytes(3000))
    (run.folder / "networks" / trained.network.id / ".weights.safetensors.1.part").touch()
    return run


def trained_networks(run: Run) -> int:
    """How many networks of a run were trained in full; tests that share it may have trained others."""
    return len(list((run.folder / "networks").glob("*/weights.safetensors")))


def facts(run: Run) -> dict:
    """What a run says of itself, and its report's data, without names of folders."""
    data = page_data(run, run.results())
    del data["commands"]
    return {
        "rows": [result.to_dict() for result in run.results()],
        "failures": [str(result.evaluation.failure) for result in run.results()],
        "page": json.loads(json.dumps(data, default=str)),
        "trained": full_training_table(run),
        "manifest": run.manifest.to_json() | {"archive": "", "packed": ""},
        "reference": run.reference_cost(),
        "generations": run.archive.generations(run.record.id),
        "device": run.archive.context(run.record.measurement_context),
        "images": run.archive.context(run.record.training_context),
    }


def files(path: Path) -> set[str]:
    if path.is_dir():
        return {str(one.relative_to(path)) for one in path.rglob("*") if one.is_file()}
    with zipfile.ZipFile(path) as archive:
        return {name.partition("/")[2] for name in archive.namelist()}


@pytest.mark.parametrize("name", ["sent.zip", "sent"])
def test_a_packed_run_says_what_the_run_says(name, trained_run, tmp_path):
    packed = pack(trained_run, tmp_path / name)
    shutil.rmtree(trained_run.folder.parent)
    elsewhere = (tmp_path / "there").resolve()
    elsewhere.mkdir()
    again = Run.open(shutil.move(packed.path, elsewhere / name))
    assert again.folder == elsewhere / "sent"
    assert facts(again) == facts(trained_run)


def test_a_run_of_a_table_is_packed_as_well(tabular_file, tmp_path):
    run = search_problem(tabular_file, "nsga2", budget=20, out=tmp_path / "here" / "run")
    packed = pack(run, tmp_path / "sent.zip")
    expected = facts_of_a_table(run)
    for path in (tmp_path / "here").rglob("*.sqlite"):
        path.unlink()
    assert facts_of_a_table(Run.open(packed.path)) == expected


def facts_of_a_table(run: Run) -> dict:
    return {"rows": [result.to_dict() for result in run.results()], "cost": run.reference_cost(), "asks": run.asks}


def test_trained_networks_are_in_it_and_unfinished_trainings_are_not(trained_run, trained, tmp_path):
    packed = pack(trained_run, tmp_path / "sent.zip")
    names = files(packed.path)
    folder = f"networks/{trained.network.id}"
    assert {"run.json", "evomnas.sqlite", "front.csv", "report.html", f"{folder}/weights.safetensors"} <= names
    assert any(name.startswith(f"{folder}/model-") and name.endswith(".onnx") for name in names)
    assert not [name for name in names if name.endswith((".pt", ".part")) or "begun" in name]
    assert (packed.trained, packed.networks, packed.left_out_bytes) == (trained_networks(trained_run), 24, 6000)
    assert packed.bytes == packed.path.stat().st_size


def test_nothing_of_other_runs_is_in_it(tabular_file, tmp_path):
    first = search_problem(tabular_file, "random", budget=9, seed=1, out=tmp_path / "a")
    search_problem(tabular_file, "random", budget=9, seed=2, out=tmp_path / "b")
    packed = pack(first, tmp_path / "sent")
    own = {ask.architecture for ask in first.asks}
    with sqlite3.connect(packed.path / "evomnas.sqlite") as connection:
        assert connection.execute("SELECT id FROM runs").fetchall() == [(first.record.id,)]
        looked_up = {name for (name,) in connection.execute("SELECT architecture FROM lookups")}
        assert {run for (run,) in connection.execute("SELECT DISTINCT run FROM asks")} == {first.record.id}
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    assert own <= looked_up
    assert len(looked_up - own) <= 1  # the reference network
    with sqlite3.connect(first.archive.path) as connection:
        assert connection.execute("SELECT count(*) FROM lookups").fetchone()[0] > len(looked_up)


def test_a_pack_takes_the_place_of_an_earlier_one_of_the_same_run_alone(shown_run, tabular_file, tmp_path):
    run, other = (
        copy_of(shown_run, tmp_path / "here"),
        search_problem(tabular_file, "random", budget=3, out=tmp_path / "o"),
    )
    path = tmp_path / "sent.zip"
    first = pack(run, path).path.read_bytes()
    (run.folder / "front.csv").write_text("changed\n")
    assert pack(run, path).path.read_bytes() != first
    with pytest.raises(InputError, match="sent.zip exists and is no earlier pack of .*: name another file"):
        pack(other, path)
    for name, message in (("text.zip", "is no earlier pack"), ("folder", "exists: name a new folder, or a file that")):
        (tmp_path / name).mkdir() if name == "folder" else (tmp_path / name).write_text("mine")
        with pytest.raises(InputError, match=message):
            pack(run, tmp_path / name)
    assert (tmp_path / "text.zip").read_text() == "mine"
    with pytest.raises(InputError, match="would lie in the run itself: name a place beside it"):
        pack(run, run.folder / "x.zip")
    assert {path.name for path in tmp_path.iterdir()} >= {"sent.zip", "folder"}
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_pack_that_fails_leaves_nothing_behind(shown_run, tmp_path, monkeypatch):
    run = copy_of(shown_run, tmp_path / "here")
    monkeypatch.setattr(zipfile.ZipFile, "write", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(InputError, match="sent.zip: no space left on device"):
        pack(run, tmp_path / "sent.zip")
    assert [path.name for path in tmp_path.iterdir()] == ["here"]


def test_commands_that_take_a_run_take_a_packed_one(trained_run, tmp_path, monkeypatch):
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "there")
    said = answer("pack", trained_run.folder, "my run.zip")
    networks = f"24 networks, {trained_networks(trained_run)} of them with weights"
    assert re.search(rf"^my run.zip: \d+\.\d MB, {networks}\.$", said, re.MULTILINE)
    assert "Nor are trainings that have not ended" in said
    assert said.endswith("Look:    evomnas show 'my run.zip'\n")
    first = CliRunner().invoke(app, ["show", "my run.zip", "--format", "json"])
    assert first.stderr == ("my run.zip is unpacked now: my run is the run, and what is added to it goes there.\n")
    judged = judge(trained_run, trained_run.results())
    assert json.loads(first.stdout) == [result.to_dict() for result in trained_run.front(judged)]
    again = CliRunner().invoke(app, ["show", "my run.zip", "--format", "json"])
    assert (again.stderr, again.stdout) == ("", first.stdout)
    assert answer("report", "my run.zip") == f"{Path('my run') / 'report.html'}\n"
    assert "Nothing to do: my run has evaluated all 24" in answer("resume", "my run.zip")
    assert "my run" in answer("list", ".")
    refused = CliRunner().invoke(app, ["compare", "my run.zip", "my run"])
    assert "name it once" in refused.stderr
    assert answer("pack", "my run.zip", "again.zip").startswith("again.zip: ")


@pytest.mark.thorough
def test_commands_that_take_a_network_of_a_run_take_one_of_a_packed_run(trained_run, trained, tmp_path, monkeypatch):
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "there")
    answer("pack", trained_run.folder, "my run.zip")
    assert trained.network.id in answer("describe", trained.network.id, "--run", "my run.zip")
    measured = json.loads(answer("measure", trained.network.id, "--run", "my run.zip", "--format", "json"))
    assert measured[0]["resolution"] == 8
    row = json.loads(answer("train", "my run.zip", trained.network.id, "--format", "json"))
    assert row[0]["folder"] == str(Path("my run") / "networks" / trained.network.id)
    assert row[0]["test_accuracy"] == trained.result.score.accuracy
    exported = json.loads(answer("export", "my run.zip", trained.network.id, "--format", "json"))
    assert {one["variant"] for one in exported} >= {"float", "int8"}  # with those that were packed


def test_by_default_the_file_is_beside_the_run(shown_run, tmp_path, monkeypatch):
    run = copy_of(shown_run, tmp_path / "here")
    monkeypatch.chdir(run.folder)
    assert answer("pack", ".").startswith(f"{tmp_path / 'here' / 'run.zip'}: ")
    monkeypatch.chdir(tmp_path)
    assert answer("pack", "here/run").startswith("here/run.zip: ")
