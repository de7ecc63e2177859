"""An executor of worker processes on this machine (pebble)."""

from __future__ import annotations

import concurrent.futures
import importlib
import itertools
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evomnas.core.system.device import choose_device
from evomnas.core.system.memory import limit_memory
from evomnas.core.system.processes import interrupts_blocked, start_context, wait_for_parent
from evomnas.core.system.scratch import Scratch
from evomnas.core.system.time_limit import process_ends_after, read_note
from evomnas.data.images import Dataset
from evomnas.evaluation.executors.base import JobQueue, Patience, R, S, machine_for, share_of_memory
from evomnas.evaluation.executors.jobs import Job
from evomnas.problem.definition import ProblemDefinition
from evomnas.results.candidate_limits import CandidateLimits
from evomnas.results.evaluation import Failure

if TYPE_CHECKING:  # workers import torch while the main process reads the images
    from pebble import ProcessPool

    from evomnas.evaluation.executors.worker import Workbench

_WORKER = "evomnas.evaluation.executors.worker"  # imports torch
_PRELOADED = [_WORKER, "ptflops"]  # ptflops imports what optimizers need, too: seconds that no worker spends again

MAX_TRIES = 2  # of a candidate whose worker was killed, perhaps for no fault of its own


class PoolExecutor:
    """Worker processes that live as long as the search; see `Executor`.

    They start at once where they can be forked (`evomnas.core.system.processes.start_context`). They read the images
    from memory-mapped files when the first job comes, so that all of them share one copy.
    """

    def __init__(
        self,
        definition: ProblemDefinition,
        workers: int,
        device: str = "auto",
        limits: CandidateLimits = CandidateLimits(),
    ) -> None:
        """Start the server, which imports while this process reads the images.

        Args:
            definition: The problem.
            workers: How many processes, at least 1.
            device: `auto`, `cpu` or `cuda`.
            limits: What a candidate may take.

        Raises:
            InputError: There is no such device.
        """
        self._scratch = Scratch()
        self._folder = self._scratch.path
        self._pool: ProcessPool | None = None
        self._workers, self._patience = workers, Patience(limits)
        self.device = choose_device(device)
        memory = limits.memory_gib
        if memory is None and self.device == "cpu":
            memory = share_of_memory(workers)
        self._arguments = (definition.model_dump(mode="json"), str(self._folder), self.device, memory)
        self._notes = (self._folder / f"late-{number}" for number in itertools.count())
        self._context = start_context(_PRELOADED)

    def load(self, dataset: Dataset) -> None:
        """Give the workers the images, and wait until the first of them has started; see `Executor.load`.

        Raises:
            OSError: There is no room for the images.
        """
        import pebble

        try:
            for name, value in asdict(dataset).items():
                np.save(self._folder / f"{name}.npy", np.asarray(value))
        except OSError as error:  # numpy does not say where there was no room
            raise OSError(f"no room for the workers' images in {self._folder.parent}: {error}") from None
        self._pool = pebble.ProcessPool(
            self._workers, initializer=_start_worker, initargs=self._arguments, context=self._context
        )
        with interrupts_blocked():
            first = self._pool.schedule(_do_nothing)
        first.result()

    def run(self, jobs: Iterable[Job[S, R] | None], on_wait: Callable[[], None]) -> Iterator[tuple[S, R | Failure]]:
        """See `Executor.run`.

        Raises:
            RuntimeError: `load` was not called before.
        """
        if self._pool is None:
            raise RuntimeError("run was called before load")
        queue = JobQueue(jobs)
        running: dict[concurrent.futures.Future[tuple[float, R | Failure]], tuple[Job[S, R], int, Path]] = {}
        while True:
            while len(running) <= self._workers and (drawn := queue.draw()):  # one more than work: nobody waits
                job, tries = drawn
                note = next(self._notes)
                arguments = job, self._patience.seconds(job.kind), note.name
                running[self._pool.schedule(_work, args=arguments)] = job, tries, note
            if not running:
                return
            done, _ = concurrent.futures.wait(running, timeout=0.2, return_when=concurrent.futures.FIRST_COMPLETED)
            on_wait()
            for future in done:
                job, tries, note = running.pop(future)
                outcome = self._outcome(job, future, note)
                if not isinstance(outcome, Failure):
                    yield job.subject, outcome
                elif outcome.kind == "killed" and tries < MAX_TRIES:
                    queue.retry(job, tries + 1)
                else:
                    yield job.subject, replace(outcome, tries=tries)

    def _outcome(
        self, job: Job[S, R], future: concurrent.futures.Future[tuple[float, R | Failure]], note: Path
    ) -> R | Failure:
        from pebble import ProcessExpired

        try:
            seconds, outcome = future.result()
        except ProcessExpired as error:
            if (trace := read_note(note)) is not None:
                return self._patience.failure(trace)
            return Failure("killed", f"the worker process ended with exit code {error.exitcode} while it was at work")
        self._patience.learn(job.kind, seconds)
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
    importlib.import_module(_WORKER)  # torch takes seconds: now, not with the first candidate


def _end_with_parent() -> None:
    wait_for_parent()
    shutil.rmtree(_files, ignore_errors=True)  # nobody else is left to do it
    os._exit(1)


def _do_nothing() -> None:
    pass


def _work(job: Job[S, R], patience: float | None, note: str) -> tuple[float, R | Failure]:
    """Return how long a job took, and its outcome; the process ends itself where it takes more than `patience`."""
    global _bench
    if _bench is None:
        from evomnas.evaluation.executors.worker import Workbench

        arrays = {path.stem: np.load(path, mmap_mode="c") for path in _files.glob("*.npy")}
        arrays["classes"] = tuple(map(str, arrays["classes"]))
        _bench = Workbench(_definition, Dataset(**arrays), _device)
    with machine_for(job):
        started = time.perf_counter()
        with process_ends_after(patience, _files / note):
            outcome = _bench.attempt(job)
        return time.perf_counter() - started, outcome
