"""The executor of so many workers."""

from __future__ import annotations

from evomnas.core.system.device import choose_device
from evomnas.core.system.machine import free_memory_gib, usable_cores
from evomnas.evaluation.executors.base import SHARED_GIB, WORKER_GIB, Cluster, Executor, Workers
from evomnas.evaluation.executors.in_process import InProcessExecutor
from evomnas.evaluation.executors.pool import PoolExecutor
from evomnas.problem.definition import Definition, ProblemDefinition
from evomnas.results.candidate_limits import CandidateLimits

GPU_STEPS_PER_S = (
    45.0  # of MobileNetV2's depth on an NVIDIA H200, one training or four: its kernels are what takes long
)
CORE_STEP_S, CORE_MACS_PER_S = 0.02, 9e9  # of a 2.5 GHz core: what a step takes beside arithmetic, and the rate of that
PASSES = 3  # of a training step: forward, and back to inputs and to weights
FAR_FASTER = 2.0  # GPUs and processors differ


def search_device(definition: Definition, device: str = "auto", workers: int | None = None) -> str:
    """Return the device on which a search trains its candidates.

    A GPU waits for the next kernel of networks that are as small as most here, and several trainings share it by turns
    (docs/cluster.md has what was measured). So `auto` takes the processor if its cores train such candidates far faster
    together.

    Args:
        definition: The problem.
        device: `cpu`, `cuda`, or `auto`.
        workers: How many candidates the processor would train at a time; None for one on each core.

    Returns:
        `cpu` or `cuda`.

    Raises:
        InputError: The name is unknown, or `cuda` was asked for and there is no GPU.
    """
    found = choose_device(device)
    if device != "auto" or found == "cpu":
        return found
    at_a_time = usable_cores() if workers is None else max(1, min(workers, usable_cores()))
    core_step_s = CORE_STEP_S + PASSES * definition.step_macs / CORE_MACS_PER_S
    return "cpu" if at_a_time / core_step_s > FAR_FASTER * GPU_STEPS_PER_S else found


def default_workers(definition: Definition, device: str = "auto") -> int:
    """Return as many worker processes as there are cores, and room in memory; or 1 where a GPU trains.

    Args:
        definition: The problem.
        device: `auto`, `cpu` or `cuda`.
    """
    if search_device(definition, device) != "cpu":
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
        device: `auto`, `cpu` or `cuda`, see `search_device`; a cluster's follows from its GPUs.
        limits: What a candidate may take.

    Raises:
        InputError: There is no such device, or the cluster cannot be joined.
    """
    if isinstance(workers, Cluster):
        from evomnas.evaluation.executors.ray_cluster import RayExecutor  # it imports Ray

        return RayExecutor(definition, workers, limits)
    chosen = search_device(definition, device, workers)
    return PoolExecutor(definition, workers, chosen, limits) if workers else InProcessExecutor(definition, chosen)
