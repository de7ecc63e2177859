"""A search in which an RNN controller learns from rewards which networks to ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from evomnas.algorithms.base import AskAndTell, Losses
from evomnas.algorithms.goals import Goal
from evomnas.algorithms.rnn_controller import PPO, Policy, PolicyGradient
from evomnas.problem.search_space import Genomes, Space

MINIBATCH_SIZE = 20  # networks per update of a controller
PATIENCE = 50  # minibatches in a row without a new network, after which the controller counts as converged


class PolicySearch(AskAndTell):
    """A controller per goal, which learns to emit networks of high reward.

    Several goals are several searches. They take turns, so that each gets its share of any budget. A controller may
    sample a network again. One that has converged samples the same few networks for ever, which would end the search
    before its budget. From then on each minibatch without a new network doubles the temperature of sampling, so that
    the search goes on around what the controller has learnt.

    Attributes:
        explanations: Texts for the report, by the names of `metrics`.
        gradient: How the controllers learn.
        goals: The goals.
    """

    explanations: ClassVar[Mapping[str, str]] = {
        "reward": "the mean reward of the networks that were sampled.",
        "entropy": "how open the controller's choices still are, per gene: the more it has learnt, the lower.",
    }
    gradient: ClassVar[PolicyGradient] = PPO

    def __init__(self, space: Space, seed: int, goals: Sequence[Goal]) -> None:
        """Begin a search.

        Args:
            space: The search space.
            seed: The source of all random numbers.
            goals: The goals, at least one.
        """
        super().__init__(space)
        self.goals: tuple[Goal, ...] = tuple(goals)
        seeds = np.random.SeedSequence(seed).spawn(len(self.goals))
        self._policies = [Policy(space.gene_sizes, policy_seed, self.gradient) for policy_seed in seeds]
        self._turn = 0  # index of the policy whose networks are asked for next, or were asked for last
        self._seen: set[Any] = set()
        self._repeats = 0  # minibatches in a row without a new network
        self._doublings = 0  # of the temperature
        self._metrics: dict[str, float] = {}

    def _breed(self) -> Genomes:
        genomes = self._policies[self._turn].sample(MINIBATCH_SIZE, 2.0**self._doublings)
        self._count_repeats({self.space.decode(genome) for genome in genomes})
        return genomes

    def _count_repeats(self, networks: set[Any]) -> None:
        """Note what is sampled, and raise the temperature where a controller that has converged brings nothing new."""
        self._repeats = self._repeats + 1 if networks <= self._seen else 0
        self._seen |= networks
        if self._repeats >= PATIENCE or (self._repeats and self._doublings):
            self._doublings += 1

    def _learn(self, genomes: Genomes, losses: Losses, violations: Losses) -> None:
        known = np.isfinite(violations)  # failures get no reward and no gradient
        rewards = np.where(violations <= 0, self._reward(genomes, losses), 0.0)  # beyond a limit the reward is 0
        entropy = self._policies[self._turn].learn(genomes[known], rewards[known])
        self._metrics = self._turn_metrics(rewards[known], entropy)
        self._turn = (self._turn + 1) % len(self._policies)

    def _reward(self, genomes: Genomes, losses: Losses) -> NDArray[np.float64]:
        """Return the rewards of this turn's networks, shape (n,); the arguments are those of `Algorithm.tell`."""
        return self.goals[self._turn](losses, [self.space.decode(genome) for genome in genomes])

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
            them. With several goals, the names end in the target. Empty where all networks failed.
        """
        return self._metrics

    def choices(self) -> Genomes:
        """See `Choosing.choices`: each controller's likeliest genome, shape (goals, n_var)."""
        return np.stack([policy.likeliest_genome() for policy in self._policies])
