"""MONAS's two rewards, by hand, and that its controllers learn from them."""

from __future__ import annotations

import numpy as np
import pytest
from playing import SPACE

from evomnas.algorithms.goals import Constrained
from evomnas.algorithms.policy.monas import MixedReward, Monas, MonasConstrained
from evomnas.core.errors import InputError


def test_the_mixed_reward_is_the_weighted_difference_of_accuracy_and_cost():
    losses = np.array([[0.25, 30.0], [0.25, 60.0], [1.0, 60.0], [np.inf, np.inf]])
    assert MixedReward(60.0, 0.8)(losses) == pytest.approx([0.6 - 0.1, 0.6 - 0.2, -0.2, -np.inf])
    assert MixedReward(60.0, 1.0)(losses)[:2].tolist() == [0.75, 0.75]
    assert MixedReward(60.0, 0.0)(losses)[:2].tolist() == [-0.5, -1.0]
    assert str(MixedReward(1.0, 0.8)) == "0.8 times the accuracy less 0.2 times the latency in targets"


@pytest.mark.parametrize("alpha", [-0.1, 1.1, float("nan"), True, "0.5"])
def test_a_weight_lies_between_0_and_1(alpha):
    with pytest.raises(InputError, match="alpha, the weight of the accuracy, must lie between 0 and 1"):
        Monas(SPACE, 1, target_ms=1.0, alpha=alpha)


@pytest.mark.parametrize("kind", [Monas, MonasConstrained])
def test_a_target_is_a_positive_number(kind):
    with pytest.raises(InputError, match="the target must be positive, got 0"):
        kind(SPACE, 1, target_ms=0)


def test_the_constrained_reward_is_the_accuracy_within_the_limit_and_0_beyond():
    searcher = MonasConstrained(SPACE, 1, target_ms=2.0)
    losses = np.array([[0.25, 2.0], [0.25, 2.01], [0.1, 100.0]])
    assert searcher._reward(np.zeros((3, SPACE.gene_sizes.size), dtype=np.int64), losses).tolist() == [0.75, 0.0, 0.0]
    assert searcher.goals == (Constrained(2.0),)


def test_it_learns_what_is_rewarded():
    """Rewarded is every gene that is 0; the cost is the target's throughout."""
    searcher = Monas(SPACE, 1, target_ms=1.0)
    shares = []
    for _ in range(25):
        genomes = searcher.ask()
        losses = np.stack([(genomes != 0).mean(axis=1), np.ones(len(genomes))], axis=1)
        searcher.tell(genomes, losses, np.zeros(len(genomes)))
        shares.append((genomes == 0).mean())
    assert np.mean(shares[-3:]) > np.mean(shares[:3]) + 0.15
