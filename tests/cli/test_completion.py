"""What Tab proposes, as the shell's own script asks for it."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from evomnas.cli import compare, deploy, measure, runs, search, show  # noqa: F401 they register themselves
from evomnas.cli.app import app
from evomnas.cli.shipping import export  # noqa: F401


def proposals(line: str) -> list[str]:
    """What bash is told for a line whose last word is not complete."""
    words = line.split(" ")
    environment = {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1), "_EVOMNAS_COMPLETE": "complete_bash"}
    return CliRunner().invoke(app, [], env=environment, prog_name="evomnas").stdout.split()


@pytest.fixture
def folder(tmp_path, monkeypatch, shown_run) -> Path:
    """A folder to work in, with a run, photographs and a problem file."""
    (tmp_path / "runs" / "digits-1").mkdir(parents=True)
    for name in ("run.json", "front.csv"):
        (tmp_path / "runs" / "digits-1" / name).write_text((shown_run.folder / name).read_text())
    (tmp_path / "runs" / "notes").mkdir()
    (tmp_path / "photos").mkdir()
    (tmp_path / "mine.toml").touch()
    (tmp_path / "mine.txt").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_commands_and_options_are_proposed(folder):
    assert {"report", "resume", "run", "runtimes"} <= set(proposals("evomnas r"))
    assert proposals("evomnas run --bud") == ["--budget"]


def test_problems_are_built_in_ones_and_what_lies_here(folder):
    assert proposals("evomnas run di") == ["digits"]
    assert proposals("evomnas run mi") == ["mine.toml"]
    assert proposals("evomnas estimate p") == ["photos"]
    assert proposals("evomnas run nothing/of/that") == []  # then the shell proposes files


def test_algorithms_are_proposed(folder):
    assert proposals("evomnas run --algo ran") == ["random"]
    assert {"nsga2", "nsga2-surrogate"} <= set(proposals("evomnas benchmark --algo n"))


def test_runs_are_proposed_here_and_in_the_folder_of_runs(folder):
    assert proposals("evomnas show ru") == ["runs/digits-1"]
    assert proposals("evomnas compare runs/d") == ["runs/digits-1"]
    (folder / "runs" / "sent.zip").touch()
    assert proposals("evomnas resume runs/") == ["runs/digits-1", "runs/sent.zip"]


def test_networks_of_the_run_that_was_typed_are_proposed(folder, shown_run):
    ids = [result.evaluation.architecture.id for result in shown_run.front()]
    assert proposals("evomnas train runs/digits-1 ") == ids
    assert proposals(f"evomnas export runs/digits-1 {ids[0][:4]}") == [ids[0]]
    assert proposals("evomnas train runs/notes ") == []
    assert proposals("evomnas measure --run runs/digits-1 ") == ids


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_can_be_shown(shell, monkeypatch):
    monkeypatch.setattr("shellingham.detect_shell", lambda *_, **__: (shell, f"/bin/{shell}"))
    script = CliRunner().invoke(app, ["--show-completion"], prog_name="evomnas")
    assert script.exit_code == 0
    assert "_EVOMNAS_COMPLETE" in script.stdout
