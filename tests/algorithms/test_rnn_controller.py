"""The controller against its definitions, and its learning on a problem whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from evomnas.algorithms import rnn_controller as module
from evomnas.algorithms.rl_weighted import MINIBATCH_SIZE, RLWeighted
from evomnas.algorithms.rnn_controller import Controller, Policy
from evomnas.core.errors import InputError
from evomnas.core.seeding import torch_generator
from evomnas.problem.search_space import SearchSpace

SIZES = np.array([4, 2, 3])
SPACE = SearchSpace(filters=(8, 8, 16), layers=(1, 2, 1), strides=(1, 2, 1), stem=8, head=16)


def all_genomes() -> torch.Tensor:
    return torch.cartesian_prod(*(torch.arange(int(size)) for size in SIZES))


def wide_controller(seed: int = 3) -> Controller:
    """One whose probabilities are far from even."""
    made = Controller(SIZES, torch_generator(seed))
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.mul_(8)
    return made


def test_the_probabilities_of_all_genomes_sum_to_one_and_their_entropy_is_that_of_the_joint_distribution():
    """By the chain rule the joint entropy is the expectation of the summed entropies of the softmaxes."""
    with torch.no_grad():
        taken, entropy = wide_controller()(all_genomes())
    probabilities = taken.double().exp()
    assert probabilities.sum().item() == pytest.approx(1.0, abs=1e-5)
    joint = -(probabilities * taken.double()).sum().item()
    assert (probabilities * entropy.double()).sum().item() == pytest.approx(joint, rel=1e-4)
    assert probabilities.max() > 3 / 24  # else the test says little


def test_what_is_emitted_follows_the_stated_probabilities():
    """The log-probability is that of the very tokens taken: frequencies of whole genomes agree with it."""
    made = wide_controller()
    count = 20_000
    emitted = made.emit(count, torch_generator(1)).numpy()
    with torch.no_grad():
        taken, _ = made(all_genomes())
    codes = emitted @ np.array([6, 3, 1])
    observed = np.bincount(codes, minlength=24)
    expected = taken.double().exp().numpy()
    assert chisquare(observed, expected / expected.sum() * count).pvalue > 1e-4


def test_weights_are_drawn_as_published_and_every_choice_is_about_as_likely_at_first():
    made = Controller(SIZES, torch_generator(1))
    values = torch.cat([parameter.flatten() for parameter in made.parameters()])
    assert -0.1 <= values.min() < -0.099
    assert 0.099 < values.max() <= 0.1
    assert made.rnn.hidden_size == 100
    with torch.no_grad():
        taken, _ = made(all_genomes())
    assert (taken.exp() * 24 - 1).abs().max() < 0.5


def test_without_a_generator_the_likeliest_token_is_taken_each_time():
    made = wide_controller()
    [genome] = made.emit(1, None)
    prefix = []
    with torch.no_grad():
        taken, _ = made(all_genomes())
    probabilities = taken.double().exp().reshape(4, 2, 3)
    for token in genome.tolist():
        marginal = probabilities[tuple(prefix)].flatten(1).sum(1) if probabilities[tuple(prefix)].dim() > 1 else None
        row = probabilities[tuple(prefix)] if marginal is None else marginal
        assert token == int(row.argmax())
        prefix.append(token)


def test_the_baseline_is_the_moving_average_of_the_batches_mean_rewards():
    policy = Policy(SIZES, np.random.SeedSequence(1))
    for rewards in (np.array([1.0, 3.0]), np.array([0.0, 0.0])):
        policy.learn(policy.sample(2), rewards)
    assert policy.baseline == pytest.approx(0.95 * 2.0 + 0.05 * 0.0)


def test_an_update_makes_rewarded_genomes_likelier_and_goes_no_further_than_the_clip(monkeypatch):
    policy = Policy(SIZES, np.random.SeedSequence(2))
    genomes = np.array([[0, 0, 0], [3, 1, 2]])
    monkeypatch.setattr(module, "PPO_EPOCHS", 200)
    with torch.no_grad():
        before, _ = policy._controller(torch.from_numpy(genomes))
    policy.learn(genomes, np.array([1.0, 0.0]))
    with torch.no_grad():
        after, _ = policy._controller(torch.from_numpy(genomes))
    ratio = (after - before).exp()
    assert 1.15 < ratio[0] < 1.4  # no gradient once it is beyond 1.2, but Adam's momentum
    assert 0.6 < ratio[1] < 0.85


def test_an_update_without_any_rewarded_network_changes_nothing():
    policy = Policy(SIZES, np.random.SeedSequence(2))
    before = [parameter.clone() for parameter in policy._controller.parameters()]
    policy.learn(np.zeros((0, 3), dtype=np.int64), np.zeros(0))
    assert policy.baseline is None
    assert all(torch.equal(a, b) for a, b in zip(before, policy._controller.parameters(), strict=True))


def rewards_of(genomes: np.ndarray) -> np.ndarray:
    """Losses whose reward grows with the number of genes that are 0; latency is the target's throughout."""
    return np.stack([0.9 * (genomes != 0).mean(axis=1), np.ones(len(genomes))], axis=1)


def test_it_learns_what_is_rewarded():
    searcher = RLWeighted(SPACE, 1, target_ms=1.0)
    shares = []
    for _ in range(40):
        genomes = searcher.ask()
        searcher.tell(genomes, rewards_of(genomes), np.zeros(len(genomes)))
        shares.append((genomes == 0).mean())
    even = (1 / SPACE.gene_sizes).mean()
    assert abs(np.mean(shares[:3]) - even) < 0.1
    assert np.mean(shares[-3:]) > even + 0.2
    [choice] = searcher.choices()
    assert (choice == 0).mean() > np.mean(shares[-3:])


def test_failures_give_no_gradient():
    """Told as failures, half of the genomes might as well not have been asked for."""
    broken, twin = (RLWeighted(SPACE, 4, target_ms=1.0) for _ in range(2))
    genomes = broken.ask()
    losses, violations = rewards_of(genomes), np.where(np.arange(MINIBATCH_SIZE) % 2, np.inf, 0.0)
    broken.tell(genomes, np.where(violations[:, None] > 0, np.inf, losses), violations)
    fine = violations == 0
    twin._policies[0].sample(MINIBATCH_SIZE)
    twin._policies[0].learn(genomes[fine], 1 - losses[fine, 0])
    assert np.array_equal(broken.ask(), twin.ask())


def test_several_targets_take_turns_and_each_learns_from_its_own_networks_alone():
    both = RLWeighted(SPACE, 1, target_ms=[1.0, 2.0])
    states = []
    for _ in range(4):
        genomes = both.ask()
        both.tell(genomes, rewards_of(genomes), np.zeros(len(genomes)))
        states.append([policy.baseline for policy in both._policies])
    assert states[0][1] is None
    assert states[1][0] == states[0][0]
    assert states[2][1] == states[1][1]
    assert states[2][0] != states[1][0]
    assert [goal.target for goal in both.goals] == [1.0, 2.0]
    assert both.choices().shape == (2, len(SPACE.gene_sizes))


def test_targets_must_differ():
    with pytest.raises(InputError, match="at least one target and none twice"):
        RLWeighted(SPACE, 1, target_ms=[1.0, 1.0])
