"""MnasNet's own search: reinforcement learning with the weighted product as reward (paper sections 3 and 4.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from evomnas.algorithms.base import AskAndTell, Losses
from evomnas.algorithms.goals import EXPONENTS, Goal, WeightedProduct
from evomnas.algorithms.rnn_controller import Policy
from evomnas.core.errors import InputError
from evomnas.problem.search_space import Genomes, Space

MINIBATCH = 20  # networks per update


class RLWeighted(AskAndTell):
    """The paper's own search: an RNN controller learns by PPO to emit networks of high reward.

    Several targets are several searches, each with a controller of its own, as the paper searches again for 22 ms;
    they take turns, so that each has its share of any budget. A controller may sample a network again.
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
        alpha: float = EXPONENTS["soft"][0],
        beta: float = EXPONENTS["soft"][1],
    ) -> None:
        super().__init__(space)
        targets = [float(one) for one in (target_ms if isinstance(target_ms, Sequence) else [target_ms])]
        if not targets or len(set(targets)) != len(targets):
            raise InputError(f"target_ms must list at least one target and none twice, got {targets}")
        self.goals: tuple[Goal, ...] = tuple(WeightedProduct(target, alpha, beta) for target in targets)
        seeds = np.random.SeedSequence(seed).spawn(len(targets))
        self._policies = [Policy(space.gene_sizes, one) for one in seeds]
        self._turn = 0
        self._metrics: dict[str, float] = {}

    def _breed(self) -> Genomes:
        return self._policies[self._turn].sample(MINIBATCH)

    def _learn(self, genomes: Genomes, losses: Losses, violations: Losses) -> None:
        known = np.isfinite(violations)  # failures get no reward and no gradient
        rewards = np.where(violations <= 0, self.goals[self._turn](losses), 0.0)  # and none counts beyond a limit
        entropy = self._policies[self._turn].learn(genomes[known], rewards[known])
        self._metrics = self._figures(rewards[known], entropy)
        self._turn = (self._turn + 1) % len(self._policies)

    def _figures(self, rewards: Losses, entropy: float | None) -> dict[str, float]:
        """Mean reward of the networks of this turn, and entropy of the controller that sampled them."""
        if entropy is None:
            return {}
        which = f" (target {self.goals[self._turn].target:g})" if len(self._policies) > 1 else ""
        return {f"reward{which}": float(rewards.mean()), f"entropy{which}": entropy}

    def metrics(self) -> Mapping[str, float]:
        """Of the networks told last: their mean reward, and the entropy per gene of the controller they are from."""
        return self._metrics

    def choices(self) -> Genomes:
        """What each controller holds to be the best, shape (targets, n_var)."""
        return np.stack([policy.likeliest() for policy in self._policies])
