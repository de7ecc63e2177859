"""Candidates in a real container of 1.5 GiB: whoever does not fit fails, and nobody is killed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from control_groups import control_group, output

PROBE = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from tiny_problem import TINY
from evomnas.core.system.machine import kills_for_memory
from evomnas.data.splits import load_dataset
from evomnas.evaluation.executors.factory import default_workers
from evomnas.evaluation.executors.jobs import TrainingJob
from evomnas.evaluation.executors.pool import PoolExecutor
from evomnas.problem.architecture import Architecture
from evomnas.problem.loading import validate_definition

before = kills_for_memory()
tiny = validate_definition(TINY)
small = tiny.space.mobilenet_v2()
large = Architecture.parse("stem8_s1-conv_k3_s1_f4096_n2-head16")  # a layer of 0.6 GiB, its gradient and moments
executor = PoolExecutor(tiny, 2)
executor.load(load_dataset(tiny.data))
jobs = [TrainingJob(large), TrainingJob(small), TrainingJob(large)]
for network, outcome in executor.run(jobs, lambda: None):
    print(network == small, getattr(outcome, "kind", "trained"))
executor.close()
print(default_workers("cpu"), kills_for_memory() - before)
"""


@pytest.mark.thorough
def test_candidates_that_do_not_fit_into_a_container_fail_and_nobody_is_killed():
    with control_group(gib=1.5, cores=2) as within:
        lines = output([*within, sys.executable, "-c", PROBE]).splitlines()
    assert sorted(lines[:-1]) == ["False out-of-memory", "False out-of-memory", "True trained"]
    assert lines[-1] == "1 0"
