"""Freed memory is kept for the next use, and nothing that is computed changes by it; each time in a fresh process."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from evomnas.core.errors import InputError
from evomnas.core.system import memory
from evomnas.loop.launch import search
from evomnas.results.candidate_limits import CandidateLimits

FAULTS = """
import ctypes, numpy, resource
from evomnas.core.system.memory import keep_freed_memory

ctypes.CDLL(None).prctl(41, 1, 0, 0, 0)  # PR_SET_THP_DISABLE: with huge pages there are few faults to count

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        numpy.ones(2**23)  # 64 MiB, freed at once
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

before = faults()
keep_freed_memory()
faults()
print(before, faults())
"""

RELEASE = """
import numpy
from evomnas.core.system.memory import keep_freed_memory, release_freed_memory

def data_mib():
    return int(open("/proc/self/status").read().split("VmData:")[1].split()[0]) // 1024

keep_freed_memory()
blocks = [numpy.ones(2**20) for _ in range(64)]
del blocks
kept = data_mib()
release_freed_memory()
print(kept - data_mib())
"""

GROWTH = """
import numpy
from evomnas.core.system import memory
from evomnas.core.system.container import Allowance

before = numpy.ones(2**26)  # half a GiB, which does not count
memory.read_allowance = lambda: Allowance(free=2**28)
memory.host_memory = lambda name: 0
with {context}:
    {function}
    numpy.ones(2**24)
    try:
        numpy.ones(3 * 2**24)
    except MemoryError:
        print("refused", flush=True)
try:
    numpy.ones(3 * 2**24)
except MemoryError:
    print("refused for ever", flush=True)
"""

TRAININGS = """
import numpy as np
from tiny_problem import TINY
from evomnas.training import trainer as fitting
from evomnas.data.splits import load_dataset
from evomnas.problem.loading import validate_definition
from evomnas.training.proxy_task import ProxyTask

tiny = validate_definition(TINY)
architectures = [tiny.space.decode(genome) for genome in tiny.space.sample(3, np.random.default_rng(2))]
keep, fitting.keep_freed_memory = fitting.keep_freed_memory, lambda: None
for change in (lambda: None, keep):
    change()
    task = ProxyTask(load_dataset(tiny.data), tiny.data, tiny.training, "cpu")
    print([(one.accuracy.hex(), [loss.hex() for loss in one.losses]) for one in map(task.train, architectures)])
"""


def lines(code: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    return done.stdout.splitlines()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator is what is changed")
def test_pages_of_freed_memory_are_not_asked_for_again():
    [line] = lines(FAULTS)
    before, after = map(int, line.split())
    assert before > 1000  # or the test says nothing
    assert after < before / 100


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator is what is changed")
def test_what_was_kept_can_be_released():
    """512 MiB, all but what else lies between."""
    assert int(lines(RELEASE)[0]) > 450


@pytest.mark.thorough
def test_trainings_come_out_the_same_bit_by_bit():
    without, kept = lines(TRAININGS)
    assert without == kept


TIGHTER = """
import resource
from evomnas.core.system.memory import limit_memory
resource.setrlimit(resource.RLIMIT_DATA, (2**33, 2**33))
limit_memory(4.0)
print(*resource.getrlimit(resource.RLIMIT_DATA))
limit_memory(16.0)
print(*resource.getrlimit(resource.RLIMIT_DATA))
limit_memory(None)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such limit")
def test_a_limit_of_the_shell_s_own_that_is_lower_stays():
    assert lines(TIGHTER) == [f"{2**32} {2**33}", f"{2**33} {2**33}"]


def test_a_system_that_keeps_no_limit_says_so_before_a_search(monkeypatch, tiny, tmp_path):
    monkeypatch.setattr(sys, "platform", "darwin")
    memory.limit_memory(0.001)  # without effect, or the rest would fail
    with pytest.raises(InputError, match=r"cannot limit the memory of a process: drop --candidate-memory"):
        search(tiny, out=tmp_path / "run", workers=2, candidates=CandidateLimits(memory_gib=4.0))
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="no other system has this limit")
@pytest.mark.parametrize(
    ("context", "function", "expected"),
    [
        ("memory.within_container()", "pass", ["refused"]),
        ("open('/dev/null')", "memory.limit_growth(0.25)", ["refused", "refused for ever"]),
    ],
)
def test_growth_is_limited_beyond_what_a_process_has(context, function, expected):
    code = GROWTH.format(context=context, function=function)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout.splitlines(), done.stderr) == (0, expected, "")
