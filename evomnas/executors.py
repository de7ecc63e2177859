"""Where candidates are prepared and trained: in this process, in worker processes (pebble), or on a cluster.

Both give the same results, whatever their number of workers: a training uses one thread and is a function
of problem and architecture.
"""

from __future__ import annotations

import concurrent.futures
import importlib
import json
import multiprocessing
import os
import resource
import shutil
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from multiprocessing import connection, forkserver, resource_tracker
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import numpy as np

from evomnas.core import lock
from evomnas.core.device import choose_device
from evomnas.core.errors import InputError
from evomnas.core.machine import memory_gib, usable_cores
from evomnas.core.scratch import Scratch
from evomnas.data.datasets import Dataset
from evomnas.problem.definition import ProblemDefinition
from evomnas.results.evaluation import Failure

if TYPE_CHECKING:  # workers import torch while the main process reads the images
    from pebble import ProcessPool

    from evomnas.workbench import Workbench

_START_METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
Outcome = Any  # what the job of `Workbench` returns, or a Failure
Item = TypeVar("Item")
Jobs = Iterator[tuple[Item, Outcome]]


TRIES = 2  # of a candidate whose worker was killed, perhaps for no fault of its own
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


class InProcessExecutor:
    """One candidate after another, here."""

    def __init__(self, definition: ProblemDefinition, device: str = "auto") -> None:
        self._definition, self.device = definition, choose_device(device)

    def load(self, dataset: Dataset) -> None:
        """Give it the images."""
        from evomnas.workbench import Workbench

        self._bench = Workbench(self._definition, dataset, self.device)

    def run(self, job: str, items: Iterable[Item | None], on_wait: Callable[[], None]) -> Jobs[Item]:
        """Do a job for each, in order."""
        for item in items:
            on_wait()
            assert item is not None  # whatever was drawn before has ended
            with room_for(job):
                outcome = self._bench.attempt(job, item)
            yield item, outcome

    def close(self) -> None:
        """Nothing to free."""


class PoolExecutor:
    """Worker processes that live as long as the search.

    They are forked from a server that has imported torch once, start at once, and read the images from
    memory-mapped files when the first job comes, so that all of them share one copy.
    """

    def __init__(
        self,
        definition: ProblemDefinition,
        workers: int,
        device: str = "auto",
        limits: CandidateLimits = CandidateLimits(),
    ) -> None:
        self._scratch = Scratch()
        self._folder = self._scratch.path
        self._pool: ProcessPool | None = None
        self._workers, self._patience = workers, Patience(limits)
        self.device = choose_device(device)
        memory = limits.memory_gib
        if memory is None and self.device == "cpu":
            memory = share_of_memory(workers)
        self._arguments = (definition.model_dump(mode="json"), str(self._folder), self.device, memory)
        self._context = multiprocessing.get_context(_START_METHOD)
        if _START_METHOD == "forkserver":  # it imports while this process reads the images
            self._context.set_forkserver_preload(["evomnas.workbench"])
            with _interrupts_blocked():
                forkserver.ensure_running()

    def load(self, dataset: Dataset) -> None:
        """Give the workers the images, and wait until the first of them has started."""
        import pebble

        try:
            for name, value in asdict(dataset).items():
                np.save(self._folder / f"{name}.npy", np.asarray(value))
        except OSError as error:  # numpy does not say where there was no room
            raise OSError(f"no room for the workers' images in {self._folder.parent}: {error}") from None
        self._pool = pebble.ProcessPool(
            self._workers, initializer=_start_worker, initargs=self._arguments, context=self._context
        )
        with _interrupts_blocked():
            started = self._pool.schedule(_nothing)
        started.result()

    def run(self, job: str, items: Iterable[Item | None], on_wait: Callable[[], None]) -> Jobs[Item]:
        """Do a job for each; yields results as they end."""
        if self._pool is None:
            raise RuntimeError("run was called before load")
        source = Source(items)
        running: dict[concurrent.futures.Future[Outcome], tuple[Item, int]] = {}
        while True:
            while len(running) <= self._workers and (drawn := source.draw()):  # one more than work: nobody waits
                item, tries = drawn
                running[self._pool.schedule(_work, args=(job, item, self._patience.seconds(job)))] = item, tries
            if not running:
                return
            done, _ = concurrent.futures.wait(running, timeout=0.2, return_when=concurrent.futures.FIRST_COMPLETED)
            on_wait()
            for future in done:
                item, tries = running.pop(future)
                outcome = self._outcome(job, future)
                if not isinstance(outcome, Failure):
                    yield item, outcome
                elif outcome.kind == "killed" and tries < TRIES:
                    source.again(item, tries + 1)
                else:
                    yield item, replace(outcome, tries=tries)

    def _outcome(self, job: str, future: concurrent.futures.Future[Any]) -> Outcome:
        from pebble import ProcessExpired

        try:
            seconds, outcome = future.result()
        except ProcessExpired as error:
            if error.exitcode == -signal.SIGALRM:
                return self._patience.failure()
            return Failure("killed", f"the worker process ended with exit code {error.exitcode} while it was at work")
        self._patience.learn(job, seconds)
        return outcome

    def _wait_for_workers(self) -> None:
        """Let all workers start, for some seconds: one that is stopped in the middle of it complains."""
        end = time.monotonic() + 15.0
        while len(list(self._folder.glob("worker-*"))) < self._workers and time.monotonic() < end:
            time.sleep(0.05)

    def close(self) -> None:
        """Give up what is running, end the workers and remove their files."""
        if self._pool is not None:
            self._wait_for_workers()
            self._pool.stop()  # type: ignore[no-untyped-call]
            self._pool.join()
        self._scratch.remove()


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Threads and processes that are started here inherit that SIGINT is blocked.

    Ctrl-C goes to the whole process group, but the main process alone decides what it means. The pool's
    threads start workers later on, too: they inherit it as well.
    """
    resource_tracker.ensure_running()  # it would unblock the signal
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


@contextmanager
def room_for(job: str) -> Iterator[None]:
    """Nothing is trained while a latency is taken; the wait is no part of a candidate's time."""
    with lock.training() if job == "train" else nullcontext():
        yield


def default_workers(device: str = "auto") -> int:
    """As many worker processes as cores; one where a GPU trains."""
    return usable_cores() if choose_device(device) == "cpu" else 1


def share_of_memory(workers: float) -> float | None:
    """GiB for one of so many workers of this machine; None where the system does not tell."""
    return max(LEAST_MEMORY_GIB, memory_gib() / workers) if memory_gib() else None


def make_executor(
    definition: ProblemDefinition,
    workers: Workers,
    device: str = "auto",
    limits: CandidateLimits = CandidateLimits(),
) -> Executor:
    """A cluster, worker processes, or this process where `workers` is 0; it has no limits."""
    if isinstance(workers, Cluster):
        from evomnas.cluster import RayExecutor

        return RayExecutor(definition, workers, limits)
    return PoolExecutor(definition, workers, device, limits) if workers else InProcessExecutor(definition, device)


# --- in the worker ---------------------------------------------------------------------------------------

_definition: ProblemDefinition
_files: Path
_device: str
_bench: Workbench | None = None


def _start_worker(definition: dict[str, Any], folder: str, device: str, memory: float | None) -> None:
    global _definition, _files, _device
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    limit_memory(memory)
    _definition, _files, _device = ProblemDefinition.model_validate(definition), Path(folder), device
    (_files / f"worker-{os.getpid()}").touch()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    importlib.import_module("evomnas.workbench")  # torch takes seconds: now, not with the first candidate


def limit_memory(gib: float | None) -> None:
    """Give this process so much; what it writes to, not what it maps: libraries map far more than they use."""
    if gib is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (int(gib * 2**30), resource.RLIM_INFINITY))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        shutil.rmtree(_files, ignore_errors=True)  # nobody else is left to do it
        os._exit(1)


def _nothing() -> None:
    pass


def _work(job: str, item: Any, patience: float | None) -> tuple[float, Outcome]:
    """How long a job took, and what came of it; the process ends itself where it takes more than `patience`."""
    global _bench
    if _bench is None:
        from evomnas.workbench import Workbench

        arrays = {path.stem: np.load(path, mmap_mode="c") for path in _files.glob("*.npy")}
        arrays["classes"] = tuple(map(str, arrays["classes"]))
        _bench = Workbench(_definition, Dataset(**arrays), _device)
    with room_for(job):
        started = time.perf_counter()
        signal.setitimer(signal.ITIMER_REAL, patience or 0.0)  # its signal ends a process in native code as well
        outcome = _bench.attempt(job, item)
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        return time.perf_counter() - started, outcome
