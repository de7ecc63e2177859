"""Evaluations of tabular problems: all is looked up in a table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from operator import attrgetter
from typing import Any

from evomnas.core.errors import InputError
from evomnas.evaluation.interface import Evaluator
from evomnas.problem.definition import TableDefinition
from evomnas.problem.pareto import hypervolume, non_dominated
from evomnas.problem.sections import Objective
from evomnas.problem.tabular_space import TabularArchitecture
from evomnas.results.archive import Archive
from evomnas.results.evaluation import Evaluation, Failure, TabularEvaluation
from evomnas.results.manifest import TrueFront
from evomnas.results.readers import TableReader
from evomnas.training.early_stop import ThresholdFor, no_threshold

FREE_QUANTITIES = ("latency_ms", "params", "macs")  # quantities of a table that take no training to know


class TableEvaluator(Evaluator):
    """Looks networks up in the table of a problem; see `Evaluator`."""

    def __init__(self, definition: TableDefinition, archive: Archive) -> None:
        """Read the table.

        Args:
            definition: The problem.
            archive: Keeps what was looked up.

        Raises:
            InputError: The table cannot be read, or its reference network has no cost.
        """
        self._table, self._objectives = definition.lookup_table, definition.table.objectives
        self._reference = self._losses(self._table.columns[self._table.space.reference_row])
        free = next((cost for cost in self._reference[1:] if not cost > 0), None)
        if free is not None:
            raise InputError(f"the reference network of {definition.table.path} has the cost {free:g}: name another")
        self._reference_point = definition.reference_point
        objectives = [objective.model_dump(mode="json") for objective in self._objectives]
        content = {"table": self._table.fingerprint, "objectives": objectives, "reference": self._reference[1]}
        content |= {"further": list(self._reference[2:])} if len(objectives) > 2 else {}
        context = archive.add_context(content)
        super().__init__(TableReader(archive, definition, context, context, self.describe_data()))

    def _losses(self, row: Any) -> tuple[float, ...]:
        return tuple(_loss(objective, value) for objective, value in zip(self._objectives, row, strict=True))

    def _relative(self, losses: tuple[float, ...]) -> tuple[float, ...]:
        return losses[0], *(cost / own for cost, own in zip(losses[1:], self._reference[1:], strict=True))

    def look_up(self, architecture: TabularArchitecture) -> TabularEvaluation:
        """Return what the table says of a network, within the problem's limits or not.

        Args:
            architecture: The network; one that the table lacks is a failure.
        """
        row = self._table.row(architecture)
        if row is None:
            failure = Failure("missing", f"the table has no complete row for {architecture}")
            return TabularEvaluation(architecture, None, None, {}, failure)
        losses = self._losses(row)
        quantities: dict[str, float] = {
            objective.quantity: float(value) * objective.scale
            for objective, value in zip(self._objectives, row, strict=True)
            if objective.quantity is not None
        }
        return TabularEvaluation(architecture, losses, self._relative(losses), quantities)

    def check_limits(self) -> None:
        """See `Evaluator.check_limits`."""
        if not self.reader.limits.maxima:
            return
        space = self._table.space
        evaluations = [self.look_up(space.decode(row)) for row in space.rows]
        complete = (evaluation for evaluation in evaluations if evaluation.failure is None)
        closest = min(map(self.reader.limits.apply, complete), key=attrgetter("violation"))
        if closest.violation > 0:
            quantities = ", ".join(f"{name} {value:,g}" for name, value in closest.quantities.items())
            raise InputError(
                f"no network of the table meets the constraints: {closest.architecture} comes closest ({quantities}) "
                f"and exceeds them by {closest.violation:.0%}; raise the limits"
            )

    def evaluate(
        self, architectures: Sequence[TabularArchitecture], threshold_for: ThresholdFor = no_threshold
    ) -> list[Evaluation]:
        """Look networks up, and keep what the table says; see `Evaluator.evaluate`. There is nothing to cut off."""
        evaluations = [self.look_up(architecture) for architecture in architectures]
        self.archive.add_lookups(self.training_context, evaluations)
        return [self.reader.limits.apply(evaluation) for evaluation in evaluations]

    def measure(self, architectures: Sequence[TabularArchitecture]) -> None:
        """Look networks up: all is known then; see `Evaluator.measure`."""
        self.evaluate(architectures)

    def train(
        self, architectures: Iterable[TabularArchitecture | None], threshold_for: ThresholdFor = no_threshold
    ) -> Iterator[TabularArchitecture]:
        """See `Evaluator.train`; nothing is left to be trained."""
        return (architecture for architecture in architectures if architecture is not None)

    def price(self, evaluations: Sequence[Evaluation]) -> float:
        """See `Evaluator.price`: free where the cost is a count or a latency, which nobody trains a network for."""
        return 0.0 if self._objectives[1].quantity in FREE_QUANTITIES else math.inf

    def costs(self, architectures: Sequence[TabularArchitecture]) -> list[float]:
        """See `Evaluator.costs`; infinite also for a network that the table lacks."""
        evaluations = [self.reader.limits.apply(self.look_up(architecture)) for architecture in architectures]
        return [math.inf if evaluation.losses is None else evaluation.losses[1] for evaluation in evaluations]

    def reference_cost(self) -> float:
        """See `Evaluator.reference_cost`."""
        return self._reference[1]

    def describe_data(self) -> dict[str, Any]:
        """See `Evaluator.describe_data`."""
        table = self._table
        return {
            "rows": len(table.columns),
            "complete": table.complete,
            "fingerprint": table.fingerprint,
            "reference": str(table.space.decode(table.space.reference())),
        }

    def true_front(self) -> TrueFront | None:
        """Return the front of a complete table, without networks beyond a limit; see `Evaluator.true_front`."""
        return self._true_front if self._table.complete else None

    @cached_property
    def _true_front(self) -> TrueFront:
        rows = (self._table.space.decode(row) for row in self._table.space.rows)
        evaluations = map(self.reader.limits.apply, map(self.look_up, rows))
        losses = [evaluation.losses for evaluation in evaluations if evaluation.losses is not None]
        front = sorted(point for point, is_member in zip(losses, non_dominated(losses), strict=True) if is_member)
        relative = [self._relative(point) for point in front]
        return TrueFront(hypervolume=hypervolume(relative, self._reference_point), losses=front)


def _loss(objective: Objective, value: float) -> float:
    scaled = float(value) * objective.scale
    return 1.0 - scaled if objective.direction == "maximize" else scaled
