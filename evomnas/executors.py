"""Where candidates are prepared and trained: in this process, or in worker processes (pebble).

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
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from multiprocessing import connection, forkserver, resource_tracker
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

from evomnas.data import Dataset
from evomnas.definition import ProblemDefinition
from evomnas.device import choose_device
from evomnas.evaluation import Failure
from evomnas.machine import usable_cores

if TYPE_CHECKING:  # workers import torch while the main process reads the images
    from pebble import ProcessPool

    from evomnas.workbench import Workbench

_START_METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
Outcome = Any  # what the job of `Workbench` returns, or a Failure
Item = TypeVar("Item")
Jobs = Iterator[tuple[Item, Outcome]]


class Executor(Protocol):
    """Prepares and trains candidates; `load` comes first, `close` last."""

    def load(self, dataset: Dataset) -> None:
        """Give it the images."""
        ...

    def run(self, job: str, items: Iterable[Item], on_wait: Callable[[], None]) -> Jobs[Item]:
        """Do a job of `Workbench.attempt` for each; yields results as they end, in any order."""
        ...

    def close(self) -> None:
        """Give up what is running and free everything."""
        ...


class InProcessExecutor:
    """One candidate after another, here."""

    def __init__(self, definition: ProblemDefinition, device: str = "auto") -> None:
        self._definition, self._device = definition, device

    def load(self, dataset: Dataset) -> None:
        """Give it the images."""
        from evomnas.workbench import Workbench

        self._bench = Workbench(self._definition, dataset, self._device)

    def run(self, job: str, items: Iterable[Item], on_wait: Callable[[], None]) -> Jobs[Item]:
        """Do a job for each, in order."""
        for item in items:
            on_wait()
            yield item, self._bench.attempt(job, item)

    def close(self) -> None:
        """Nothing to free."""


class PoolExecutor:
    """Worker processes that live as long as the search.

    They are forked from a server that has imported torch once, start at once, and read the images from
    memory-mapped files when the first job comes, so that all of them share one copy.
    """

    def __init__(self, definition: ProblemDefinition, workers: int, device: str = "auto") -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="evomnas-"))
        self._pool: ProcessPool | None = None
        self._workers = workers
        self._arguments = (definition.model_dump(mode="json"), str(self._folder), device)
        self._context = multiprocessing.get_context(_START_METHOD)
        if _START_METHOD == "forkserver":  # it imports while this process reads the images
            self._context.set_forkserver_preload(["evomnas.workbench"])
            with _interrupts_blocked():
                forkserver.ensure_running()

    def load(self, dataset: Dataset) -> None:
        """Give the workers the images, and wait until the first of them has started."""
        import pebble

        for name, value in asdict(dataset).items():
            np.save(self._folder / f"{name}.npy", np.asarray(value))
        self._pool = pebble.ProcessPool(
            self._workers, initializer=_start_worker, initargs=self._arguments, context=self._context
        )
        with _interrupts_blocked():
            started = self._pool.schedule(_nothing)
        started.result()

    def run(self, job: str, items: Iterable[Item], on_wait: Callable[[], None]) -> Jobs[Item]:
        """Do a job for each; yields results as they end."""
        if self._pool is None:
            raise RuntimeError("run was called before load")
        waiting: dict[concurrent.futures.Future[Outcome], Item] = {
            self._pool.schedule(_work, args=(job, item)): item for item in items
        }
        while waiting:
            done, _ = concurrent.futures.wait(waiting, timeout=0.2, return_when=concurrent.futures.FIRST_COMPLETED)
            on_wait()
            for future in done:
                yield waiting.pop(future), _outcome(future)

    def _wait_for_workers(self) -> None:
        """Let all workers start, for some seconds: one that is stopped in the middle of it complains."""
        end = time.monotonic() + 5.0
        while len(list(self._folder.glob("worker-*"))) < self._workers and time.monotonic() < end:
            time.sleep(0.05)

    def close(self) -> None:
        """Give up what is running, end the workers and remove their files."""
        if self._pool is not None:
            self._wait_for_workers()
            self._pool.stop()  # type: ignore[no-untyped-call]
            self._pool.join()
        shutil.rmtree(self._folder, ignore_errors=True)


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


def default_workers(device: str = "auto") -> int:
    """As many worker processes as cores; one where a GPU trains."""
    return usable_cores() if choose_device(device) == "cpu" else 1


def make_executor(definition: ProblemDefinition, workers: int, device: str = "auto") -> Executor:
    """Worker processes, or this process where `workers` is 0."""
    return PoolExecutor(definition, workers, device) if workers else InProcessExecutor(definition, device)


def _outcome(future: concurrent.futures.Future[Outcome]) -> Outcome:
    from pebble import ProcessExpired

    try:
        return future.result()
    except ProcessExpired as error:
        return Failure("killed", f"the worker process ended with exit code {error.exitcode} while it was at work")


# --- in the worker ---------------------------------------------------------------------------------------

_definition: ProblemDefinition
_files: Path
_device: str
_bench: Workbench | None = None


def _start_worker(definition: dict[str, Any], folder: str, device: str) -> None:
    global _definition, _files, _device
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _definition, _files, _device = ProblemDefinition.model_validate(definition), Path(folder), device
    (_files / f"worker-{os.getpid()}").touch()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    importlib.import_module("evomnas.workbench")  # torch takes seconds: now, not with the first candidate


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        shutil.rmtree(_files, ignore_errors=True)  # nobody else is left to do it
        os._exit(1)


def _nothing() -> None:
    pass


def _work(job: str, item: Any) -> Outcome:
    global _bench
    if _bench is None:
        from evomnas.workbench import Workbench

        arrays = {path.stem: np.load(path, mmap_mode="c") for path in _files.glob("*.npy")}
        arrays["classes"] = tuple(map(str, arrays["classes"]))
        _bench = Workbench(_definition, Dataset(**arrays), _device)
    return _bench.attempt(job, item)
