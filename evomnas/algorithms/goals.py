"""Scalar goals: numbers to maximise, for searches that want a single network and not a whole Pareto set.

[1] Tan et al., "MnasNet: Platform-Aware Neural Architecture Search for Mobile", CVPR 2019, section 3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evomnas.core.arguments import checked
from evomnas.core.errors import InputError

REWARD_EXPONENTS = {"soft": (-0.07, -0.07), "hard": (0.0, -1.0)}  # (alpha, beta), by the names of [1], figure 4


class Goal(Protocol):
    """A number to maximise. Its text says in words which one."""

    @property
    def measure(self) -> str:
        """The word for its values in the report."""
        ...

    @property
    def target(self) -> float:
        """The wanted latency in milliseconds, or the wanted cost."""
        ...

    def __call__(self, losses: NDArray[np.float64], networks: Sequence[Any] = ()) -> NDArray[np.float64]:
        """Return the values of networks.

        Args:
            losses: (error, latency), shape (n, 2).
            networks: The n networks, as the space decodes them: for goals that losses alone do not decide.

        Returns:
            Shape (n,).
        """
        ...


@checked
def weighted_product(
    accuracy: ArrayLike, latency: ArrayLike, target: float, alpha: float = -0.07, beta: float = -0.07
) -> NDArray[np.float64]:
    """Return the reward of networks by [1], equations 2 and 3: ACC(m) * (LAT(m) / T)^w.

    Args:
        accuracy: ACC(m) of the networks, in (0, 1], of any shape.
        latency: LAT(m) of the networks, positive, in the unit of `target`, of the same shape.
        target: The wanted latency T.
        alpha: The exponent w of networks that reach the target, LAT(m) <= T.
        beta: The exponent w of networks that do not.

    Returns:
        The rewards, in the shape of the arguments.

    Raises:
        InputError: A value is out of its range, or accuracy and latency differ in shape.
    """
    accuracies, latencies = np.asarray(accuracy, dtype=np.float64), np.asarray(latency, dtype=np.float64)
    if not np.all((accuracies > 0) & (accuracies <= 1)):
        raise InputError(f"accuracy must lie in (0, 1], got {accuracies}")
    if not np.all((latencies > 0) & np.isfinite(latencies)):
        raise InputError(f"latency must be positive and finite, got {latencies}")
    try:
        np.broadcast_shapes(accuracies.shape, latencies.shape)
    except ValueError:
        shapes = f"{accuracies.shape} and {latencies.shape}"
        raise InputError(f"accuracy and latency must have the same shape, not {shapes}") from None
    check_target(target)
    exponents = np.where(latencies <= target, alpha, beta)  # [1], equation 3
    rewards: NDArray[np.float64] = accuracies * (latencies / target) ** exponents  # [1], equation 2
    return rewards


def exponent_for(relative_gain: float = 0.05, latency_factor: float = 2.0) -> float:
    """Return the exponent with which all networks on a usual Pareto front earn the same reward ([1], section 3).

    A usual front is described by a trade: so many times the latency brings so much accuracy.

    Args:
        relative_gain: The relative gain in accuracy, 0.05 for 5 %.
        latency_factor: The factor of the latency that brings this gain, above 1.

    Returns:
        The exponent w, negative; -0.0704 for the defaults.

    Raises:
        InputError: The gain is not positive, or the factor is not above 1.
    """
    if not relative_gain > 0 or not latency_factor > 1:
        raise InputError(f"the gain must be positive and the factor above 1, got {relative_gain} and {latency_factor}")
    return math.log(1 / (1 + relative_gain)) / math.log(latency_factor)


def check_target(target: float) -> None:
    """Check that a target is a single number, positive and finite.

    Args:
        target: The latency or cost that is wanted.

    Raises:
        InputError: It is not.
    """
    if isinstance(target, list | tuple):
        raise InputError(f"this goal takes one target, got {target}: only rl-weighted takes several")
    if isinstance(target, bool) or not isinstance(target, int | float):
        raise InputError(f"target_ms must be a number of milliseconds, got {target!r}: for example --target-ms 0.5")
    if not 1e-100 < target < 1e100:
        raise InputError(f"the target must be positive, got {target:g}: for example --target-ms 0.5")


@dataclass(frozen=True, slots=True)
class WeightedProduct:
    """The goal of the highest reward, which is a `weighted_product` of accuracy and latency.

    Attributes:
        measure: The word for its values in the report.
        target: The wanted latency T in milliseconds, or the wanted cost.
        alpha: The exponent of networks within the target, 0 or negative.
        beta: The exponent of networks beyond the target, 0 or negative.

    Raises:
        InputError: The target or an exponent is out of its range.
    """

    measure: ClassVar[str] = "reward"

    target: float
    alpha: float = REWARD_EXPONENTS["soft"][0]
    beta: float = REWARD_EXPONENTS["soft"][1]

    def __post_init__(self) -> None:
        check_target(self.target)
        for name, value in (("alpha", self.alpha), ("beta", self.beta)):
            if not (isinstance(value, int | float) and math.isfinite(value) and value <= 0):
                raise InputError(f"{name} must be 0 or negative, got {value}: else latency would be rewarded")

    def __call__(self, losses: NDArray[np.float64], networks: Sequence[Any] = ()) -> NDArray[np.float64]:
        """Return the rewards of networks.

        Args:
            losses: (error, latency), shape (n, 2).
            networks: Not needed.

        Returns:
            Shape (n,): 0 where the accuracy is 0, -inf where a loss is infinite.
        """
        rewards = np.full(len(losses), -np.inf)
        known = np.isfinite(losses).all(axis=1)
        rewards[known] = 0.0
        known &= losses[:, 0] < 1
        accuracies, latencies = 1.0 - losses[known, 0], losses[known, 1]
        rewards[known] = weighted_product(accuracies, latencies, self.target, self.alpha, self.beta)
        return rewards

    def __str__(self) -> str:
        if self.alpha == self.beta:
            return f"weighted product with exponent {self.alpha:g}"
        return f"weighted product with exponents {self.alpha:g} within the target and {self.beta:g} beyond"


@dataclass(frozen=True, slots=True)
class Constrained:
    """The goal of the highest accuracy among networks with latency <= target ([1], equation 1).

    Networks that miss the target are ranked by how far they miss it.

    Attributes:
        measure: The word for its values in the report.
        target: The largest latency in milliseconds, or the largest cost.

    Raises:
        InputError: The target is not a positive number.
    """

    measure: ClassVar[str] = "score"

    target: float

    def __post_init__(self) -> None:
        check_target(self.target)

    def __str__(self) -> str:
        return "highest accuracy within the target"

    def __call__(self, losses: NDArray[np.float64], networks: Sequence[Any] = ()) -> NDArray[np.float64]:
        """Return the scores of networks.

        Args:
            losses: (error, latency), shape (n, 2).
            networks: Not needed.

        Returns:
            Shape (n,): the accuracy of a network within the target, and minus the relative excess of latency beyond it.
        """
        excess = losses[:, 1] / self.target - 1
        return np.where(excess > 0, -excess, 1.0 - losses[:, 0])
