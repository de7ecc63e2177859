"""Limits on what may be found: which networks violate a problem's constraints, and whether any can meet them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from operator import attrgetter
from typing import TypeVar

from evomnas.core.errors import InputError
from evomnas.problem.counting import count_architecture, smallest_architecture
from evomnas.problem.definition import ConstraintsSection
from evomnas.problem.search_space import SearchSpace
from evomnas.results.evaluation import AnyEvaluation, Evaluation, TabularEvaluation

E = TypeVar("E", Evaluation, TabularEvaluation)

NAMES = {"latency_ms": "max_latency_ms", "params": "max_params", "macs": "max_macs"}


class Limits:
    """A problem's constraints.

    Attributes:
        at_most: The largest values allowed, by quantity; empty without any constraint.
    """

    def __init__(self, constraints: ConstraintsSection, shape: Mapping[str, int] | None = None) -> None:
        """Without a `shape` (classes, channels, resolution), as of a table's networks, nothing is counted."""
        values = {quantity: getattr(constraints, name) for quantity, name in NAMES.items()}
        self.at_most: dict[str, float] = {name: value for name, value in values.items() if value is not None}
        self._shape = shape

    def apply(self, evaluation: E) -> E:
        """The evaluation with its violation; beyond a limit it has no losses, whatever is known of them.

        A run must not depend on what others found out about networks that it would not have trained.
        """
        violation = self._violation(evaluation) if self.at_most else 0.0
        if violation <= 0:
            return evaluation
        if isinstance(evaluation, TabularEvaluation):
            return replace(evaluation, violation=violation, losses=None, relative_losses=None)
        return replace(evaluation, violation=violation)

    def _violation(self, evaluation: AnyEvaluation) -> float:
        """Sum of the relative excesses over all limits, by what is known."""
        known = dict(evaluation.quantities)
        if isinstance(evaluation, Evaluation) and self._shape is not None and "params" not in known:
            counts = count_architecture(evaluation.architecture, **self._shape)
            known |= {"params": counts.params, "macs": counts.macs}
        return sum(max(0.0, known[name] / limit - 1) for name, limit in self.at_most.items() if name in known)

    def check(self, space: SearchSpace) -> None:
        """Raise InputError where no network of the space can have so few parameters or MACs."""
        if self._shape is None:
            return
        for name in ("params", "macs"):
            if name in self.at_most:
                quantity = attrgetter(name)
                closest = smallest_architecture(space, quantity, **self._shape)
                self.refuse(name, quantity(count_architecture(closest, **self._shape)), str(closest))

    def refuse(self, quantity: str, value: float, closest: str) -> None:
        """Raise InputError where the smallest `value` of a quantity, of the network `closest`, exceeds its limit."""
        limit = self.at_most[quantity]
        if value > limit:
            words = {"latency_ms": "milliseconds", "params": "parameters", "macs": "MACs"}
            raise InputError(
                f"no network of the space meets constraints.{NAMES[quantity]} = {limit:,g}: the closest one has "
                f"{value:,.4g} {words[quantity]}, {value / limit - 1:.0%} more ({closest}); raise the limit, or make "
                "the space smaller (space.width)"
            )
