"""Candidates one after another, in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from evomnas.core.device import choose_device
from evomnas.data.images import Dataset
from evomnas.evaluation.executors.base import Item, Jobs, room_for
from evomnas.problem.definition import ProblemDefinition

if TYPE_CHECKING:
    pass


class InProcessExecutor:
    """One candidate after another, here."""

    def __init__(self, definition: ProblemDefinition, device: str = "auto") -> None:
        self._definition, self.device = definition, choose_device(device)

    def load(self, dataset: Dataset) -> None:
        """Give it the images."""
        from evomnas.evaluation.executors.worker import Workbench

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
