"""Where candidates are prepared and trained: in this process, in worker processes (pebble), or on a cluster.

Both give the same results, whatever their number of workers: a training uses one thread and is a function
of problem and architecture.
"""

from __future__ import annotations

import concurrent.futures
import importlib
import multiprocessing
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from multiprocessing import connection, forkserver, resource_tracker
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evomnas.core.device import choose_device
from evomnas.core.scratch import Scratch
from evomnas.data.images import Dataset
from evomnas.evaluation.executors.base import (
    CandidateLimits,
    Item,
    Jobs,
    Outcome,
    Patience,
    Source,
    limit_memory,
    room_for,
    share_of_memory,
)
from evomnas.problem.definition import ProblemDefinition
from evomnas.results.evaluation import Failure

if TYPE_CHECKING:  # workers import torch while the main process reads the images
    from pebble import ProcessPool

    from evomnas.evaluation.executors.worker import Workbench

_START_METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"


TRIES = 2  # of a candidate whose worker was killed, perhaps for no fault of its own


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
            self._context.set_forkserver_preload(["evomnas.evaluation.executors.worker"])
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
    importlib.import_module(
        "evomnas.evaluation.executors.worker"
    )  # torch takes seconds: now, not with the first candidate


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
        from evomnas.evaluation.executors.worker import Workbench

        arrays = {path.stem: np.load(path, mmap_mode="c") for path in _files.glob("*.npy")}
        arrays["classes"] = tuple(map(str, arrays["classes"]))
        _bench = Workbench(_definition, Dataset(**arrays), _device)
    with room_for(job):
        started = time.perf_counter()
        signal.setitimer(signal.ITIMER_REAL, patience or 0.0)  # its signal ends a process in native code as well
        outcome = _bench.attempt(job, item)
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        return time.perf_counter() - started, outcome
