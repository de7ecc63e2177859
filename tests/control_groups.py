"""Real control groups, where this user may make them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PATIENCE_S = 60.0  # for the processes of a group to end
JOIN = """
import os, sys
folders, command = sys.argv[1].split(os.pathsep), sys.argv[2:]
for folder in folders:
    with open(f"{folder}/cgroup.procs", "w") as file:
        file.write(str(os.getpid()))
os.execvp(command[0], command)
"""


@contextmanager
def control_group(gib: float, cores: float) -> Iterator[list[str]]:
    """Yield the beginning of a command that runs in a group with limits; the test is skipped where none can be made."""
    top, name, folders = Path("/sys/fs/cgroup"), f"evomnas-test-{os.getpid()}", []
    if (top / "cgroup.controllers").is_file():
        limits = {top / name: {"memory.max": int(gib * 2**30), "cpu.max": f"{int(cores * 1e5)} 100000"}}
    else:
        limits = {
            top / "memory" / name: {"memory.limit_in_bytes": int(gib * 2**30)},
            top / "cpu" / name: {"cpu.cfs_quota_us": int(cores * 1e5)},
        }
    try:
        try:
            for folder, files in limits.items():
                folder.mkdir()
                folders.append(folder)
                for file, value in files.items():
                    (folder / file).write_text(str(value))
        except OSError as error:
            pytest.skip(f"no control group can be made here: {error}")
        yield [sys.executable, "-c", JOIN, os.pathsep.join(map(str, folders))]
    finally:
        for folder in folders:
            _remove(folder)


def _remove(folder: Path) -> None:
    """Remove a group; its last processes may still be ending."""
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            return folder.rmdir()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def output(command: list[str]) -> str:
    """Return what a command prints; it must end well."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
