"""Commands whose workers are lost, and those that run out of memory: one line, and how to go on."""

from __future__ import annotations

import shutil
import sys

import pytest
from typer.testing import CliRunner

from evomnas.cli import search  # noqa: F401 it registers itself
from evomnas.cli.app import app, repeatable, reported
from evomnas.core.errors import WorkersLost
from evomnas.loop import launch


@pytest.fixture
def lost(monkeypatch):
    """Searches lose their workers."""

    def lose(*arguments, **options):
        raise WorkersLost("worker processes cannot be started: no room")

    for name in ("search", "resume"):
        monkeypatch.setattr(launch, name, lose)


@pytest.mark.parametrize("command", ["run", "resume"])
def test_a_search_that_loses_its_workers_says_why_and_how_to_go_on(command, lost, shown_run, tiny_file, tmp_path):
    shutil.copytree(shown_run.folder.parent, tmp_path / "runs")
    folder = tmp_path / "runs" / shown_run.folder.name
    arguments = ["run", tiny_file, "--out", folder] if command == "run" else ["resume", folder, "--budget", 31]
    done = CliRunner().invoke(app, [*map(str, arguments), "--workers", "0"])
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1] == (
        "evomnas: worker processes cannot be started: no room; every finished evaluation is kept. "
        f"Go on with: evomnas resume {folder}"
    )
    assert "Traceback" not in done.stderr


def test_a_search_that_never_had_workers_has_nothing_to_resume(lost, tiny_file, tmp_path):
    done = CliRunner().invoke(app, ["run", str(tiny_file), "--out", str(tmp_path / "run"), "--workers", "0"])
    assert (done.exit_code, done.stderr) == (1, "evomnas: worker processes cannot be started: no room\n")


def test_a_command_that_can_be_repeated_says_so(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["evomnas", "benchmark", "digits"])
    with (
        pytest.raises(WorkersLost, match="no room; all is kept. Go on with the same command: evomnas benchmark digits"),
        repeatable("all is kept"),
    ):
        raise WorkersLost("no room")


@pytest.mark.parametrize(
    "error",
    [MemoryError("Unable to allocate 9 GiB"), RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes")],
)
def test_running_out_of_memory_is_one_line(error, capsys):
    @reported
    def command() -> None:
        raise error

    with pytest.raises(Exception, match="1"):
        command()
    assert capsys.readouterr().err.startswith("evomnas: out of memory, of which there are ")
