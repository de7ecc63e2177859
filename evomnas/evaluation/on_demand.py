"""An evaluator that is opened when the first network comes, and again wherever its process has changed."""

from __future__ import annotations

import atexit
import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple, Self

from evomnas.evaluation.executors.base import Workers
from evomnas.evaluation.factory import open_evaluator
from evomnas.evaluation.interface import Evaluator
from evomnas.problem.definition import Definition
from evomnas.results.archive import Archive
from evomnas.results.evaluation import Evaluation

IN_MEMORY = ":memory:"


class _Opened(NamedTuple):
    process: int
    archive: Archive
    evaluator: Evaluator


class EvaluatorOnDemand:
    """Evaluates the networks of a problem. Its images are read, and its workers start, with the first of them.

    It is shared by all copies within a process, since it stands for one archive and one set of workers. What is pickled
    is how to open it: the problem, the archive's path, the workers and the device. An archive in memory has no path, so
    its content is pickled. A process that got it by pickle or by fork opens an evaluator of its own, with a connection
    to the archive of its own.
    """

    def __init__(self, definition: Definition, archive: Path | str, workers: Workers, device: str) -> None:
        """Note how the evaluator is opened.

        Args:
            definition: The problem.
            archive: The file that keeps the results, or `:memory:`.
            workers: A cluster, or a number of worker processes; 0 works in this process.
            device: `auto`, `cpu` or `cuda`.
        """
        self._definition, self._workers, self._device = definition, workers, device
        self._archive = IN_MEMORY if str(archive) == IN_MEMORY else Path(archive).resolve()
        self._content: bytes | None = None  # of an archive in memory, before it is opened
        self._opened: _Opened | None = None

    def evaluate(self, architectures: Sequence[Any]) -> list[Evaluation]:
        """Evaluate networks.

        Args:
            architectures: The networks.

        Returns:
            One evaluation per network, in their order.

        Raises:
            InputError: The images or the archive cannot be used, or no network can keep the limits of the problem.
        """
        return self._evaluator.evaluate(architectures)

    def reference_costs(self) -> tuple[float, ...]:
        """Return all losses of the reference network but the first, measured now if need be."""
        return self._evaluator.reference_costs()

    @property
    def _evaluator(self) -> Evaluator:
        if self._opened is None or self._opened.process != os.getpid():
            self._content = self._kept_content()
            self._opened, self._content = self._open(), None
        return self._opened.evaluator

    def _open(self) -> _Opened:
        archive = Archive(self._archive, late=True)
        if self._content is not None:
            archive.restore(self._content)
        with ExitStack() as stack:
            evaluator = stack.enter_context(open_evaluator(self._definition, archive, self._workers, self._device))
            evaluator.check_limits()
            archive.establish()
            until_exit = stack.pop_all()
        opened = _Opened(os.getpid(), archive, evaluator)
        atexit.register(lambda: until_exit.close() if os.getpid() == opened.process else None)
        return opened

    def _kept_content(self) -> bytes | None:
        if self._archive != IN_MEMORY or self._opened is None:
            return self._content
        return self._opened.archive.content()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_content": self._kept_content(), "_opened": None}

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self
