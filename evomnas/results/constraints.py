"""The limits of a problem: which networks exceed them, and whether any network can keep them."""

from __future__ import annotations

from operator import attrgetter
from typing import TypeVar

from evomnas.core.errors import InputError
from evomnas.problem.architecture import Architecture
from evomnas.problem.counting import Counts, NetworkShape, count_architecture, smallest_architecture
from evomnas.problem.detection.counting import count_detector
from evomnas.problem.detection.plan import plan_detector
from evomnas.problem.memory.file_size import RULES, file_kb, smallest_file_architecture
from evomnas.problem.memory.peak import least_peak_architecture, peak_kb
from evomnas.problem.search_space import SearchSpace
from evomnas.problem.sections import FLOAT, ConstraintsSection, Precision
from evomnas.results.evaluation import Evaluation

E = TypeVar("E", bound=Evaluation)

KEYS = {  # of the section, by quantity
    "latency_ms": "max_latency_ms",
    "params": "max_params",
    "macs": "max_macs",
    "peak_kb": "max_peak_kb",
    "file_kb": "max_file_kb",
}
UNITS = {
    "latency_ms": "milliseconds",
    "params": "parameters",
    "macs": "MACs",
    "peak_kb": "KiB of activations",
    "file_kb": "KiB of file",
}
MEMORY = {"peak_kb": "peak KiB", "file_kb": "file KiB"}  # headings of what networks need beside time, by quantity


def memory_of(
    architecture: Architecture, shape: NetworkShape, runtime: str, precision: Precision
) -> dict[str, float | None]:
    """Return the memory that a network needs, in units of 1,024 bytes, by quantity of `MEMORY`.

    Args:
        architecture: The network.
        shape: Classes, channels and resolution.
        runtime: The runtime of its file.
        precision: Of its values.

    Returns:
        The values; that of the file is None for runtimes whose files are not counted.
    """
    rules = RULES.get(runtime)
    file = None if rules is None else file_kb(architecture, rules[precision], **shape)
    return {"peak_kb": peak_kb(architecture, precision, **shape), "file_kb": file}


class Limits:
    """The constraints of a problem.

    Attributes:
        maxima: The largest values allowed, by quantity; empty without any constraint.
    """

    def __init__(
        self,
        constraints: ConstraintsSection,
        shape: NetworkShape | None = None,
        precision: Precision = FLOAT,
        runtime: str = "onnxruntime",
    ) -> None:
        """Take the constraints of a problem file.

        Args:
            constraints: The section.
            shape: Classes, channels and resolution of the networks, by which they are counted before they are measured;
                None where they cannot be counted, as those of a table.
            precision: Of the values that the networks compute with.
            runtime: The runtime of their files.
        """
        values = {quantity: getattr(constraints, key) for quantity, key in KEYS.items()}
        self.maxima: dict[str, float] = {quantity: value for quantity, value in values.items() if value is not None}
        self._section, self._shape, self._precision, self._runtime = constraints, shape, precision, runtime

    def apply(self, evaluation: E) -> E:
        """Return an evaluation with its violation.

        Beyond a limit it has no losses, whatever is known of them: a run must not depend on what others found out about
        networks that it would not have trained.

        Args:
            evaluation: Any.
        """
        violation = self._violation(evaluation) if self.maxima else 0.0
        return evaluation.exceeding(violation) if violation > 0 else evaluation

    def _violation(self, evaluation: Evaluation) -> float:
        """Return the sum of the relative excesses over all limits, by what is known."""
        known = dict(evaluation.quantities)
        if self._shape is not None and "params" not in known:
            counts = self._count(evaluation.architecture, self._shape)
            known |= {"params": counts.params, "macs": counts.macs}
        if self._shape is not None and not MEMORY.keys().isdisjoint(self.maxima):
            memory = memory_of(evaluation.architecture, self._shape, self._runtime, self._precision)
            known |= {name: value for name, value in memory.items() if value is not None}
        return sum(max(0.0, known[name] / limit - 1) for name, limit in self.maxima.items() if name in known)

    def _count(self, architecture: Architecture, shape: NetworkShape) -> Counts:
        return count_architecture(architecture, **shape)

    def check(self, space: SearchSpace) -> None:
        """Check that a network of the space can have so few parameters, one so few MACs, and so on for the memory.

        Args:
            space: The search space.

        Raises:
            InputError: None can, or the size of files is not known.
        """
        if self._shape is None:
            return
        if "file_kb" in self.maxima and self._runtime not in RULES:
            raise InputError(
                f"the size of a file of {self._runtime} is not known in closed form, as constraints.max_file_kb needs "
                f"it, but that of {', '.join(RULES)}: drop the limit, or set latency.runtime"
            )
        for name in ("params", "macs"):
            if name in self.maxima:
                quantity = attrgetter(name)
                closest = smallest_architecture(space, quantity, **self._shape)
                self.refuse(name, quantity(count_architecture(closest, **self._shape)), str(closest))
        if "peak_kb" in self.maxima:
            closest = least_peak_architecture(space, **self._shape)
            self.refuse("peak_kb", peak_kb(closest, self._precision, **self._shape), str(closest))
        if "file_kb" in self.maxima:
            rule = RULES[self._runtime][self._precision]
            closest = smallest_file_architecture(space, rule, **self._shape)
            self.refuse("file_kb", file_kb(closest, rule, **self._shape), str(closest))

    def refuse(self, quantity: str, value: float, closest: str) -> None:
        """Refuse a limit that no network keeps.

        Args:
            quantity: One of `KEYS`.
            value: Its smallest value.
            closest: The notation of the network that has it.

        Raises:
            InputError: The value exceeds the limit.
        """
        limit = self.maxima[quantity]
        if value > limit:
            raise InputError(
                f"no network of the space meets constraints.{KEYS[quantity]} = {limit:,g}: the closest one has "
                f"{value:,.4g} {UNITS[quantity]}, {value / limit - 1:.0%} more ({closest}); raise the limit, or make "
                "the space smaller (space.width)"
            )


class DetectorLimits(Limits):
    """The constraints of a problem of detectors. Those that no backbone keeps by itself are refused."""

    def _count(self, architecture: Architecture, shape: NetworkShape) -> Counts:
        counts = count_detector(
            plan_detector(architecture, shape["resolution"]), shape["classes"] + 1, shape["channels"]
        )
        return counts.backbone + counts.extras + counts.heads

    def check(self, space: SearchSpace) -> None:
        """Check that the backbone of a detector can have so few parameters, and one so few MACs; see `Limits.check`.

        Args:
            space: The search space.

        Raises:
            InputError: None can.
        """
        assert self._shape is not None
        Limits(self._section, {**self._shape, "classes": 0}).check(space)
