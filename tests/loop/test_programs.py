"""Programs that search with worker processes, whatever their main module is. Each imports torch: seconds."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.thorough

SEARCH = """
import sys
import evomnas
run = evomnas.search(sys.argv[1], "random", budget=3, workers=1, out=sys.argv[2])
print(__name__, run.manifest.status, len(run.results()))
"""
SEARCH_IN_A_DAEMON = """
import multiprocessing, sys
import evomnas

if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        try:
            pool.apply(evomnas.search, (sys.argv[1],), {"workers": 1, "budget": 3, "out": sys.argv[2]})
        except evomnas.InputError as error:
            print(error)
"""


@pytest.mark.parametrize("way", ["script", "input", "text", "exec"])
def test_a_program_without_a_guard_searches_with_workers(way, tiny_file, tmp_path):
    (tmp_path / "script.py").write_text(SEARCH)
    program = {
        "script": [str(tmp_path / "script.py")],
        "input": ["-"],
        "text": ["-c", SEARCH],
        "exec": ["-c", f"exec(open({str(tmp_path / 'script.py')!r}).read())"],
    }[way]
    command = [sys.executable, *program, str(tiny_file), str(tmp_path / "run")]
    done = subprocess.run(command, input=SEARCH, capture_output=True, text=True, check=True)
    assert done.stdout == "__main__ finished 3\n"


def test_a_daemon_process_is_told_to_search_without_workers(tiny_file, tmp_path):
    (tmp_path / "script.py").write_text(SEARCH_IN_A_DAEMON)
    command = [sys.executable, str(tmp_path / "script.py"), str(tiny_file), str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("this is a daemon process of multiprocessing, which may start no workers: use work")
    assert not (tmp_path / "run").exists()
    assert not list(tmp_path.glob("*.sqlite"))
