"""Where candidates are trained on many machines: a Ray cluster.

Images in memory travel once to every node, whose workers share them. Prepared images stay in their file where a node
sees it, else the node copies it to its own disk. Latencies are taken where the search runs, or on the problem's
`latency.target`; a training on that machine waits meanwhile, those on other nodes go on. The search alone writes the
archive, and a candidate whose worker or node is lost is tried elsewhere.
"""

from __future__ import annotations

import importlib
import math
import socket
import sys
import time
import uuid
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

from evomnas.core.errors import InputError
from evomnas.core.ray_connection import join_cluster
from evomnas.core.system.machine import usable_cores
from evomnas.core.system.memory import limit_memory
from evomnas.core.system.time_limit import TimeOver, interrupted_after
from evomnas.data.images import Dataset
from evomnas.evaluation.executors.base import (
    Cluster,
    JobQueue,
    Patience,
    R,
    S,
    machine_for,
    share_of_memory,
)
from evomnas.evaluation.executors.jobs import Job, Logits
from evomnas.evaluation.executors.ray_images import Sender, images_here
from evomnas.problem.definition import ProblemDefinition
from evomnas.problem.loading import validate_definition
from evomnas.problem.pretrained.files import DonorFile
from evomnas.results.candidate_limits import CandidateLimits
from evomnas.results.evaluation import Failure

if TYPE_CHECKING:
    from evomnas.evaluation.executors.worker import Workbench

MAX_TRIES = 4  # of a candidate whose worker or node was lost
DESERTED_S = 300.0  # without a node that a candidate fits on: a cluster that grows by itself starts one within minutes
HEADLESS_S = 20.0  # without an answer of the head; after a minute Ray ends the whole process
PULSE_S = 1.0  # between two looks at the cluster


class RayExecutor:
    """Candidates as tasks of a Ray cluster, so many at a time as its CPUs and GPUs have room for."""

    def __init__(
        self, definition: ProblemDefinition, cluster: Cluster, limits: CandidateLimits = CandidateLimits()
    ) -> None:
        had = sys.modules.get("ray")
        self._is_ours = had is None or not had.is_initialized()
        self._ray: Any = join_cluster(cluster.address)
        self._head = self._ray.get_runtime_context().gcs_address
        self._nodes: list[dict[str, float]] = []  # what each has of every resource
        self._looked = -math.inf  # when that was so
        self._is_lost = False  # the head, for good
        self._cluster, self._patience = cluster, Patience(limits)
        self._wanted = {"CPU": cluster.cpus, "GPU": cluster.gpus}  # by a candidate
        self.device = "cuda" if cluster.gpus else "cpu"
        self._settings = (uuid.uuid4().hex, definition.model_dump(mode="json"), self.device, cluster.cpus, limits)
        options = {"num_cpus": cluster.cpus, "num_gpus": cluster.gpus, "max_retries": MAX_TRIES - 1}
        self._work = self._ray.remote(**options)(_work)

    def load(self, dataset: Dataset, donor: DonorFile | None = None) -> None:
        """Give the cluster images and weights, and wait until a worker has imported everything; see `Executor.load`.

        Raises:
            InputError: The nodes lack evomnas, or none of them has what a candidate needs.
        """
        self._look()
        if missing := self._missing():
            raise InputError(f"{missing}: change --candidate-cpus or --candidate-gpus")
        self._dataset = self._ray.put((dataset, Sender.of(dataset, self._ray.get_runtime_context().get_node_id())))
        self._donor = self._ray.put(donor)
        self._lessons = self._ray.put(())
        try:
            self._ray.get(self._work.remote(self._settings, self._dataset, self._donor, self._lessons, None, None))
        except self._ray.exceptions.RayTaskError as error:
            reason = str(error.cause).strip().splitlines()[-1:] or [repr(error.cause)]
            raise InputError(f"a node of the cluster cannot work: {reason[0]}; all need the same evomnas") from None

    def teach(self, lessons: Sequence[Logits]) -> None:
        """Give the cluster the answers of a teacher; see `Executor.teach`."""
        self._lessons = self._ray.put(tuple(lessons))

    def _look(self) -> None:
        """See which nodes there are, at most once in `PULSE_S`.

        The head is tried first: where it is lost, asking it would block until Ray ends this process.

        Raises:
            InputError: It did not answer for `HEADLESS_S`.
        """
        started = time.monotonic()
        if started - self._looked < PULSE_S:
            return
        while not _answers(self._head):
            if time.monotonic() - started > HEADLESS_S:
                self._is_lost = True
                raise InputError(
                    f"the head of the Ray cluster at {self._head} was lost, and what had ended is kept: start one, and "
                    "evomnas resume the run with --executor ray --ray-address HOST:PORT"
                )
            time.sleep(0.2)
        self._nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        self._looked = time.monotonic()

    def _missing(self) -> str:
        """What candidates lack where none of the nodes has all that one needs; nothing where one has."""
        if any(all(node.get(name, 0) >= amount for name, amount in self._wanted.items()) for node in self._nodes):
            return ""
        most = ", ".join(
            f"{max((node.get(name, 0) for node in self._nodes), default=0):g} {name}s" for name in self._wanted
        )
        return (
            f"no node of the cluster has the {self._cluster.cpus:g} CPUs and {self._cluster.gpus:g} GPUs that a "
            f"candidate is to have, at most {most}"
        )

    def run(self, jobs: Iterable[Job[S, R] | None], on_wait: Callable[[], None]) -> Iterator[tuple[S, R | Failure]]:
        """See `Executor.run`.

        Raises:
            InputError: The nodes that could do it were lost, and no others joined for `DESERTED_S`; or the head was.
        """
        queue = JobQueue(jobs)
        running: dict[Any, Job[S, R]] = {}
        able = time.monotonic()
        try:
            while True:
                while len(running) <= self._room() and (drawn := queue.draw()):  # one more than work: nobody waits
                    job, _ = drawn
                    patience = self._patience.seconds(job.kind)
                    images = self._dataset, self._donor, self._lessons
                    running[self._work.remote(self._settings, *images, job, patience)] = job
                if not running:
                    return
                done, _ = self._ray.wait(list(running), num_returns=1, timeout=0.2)
                on_wait()
                if done or not (missing := self._missing()):
                    able = time.monotonic()
                elif time.monotonic() - able > DESERTED_S:
                    raise InputError(f"{missing}, for {DESERTED_S:g} s now: start one, and resume")
                for reference in done:
                    job = running.pop(reference)
                    yield job.subject, self._outcome(job, reference)
                if running:
                    self._look()
        finally:
            for reference in () if self._is_lost else running:
                self._ray.cancel(reference, force=True)

    def _room(self) -> float:
        """How many candidates the cluster has room for now; nodes come and go."""
        found = {name: sum(float(node.get(name, 0.0)) for node in self._nodes) for name in self._wanted}
        return min(found[name] / amount for name, amount in self._wanted.items() if amount)

    def _outcome(self, job: Job[S, R], reference: Any) -> R | Failure:
        errors = self._ray.exceptions
        try:
            seconds, outcome = self._ray.get(reference)
        except errors.RayTaskError as error:
            raise error.cause from None  # wrong input: all else becomes a Failure where it happens
        except errors.OutOfMemoryError:
            return Failure("out-of-memory", "its node ran out of memory", tries=MAX_TRIES)
        except errors.RayError as error:
            reason = str(error).strip().splitlines()[:1] or [type(error).__name__]
            return Failure("killed", f"its worker or node was lost: {reason[0]}", tries=MAX_TRIES)
        if outcome is None:
            return self._patience.failure()
        self._patience.learn(job.kind, seconds)
        return cast(R, outcome)

    def close(self) -> None:
        """Leave the cluster; one that was started here ends."""
        if self._is_ours and not self._is_lost:
            self._ray.shutdown()


def _answers(address: str) -> bool:
    """Whether anybody listens at an address."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), 1.0).close()
    except OSError:
        return False
    return True


# --- on a node -------------------------------------------------------------------------------------------

_bench: tuple[str, Workbench] | None = None


def _work(
    settings: tuple[str, dict[str, Any], str, float, CandidateLimits],
    images: tuple[Dataset, Sender | None],
    donor: DonorFile | None,
    lessons: Sequence[Logits],
    job: Job[S, R] | None,
    patience: float | None,
) -> tuple[float, R | Failure | None]:
    """Return how long a job took, and its outcome: None where it was given up, or there was no job."""
    global _bench
    identity, definition, device, cpus, limits = settings
    if _bench is None or _bench[0] != identity:
        from evomnas.evaluation.executors.worker import open_bench

        importlib.import_module("ptflops")  # with what training imports: seconds that count for no candidate's time
        if limits.memory_gib is not None or device == "cpu":
            limit_memory(limits.memory_gib or share_of_memory(max(1.0, usable_cores() / cpus)))
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")  # all workers of a node share it
        dataset = images_here(*images)
        problem = validate_definition(definition).trained("workers train")
        _bench = identity, open_bench(problem, dataset, device, donor)
    if job is None:
        return 0.0, None
    _bench[1].learn(lessons)
    with machine_for(job):
        started = time.perf_counter()
        outcome = _within(patience, _bench[1].attempt, job)
        return time.perf_counter() - started, outcome


def _within(seconds: float | None, attempt: Callable[[Job[S, R]], R | Failure], job: Job[S, R]) -> R | Failure | None:
    """Return the outcome of a job; None where it takes longer."""
    try:
        with interrupted_after(seconds):
            return attempt(job)
    except TimeOver:
        return None
