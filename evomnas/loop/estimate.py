"""The cost of a search before it is run: a few random networks are evaluated as a search would evaluate them."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evomnas.core.defaults import BUDGET
from evomnas.core.system.machine import usable_cores
from evomnas.core.system.processes import peak_memory_gib
from evomnas.evaluation.factory import open_evaluator
from evomnas.problem.definition import Definition
from evomnas.results.archive import Archive

SAMPLED_NETWORKS = 10
BATCH_NETWORKS = 8  # networks that are trained before the next ones are known: a batch of the default algorithm
REPLICATES = 200  # simulated searches
MAX_DRAWN_NETWORKS = 2000  # of a simulated search; longer ones are as many times as long
REPORT_BYTES = 5 * 2**20
QUANTILES = (0.05, 0.5, 0.95)


@dataclass(frozen=True, slots=True)
class Estimate:
    """The cost of a search on this machine. Times are in seconds; three of them are 5 %, 50 % and 95 % quantiles.

    Attributes:
        networks: How many networks were evaluated for it.
        budget: Networks of the search.
        training: The training of one network, or its trainings with all folds: three quantiles.
        latency: The latency of one network, preparing included.
        startup: Before the first network: imports, images, calibration.
        seconds: The whole search, by number of workers: three quantiles each.
        memory_gib: The largest memory in GiB of each process, added up over all processes; 0 if that is not known.
        disk_bytes: Archive and report in bytes.
        data: The images: sizes of splits, folds, and of the largest and the smallest class.
    """

    networks: int
    budget: int
    training: tuple[float, ...]
    latency: float
    startup: float
    seconds: dict[int, tuple[float, ...]]
    memory_gib: float
    disk_bytes: int
    data: dict[str, Any]


def estimate(
    definition: Definition,
    budget: int = BUDGET,
    workers: int = 0,
    device: str = "auto",
    on_progress: Callable[[str], None] = lambda phase: None,
) -> Estimate:
    """Evaluate some random networks, in an archive of their own, and estimate the cost of a search from that.

    Args:
        definition: The problem.
        budget: Networks of the search.
        workers: Worker processes; 0 works in this process.
        device: `auto`, `cpu` or `cuda`.
        on_progress: Told what is being done; see `evomnas.evaluation.interface.OnPhase`.

    Raises:
        InputError: The problem is a table.
        RuntimeError: None of the networks could be trained.
    """
    problem = definition.trained(f"{definition.name} looks its networks up in a table: a search takes seconds")
    rng = np.random.default_rng(0)
    architectures = list(dict.fromkeys(problem.space.decode(problem.space.draw(rng)) for _ in range(SAMPLED_NETWORKS)))
    with tempfile.TemporaryDirectory(prefix="evomnas-") as folder:
        path, started = Path(folder) / "estimate.sqlite", time.perf_counter()
        with (
            closing(Archive(path)) as archive,
            open_evaluator(problem, archive, workers, device, on_phase=on_progress) as evaluator,
        ):
            evaluator.reference_cost()
            startup = time.perf_counter() - started
            evaluations = evaluator.evaluate(architectures)
            memory = peak_memory_gib()
            size = sum(file.stat().st_size for file in Path(folder).iterdir())
    trainings = [evaluation.trained for evaluation in evaluations]
    times = np.array([training.seconds for training in trainings if training is not None])
    if len(times) == 0:
        causes = [one.failure.message for one in evaluations if one.failure is not None]
        raise RuntimeError(f"none of {len(evaluations)} random networks could be trained: {causes[:1]}")
    latency = evaluator.stopwatch.seconds()["latency"] / len(architectures)
    # a training that shares the machine with others takes longer: the times hold for about as many workers
    counts = sorted({1, max(1, workers), usable_cores()})
    seconds = {count: _search_seconds(times, latency, startup, budget, count) for count in counts}
    disk = size * budget // len(architectures) + REPORT_BYTES
    data = evaluator.describe_data()
    return Estimate(len(times), budget, _quantiles(times), latency, startup, seconds, memory, disk, data)


def _search_seconds(
    times: NDArray[np.float64], latency: float, startup: float, budget: int, workers: int
) -> tuple[float, ...]:
    """Return quantiles of a search's length: trainings are drawn from `times`, and each worker takes the next one."""
    rng = np.random.default_rng(1)
    totals = []
    for _ in range(REPLICATES):
        drawn = rng.choice(times, size=min(budget, MAX_DRAWN_NETWORKS))
        training = 0.0
        for start in range(0, len(drawn), BATCH_NETWORKS):
            free = np.zeros(workers)
            for seconds in drawn[start : start + BATCH_NETWORKS]:
                free[free.argmin()] += seconds
            training += float(free.max())
        totals.append(startup + latency * budget + training * budget / len(drawn))
    return _quantiles(totals)


def _quantiles(values: Sequence[float] | NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(float(value) for value in np.quantile(values, QUANTILES))
