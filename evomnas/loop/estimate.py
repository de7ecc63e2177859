"""The cost of a search before it is run: a short search with the default algorithm, and what follows from it.

Random networks would not do. A search soon asks for networks near the front, which are smaller and cheaper than random
ones: on the digits a third of their time. So the networks of an estimate are those that a search asks for at first, and
its later ones stand for all that come after them. The trainings are shorter than those of a search. Their epochs are
so alike that the time of a whole training follows from them.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evomnas.core.defaults import ALGORITHM, BUDGET
from evomnas.core.system.machine import usable_cores
from evomnas.core.system.processes import peak_memory_gib
from evomnas.evaluation.factory import open_evaluator
from evomnas.evaluation.interface import Evaluator
from evomnas.evaluation.network_evaluator import NetworkEvaluator
from evomnas.loop.launch import begin, carry_on
from evomnas.loop.progress import OnProgress, Progress
from evomnas.problem.definition import Definition, ProblemDefinition
from evomnas.results.archive import Archive
from evomnas.results.evaluation import Cut, Evaluation, NetworkEvaluation, Training
from evomnas.results.records import SearchMode
from evomnas.results.run import Result, Run

SAMPLED_NETWORKS = 26  # the first batch of the default algorithm, and two batches that it chose by what it had learnt
EPOCHS_SHARE = 0.4  # of a training's epochs, rounded up; with fewer, the search of digits asks for dearer networks
BATCH_NETWORKS = 8  # networks that are trained before the next ones are known: a batch of the default algorithm
REPLICATES = 200  # simulated searches
MAX_DRAWN_NETWORKS = 2000  # of a simulated search; longer ones are as many times as long
REPORT_BYTES = 5 * 2**20
QUANTILES = (0.05, 0.5, 0.95)

Seconds = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """The cost of a search on this machine. Times are in seconds; three of them are 5 %, 50 % and 95 % quantiles.

    Attributes:
        networks: How many networks were evaluated for it.
        budget: Networks of the search.
        training: The training of one network, or its trainings with all folds: three quantiles.
        latency: What a network takes beside its training: its latency, preparing included.
        startup: Before the first network: imports, images, calibration.
        seconds: The whole search, by number of workers: three quantiles each.
        memory_gib: The largest memory in GiB of each process, added up over all of them, with what they share counted
            once; 0 if that is not known.
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


@dataclass(frozen=True, slots=True)
class Sample:
    """The times of a short search, in seconds.

    Attributes:
        first: The trainings of its first batch, in their order.
        later: Those of the networks that the algorithm chose afterwards; empty if there were none.
        workers: How many of them went on at the same time.
        alone: What a training takes that goes on alone, relative to one beside others.
        startup: The time before the first network.
        other: What a network takes beside its training.
    """

    first: Seconds
    later: Seconds
    workers: int
    alone: float
    startup: float
    other: float

    def search_seconds(self, budget: int, workers: int) -> tuple[float, ...]:
        """Return quantiles of the length of a search.

        Later trainings are drawn from those of the sample, which is itself one of many that might have been. Each
        worker takes the next training of a batch.

        Args:
            budget: Networks of the search.
            workers: Worker processes.
        """
        factor, rng = self._factor(workers), np.random.default_rng(1)
        rest = max(0, budget - len(self.first))
        pool = self.later if len(self.later) else self.first
        totals = []
        for _ in range(REPLICATES):
            training = seconds_in_turns(self.first[:budget], workers)
            if rest:
                drawn = rng.choice(rng.choice(pool, size=len(pool)), size=min(rest, MAX_DRAWN_NETWORKS))
                batches = np.split(drawn, range(BATCH_NETWORKS, len(drawn), BATCH_NETWORKS))
                training += sum(seconds_in_turns(batch, workers) for batch in batches) * rest / len(drawn)
            totals.append(self.startup + self.other * budget + factor * training)
        return _quantiles(totals)

    def _factor(self, workers: int) -> float:
        """Return what a training takes beside so many others, relative to those of the sample."""
        if workers >= self.workers:  # of more workers than were tried, nothing is known
            return 1.0
        return self.alone + (1 - self.alone) * (workers - 1) / (self.workers - 1)


def estimate(
    definition: Definition,
    budget: int = BUDGET,
    workers: int = 0,
    device: str = "auto",
    on_progress: OnProgress = lambda progress: None,
) -> Estimate:
    """Search for a short time, in an archive of its own, and estimate the cost of a search from that.

    Args:
        definition: The problem.
        budget: Networks of the search.
        workers: Worker processes; 0 works in this process.
        device: `auto`, `cpu` or `cuda`.
        on_progress: Told where the short search stands.

    Returns:
        The estimate.

    Raises:
        InputError: The problem is a table.
        EverythingFailed: None of the networks could be trained.
    """
    problem = definition.trained(f"{definition.name} looks its networks up in a table: a search takes seconds")
    with tempfile.TemporaryDirectory(prefix="evomnas-") as folder:
        short = _search(problem, min(budget, SAMPLED_NETWORKS), workers, device, Path(folder), on_progress)
    sample = short.sample
    counts = sorted({1, sample.workers, usable_cores()})
    return Estimate(
        networks=short.networks,
        budget=budget,
        training=_quantiles(np.concatenate([sample.first, sample.later])),
        latency=sample.other,
        startup=sample.startup,
        seconds={count: sample.search_seconds(budget, count) for count in counts},
        memory_gib=short.memory_gib,
        disk_bytes=short.archive_bytes * budget // short.networks + REPORT_BYTES,
        data=short.data,
    )


class _ShortSearch(NamedTuple):
    """What a short search took: times, networks as a budget counts them, memory and archive; and its images."""

    sample: Sample
    networks: int
    memory_gib: float
    archive_bytes: int
    data: dict[str, Any]


def _search(
    problem: ProblemDefinition, budget: int, workers: int, device: str, folder: Path, on_progress: OnProgress
) -> _ShortSearch:
    """Search a problem with fewer epochs, in a folder whose archive is closed afterwards."""
    short, started = _with_fewer_epochs(problem), time.perf_counter()
    path, factor = folder / "estimate.sqlite", problem.training.epochs / short.training.epochs
    with (
        closing(Archive(path)) as archive,
        open_evaluator(
            short, archive, workers, device, on_phase=lambda phase: on_progress(Progress(phase, 0, budget))
        ) as evaluator,
    ):
        assert isinstance(evaluator, NetworkEvaluator)
        evaluator.training_factor = factor
        run = begin(evaluator, folder / "run", ALGORITHM, 1, budget, {}, SearchMode(early_stop=short.epochs > 1))
        carry_on(run, evaluator, started, on_progress=on_progress)
        results = sorted(run.results(), key=lambda result: result.order)
        alone = _time_alone(evaluator, results) if workers > 1 else 1.0
        sample = _sample(run, results, factor, max(1, workers), alone)
        networks = sum(result.evaluation.ended for result in results)
        return _ShortSearch(sample, networks, peak_memory_gib(), path.stat().st_size, evaluator.describe_data())


def _with_fewer_epochs(problem: ProblemDefinition) -> ProblemDefinition:
    epochs = math.ceil(EPOCHS_SHARE * problem.training.epochs)
    return problem.model_copy(update={"training": problem.training.model_copy(update={"epochs": epochs})})


def _time_alone(evaluator: Evaluator, results: Sequence[Result]) -> float:
    """Return the time of a training that goes on alone, relative to that of the same one beside others."""
    trained = [(result.evaluation.trained.seconds, result) for result in results if result.evaluation.trained]
    if not trained:
        return 1.0
    seconds, median = sorted(trained, key=lambda pair: pair[0])[len(trained) // 2]
    started = time.perf_counter()
    for _ in evaluator.train([median.evaluation.architecture]):
        pass
    return min(1.0, (time.perf_counter() - started) / seconds)  # above 1 only by chance


def _sample(run: Run, results: Sequence[Result], factor: float, workers: int, alone: float) -> Sample:
    """Return the times of a short search, as they would be with all epochs."""
    first, *later = (
        [result.evaluation for result in results if result.generation == number]
        for number in range(1 + max(result.generation for result in results))
    )
    ends = [record.seconds for record in run.archive.generations(run.record.id)]
    training = [seconds_in_turns(_training_seconds(batch), workers) for batch in (first, *later)]
    count = sum(evaluation.ended for batch in later for evaluation in batch)
    if count:
        other = max(0.0, ends[-1] - ends[0] - sum(training[1:])) / count
    else:
        other = run.manifest.seconds.latency / len(first)
    startup = max(0.0, ends[0] - training[0] - other * len(first))
    rest = [_training_seconds(batch, factor) for batch in later]
    return Sample(
        _training_seconds(first, factor), np.concatenate([np.zeros(0), *rest]), workers, alone, startup, other
    )  # fmt: skip


def _training_seconds(evaluations: Sequence[Evaluation], factor: float = 1.0) -> Seconds:
    """Return the seconds of trainings, times a factor where they are complete.

    One that was cut off would have been so after as many epochs of a longer training.
    """
    trainings = [evaluation.training for evaluation in evaluations if isinstance(evaluation, NetworkEvaluation)]
    seconds = [
        one.seconds * (factor if isinstance(one, Training) else 1.0)
        for one in trainings
        if isinstance(one, Training | Cut)
    ]
    return np.array(seconds, dtype=np.float64)


def seconds_in_turns(trainings: Seconds, workers: int) -> float:
    """Return how long the trainings of a batch take if each worker takes the next one.

    Args:
        trainings: The seconds of each, in their order, shape (n,).
        workers: Worker processes.
    """
    free = np.zeros(workers)
    for seconds in trainings:
        free[free.argmin()] += seconds
    return float(free.max())


def _quantiles(values: Sequence[float] | Seconds) -> tuple[float, ...]:
    return tuple(float(value) for value in np.quantile(values, QUANTILES))
