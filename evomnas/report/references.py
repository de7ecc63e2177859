"""Networks that one might take instead: what the report shows beside a run's own.

They are what the archive knows under the run's own images, recipe and device: the problem's reference network, and the
published networks where someone has evaluated them there. A reference without an accuracy is a latency to compare with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from evomnas.problem.published import PUBLISHED_NETWORKS, fit_to_resolution, published
from evomnas.results.run import Result, Run


@dataclass(frozen=True, slots=True)
class Reference:
    """A network to compare with.

    Attributes:
        name: What people call it.
        losses: (first loss, cost); the loss is None where it was never trained.
        notation: How it is written, where it is an architecture or a table's network.
        interval: The cost's 95 % interval; None where there is none.
        quantities: `accuracy`, `latency_ms`, `params`, `macs`, where they are known.
    """

    name: str
    losses: tuple[float | None, float]
    notation: str | None
    interval: tuple[float, float] | None
    quantities: Mapping[str, float]


def references(run: Run, results: list[Result]) -> list[Reference]:
    """The references of a run, the problem's own first."""
    found: list[Reference] = []
    evaluation = next((one.evaluation for one in results if one.evaluation.architecture.id == run.reference_id), None)
    cost = run.reference_cost()
    name = run.definition.words.reference
    if evaluation is None:
        evaluation = run.reader.for_run(None).known(run.definition.reference(run.manifest.data))
    if evaluation is not None and evaluation.losses is not None:
        notation = str(evaluation.architecture)
        found.append(Reference(name, evaluation.losses, notation, evaluation.latency_ci, evaluation.quantities))
    elif cost is not None:
        quantities = {} if run.reader.calibration is None else {"latency_ms": cost}
        found.append(Reference(name, (None, cost), None, None, quantities))
    return [*found, *_published(run)]


def _published(run: Run) -> list[Reference]:
    """Published networks that the archive has evaluated as this run's were, at the problem's resolution."""
    if not run.definition.trains:
        return []
    found = []
    resolution = run.trained_problem().data.resolution
    for name in PUBLISHED_NETWORKS:
        evaluation = run.reader.for_run(None).known(fit_to_resolution(published(name), resolution))
        if evaluation.losses is not None:
            notation = str(evaluation.architecture)
            found.append(Reference(name, evaluation.losses, notation, evaluation.latency_ci, evaluation.quantities))
    return found
