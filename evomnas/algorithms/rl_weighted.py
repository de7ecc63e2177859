"""MnasNet's own search: reinforcement learning whose reward is the weighted product (paper sections 3 and 4.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from evomnas.algorithms.base import AskAndTell, Losses
from evomnas.algorithms.goals import REWARD_EXPONENTS, Goal, WeightedProduct
from evomnas.algorithms.rnn_controller import Policy
from evomnas.core.errors import InputError
from evomnas.problem.search_space import Genomes, Space

MINIBATCH_SIZE = 20  # networks per update of a controller


class RLWeighted(AskAndTell):
    """The paper's own search: an RNN controller learns by PPO to emit networks of high reward.

    Several targets are several searches, each with a controller of its own; the paper, too, searches again for its
    target of 22 ms. The searches take turns, so that each gets its share of any budget. A controller may sample a
    network again.

    Attributes:
        explanations: Texts for the report, by the names of `metrics`.
        goals: One goal per target.
    """

    explanations: ClassVar[Mapping[str, str]] = {
        "reward": "the mean reward of the networks that were sampled.",
        "entropy": "how open the controller's choices still are, per gene: the more it has learnt, the lower.",
    }

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
        super().__init__(space)
        numbers = target_ms if isinstance(target_ms, Sequence) else [target_ms]
        are_numbers = (isinstance(number, int | float) and not isinstance(number, bool) for number in numbers)
        if not all(are_numbers):  # such as a text, which is a sequence, too
            raise InputError(f"target_ms must be milliseconds, as 0.5, or several as [0.5, 1, 2], got {target_ms!r}")
        targets = [float(number) for number in numbers]
        if not targets or len(set(targets)) != len(targets):
            raise InputError(f"target_ms must list at least one target and none twice, got {targets}")
        self.goals: tuple[Goal, ...] = tuple(WeightedProduct(target, alpha, beta) for target in targets)
        seeds = np.random.SeedSequence(seed).spawn(len(targets))
        self._policies = [Policy(space.gene_sizes, policy_seed) for policy_seed in seeds]
        self._turn = 0  # index of the policy whose networks are asked for next, or were asked for last
        self._metrics: dict[str, float] = {}

    def _breed(self) -> Genomes:
        return self._policies[self._turn].sample(MINIBATCH_SIZE)

    def _learn(self, genomes: Genomes, losses: Losses, violations: Losses) -> None:
        known = np.isfinite(violations)  # failures get no reward and no gradient
        rewards = np.where(violations <= 0, self.goals[self._turn](losses), 0.0)  # beyond a limit the reward is 0
        entropy = self._policies[self._turn].learn(genomes[known], rewards[known])
        self._metrics = self._turn_metrics(rewards[known], entropy)
        self._turn = (self._turn + 1) % len(self._policies)

    def _turn_metrics(self, rewards: Losses, entropy: float | None) -> dict[str, float]:
        """Return the mean reward of this turn's networks, and the entropy of the controller that sampled them."""
        if entropy is None:
            return {}
        suffix = f" (target {self.goals[self._turn].target:g})" if len(self._policies) > 1 else ""
        return {f"reward{suffix}": float(rewards.mean()), f"entropy{suffix}": entropy}

    def metrics(self) -> Mapping[str, float]:
        """See `Introspective.metrics`.

        Returns:
            The mean reward of the networks told last, and the entropy per gene, in nats, of the controller that sampled
            them. With several targets, the names end in the target. Empty where all networks failed.
        """
        return self._metrics

    def choices(self) -> Genomes:
        """See `Choosing.choices`: each controller's likeliest genome, shape (targets, n_var)."""
        return np.stack([policy.likeliest_genome() for policy in self._policies])
