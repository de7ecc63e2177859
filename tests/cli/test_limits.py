"""Limits of the operating system, real ones: each is one line that says what to set, and nothing is lost by it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from evomnas.cli import compare, search, show  # noqa: F401 they register themselves
from evomnas.cli.app import app
from evomnas.core import ray_connection
from evomnas.loop import launch

COMMAND = [sys.executable, "-c", "from evomnas.cli import main; main()"]


@pytest.fixture
def evomnas(tmp_path):
    """Run a command under limits of the shell, and return its exit code and the last line of its errors."""

    def run(*arguments: object, ulimit: str = "", **environment: str) -> tuple[int, str]:
        limit = ["sh", "-c", f'ulimit {ulimit} && exec "$@"', "sh"] if ulimit else []
        command = [*limit, *COMMAND, *map(str, arguments)]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=300,
            env=os.environ | environment,
            cwd=tmp_path,
            check=False,
        )
        assert "Traceback" not in done.stderr
        return done.returncode, (done.stderr.splitlines() or [""])[-1]

    return run


def test_too_few_open_files_for_the_workers_are_told_before_anything_is_imported(evomnas, tiny_file):
    code, line = evomnas("run", tiny_file, "--workers", 2, ulimit="-n 20")
    assert code == 1
    assert line.startswith("evomnas: Too many open files; at most 20 are allowed here: raise that (ulimit -n 1024)")


def test_a_limit_of_open_files_that_may_be_raised_is_raised(evomnas, tmp_path):
    code = "import resource; from evomnas.core.system.processes import check_open_files; check_open_files(200);"
    code += "print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    command = ["sh", "-c", 'ulimit -S -n 30 && exec "$@"', "sh", sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) > 800


@pytest.mark.thorough
@pytest.mark.parametrize("files", [5, 7])
def test_hardly_any_open_files_are_told_wherever_they_run_out(evomnas, tabular_file, files):
    code, line = evomnas("run", tabular_file, "--algo", "random", "--budget", 5, ulimit=f"-n {files}")
    assert code == 1
    assert f"at most {files}" in line or "Too many open files" in line  # by what wanted one more
    assert "ulimit -n" in line


@pytest.mark.thorough
def test_a_search_that_may_write_no_large_file_goes_on_when_it_may(evomnas, tabular_file, tmp_path):
    undisturbed = launch.search(tabular_file, "random", budget=100, seed=1, out=tmp_path / "whole" / "run")
    run = tmp_path / "runs" / "run"
    launch.search(tabular_file, "random", budget=20, seed=1, out=run).archive.close()
    code, line = evomnas("resume", run, "--budget", 100, ulimit="-f 120")
    assert code == 1
    assert line.endswith("files may not become that large here: raise that (ulimit -f unlimited)")
    launch.resume(run, budget=100).archive.close()
    assert (run / "front.csv").read_text() == (undisturbed.folder / "front.csv").read_text()


def test_too_little_memory_for_torch_is_told(evomnas):
    code, line = evomnas("measure", "mobilenet-v2", ulimit="-v 1000000")
    assert code == 1
    assert "Cannot allocate memory; the memory of a process is limited to 1.0 GiB here" in line
    assert "ulimit -v unlimited" in line


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (["run", "PROBLEM", "--out", "LONG"], "--out DIR"),
        (["run", "PROBLEM", "--out", "LONG/run"], "--out DIR"),
        (["run", "PROBLEM", "--archive", "LONG"], "--archive FILE"),
        (["run", "PROBLEM", "--archive", "ALMOST"], "--archive FILE"),
        (["benchmark", "PROBLEM", "--algo", "random", "--out", "LONG"], "choose a shorter one"),
        (["show", "LONG"], ""),
    ],
)
def test_a_name_that_is_too_long_is_told_in_a_short_line(tabular_file, tmp_path, monkeypatch, arguments, option):
    monkeypatch.chdir(tmp_path)
    names = {"PROBLEM": str(tabular_file), "LONG": "n" * 300, "ALMOST": "n" * 250}
    typed = [names.get(one, one.replace("LONG", names["LONG"])) for one in arguments]
    before = sorted(tmp_path.iterdir())
    done = CliRunner().invoke(app, typed)
    line = done.stderr.splitlines()[-1]
    assert done.exit_code == 2
    assert "file name too long" in line.lower()
    assert option in line
    assert len(line) < 300
    assert sorted(tmp_path.iterdir()) == before


def test_a_folder_that_was_deleted_meanwhile_is_told(tmp_path, monkeypatch):
    folder = tmp_path / "gone"
    folder.mkdir()
    command = ["sh", "-c", 'cd "$1" && rmdir "$1" && shift && exec "$@"', "sh", str(folder), *COMMAND, "measure", "x"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        2,
        "evomnas: the folder in which this was typed was deleted: cd to another one\n",
    )


WORKER = """
import multiprocessing.util, tempfile
from evomnas.core.system.processes import start_context
process = start_context([]).Process(target=print, args=("it works",))
process.start()
process.join()
print(multiprocessing.util.get_temp_dir().startswith(tempfile.gettempdir()))
"""


@pytest.mark.parametrize("length", [10, 150])
def test_the_sockets_of_workers_are_elsewhere_where_the_temporary_folder_has_a_long_name(tmp_path, length):
    folder = tmp_path / ("t" * length)
    folder.mkdir()
    environment = os.environ | {"TMPDIR": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", WORKER], capture_output=True, text=True, env=environment, check=True, timeout=300
    )
    assert done.stdout == f"it works\n{len(str(folder)) < 70}\n"
    assert list(folder.iterdir()) == []


AS_NOBODY = """
import os, resource
from evomnas.core.remedies import explain
from evomnas.evaluation.executors.pool import PoolExecutor
from evomnas.problem.loading import load_definition
definition = load_definition("digits")
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
try:
    PoolExecutor(definition, 2)
except OSError as error:
    print(explain(error))
"""


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="root alone can become somebody else")
@pytest.mark.thorough
def test_too_few_processes_are_told(tmp_path):
    tmp_path.chmod(0o777)
    command, environment = [sys.executable, "-c", AS_NOBODY], os.environ | {"TMPDIR": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert "Resource temporarily unavailable; at most 1 processes and threads of a user are allowed here" in done.stdout
    assert "ulimit -u 4096" in done.stdout


def test_a_new_ray_cluster_is_kept_out_of_a_temporary_folder_with_a_long_name(tmp_path, monkeypatch):
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setattr("tempfile.tempdir", "/tmp")
    assert ray_connection._short_paths() == {}
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / ("t" * 150)))
    assert ray_connection._short_paths() == {"_temp_dir": "/tmp/ray"}
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))  # somebody's choice
    assert ray_connection._short_paths() == {}
