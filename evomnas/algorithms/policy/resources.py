"""Limits on several resources at once, and the reward that takes them into account.

[1] Zhou et al., "Resource-Efficient Neural Architect", 2018.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from evomnas.algorithms.goals import check_target
from evomnas.core.errors import InputError
from evomnas.core.resolution import area
from evomnas.problem.architecture import Architecture
from evomnas.problem.counting import NetworkShape, count_architecture, count_outputs

PENALTY = 0.9  # ours: a network that takes twice what it may keeps 90 % of its accuracy
BYTES = 4  # of a number in float32

# The quantities that follow from an architecture, by option: their names for people.
COUNTED = {
    "max_params": "parameters",
    "max_macs": "MACs",
    "min_intensity": "floating-point operations per byte",
}


def arithmetic_intensity(architecture: Architecture, shape: NetworkShape) -> float:
    """Return the floating-point operations of a network per byte that it moves, for one image.

    A multiply-add is two operations. Moved are the image and all parameters, which are read once, and the outputs of
    all convolutions, which are written once and read once, in float32. The paper leaves open how bytes are counted.

    Args:
        architecture: The network.
        shape: Classes, channels and resolution.

    Returns:
        Operations per byte.
    """
    counts, resolution = count_architecture(architecture, **shape), architecture.resolution or shape["resolution"]
    moved = shape["channels"] * area(resolution) + counts.params + 2 * count_outputs(architecture, resolution)
    return 2 * counts.macs / (BYTES * moved)


def count_resources(architecture: Architecture, shape: NetworkShape) -> dict[str, float]:
    """Return the resources of a network that take no measurement, by the options that limit them.

    Args:
        architecture: The network.
        shape: Classes, channels and resolution.

    Returns:
        A value for each key of `COUNTED`.
    """
    counts = count_architecture(architecture, **shape)
    intensity = arithmetic_intensity(architecture, shape)
    return {"max_params": counts.params, "max_macs": counts.macs, "min_intensity": intensity}


@dataclass(slots=True)
class PenalisedAccuracy:
    """The goal of [1]: the accuracy, times `penalty` to the power of each limit's relative excess.

    Attributes:
        measure: The word for its values in the report.
        target: The largest latency in milliseconds, or the largest cost.
        penalty: The factor of a network that exceeds one limit by 100 %, from 0 to 1. With 0 limits are hard.
        limits: The limits of counted resources, by the keys of `COUNTED`.
        shape: Classes, channels and resolution, which counts need.

    Raises:
        InputError: A value is out of its range.
    """

    measure: ClassVar[str] = "reward"

    target: float
    penalty: float = PENALTY
    limits: Mapping[str, float] = field(default_factory=dict)
    shape: NetworkShape | None = None

    def __post_init__(self) -> None:
        check_target(self.target)
        for name, value, maximum in [("penalty", self.penalty, 1.0), *((*pair, 1e30) for pair in self.limits.items())]:
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if not is_number or not 0 <= value <= maximum or (name != "penalty" and value == 0):
                raise InputError(f"{name} must be {'from 0 to 1' if name == 'penalty' else 'positive'}, got {value}")

    def __call__(self, losses: NDArray[np.float64], networks: Sequence[Any] = ()) -> NDArray[np.float64]:
        """Return the rewards of networks.

        Args:
            losses: (error, latency), shape (n, 2).
            networks: The n networks.

        Returns:
            Shape (n,): -inf where a loss is infinite.

        Raises:
            RuntimeError: Counted resources are limited, and `shape` is not known.
        """
        rewards = np.full(len(losses), -np.inf)
        known = np.isfinite(losses).all(axis=1)
        excess = np.maximum(losses[known, 1] / self.target - 1, 0.0)
        if self.limits:
            excess += np.array([self._counted_excess(networks[row]) for row in np.flatnonzero(known).tolist()])
        rewards[known] = (1.0 - losses[known, 0]) * np.power(float(self.penalty), excess)  # 0 ** 0 is 1
        return rewards

    def _counted_excess(self, network: Architecture) -> float:
        """Return the sum of the relative excesses over the limits of counted resources."""
        if self.shape is None:
            raise RuntimeError("the limits of counted resources need the shape of the networks: learn_shape")
        resources = count_resources(network, self.shape)
        ratios = (
            resources[name] / limit if name.startswith("max") else limit / resources[name]
            for name, limit in self.limits.items()
        )
        return sum(max(0.0, ratio - 1) for ratio in ratios)

    def __str__(self) -> str:
        bounds = [
            f"{'at most' if name.startswith('max') else 'at least'} {limit:,.10g} {COUNTED[name]}"
            for name, limit in self.limits.items()
        ]
        within = f" and {' and '.join(bounds)}" if bounds else ""
        return f"accuracy, times {self.penalty:g} for each 100 % beyond the target{within}"
