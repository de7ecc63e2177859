"""Searches whose process is killed by SIGKILL within a transaction of the archive: resumed, they end as undisturbed.

The thorough part kills in every transaction of two algorithms, in generations and in steady state, and kills again
what was resumed.
"""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from evomnas.loop.launch import resume, search
from evomnas.results.run import Run

KILLED = """
import os, signal, sys
from contextlib import contextmanager
from evomnas.loop.launch import resume, search
from evomnas.results.archive import Archive

problem, algorithm, asynchronous, folder, count = sys.argv[1:]
original_asks, original_transaction, transactions = Archive.add_asks, Archive._transaction, []

def add_asks(self, *arguments):
    transactions.append(0)  # from the first network on
    original_asks(self, *arguments)

@contextmanager
def transaction(self):
    with original_transaction(self):
        yield
        if transactions:
            transactions.append(1)
        if sum(transactions) == int(count):
            os.kill(os.getpid(), signal.SIGKILL)

Archive.add_asks, Archive._transaction = add_asks, transaction
if os.path.exists(f"{folder}/run.json"):
    resume(folder)
else:
    search(problem, algorithm, budget=40, seed=5, out=folder, asynchronous=asynchronous == "True")
"""


def is_killed(problem, algorithm: str, asynchronous: bool, folder, count: int) -> bool:
    """Search, or go on with a search, in a process that is killed in a transaction; return False if it ends before."""
    command = [sys.executable, "-c", KILLED, problem, algorithm, asynchronous, folder, count]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode != 0


def content(run: Run) -> tuple:
    """All that two runs must have in common to be the same."""
    results = [result.to_dict() for result in run.results()]
    return run.asks, run.archive.tells(run.record.id), results, run.manifest.hypervolume


def test_a_killed_search_resumes_to_the_one_that_nobody_disturbed(tabular_file, tmp_path):
    undisturbed = search(tabular_file, "nsga2", budget=40, seed=5, out=tmp_path / "a" / "run")
    folder = tmp_path / "b" / "run"
    assert is_killed(tabular_file, "nsga2", False, folder, 3)
    assert 0 < len(Run.open(folder).asks) < 40
    assert content(resume(folder)) == content(undisturbed)


@pytest.mark.thorough
@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("algorithm", ["nsga2", "evo-constrained"])
def test_it_does_so_wherever_it_is_killed_and_as_often(algorithm, asynchronous, tabular_file, tmp_path):
    options = {"budget": 40, "seed": 5, "asynchronous": asynchronous}
    undisturbed = search(tabular_file, algorithm, out=tmp_path / "a" / "run", **options)
    count, killed = 1, True
    while killed:
        folder = tmp_path / f"at{count}" / "run"
        killed = is_killed(tabular_file, algorithm, asynchronous, folder, count)
        assert content(resume(folder)) == content(undisturbed)
        count += 1 if count < 6 else 7  # steady state has a transaction for every network
    assert count > 5
    folder = tmp_path / "often" / "run"
    assert sum(is_killed(tabular_file, algorithm, asynchronous, folder, 4) for _ in range(5)) > 1
    assert content(resume(folder)) == content(undisturbed)
