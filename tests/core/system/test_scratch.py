"""Folders that processes share: gone with their owners, however those end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from evomnas.core.system.scratch import Scratch

OWNER = """
import pathlib, sys
from evomnas.core.system.scratch import Scratch
print(Scratch().path, flush=True)
sys.stdin.read()
"""


def test_a_folder_goes_with_its_owner(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    scratch = Scratch()
    (scratch.path / "images.npy").write_bytes(b"0")
    scratch.remove()
    assert not list(tmp_path.iterdir())


def test_what_a_killed_owner_left_is_removed_and_what_a_living_one_has_stays(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "evomnas-of-another-kind").mkdir()
    options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "env": os.environ | {"TMPDIR": str(tmp_path)}}
    owners = [subprocess.Popen([sys.executable, "-c", OWNER], text=True, **options) for _ in range(2)]
    left, kept = (Path(owner.stdout.readline().strip()) for owner in owners)
    (left / "images.npy").write_bytes(b"0")
    owners[0].send_signal(signal.SIGKILL)
    owners[0].wait()
    assert left.is_dir()
    own = Scratch()
    assert {path.name for path in tmp_path.iterdir()} == {kept.name, own.path.name, "evomnas-of-another-kind"}
    own.remove()
    owners[1].communicate()
