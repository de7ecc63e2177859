"""How much of their time do workers work, on this machine and on a cluster?

- local: the same random candidates of `digits` are trained by one and by two worker processes, and by the two when each
  is pinned to a core of its own, in turn. Efficiency is the speed-up over the number of workers. It holds what workers
  cost each other: caches, memory, the processor's clock.
- ray: candidates that only wait, half to one and a half times `--seconds`, on a Ray cluster of this machine that is
  told of so many CPUs; executor, tasks, processes and locks are those of a search. Efficiency is the time that
  workers who never wait for the next candidate would take (each takes the next of the list) over the time it took. It
  holds what dispatching costs. A waiting worker needs about 60 MiB; counts that the memory has no room for are left
  out.

Prints both as JSON.

    python benchmarks/scaling.py [--networks 24] [--counts 1 4 16 64 128 256] [--seconds 10] [--rounds 5]

About half an hour, most of it until 256 processes have started; `--counts 1 8 --networks 4 --seconds 1` runs it short.
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import sys
import tempfile
import time
import types
from typing import Any

import numpy as np

from evomnas.core.system.machine import processor, usable_cores
from evomnas.data.images import Dataset
from evomnas.data.splits import load_dataset
from evomnas.evaluation.executors.base import Cluster, Executor
from evomnas.evaluation.executors.factory import make_executor
from evomnas.evaluation.executors.jobs import TrainingJob
from evomnas.evaluation.executors.pool import PoolExecutor
from evomnas.problem.definition import ProblemDefinition
from evomnas.problem.loading import load_definition

WORKER_GIB = 0.06  # measured with 48, their share of common pages included
AT_A_TIME = 12


class Waiting:
    """A workbench whose candidates are seconds to wait."""

    def __init__(self, definition: ProblemDefinition, dataset: Dataset, device: str) -> None:
        pass

    def attempt(self, job: str, item: float) -> float:
        time.sleep(item)
        return item


def wait_in_place_of_training() -> None:
    """In a worker process, before its first candidate: nobody imports torch to wait."""
    module: Any = types.ModuleType("evomnas.evaluation.executors.worker")
    module.Workbench = Waiting
    sys.modules["evomnas.evaluation.executors.worker"] = module


def seconds_of(executor: Executor, items: list[Any]) -> float:
    started = time.perf_counter()
    done = list(executor.run(map(TrainingJob, items), lambda: None))
    assert len(done) == len(items)
    return time.perf_counter() - started


def least_seconds(waits: list[float], workers: int) -> float:
    """What workers take who are never without a candidate while there is one."""
    free = [0.0] * workers
    for wait in waits:
        heapq.heappush(free, heapq.heappop(free) + wait)
    return max(free)


def local(networks: int) -> dict[str, Any]:
    definition = load_definition("digits")
    dataset = load_dataset(definition.data)
    rng = np.random.default_rng(0)
    architectures = [definition.space.decode(definition.space.draw(rng)) for _ in range(networks)]
    cores = sorted(os.sched_getaffinity(0))
    executors = {workers: PoolExecutor(definition, workers, "cpu") for workers in (1, 2)}
    seconds = dict.fromkeys(("1", "2", "2 pinned"), 0.0)
    try:
        for workers, executor in executors.items():
            executor.load(dataset)
            seconds_of(executor, architectures[: 2 * workers])  # all have imported everything
        for start in range(0, networks, AT_A_TIME):
            for way in seconds:
                executor = executors[int(way[0])]
                for place, file in enumerate(executor._folder.glob("worker-*")):
                    process = int(file.name.removeprefix("worker-"))
                    os.sched_setaffinity(process, {cores[place]} if way.endswith("pinned") else cores)
                seconds[way] += seconds_of(executor, architectures[start : start + AT_A_TIME])
    finally:
        for executor in executors.values():
            executor.close()
    per_hour = {way: round(3600 * networks / taken) for way, taken in seconds.items()}
    return {
        "candidates_per_hour": per_hour,
        "efficiency": round(seconds["1"] / seconds["2"] / 2, 3),
        "pinned_over_free": round(seconds["2"] / seconds["2 pinned"], 3),
    }


def cluster(workers: int, mean: float, rounds: int) -> dict[str, float]:
    import ray

    definition = load_definition("digits")
    waits = [float(wait) for wait in mean * np.random.default_rng(0).uniform(0.5, 1.5, rounds * workers)]
    ray.init(
        num_cpus=workers,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=200 * 2**20,
        runtime_env={"worker_process_setup_hook": wait_in_place_of_training},
    )
    executor = make_executor(definition, Cluster())
    try:
        executor.load(load_dataset(definition.data))
        while seconds_of(executor, [mean] * workers) > 1.5 * mean:  # until as many processes have started
            pass
        taken = seconds_of(executor, waits)
    finally:
        executor.close()
        ray.shutdown()
    return {
        "workers": workers,
        "candidates_per_s": round(len(waits) / taken, 1),
        "efficiency": round(least_seconds(waits, workers) / taken, 3),
    }


def has_room(workers: int) -> bool:
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return workers * WORKER_GIB < free - 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", type=int, default=24)
    parser.add_argument("--counts", type=int, nargs="*", default=[1, 4, 16, 64, 128, 256])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(f"{processor()}, {usable_cores()} cores")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TMPDIR"] = folder  # of the workers: their lock is not that of others at work here
        if options.networks:
            print(json.dumps({"local": local(options.networks)}), flush=True)
        for workers in options.counts:
            if has_room(workers):
                print(json.dumps({"ray": cluster(workers, options.seconds, options.rounds)}), flush=True)
            else:
                print(f"no room in memory for {workers} waiting processes")


if __name__ == "__main__":
    main()
