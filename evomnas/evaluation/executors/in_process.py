"""An executor that does one job after another, in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from evomnas.core.system.device import choose_device
from evomnas.core.system.memory import within_container
from evomnas.data.images import Dataset
from evomnas.evaluation.executors.base import R, S, machine_for
from evomnas.evaluation.executors.jobs import Job, Logits
from evomnas.problem.definition import ProblemDefinition
from evomnas.problem.pretrained.files import DonorFile
from evomnas.results.evaluation import Failure


class InProcessExecutor:
    """Does one job after another here; see `Executor`. A container's memory alone limits a candidate."""

    def __init__(self, definition: ProblemDefinition, device: str = "auto") -> None:
        """Take a problem.

        Args:
            definition: The problem.
            device: `auto`, `cpu` or `cuda`.
        """
        self._definition, self.device = definition, choose_device(device)

    def load(self, dataset: Dataset, donor: DonorFile | None = None) -> None:
        """See `Executor.load`."""
        from evomnas.evaluation.executors.worker import open_bench  # it imports torch

        self._bench = open_bench(self._definition, dataset, self.device, donor)

    def teach(self, lessons: Sequence[Logits]) -> None:
        """See `Executor.teach`."""
        self._bench.learn(lessons)

    def run(self, jobs: Iterable[Job[S, R] | None], on_wait: Callable[[], None]) -> Iterator[tuple[S, R | Failure]]:
        """See `Executor.run`; jobs are done in their order."""
        for job in jobs:
            on_wait()
            if job is None:
                raise RuntimeError("no job is left, and none is under way")
            with machine_for(job), within_container():
                outcome = self._bench.attempt(job)
            yield job.subject, outcome

    def close(self) -> None:
        """See `Executor.close`; there is nothing to free."""
