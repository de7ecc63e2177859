"""The evaluator of a problem."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from evomnas.data.splits import load_dataset
from evomnas.evaluation.executors.base import CandidateLimits, Workers
from evomnas.evaluation.executors.factory import make_executor
from evomnas.evaluation.interface import AnyEvaluator
from evomnas.evaluation.network_evaluator import Evaluator
from evomnas.evaluation.table_evaluator import TableEvaluator
from evomnas.problem.definition import AnyDefinition, TableDefinition
from evomnas.results.archive import Archive


@contextmanager
def open_evaluator(
    definition: AnyDefinition,
    archive: Archive,
    workers: Workers = 0,
    device: str = "auto",
    candidates: CandidateLimits = CandidateLimits(),
    asynchronous: bool = False,
) -> Iterator[AnyEvaluator]:
    """An evaluator that is ready; its processes end with the block.

    Where it works `asynchronous`ly, networks are prepared in a process of their own while all workers train.
    """
    with ExitStack() as stack:
        evaluator: AnyEvaluator
        if isinstance(definition, TableDefinition):
            evaluator = TableEvaluator(definition, archive)
        else:
            # first: workers import while the images are read
            executor = make_executor(definition, workers, device, candidates)
            stack.callback(executor.close)
            dataset = load_dataset(definition.data)
            executor.load(dataset)
            preparer = executor
            if asynchronous and workers:
                preparer = make_executor(definition, 1, "cpu", candidates)
                stack.callback(preparer.close)
                preparer.load(dataset)
            evaluator = Evaluator(definition, dataset, archive, executor, preparer, candidates)
        stack.callback(evaluator.close)
        yield evaluator
