"""Runs whose folder or archive was moved, renamed or sent: they are found, or one line says what to type."""

from __future__ import annotations

import json
import shlex
import shutil
import sqlite3
from pathlib import Path

import pytest
from command_lines import parse_mentions

from evomnas.core.errors import InputError
from evomnas.results.archive import Archive
from evomnas.results.packing.moved import run_folder
from evomnas.results.run import Run


@pytest.fixture
def runs(shown_run, tmp_path) -> Path:
    """The folder `my runs` with a run and its archive."""
    folder = Path(shutil.copytree(shown_run.folder.parent, tmp_path / "here" / "my runs"))
    Archive(folder / "evomnas.sqlite").close()  # what was written last is in it, as after the end of a search
    return folder


def is_whole(folder: Path, shown_run: Run) -> bool:
    return Run.open(folder).asks == shown_run.asks


def test_a_run_that_was_moved_with_its_archive_is_found(runs, shown_run, tmp_path):
    moved = runs.rename(tmp_path / "elsewhere")
    assert is_whole(moved / "run", shown_run)
    assert is_whole((moved / "run").rename(moved / "another name"), shown_run)


@pytest.mark.parametrize("place", ["renamed.sqlite", "run/evomnas.sqlite", "run/inside.sqlite"])
def test_an_archive_that_was_renamed_or_put_into_the_folder_is_found(place, runs, shown_run):
    (runs / "evomnas.sqlite").rename(runs / place)
    run = Run.open(runs / "run")
    assert run.asks == shown_run.asks
    run.write(run.manifest.evaluations, run.front())
    recorded = json.loads((runs / "run" / "run.json").read_text())["archive"]
    assert (runs / "run" / recorded).resolve() == runs / place


def test_another_archive_beside_a_run_is_not_its_own(runs, shown_run):
    (runs / "evomnas.sqlite").rename(runs / "zzz.sqlite")
    Archive(runs / "evomnas.sqlite").close()
    with sqlite3.connect(runs / "aaa.sqlite") as connection:
        connection.execute("CREATE TABLE runs (id TEXT)")
    (runs / "bbb.sqlite").write_text("no database")
    assert is_whole(runs / "run", shown_run)


def test_a_run_without_its_archive_names_the_command_that_packs_both(runs, tmp_path):
    sent = Path(shutil.copytree(runs / "run", tmp_path / "in box" / "a run"))
    Archive(sent.parent / "evomnas.sqlite").close()  # the receiver's own
    with pytest.raises(InputError) as caught:
        Run.open(sent)
    assert str(caught.value).startswith(f"{sent} came without its archive, which has its evaluations: ")
    assert str(caught.value).endswith("or put that archive (evomnas.sqlite) into the folder")
    [(command, values)] = parse_mentions(str(caught.value))
    assert command == "pack"
    assert values["folder"] == Path("RUN")
    shutil.copy(runs / "evomnas.sqlite", sent)
    assert Run.open(sent).folder == sent


def test_a_damaged_archive_is_said_to_be_damaged_and_not_to_be_missing(runs):
    (runs / "evomnas.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(InputError, match="cannot use .* as an archive: file is not a database; bring back a copy"):
        Run.open(runs / "run")


@pytest.mark.parametrize("name", ["run.json", "report.html", "front.csv"])
def test_a_run_is_known_by_a_file_of_its_folder(name, runs, shown_run):
    assert is_whole(runs / "run" / name, shown_run)


def test_a_folder_of_runs_is_none_itself(runs):
    with pytest.raises(InputError, match=r"my runs holds no run \(no run.json\), but folders that do: evomnas list"):
        Run.open(runs)
    with pytest.raises(InputError, match=r"holds no run \(no run.json\): give the folder that evomnas run wrote"):
        Run.open(runs.parent)


def test_a_name_that_is_not_there_is_told_a_near_one(runs, monkeypatch):
    monkeypatch.chdir(runs)
    with pytest.raises(
        InputError, match=r"runn holds no run, as there is nothing at it \(did you mean run\?\): evomnas"
    ):
        Run.open("runn")
    runs.rename(runs.with_name("runs"))
    monkeypatch.chdir(runs.parent)
    with pytest.raises(InputError, match=rf"\(did you mean {Path('runs') / 'run'}\?\)"):
        Run.open("run")
    with pytest.raises(InputError, match="qwertz holds no run, as there is nothing at it: evomnas list"):
        Run.open("qwertz")


def test_another_file_is_no_run(runs):
    with pytest.raises(InputError, match="evomnas.sqlite is an archive of runs: give the folder of a run, or a zip"):
        Run.open(runs / "evomnas.sqlite")
    (runs / "notes.txt").touch()
    with pytest.raises(InputError, match="notes.txt is no run: give the folder of a run, or a zip file that evomnas"):
        Run.open(runs / "notes.txt")


def test_a_home_folder_is_expanded(runs, monkeypatch):
    monkeypatch.setenv("HOME", str(runs))
    assert run_folder("~/run").folder == runs / "run"
    assert shlex.quote(str(runs)) != str(runs)
