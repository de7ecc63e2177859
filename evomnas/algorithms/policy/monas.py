"""MONAS: reinforcement learning with a mixed reward, or with a constrained one.

[1] Hsu et al., "MONAS: Multi-Objective Neural Architecture Search using Reinforcement Learning", 2018.

Published are REINFORCE on an RNN controller and the two rewards. There the cost is the energy or the power of a
network; here it is its latency, or the cost of a table. That costs are counted in targets is ours: a weight needs a
unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from evomnas.algorithms.base import Losses
from evomnas.algorithms.goals import Constrained, check_target
from evomnas.algorithms.policy.search import PolicySearch
from evomnas.algorithms.rnn_controller import REINFORCE
from evomnas.core.errors import InputError
from evomnas.problem.search_space import Genomes, Space

ACCURACY_WEIGHT = 0.9  # ours: from half the target to the target a network must gain 5.6 points of accuracy


@dataclass(frozen=True, slots=True)
class MixedReward:
    """The goal of [1], its mixed reward: alpha * accuracy - (1 - alpha) * cost.

    Attributes:
        measure: The word for its values in the report.
        target: The latency in milliseconds, or the cost, that counts as a cost of 1.
        alpha: The weight of the accuracy, from 0 to 1.

    Raises:
        InputError: The target or the weight is out of its range.
    """

    measure: ClassVar[str] = "reward"

    target: float
    alpha: float = ACCURACY_WEIGHT

    def __post_init__(self) -> None:
        check_target(self.target)
        is_number = isinstance(self.alpha, int | float) and not isinstance(self.alpha, bool)
        if not (is_number and 0 <= self.alpha <= 1):
            raise InputError(f"alpha, the weight of the accuracy, must lie between 0 and 1, got {self.alpha}")

    def __call__(self, losses: NDArray[np.float64], networks: Sequence[Any] = ()) -> NDArray[np.float64]:
        """Return the rewards of networks.

        Args:
            losses: (error, latency), shape (n, 2).
            networks: Not needed.

        Returns:
            Shape (n,): -inf where a loss is infinite.
        """
        rewards = np.full(len(losses), -np.inf)
        known = np.isfinite(losses).all(axis=1)
        accuracies, costs = 1.0 - losses[known, 0], losses[known, 1] / self.target
        rewards[known] = self.alpha * accuracies - (1 - self.alpha) * costs
        return rewards

    def __str__(self) -> str:
        return f"{self.alpha:g} times the accuracy less {1 - self.alpha:g} times the latency in targets"


class Monas(PolicySearch):
    """MONAS with its mixed reward."""

    gradient = REINFORCE

    def __init__(self, space: Space, seed: int, *, target_ms: float, alpha: float = ACCURACY_WEIGHT) -> None:
        """Begin a search.

        Args:
            space: The search space.
            seed: The source of all random numbers.
            target_ms: The latency in milliseconds that counts as a cost of 1.
            alpha: The weight of the accuracy, from 0 to 1; the cost has the rest.

        Raises:
            InputError: An option is out of range.
        """
        super().__init__(space, seed, [MixedReward(target_ms, alpha)])


class MonasConstrained(PolicySearch):
    """MONAS with its constrained reward: the accuracy of a network within the limit, and 0 beyond it."""

    gradient = REINFORCE

    def __init__(self, space: Space, seed: int, *, target_ms: float) -> None:
        """Begin a search.

        Args:
            space: The search space.
            seed: The source of all random numbers.
            target_ms: The largest latency in milliseconds.

        Raises:
            InputError: The option is out of range.
        """
        super().__init__(space, seed, [Constrained(target_ms)])

    def _reward(self, genomes: Genomes, losses: Losses) -> NDArray[np.float64]:
        return np.maximum(super()._reward(genomes, losses), 0.0)  # [1]: nothing tells how far beyond the limit
