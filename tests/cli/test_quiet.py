"""What libraries would print among the command's own lines, where the home folder cannot be written."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

import pytest

COMMAND = [sys.executable, "-c", "from evomnas.cli import main; main()"]
NO_HOME = "/dev/null/home"  # which not even root can make
OF_LIBRARIES = re.compile(r"/dev/null|onnxruntime|matplotlib|torch|ray::|font|warn|\[[WE]:|error|errno", re.IGNORECASE)
PROGRESS = re.compile(r", about \d+ \w+ left$")  # a line of ours, which may name a runtime


def evomnas(*arguments: object, cwd=None) -> subprocess.CompletedProcess[str]:
    """Run the command without any folder of its user's."""
    folders = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "MPL"))}
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], cwd=cwd, env=folders | {"HOME": NO_HOME},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def foreign_lines(done: subprocess.CompletedProcess[str]) -> list[str]:
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if not PROGRESS.search(line)]
    return [line for line in lines if OF_LIBRARIES.search(line)]


@pytest.mark.thorough
def test_a_search_without_a_home_prints_its_own_lines_alone(tiny_file, tmp_path):
    done = evomnas("run", tiny_file, "--budget", 2, "--workers", 1, "--algo", "random", "--out", tmp_path / "run")
    assert foreign_lines(done) == []
    assert "2 of 2 evaluated" in done.stderr


OTHER_COMMANDS = [
    ("report", "RUN"),
    ("describe", "ID", "--run", "RUN"),
    ("measure", "mnasnet-small", "--runtime", "executorch"),
    ("train", "RUN", "ID"),
    ("export", "RUN", "ID", "--to", "onnx", "--to", "executorch", "--quantize", "int8"),
    ("doctor",),
]


@pytest.mark.parametrize(
    "arguments",
    [
        ("measure", "ID", "--run", "RUN"),  # imports PyTorch and ONNX Runtime, as a search does
        *(pytest.param(one, marks=pytest.mark.thorough) for one in OTHER_COMMANDS),
    ],
)
def test_every_command_without_a_home_prints_its_own_lines_alone(finished_run, trained, tmp_path, arguments):
    shutil.copytree(finished_run.folder.parent, tmp_path / "runs")
    names = {"RUN": tmp_path / "runs" / finished_run.folder.name, "ID": trained.network.id}
    done = evomnas(*(names.get(one, one) for one in arguments), cwd=tmp_path)
    assert foreign_lines(done) == []
