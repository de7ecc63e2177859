"""The interface of an executor, and what its kinds share."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from evomnas.core.arguments import checked_fields
from evomnas.core.errors import InputError
from evomnas.core.system import lock
from evomnas.core.system.machine import memory_gib
from evomnas.data.images import Dataset
from evomnas.evaluation.executors.jobs import Job, Logits, TeachingJob
from evomnas.problem.pretrained.files import DonorFile
from evomnas.results.candidate_limits import MIN_MEMORY_GIB, CandidateLimits
from evomnas.results.evaluation import Failure

SHARED_GIB = 1.0  # of memory that the search and the imports of its workers take, which they share
WORKER_GIB = 0.5  # that a worker needs at least beside that
MAX_FACTOR, MIN_PATIENCE_S = 10.0, 60.0  # a job may take so many times as long as the longest one of its kind before it

S = TypeVar("S")
R = TypeVar("R")


@checked_fields
@dataclass(frozen=True, slots=True)
class Cluster:
    """A Ray cluster that trains the candidates, in place of processes of this machine.

    Attributes:
        address: Its head, `host:port`, or `auto` for the cluster that this machine belongs to. None: the one that
            `RAY_ADDRESS` names, or else a new one on this machine.
        cpus: CPUs that Ray sets aside for a candidate; a training uses one.
        gpus: GPUs for a candidate, or a share of one; 0 trains on the CPU.

    Raises:
        InputError: A value is out of range.
    """

    address: str | None = None
    cpus: float = 1.0
    gpus: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.cpus <= 4096 or not 0 <= self.gpus <= 4096 or (self.gpus > 1 and self.gpus % 1):
            raise InputError(
                "a candidate has more than 0 CPUs, and a share of a GPU or whole ones, at most 4096 of either, not "
                f"{self.cpus:g} CPUs and {self.gpus:g} GPUs: for example --candidate-cpus 1 --candidate-gpus 0.5"
            )


Workers = int | Cluster  # processes of this machine (0: this process alone), or a cluster


@dataclass
class Patience:
    """Says when a job counts as hanging: by the limits of a candidate, or by the longest job of its kind before it.

    Attributes:
        limits: What a candidate may take.
        longest: Seconds that the longest job took, by kind.
    """

    limits: CandidateLimits
    longest: dict[str, float] = field(default_factory=dict)

    def seconds(self, kind: str) -> float | None:
        """Return after how many seconds a job is given up; None where that cannot be said yet.

        Args:
            kind: The job's kind.
        """
        if kind == TeachingJob.kind:
            return None  # it is no candidate's
        if self.limits.seconds is not None or kind not in self.longest:
            return self.limits.seconds
        return max(MIN_PATIENCE_S, MAX_FACTOR * self.longest[kind])

    def learn(self, kind: str, seconds: float) -> None:
        """Note how long a job took.

        Args:
            kind: The job's kind.
            seconds: How long it took.
        """
        self.longest[kind] = max(seconds, self.longest.get(kind, 0.0))

    def failure(self, trace: str = "") -> Failure:
        """Return the failure of a candidate that was given up.

        Args:
            trace: Where it was at that time, as a traceback; empty if that is not known.
        """
        limit = self.limits.seconds
        why = f"{MAX_FACTOR:g} times as long as any before it" if limit is None else f"more than {limit:g} s"
        return Failure("time-out", f"given up: it took {why}", trace)


class Executor(Protocol):
    """Does jobs with candidates; `load` comes first, `close` last.

    All executors give the same results, whatever their number of workers: a training uses one thread, and is a function
    of problem and architecture.
    """

    @property
    def device(self) -> str:
        """What trains: `cpu` or `cuda`."""
        ...

    def load(self, dataset: Dataset, donor: DonorFile | None = None) -> None:
        """Give it the images and the donor's weights.

        Args:
            dataset: The images of the problem.
            donor: The file of the pretrained weights that candidates inherit; None for random ones.
        """
        ...

    def teach(self, lessons: Sequence[Logits]) -> None:
        """Give it the answers of a teacher, which are part of the loss of all later trainings.

        Args:
            lessons: The logits for the training images of each training, shape (n, classes) each.
        """
        ...

    def run(self, jobs: Iterable[Job[S, R] | None], on_wait: Callable[[], None]) -> Iterator[tuple[S, R | Failure]]:
        """Do jobs, several at a time.

        Args:
            jobs: They are drawn one by one, when there is room for another. None stands for no job before the next one
                under way has ended.
            on_wait: Called several times a second.

        Yields:
            The subject of a job and its result, or why it failed, as each ends, in any order.
        """
        ...

    def close(self) -> None:
        """Give up what is under way, and free everything."""
        ...


class JobQueue(Generic[S, R]):
    """Jobs that are drawn when there is room for them, and those that are to be tried again."""

    def __init__(self, jobs: Iterable[Job[S, R] | None]) -> None:
        """Draw from `jobs`; see `Executor.run`."""
        self._jobs, self._retries = iter(jobs), deque[tuple[Job[S, R], int]]()

    def draw(self) -> tuple[Job[S, R], int] | None:
        """Return the next job and which try it is, from 1; None where there is none before another one has ended."""
        if self._retries:
            return self._retries.popleft()
        job = next(self._jobs, None)
        return None if job is None else (job, 1)

    def retry(self, job: Job[S, R], tries: int) -> None:
        """Let a job be drawn once more.

        Args:
            job: The job.
            tries: Which try it will be.
        """
        self._retries.append((job, tries))


def machine_for(job: Job[Any, Any]) -> AbstractContextManager[None]:
    """Return a block within which a job may use the machine: nothing is trained while a latency is taken.

    Args:
        job: What is about to be done; the wait is no part of its time.
    """
    return lock.training() if job.trains else nullcontext()


def share_of_memory(workers: float) -> float | None:
    """Return the memory in GiB for one of several workers of this machine; None where the system does not tell.

    Args:
        workers: How many share it.
    """
    return max(MIN_MEMORY_GIB, memory_gib() / workers) if memory_gib() else None
