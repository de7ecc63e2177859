"""Networks to compare a run's own with, for its report.

These are the problem's reference network and published networks, as far as the archive has evaluations of them with the
same images, recipe and device as the run. A reference without an accuracy gives a latency to compare with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evomnas.problem.published import PUBLISHED_NETWORKS, fit_to_resolution, published
from evomnas.results.evaluation import Evaluation
from evomnas.results.run import Result, Run


@dataclass(frozen=True, slots=True)
class Reference:
    """A network to compare with.

    Attributes:
        name: Its common name.
        losses: The first loss and the cost. The first loss is None where the network was never trained.
        notation: Its notation; None where only its cost is known.
        interval: The 95 % interval of the cost; None where there is none.
        quantities: `accuracy`, `latency_ms`, `params` and `macs`, as far as they are known.
    """

    name: str
    losses: tuple[float | None, float]
    notation: str | None
    interval: tuple[float, float] | None
    quantities: Mapping[str, float]


def find_references(run: Run, results: list[Result]) -> list[Reference]:
    """Find the networks that the archive has to compare a run with.

    Args:
        run: The run.
        results: Its results.

    Returns:
        The problem's own reference network first, then published networks. Empty where the archive has none.
    """
    references: list[Reference] = []
    evaluations = (result.evaluation for result in results)
    evaluation = next((known for known in evaluations if known.architecture.id == run.reference_id), None)
    cost = run.reference_cost()
    name = run.definition.words.reference
    if evaluation is None:
        evaluation = run.reader.for_run(None).known(run.definition.reference(run.manifest.data))
    if evaluation is not None and evaluation.losses is not None:
        references.append(_to_reference(name, evaluation, evaluation.losses))
    elif cost is not None:
        quantities = {} if run.reader.calibration is None else {"latency_ms": cost}
        references.append(Reference(name, (None, cost), None, None, quantities))
    return [*references, *_published_references(run)]


def _published_references(run: Run) -> list[Reference]:
    """Return the published networks that the archive has evaluated under the run's conditions, at its resolution."""
    if not run.definition.trains:
        return []
    references = []
    resolution = run.trained_problem().data.resolution
    for name in PUBLISHED_NETWORKS:
        evaluation = run.reader.for_run(None).known(fit_to_resolution(published(name), resolution))
        if evaluation.losses is not None:
            references.append(_to_reference(name, evaluation, evaluation.losses))
    return references


def _to_reference(name: str, evaluation: Evaluation, losses: Sequence[float]) -> Reference:
    notation, interval = str(evaluation.architecture), evaluation.latency_ci
    return Reference(name, (losses[0], losses[1]), notation, interval, evaluation.quantities)
