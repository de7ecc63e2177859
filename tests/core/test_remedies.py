"""What is said where the system refuses something: what it was, where, and what helps."""

from __future__ import annotations

import errno
import os
import re
import sqlite3
import tempfile
from pathlib import Path

import pytest

from evomnas.core import remedies
from evomnas.core.remedies import explain, is_misuse
from evomnas.results.evaluation import Failure


def refusal(number: int, path: str | None = None) -> OSError:
    return OSError(number, os.strerror(number), path) if path else OSError(number, os.strerror(number))


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (refusal(errno.EMFILE, "/lib/x.py"), "^Too many open files; at most .* raise that .ulimit -n 1024."),
        (refusal(errno.ENFILE), "Too many open files in system; .*close other programs"),
        (refusal(errno.ENOSPC, "/runs/a.json"), "No space left on device: /runs/a.json; free some .* another folder"),
        (refusal(errno.EDQUOT, "/runs/a.json"), "quota exceeded: /runs/a.json; free some space"),
        (refusal(errno.EFBIG, "/runs/a"), "File too large: /runs/a; .*ulimit -f unlimited"),
        (
            refusal(errno.EROFS, "/cd/a"),
            "Read-only file system: /cd/a; name another folder on a disk that can be written",
        ),
        (
            refusal(errno.EACCES, "/root/a"),
            "Permission denied: /root/a; change its permissions, or name another folder",
        ),
        (refusal(errno.EAGAIN), "Resource temporarily unavailable; .*ulimit -u 4096"),
        (refusal(errno.ENAMETOOLONG, "n" * 300), r"File name too long: n{50}\.\.\.n{50}; choose a shorter one"),
        (refusal(errno.ENOTDIR, "a/b"), "Not a directory: a/b; a file is where a folder is needed"),
        (refusal(errno.EISDIR, "a"), "Is a directory: a; a folder is where a file is needed"),
        (RuntimeError("can't start new thread"), "Resource temporarily unavailable; .*fewer --workers"),
        (RuntimeError("unable to start watchdog thread"), "Resource temporarily unavailable; .*--pids-limit"),
        (ImportError("libtorch_cpu.so: failed to map segment from shared object"), "allocate memory; .*ulimit -v"),
        (ImportError("libx.so: cannot open shared object file: Too many open files"), "ulimit -n"),
        (MemoryError("Unable to allocate 9 GiB"), "^Unable to allocate 9 GiB; .*use fewer --workers, or allow more"),
        (MemoryError(), "^Cannot allocate memory; "),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "^No space left on device; free some"),
        (sqlite3.OperationalError("database or disk is full"), "^No space left on device; free some"),
        (sqlite3.OperationalError("attempt to write a readonly database"), "^Read-only file system; "),
        (sqlite3.OperationalError("disk I/O error"), "^Input/output error; the disk fails"),
        (OSError("AF_UNIX path too long"), "path of the temporary folder is too long .* set TMPDIR=/tmp"),
        (
            FileNotFoundError(2, "No usable temporary directory found in ['/tmp']"),
            "set TMPDIR to one that you may write",
        ),
    ],
)
def test_every_limit_has_a_remedy_in_one_line(error, line):
    assert re.search(line, explain(error)), explain(error)
    assert "\n" not in explain(error)


def test_a_temporary_file_is_helped_by_another_temporary_folder():
    line = explain(refusal(errno.ENOSPC, str(Path(tempfile.gettempdir()) / "evomnas-x" / "images.npy")))
    assert line.endswith("free some space, or set TMPDIR to another folder with room in it")
    line = explain(refusal(errno.ENOSPC, str(Path(tempfile.gettempdir()) / "runs" / "run.json")))
    assert line.endswith("free some space, or name another folder with room in it")


def test_the_limits_of_the_shell_are_in_the_line(monkeypatch):
    limits = {"NPROC": 50, "AS": 2**31, "FSIZE": 1024}
    monkeypatch.setattr(remedies, "soft_limit", limits.get)
    assert "at most 50 processes and threads of a user are allowed here" in explain(refusal(errno.EAGAIN))
    assert "the memory of a process is limited to 2.0 GiB here" in explain(MemoryError())
    assert explain(sqlite3.OperationalError("disk I/O error")).startswith("File too large; ")
    assert remedies.tight_limits() == "the memory of a process is limited to 2.0 GiB here"
    limits["NOFILE"] = 20
    assert remedies.tight_limits().startswith(
        "at most 20 files may be open here (ulimit -n 1024 allows more); the memory"
    )


def test_windows_names_a_file_that_another_program_has_open():
    error = PermissionError(errno.EACCES, "The process cannot access the file", "front.csv")
    error.winerror = 32
    assert explain(error) == "Permission denied: front.csv; another program has the file open: close it there"


@pytest.mark.parametrize(
    "error",
    [ValueError("too many values"), KeyError("x"), FileNotFoundError(2, "No such file", "x"), RuntimeError("no")],
)
def test_other_errors_are_left_to_what_they_say(error):
    assert explain(error) is None


def test_a_name_that_somebody_typed_can_be_typed_otherwise():
    assert is_misuse(refusal(errno.ENAMETOOLONG))
    assert is_misuse(refusal(errno.ENOTDIR))
    assert not is_misuse(refusal(errno.ENOSPC))
    assert not is_misuse(RuntimeError("File name too long"))


def test_a_candidate_that_a_limit_ended_says_what_helps():
    failure = Failure.of(refusal(errno.EMFILE, "/lib/x.py"))
    assert failure.kind == "error"
    assert "ulimit -n 1024" in failure.message
    assert Failure.of(MemoryError("Unable to allocate 9 GiB")).message == "Unable to allocate 9 GiB"
