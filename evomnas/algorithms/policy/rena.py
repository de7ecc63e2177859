"""RENA: reinforcement learning under limits on several resources at once.

[1] Zhou et al., "Resource-Efficient Neural Architect", 2018.

Published are the policy gradient and the reward, in which every limit that is exceeded is a factor below 1. There a
policy edits a network, which it reads as an embedding. Here the controller emits whole networks, as in all searches of
this package, so that only the reward differs.
"""

from __future__ import annotations

from evomnas.algorithms.policy.resources import COUNTED, PENALTY, PenalisedAccuracy
from evomnas.algorithms.policy.search import PolicySearch
from evomnas.algorithms.rnn_controller import REINFORCE
from evomnas.core.errors import InputError
from evomnas.problem.counting import NetworkShape
from evomnas.problem.search_space import SearchSpace, Space


class Rena(PolicySearch):
    """RENA with limits on latency, parameters, MACs and arithmetic intensity."""

    gradient = REINFORCE

    def __init__(
        self,
        space: Space,
        seed: int,
        *,
        target_ms: float,
        max_params: float | None = None,
        max_macs: float | None = None,
        min_intensity: float | None = None,
        penalty: float = PENALTY,
    ) -> None:
        """Begin a search.

        Args:
            space: The search space.
            seed: The source of all random numbers.
            target_ms: The largest latency in milliseconds.
            max_params: The largest number of parameters; None for no limit.
            max_macs: The largest number of multiply-adds for one image; None for no limit.
            min_intensity: The least number of floating-point operations per byte that is moved; None for no limit.
            penalty: The factor of the reward of a network that exceeds one limit by 100 %, from 0 to 1.

        Raises:
            InputError: An option is out of range, or limits what the networks of a table do not have.
        """
        values = {"max_params": max_params, "max_macs": max_macs, "min_intensity": min_intensity}
        limits = {name: value for name, value in values.items() if value is not None}
        if limits and not isinstance(space, SearchSpace):
            names = ", ".join(COUNTED)
            raise InputError(f"{names} limit networks that are built: drop {', '.join(limits)} for a table")
        self._goal = PenalisedAccuracy(target_ms, penalty, limits)
        super().__init__(space, seed, [self._goal])

    def learn_shape(self, shape: NetworkShape) -> None:
        """See `Counting.learn_shape`."""
        self._goal.shape = shape
