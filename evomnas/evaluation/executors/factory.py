"""The executor of so many workers."""

from __future__ import annotations

from evomnas.core.device import choose_device
from evomnas.core.machine import usable_cores
from evomnas.evaluation.executors.base import CandidateLimits, Cluster, Executor, Workers
from evomnas.evaluation.executors.in_process import InProcessExecutor
from evomnas.evaluation.executors.pool import PoolExecutor
from evomnas.problem.definition import ProblemDefinition


def default_workers(device: str = "auto") -> int:
    """As many worker processes as cores; one where a GPU trains."""
    return usable_cores() if choose_device(device) == "cpu" else 1


def make_executor(
    definition: ProblemDefinition,
    workers: Workers,
    device: str = "auto",
    limits: CandidateLimits = CandidateLimits(),
) -> Executor:
    """A cluster, worker processes, or this process where `workers` is 0; it has no limits."""
    if isinstance(workers, Cluster):
        from evomnas.evaluation.executors.ray_cluster import RayExecutor

        return RayExecutor(definition, workers, limits)
    return PoolExecutor(definition, workers, device, limits) if workers else InProcessExecutor(definition, device)
