"""Files that are replaced in one step, whatever other programs do meanwhile."""

from __future__ import annotations

import errno
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from evomnas.core import files
from evomnas.core.errors import InputError
from evomnas.core.files import check_place, write_atomically, writing
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


def test_a_place_is_tried_and_nothing_is_left(tmp_path):
    check_place(tmp_path / "new" / "folder" / "run.json", "--out DIR")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("/proc/x", "cannot write /proc/x: the system takes no new files there; choose another place .--out DIR."),
        ("file/x", "file/x cannot be made, since .*file is a file: choose another with --out DIR"),
        ("n" * 300, r"cannot write n{50}\.\.\.n{50}: file name too long; choose a shorter one"),
        ("loop/x", "cannot write loop/x: too many levels of symbolic links; links lead there in a circle: remove them"),
    ],
)
def test_a_place_that_takes_nothing_says_what_to_type(place, line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(InputError, match=f"^{line}"):
        check_place(Path(place), "--out DIR")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            OSError(errno.ENOSPC, "", "/a/.b.1.part"),
            "no space left on device; free some space, or choose another place",
        ),
        (OSError(errno.EROFS, ""), "read-only file system; choose another place .--out DIR. on a disk that can be"),
        (OSError(errno.EACCES, ""), "permission denied; change its permissions, or choose another place .--out"),
        (OSError(errno.EISDIR, ""), "is a directory; a folder is where a file is needed: remove it, or choose another"),
        (OSError(errno.ETXTBSY, ""), "text file busy; choose another place .--out DIR."),
        (sqlite3.OperationalError("database or disk is full"), "no space left on device; free some space"),
    ],
)
def test_what_the_system_refuses_is_said_of_the_place_that_was_typed(error, line):
    with pytest.raises(InputError, match=f"^cannot write there/x: {line}"), writing(Path("there/x"), "--out DIR"):
        raise error


def test_other_errors_stay_what_they_are():
    for error in (ValueError("a bug"), sqlite3.OperationalError("no such table: runs")):
        with pytest.raises(type(error), match=str(error)), writing(Path("x"), "--out DIR"):
            raise error
