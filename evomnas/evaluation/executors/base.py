"""What an executor is, and what a candidate may take."""

from __future__ import annotations

import json
import resource
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from evomnas.core import lock
from evomnas.core.errors import InputError
from evomnas.core.machine import memory_gib
from evomnas.data.images import Dataset
from evomnas.results.evaluation import Failure

Outcome = Any  # what the job of `Workbench` returns, or a Failure


Item = TypeVar("Item")


Jobs = Iterator[tuple[Item, Outcome]]


LEAST_MEMORY_GIB = 1.5  # what a worker needs to import everything, and some more


MOST_MEMORY_GIB = 2**20


MOST_SECONDS = 3.6e7  # ten thousand hours: a limit beyond it means nothing


PATIENCE, LEAST_PATIENCE_S = 10.0, 60.0  # a candidate may take so many times as long as the longest one before it


@dataclass(frozen=True, slots=True)
class CandidateLimits:
    """What one candidate may take in a worker process; beyond it the candidate has failed.

    Attributes:
        seconds: Of time; without it `PATIENCE` times what the longest one before took, once there is one.
        memory_gib: Of memory; without it, and without a GPU, an even share of the machine's.
    """

    seconds: float | None = None
    memory_gib: float | None = None

    def __post_init__(self) -> None:
        if self.seconds is not None and not 0 < self.seconds <= MOST_SECONDS:
            raise InputError(
                f"a candidate's time must be positive and at most {MOST_SECONDS / 3600:g}h: for example 10m"
            )
        if self.memory_gib is not None and not LEAST_MEMORY_GIB <= self.memory_gib < MOST_MEMORY_GIB:
            raise InputError(
                f"a candidate's memory must be at least {LEAST_MEMORY_GIB:g} GiB, most of which a worker process takes "
                f"by itself, and below {MOST_MEMORY_GIB:,} GiB, got {self.memory_gib:g}"
            )

    def to_json(self) -> str:
        """As the archive keeps it; `from_json` is its inverse."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> CandidateLimits:
        """The limits that `to_json` wrote."""
        return cls(**json.loads(text))


@dataclass(frozen=True, slots=True)
class Cluster:
    """A Ray cluster that trains the candidates, in place of processes of this machine.

    Attributes:
        address: Its head, `host:port`, or `auto` for the one that this machine belongs to; without it that of
            `RAY_ADDRESS`, or else one is started here.
        cpus: CPUs that Ray sets aside for a candidate; a training uses one.
        gpus: GPUs, or a share of one; 0 trains on the CPU.
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


Workers = int | Cluster


@dataclass
class Patience:
    """When a candidate's job counts as hanging: by its limits, or by the longest one before it."""

    limits: CandidateLimits
    longest: dict[str, float] = field(default_factory=dict)  # seconds, by job

    def seconds(self, job: str) -> float | None:
        """After how many seconds a job is given up; None where that cannot be said yet."""
        if self.limits.seconds is not None or job not in self.longest:
            return self.limits.seconds
        return max(LEAST_PATIENCE_S, PATIENCE * self.longest[job])

    def learn(self, job: str, seconds: float) -> None:
        """Note how long one took."""
        self.longest[job] = max(seconds, self.longest.get(job, 0.0))

    def failure(self) -> Failure:
        """Of a candidate that was given up."""
        limit = self.limits.seconds
        why = f"{PATIENCE:g} times as long as any before it" if limit is None else f"more than {limit:g} s"
        return Failure("time-out", f"given up: it took {why}")


class Executor(Protocol):
    """Prepares and trains candidates; `load` comes first, `close` last."""

    @property
    def device(self) -> str:
        """What trains: `cpu` or `cuda`."""
        ...

    def load(self, dataset: Dataset) -> None:
        """Give it the images."""
        ...

    def run(self, job: str, items: Iterable[Item | None], on_wait: Callable[[], None]) -> Jobs[Item]:
        """Do a job of `Workbench.attempt` for each; yields results as they end, in any order.

        Items are drawn one by one, when there is room for another; None stands for none before the next has ended.
        """
        ...

    def close(self) -> None:
        """Give up what is running and free everything."""
        ...


class Source(Generic[Item]):
    """Items that are drawn when there is room for them, and those that are to be tried again."""

    def __init__(self, items: Iterable[Item | None]) -> None:
        self._items, self._again = iter(items), deque[tuple[Item, int]]()

    def draw(self) -> tuple[Item, int] | None:
        """The next item and which try it is; None where there is none, or none before another has ended."""
        if self._again:
            return self._again.popleft()
        item = next(self._items, None)
        return None if item is None else (item, 1)

    def again(self, item: Item, tries: int) -> None:
        """Let an item be drawn once more."""
        self._again.append((item, tries))


@contextmanager
def room_for(job: str) -> Iterator[None]:
    """Nothing is trained while a latency is taken; the wait is no part of a candidate's time."""
    with lock.training() if job == "train" else nullcontext():
        yield


def share_of_memory(workers: float) -> float | None:
    """GiB for one of so many workers of this machine; None where the system does not tell."""
    return max(LEAST_MEMORY_GIB, memory_gib() / workers) if memory_gib() else None


def limit_memory(gib: float | None) -> None:
    """Give this process so much; what it writes to, not what it maps: libraries map far more than they use."""
    if gib is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (int(gib * 2**30), resource.RLIM_INFINITY))
