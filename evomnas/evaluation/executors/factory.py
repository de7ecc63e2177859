"""The executor of so many workers."""

from __future__ import annotations

from evomnas.core.system.device import choose_device
from evomnas.core.system.machine import free_memory_gib, usable_cores
from evomnas.evaluation.executors.base import SHARED_GIB, WORKER_GIB, Cluster, Executor, Workers
from evomnas.evaluation.executors.in_process import InProcessExecutor
from evomnas.evaluation.executors.pool import PoolExecutor
from evomnas.problem.definition import ProblemDefinition
from evomnas.results.candidate_limits import CandidateLimits


def default_workers(device: str = "auto") -> int:
    """Return as many worker processes as there are cores, and room in memory; or 1 where a GPU trains.

    Args:
        device: `auto`, `cpu` or `cuda`.
    """
    if choose_device(device) != "cpu":
        return 1
    cores, free = usable_cores(), free_memory_gib()
    return cores if free is None else max(1, min(cores, int((free - SHARED_GIB) / WORKER_GIB)))


def make_executor(
    definition: ProblemDefinition,
    workers: Workers,
    device: str = "auto",
    limits: CandidateLimits = CandidateLimits(),
) -> Executor:
    """Return an executor for a problem.

    Args:
        definition: The problem.
        workers: A cluster, or a number of worker processes; 0 works in this process, which has no limits.
        device: `auto`, `cpu` or `cuda`; a cluster's follows from its GPUs.
        limits: What a candidate may take.

    Raises:
        InputError: There is no such device, or the cluster cannot be joined.
    """
    if isinstance(workers, Cluster):
        from evomnas.evaluation.executors.ray_cluster import RayExecutor  # it imports Ray

        return RayExecutor(definition, workers, limits)
    return PoolExecutor(definition, workers, device, limits) if workers else InProcessExecutor(definition, device)
