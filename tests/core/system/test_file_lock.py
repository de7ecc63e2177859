"""Locks on files, of either kind: between processes, freed by their death."""

from __future__ import annotations

import sqlite3
import subprocess
import sys

import pytest

from evomnas.core.system import file_lock
from evomnas.core.system.file_lock import open_lock

HOLD = """
import sys
from pathlib import Path
from evomnas.core.system import file_lock
if sys.argv[1] == "without flock":
    file_lock.fcntl = None
lock = file_lock.open_lock(Path(sys.argv[2]))
print(lock.acquire(shared=sys.argv[3] == "shared"), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def without_flock(monkeypatch):
    monkeypatch.setattr(file_lock, "fcntl", None)
    monkeypatch.setattr(sqlite3, "connect", sqlite3.dbapi2.connect)  # the tests' own would read from locked files


@pytest.fixture(params=["flock", "without flock"])
def kind(request):
    if request.param == "without flock":
        request.getfixturevalue("without_flock")
    return request.param


@pytest.fixture
def hold(kind, tmp_path):
    """Start a process that holds the lock of a file."""
    holders = []

    def start(how: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", HOLD, kind, tmp_path / "file.lock", how]
        holders.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        assert holders[-1].stdout.readline() == "True\n"
        return holders[-1]

    yield start
    for holder in holders:
        holder.kill()
        holder.communicate()


@pytest.mark.parametrize(
    ("theirs", "ours", "got"),
    [("shared", True, True), ("shared", False, False), ("alone", True, False), ("alone", False, False)],
)
def test_a_lock_is_shared_or_excludes_others(hold, tmp_path, theirs, ours, got):
    hold(theirs)
    lock = open_lock(tmp_path / "file.lock")
    assert lock.acquire(shared=ours, wait=False) == got
    lock.close()


def test_a_lock_that_was_given_back_or_whose_holder_died_is_free(hold, tmp_path):
    lock = open_lock(tmp_path / "file.lock")
    assert lock.acquire()
    lock.release()
    holder = hold("alone")
    assert not lock.acquire(wait=False)
    holder.kill()
    assert lock.acquire()  # waits for its end
    lock.close()
    assert [path.name for path in tmp_path.iterdir()] == ["file.lock"]


def test_a_lock_on_a_file_that_was_removed_or_replaced_is_seen(kind, tmp_path):
    lock = open_lock(tmp_path / "file.lock")
    assert lock.acquire()
    assert lock.is_current()
    (tmp_path / "file.lock").unlink()
    assert not lock.is_current()
    (tmp_path / "file.lock").touch()
    assert not lock.is_current()
    lock.close()


def test_a_file_that_is_missing_is_created_only_where_it_may_be(kind, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"file\.lock"):
        open_lock(tmp_path / "file.lock", create=False)
    with pytest.raises(FileNotFoundError, match=r"file\.lock"):
        open_lock(tmp_path / "no folder" / "file.lock")
    (tmp_path / "link.lock").symlink_to(tmp_path / "file.lock")
    with pytest.raises(OSError, match=r"link\.lock"):
        open_lock(tmp_path / "link.lock", create=False)


def test_a_file_that_cannot_be_locked_says_so(without_flock, tmp_path):
    (tmp_path / "file.lock").write_text("this is no database " * 100)
    with pytest.raises(OSError, match=r"file\.lock cannot be locked: file is not a database"):
        open_lock(tmp_path / "file.lock").acquire()
