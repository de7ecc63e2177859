"""An executor of worker processes on this machine."""

from __future__ import annotations

import concurrent.futures
import hashlib
import importlib
import itertools
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from evomnas.core.errors import WorkersLost
from evomnas.core.system.device import choose_device
from evomnas.core.system.machine import free_memory_gib
from evomnas.core.system.memory import limit_growth, limit_memory, prefer_to_be_killed
from evomnas.core.system.processes import check_open_files, start_context, wait_for_parent
from evomnas.core.system.scratch import Scratch
from evomnas.core.system.time_limit import process_ends_after, read_note
from evomnas.data.images import Dataset
from evomnas.evaluation.executors.base import WORKER_GIB, JobQueue, Patience, R, S, machine_for
from evomnas.evaluation.executors.crew import Crew, WorkerDied
from evomnas.evaluation.executors.deaths import Inquest
from evomnas.evaluation.executors.image_files import open_images, open_lessons, save_images, save_lessons
from evomnas.evaluation.executors.jobs import HeirJob, Job, Logits, TrainingJob
from evomnas.problem.definition import ProblemDefinition
from evomnas.problem.loading import validate_definition
from evomnas.problem.pretrained.files import DonorFile
from evomnas.results.candidate_limits import CandidateLimits
from evomnas.results.evaluation import Failure

if TYPE_CHECKING:  # workers import torch while the main process reads the images
    from evomnas.evaluation.executors.worker import Workbench

DONOR_FILE = "donor.weights"  # in the folder of the images
_SERVER = "evomnas.evaluation.executors.server"

MAX_TRIES = 2  # of a candidate whose worker was killed, perhaps for no fault of its own


class _Attempt(NamedTuple):
    job: Job[Any, Any]
    tries: int
    note: Path  # is written if it takes too long


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
            OSError: There is no temporary folder, or this process may have too few files open.
        """
        check_open_files(workers)
        self._scratch = Scratch()
        self._folder = self._scratch.path
        self._crew: Crew | None = None
        self._workers, self._patience = workers, Patience(limits)
        self.device = choose_device(device)
        self._limits = limits
        self._growth: float | None = None  # GiB that a worker may take beside what it has at first
        self._inquest = Inquest()
        self._arguments = (definition.model_dump(mode="json"), str(self._folder), self.device, limits.memory_gib)
        self._notes = (self._folder / f"late-{number}" for number in itertools.count())
        self._context = start_context([_SERVER])

    def load(self, dataset: Dataset, donor: DonorFile | None = None) -> None:
        """Give the workers the images and the donor's weights, and wait until one has started; see `Executor.load`.

        Raises:
            OSError: There is no room for the images in the temporary folder.
            WorkersLost: No worker can be started.
        """
        try:
            save_images(dataset, self._folder)
            if donor is not None:
                (self._folder / DONOR_FILE).write_bytes(donor.content)
        except OSError as error:  # neither numpy nor the system says where it was
            raise OSError(error.errno, error.strerror, str(self._folder)) from None
        self._crew = Crew(self._workers, self._context, _start_worker, self._arguments)
        try:
            self._crew.ready.result()
        except WorkersLost as error:
            raise self._explained(error) from None
        free = free_memory_gib()  # now that this process, the server and the images have taken theirs
        if free is not None and self._limits.memory_gib is None and self.device == "cpu":
            self._growth = max(WORKER_GIB, free / self._workers)

    def teach(self, lessons: Sequence[Logits]) -> None:
        """Give the workers the answers of a teacher in files; see `Executor.teach`.

        Raises:
            OSError: There is no room for them in the temporary folder.
        """
        save_lessons(lessons, self._folder)

    def run(self, jobs: Iterable[Job[S, R] | None], on_wait: Callable[[], None]) -> Iterator[tuple[S, R | Failure]]:
        """See `Executor.run`.

        Raises:
            RuntimeError: `load` was not called before.
            WorkersLost: All workers were lost, again and again, or no others can be started.
        """
        if self._crew is None:
            raise RuntimeError("run was called before load")
        queue = JobQueue(jobs)
        running: dict[concurrent.futures.Future[Any], _Attempt] = {}
        while True:
            while len(running) <= self._workers and (drawn := queue.draw()):  # one more than work: nobody waits
                attempt = _Attempt(*drawn, next(self._notes))
                patience = self._patience.seconds(attempt.job.kind)
                call = self._crew.submit(_work, attempt.job, patience, attempt.note.name, self._growth)
                running[call] = attempt
            if not running:
                return
            ended, _ = concurrent.futures.wait(running, timeout=0.2, return_when=concurrent.futures.FIRST_COMPLETED)
            on_wait()
            verdict = self._inquest.hold(ended, running)
            for call in verdict.ended:
                attempt = running.pop(call)
                if call in verdict.innocent:
                    queue.retry(attempt.job, attempt.tries)
                    continue
                outcome = self._outcome(attempt, call, verdict.memory_was_short)
                if not isinstance(outcome, Failure):
                    yield attempt.job.subject, outcome
                elif call.exception() is not None and outcome.kind != "time-out" and attempt.tries < MAX_TRIES:
                    queue.retry(attempt.job, attempt.tries + 1)
                else:
                    yield attempt.job.subject, replace(outcome, tries=attempt.tries)

    def _outcome(self, attempt: _Attempt, call: concurrent.futures.Future[Any], memory_was_short: bool) -> Any:
        """Return the result of a call, or its failure."""
        try:
            seconds, outcome = call.result()
        except WorkersLost as error:
            raise self._explained(error) from None
        except WorkerDied as death:
            if (trace := read_note(attempt.note)) is not None:
                return self._patience.failure(trace)
            if memory_was_short:
                return Failure("out-of-memory", f"the system killed its worker, since memory was short{self._shares()}")
            return Failure("killed", f"the worker process {death} while it was at work")
        self._patience.learn(attempt.job.kind, seconds)
        if isinstance(outcome, Failure) and outcome.kind == "out-of-memory":
            return replace(outcome, message=f"out of memory{self._shares()}: {outcome.message}")
        return outcome

    def _shares(self) -> str:
        """Return the words for what a worker may take."""
        gib = self._limits.memory_gib or self._growth
        return (
            "" if gib is None else f" ({self._workers} worker{'s' * (self._workers > 1)} may take {gib:.1f} GiB each)"
        )

    def _explained(self, error: WorkersLost) -> WorkersLost:
        """Return an error with what may help."""
        is_short = self._inquest.memory_was_short()
        return WorkersLost(f"{error}; memory was short: fewer --workers need less") if is_short else error

    def close(self) -> None:
        """Give up what is running, end the workers and remove their files."""
        if self._crew is not None:
            self._crew.close()
        self._scratch.remove()


# --- in the worker ---------------------------------------------------------------------------------------

_files: Path
_bench: Workbench
_is_taught = False  # by the teacher, if there is one
_is_limited = False  # the memory of this process, by `limit_growth`


def _start_worker(definition: dict[str, Any], folder: str, device: str, memory: float | None) -> None:
    global _bench, _files
    _files = Path(folder)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    prefer_to_be_killed()
    limit_memory(memory)
    (_files / f"worker-{os.getpid()}").touch()
    importlib.import_module("ptflops")  # takes seconds: now, not with the first candidate, where no server has done it
    from evomnas.evaluation.executors.worker import open_bench

    problem = validate_definition(definition).trained("workers train")
    donor = None
    if problem.weights is not None:
        content = (_files / DONOR_FILE).read_bytes()
        donor = DonorFile(problem.weights.donor, content, hashlib.sha256(content).hexdigest())
    _bench = open_bench(problem, open_images(_files), device, donor)


def _end_with_parent() -> None:
    wait_for_parent()
    shutil.rmtree(_files, ignore_errors=True)  # nobody else is left to do it
    os._exit(1)


def _work(job: Job[S, R], patience: float | None, note: str, growth: float | None) -> tuple[float, R | Failure]:
    """Return how long a job took, and its outcome; the process ends itself where it takes more than `patience`."""
    global _is_limited, _is_taught
    if isinstance(job, TrainingJob | HeirJob) and not _is_taught:
        _bench.learn(open_lessons(_files))
        _is_taught = True
    if growth is not None and not _is_limited:
        limit_growth(growth)
        _is_limited = True
    with machine_for(job):
        started = time.perf_counter()
        with process_ends_after(patience, _files / note):
            outcome = _bench.attempt(job)
        return time.perf_counter() - started, outcome
