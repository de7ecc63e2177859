"""Evaluations of tabular problems: all is looked up in a table."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from operator import attrgetter
from typing import Any

from evomnas.core.errors import InputError
from evomnas.evaluation.executors.base import CandidateLimits
from evomnas.evaluation.stopwatch import Spent
from evomnas.problem.definition import Objective, TableDefinition
from evomnas.problem.pareto import hypervolume, non_dominated
from evomnas.problem.tabular_space import TabularArchitecture
from evomnas.results.archive import Archive
from evomnas.results.constraints import Limits
from evomnas.results.evaluation import AnyEvaluation, Failure, TabularEvaluation
from evomnas.training.early_stop import ThresholdFor, no_threshold

KNOWN_UNTRAINED = ("latency_ms", "params", "macs")  # quantities of a table that take no training to know


class TableEvaluator:
    """Looks architectures up in a problem's table; see `evomnas.evaluation.interface` for its attributes."""

    def __init__(self, definition: TableDefinition, archive: Archive) -> None:
        self.definition, self.archive, self.table = definition, archive, definition.read
        self.on_progress: Callable[[str], None] = lambda phase: None
        self.spent, self.candidates = Spent(), CandidateLimits()
        self.run: str | None = None
        self.limits = Limits(definition.constraints)
        self._objectives = definition.table.objectives
        self._reference = self._losses(self.table.columns[self.table.space.reference_row])
        if not self._reference[1] > 0:
            raise InputError(
                f"the reference network of {definition.table.path} has the cost {self._reference[1]:g}: name another"
            )
        objectives = [objective.model_dump(mode="json") for objective in self._objectives]
        context = {"table": self.table.fingerprint, "objectives": objectives, "reference": self._reference[1]}
        self.proxy_key = self.device_key = archive.add_context(context)

    def _losses(self, row: Any) -> tuple[float, float]:
        quality, cost = (_loss(objective, value) for objective, value in zip(self._objectives, row, strict=True))
        return quality, cost

    def _relative(self, losses: tuple[float, float]) -> tuple[float, float]:
        return losses[0], losses[1] / self._reference[1]

    def known(self, architecture: TabularArchitecture) -> TabularEvaluation:
        """What the archive has of an architecture."""
        found = self.archive.lookup(self.proxy_key, architecture) or TabularEvaluation(architecture, None, None, {})
        return self.limits.apply(found)

    def look_up(self, architecture: TabularArchitecture) -> TabularEvaluation:
        """What the table says of an architecture."""
        row = self.table.row(architecture)
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
        """Raise InputError where no network of the table meets all limits."""
        if not self.limits.at_most:
            return
        space = self.table.space
        found = [self.look_up(space.decode(row)) for row in space.rows]
        closest = min(
            map(self.limits.apply, (one for one in found if one.failure is None)), key=attrgetter("violation")
        )
        if closest.violation > 0:
            facts = ", ".join(f"{name} {value:,g}" for name, value in closest.quantities.items())
            raise InputError(
                f"no network of the table meets the constraints: {closest.architecture} comes closest ({facts}) and "
                f"exceeds them by {closest.violation:.0%}; raise the limits"
            )

    def evaluate(
        self, architectures: Sequence[TabularArchitecture], threshold_for: ThresholdFor = no_threshold
    ) -> list[AnyEvaluation]:
        """Look architectures up, and keep what was found; there is nothing to cut off."""
        found = [self.look_up(architecture) for architecture in architectures]
        self.archive.add_lookups(self.proxy_key, found)
        return [self.limits.apply(one) for one in found]

    def measure(self, architectures: Sequence[TabularArchitecture]) -> None:
        """Look them up: all is known then."""
        self.evaluate(architectures)

    def train(
        self, architectures: Iterable[TabularArchitecture | None], threshold_for: ThresholdFor = no_threshold
    ) -> Iterator[TabularArchitecture]:
        """Nothing is left to be trained."""
        return (one for one in architectures if one is not None)

    def price(self, evaluations: Sequence[AnyEvaluation]) -> float:
        """Free where the cost is a count or a latency, which nobody trains a network for; else it cannot be known."""
        return 0.0 if self._objectives[1].quantity in KNOWN_UNTRAINED else math.inf

    def costs(self, architectures: Sequence[TabularArchitecture]) -> list[float]:
        """Second losses; infinite for a network that is not in the table or is beyond a limit of what costs."""
        found = [self.limits.apply(self.look_up(one)) for one in architectures]
        return [math.inf if one.losses is None else one.losses[1] for one in found]

    def reference_cost(self) -> float:
        """The reference network's second loss."""
        return self._reference[1]

    def describe(self) -> dict[str, Any]:
        """The table's size; where it is complete, the true front and its hypervolume."""
        table = self.table
        facts = {"rows": len(table.columns), "complete": table.complete, "fingerprint": table.fingerprint}
        facts |= {"reference": str(table.space.decode(table.space.reference()))}
        return {"data": facts} | ({"true_front": self._true_front} if table.complete else {})

    @cached_property
    def _true_front(self) -> dict[str, Any]:
        """Hypervolume and losses of a complete table's front, once for all runs; without what is beyond a limit."""
        rows = (self.table.space.decode(row) for row in self.table.space.rows)
        losses = [one.losses for one in map(self.limits.apply, map(self.look_up, rows)) if one.losses is not None]
        front = sorted(one for one, kept in zip(losses, non_dominated(losses), strict=True) if kept)
        share = hypervolume([self._relative(one) for one in front], self.definition.hypervolume.reference_point)
        return {"hypervolume": share, "losses": front}

    def close(self) -> None:
        """Nothing to leave."""


def _loss(objective: Objective, value: float) -> float:
    scaled = float(value) * objective.scale
    return 1.0 - scaled if objective.direction == "maximize" else scaled
