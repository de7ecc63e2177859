"""Files that are replaced in one step, whatever other programs do meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from evomnas.core import files
from evomnas.core.files import write_atomically
from evomnas.core.system import processes


@pytest.fixture
def dead() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_unfinished_files_of_dead_processes_are_removed_and_those_of_living_ones_stay(tmp_path, dead):
    left, kept = tmp_path / f".run.json.{dead}.part", tmp_path / f".run.json.{os.getppid()}.part"
    for partial in (left, kept):
        partial.write_text("half a")
    write_atomically(tmp_path / "run.json", "whole")
    assert sorted(tmp_path.iterdir()) == [kept, tmp_path / "run.json"]


def test_where_the_system_does_not_tell_who_lives_old_files_are_nobody_s(tmp_path, dead, monkeypatch):
    monkeypatch.setattr(processes, "WINDOWS", True)
    old, new = tmp_path / f".run.json.{dead}.part", tmp_path / f".run.json.{dead + 1}.part"
    for partial in (old, new):
        partial.write_text("half a")
    os.utime(old, (time.time() - 3600,) * 2)
    write_atomically(tmp_path / "run.json", "whole")
    assert sorted(tmp_path.iterdir()) == [new, tmp_path / "run.json"]


def refuse(times: int, monkeypatch) -> None:
    """Let the system refuse to replace a file so often, as Windows does while another program has it open."""
    replace, left = Path.replace, [PermissionError(13, "Permission denied")] * times

    def replace_or_refuse(self, target):
        if left:
            raise left.pop()
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", replace_or_refuse)
    monkeypatch.setattr(files.time, "sleep", lambda seconds: None)


def test_windows_is_asked_again_to_replace_a_file_that_another_program_has_open(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "WINDOWS", True)
    refuse(3, monkeypatch)
    write_atomically(tmp_path / "front.csv", "whole")
    assert (tmp_path / "front.csv").read_text() == "whole"
    refuse(100, monkeypatch)
    with pytest.raises(PermissionError, match="Permission denied"):
        write_atomically(tmp_path / "front.csv", "never")
    assert [path.name for path in tmp_path.iterdir()] == ["front.csv"]


def test_elsewhere_a_refusal_is_final(tmp_path, monkeypatch):
    refuse(1, monkeypatch)
    with pytest.raises(PermissionError, match="Permission denied"):
        write_atomically(tmp_path / "front.csv", "never")
