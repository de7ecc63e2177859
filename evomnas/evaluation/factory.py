"""The evaluator of a problem, by the problem's kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from evomnas.data.gallery.listing import list_images
from evomnas.data.splits import load_training_images, split_for_search
from evomnas.evaluation.detection_evaluator import DetectionEvaluator
from evomnas.evaluation.executors.base import Workers
from evomnas.evaluation.executors.factory import make_executor
from evomnas.evaluation.interface import Evaluator, OnPhase, ignore_phase
from evomnas.evaluation.network_evaluator import NetworkEvaluator
from evomnas.evaluation.table_evaluator import TableEvaluator
from evomnas.problem.definition import Definition, ProblemDefinition, TableDefinition
from evomnas.problem.pretrained.files import donor_file
from evomnas.results.archive import Archive
from evomnas.results.candidate_limits import CandidateLimits


@dataclass(frozen=True, slots=True)
class Resources:
    """The workers and limits of an evaluator; see `open_evaluator`."""

    workers: Workers = 0
    device: str = "auto"
    candidates: CandidateLimits = field(default_factory=CandidateLimits)
    asynchronous: bool = False
    on_phase: OnPhase = ignore_phase


@contextmanager
def open_evaluator(
    definition: Definition,
    archive: Archive,
    workers: Workers = 0,
    device: str = "auto",
    candidates: CandidateLimits = CandidateLimits(),
    asynchronous: bool = False,
    on_phase: OnPhase = ignore_phase,
) -> Iterator[Evaluator]:
    """Open an evaluator for a block; its processes end with the block.

    Args:
        definition: The problem.
        archive: Keeps the results.
        workers: A cluster, or a number of worker processes; 0 works in this process.
        device: `auto`, `cpu` or `cuda`.
        candidates: What a candidate may take.
        asynchronous: Prepare networks in a process of their own, while all workers train.
        on_phase: Called while it is opened and, unless for a run, while work goes on.

    Yields:
        The evaluator.

    Raises:
        InputError: The images, the table or the device cannot be used.
    """
    resources = Resources(workers, device, candidates, asynchronous, on_phase)
    with ExitStack() as stack:
        evaluator = _OPENERS[definition.kind](definition, archive, resources, stack)
        evaluator.on_phase = on_phase
        stack.callback(evaluator.close)
        yield evaluator


def _open_networks(
    definition: ProblemDefinition,
    archive: Archive,
    resources: Resources,
    stack: ExitStack,
    kind: type[NetworkEvaluator] = NetworkEvaluator,
) -> NetworkEvaluator:
    candidates = resources.candidates
    # first: workers import while the images are read
    executor = make_executor(definition, resources.workers, resources.device, candidates)
    stack.callback(executor.close)
    resources.on_phase("reading")
    donor, images = donor_file(definition.weights), load_training_images(definition.data)
    dataset, listing = split_for_search(images, definition.data), list_images(images, definition.data)
    fit = images.used_fit
    del images
    resources.on_phase("loading")
    executor.load(dataset, donor)
    preparer = executor
    if resources.asynchronous and resources.workers:
        preparer = make_executor(definition, 1, "cpu", candidates)
        stack.callback(preparer.close)
        preparer.load(dataset, donor)
    return kind(definition, dataset, archive, executor, preparer, candidates, listing, donor, fit)


def _open_table(
    definition: TableDefinition, archive: Archive, resources: Resources, stack: ExitStack
) -> TableEvaluator:
    resources.on_phase("reading")
    return TableEvaluator(definition, archive)


_OPENERS: dict[str, Callable[[Any, Archive, Resources, ExitStack], Evaluator]] = {
    "images": _open_networks,
    "detection": partial(_open_networks, kind=DetectionEvaluator),
    "table": _open_table,
}
