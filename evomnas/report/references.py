"""Networks that one might take instead: what the report shows beside a run's own.

They are what the archive knows under the run's own images, recipe and device: the problem's reference network, and the
published networks where someone has evaluated them there. A reference without an accuracy is a latency to compare with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from evomnas.problem.architecture import Architecture
from evomnas.problem.definition import ProblemDefinition, TableDefinition
from evomnas.problem.published import PUBLISHED_NETWORKS, fit_to_resolution, published
from evomnas.results.evaluation import Evaluation
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
    name = run.definition.reference_name
    if isinstance(run.definition, ProblemDefinition) and evaluation is None:
        evaluation = _evaluation(run, run.definition.space.mobilenet_v2())
    if evaluation is not None and evaluation.losses is not None:
        notation = str(evaluation.architecture)
        found.append(Reference(name, evaluation.losses, notation, evaluation.latency_ci, evaluation.quantities))
    elif cost is not None:
        quantities = {} if isinstance(run.definition, TableDefinition) else {"latency_ms": cost}
        found.append(Reference(name, (None, cost), None, None, quantities))
    return [*found, *_published(run)]


def _published(run: Run) -> list[Reference]:
    """Published networks that the archive has evaluated as this run's were, at the problem's resolution."""
    if isinstance(run.definition, TableDefinition):
        return []
    found = []
    for name in PUBLISHED_NETWORKS:
        evaluation = _evaluation(run, fit_to_resolution(published(name), run.definition.data.resolution))
        if evaluation.losses is not None:
            notation = str(evaluation.architecture)
            found.append(Reference(name, evaluation.losses, notation, evaluation.latency_ci, evaluation.quantities))
    return found


def _evaluation(run: Run, architecture: Architecture) -> Evaluation:
    return run.archive.evaluation(run.record.proxy, run.record.device, architecture, run.record.candidates)
