"""MnasNet's own search: reinforcement learning whose reward is the weighted product (paper sections 3 and 4.2)."""

from __future__ import annotations

from collections.abc import Sequence

from evomnas.algorithms.goals import REWARD_EXPONENTS, WeightedProduct
from evomnas.algorithms.policy.search import PolicySearch
from evomnas.core.errors import InputError
from evomnas.problem.search_space import Space


class RLWeighted(PolicySearch):
    """The paper's own search: an RNN controller learns by PPO to emit networks of high reward.

    Several targets are several searches, each with a controller of its own; the paper, too, searches again for its
    target of 22 ms.
    """

    def __init__(
        self,
        space: Space,
        seed: int,
        *,
        target_ms: float | Sequence[float],
        alpha: float = REWARD_EXPONENTS["soft"][0],
        beta: float = REWARD_EXPONENTS["soft"][1],
    ) -> None:
        """Begin a search.

        Args:
            space: The search space.
            seed: The source of all random numbers.
            target_ms: The wanted latency in milliseconds, or several of them.
            alpha: The reward's exponent within the target.
            beta: The reward's exponent beyond the target.

        Raises:
            InputError: There is no target, one appears twice, or an option is out of range.
        """
        numbers = target_ms if isinstance(target_ms, Sequence) else [target_ms]
        are_numbers = (isinstance(number, int | float) and not isinstance(number, bool) for number in numbers)
        if not all(are_numbers):  # such as a text, which is a sequence, too
            raise InputError(f"target_ms must be milliseconds, as 0.5, or several as [0.5, 1, 2], got {target_ms!r}")
        targets = [float(number) for number in numbers]
        if not targets or len(set(targets)) != len(targets):
            raise InputError(f"target_ms must list at least one target and none twice, got {targets}")
        super().__init__(space, seed, [WeightedProduct(target, alpha, beta) for target in targets])
