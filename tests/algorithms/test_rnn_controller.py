"""The controller against its definitions, and its learning on a problem whose answer is known."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from evomnas.algorithms.goals import WeightedProduct
from evomnas.algorithms.policy.search import MINIBATCH_SIZE
from evomnas.algorithms.rl_weighted import RLWeighted
from evomnas.algorithms.rnn_controller import PPO, Controller, Policy, PolicyGradient
from evomnas.core.errors import InputError
from evomnas.core.seeding import torch_generator
from evomnas.problem.search_space import SearchSpace

SIZES = np.array([4, 2, 3])
SPACE = SearchSpace(filters=(8, 8, 16), layers=(1, 2, 1), strides=(1, 2, 1), stem=8, head=16)


@pytest.fixture(autouse=True)
def one_thread():
    """The matrices are small: more threads wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


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


def test_an_update_makes_rewarded_genomes_likelier_and_goes_no_further_than_the_clip():
    policy = Policy(SIZES, np.random.SeedSequence(2), PolicyGradient(passes=200, learning_rate=PPO.learning_rate))
    genomes = np.array([[0, 0, 0], [3, 1, 2]])
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


@pytest.mark.thorough
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


# --- to the number ---------------------------------------------------------------------------------------


def hand_made_update(policy: Policy, genomes: np.ndarray, advantages: list[float], passes: int) -> list[torch.Tensor]:
    """The weights after an update, by the definitions: token by token, and Adam written out.

    Schulman et al. 2017, equation 7, with a clip of 0.2; an entropy bonus of 1e-5; a learning rate of 3.5e-4.
    """
    twin = copy.deepcopy(policy._controller)
    weights = list(twin.parameters())
    means, squares = ([torch.zeros_like(weight) for weight in weights] for _ in range(2))
    with torch.no_grad():
        old = [token_by_token(twin, genome)[0] for genome in genomes]
    for step in range(1, passes + 1):
        total = torch.zeros(())
        for genome, before, advantage in zip(genomes, old, advantages, strict=True):
            log_probability, entropy = token_by_token(twin, genome)
            ratio = torch.exp(log_probability - before)
            clipped = min(max(ratio, torch.tensor(0.8)), torch.tensor(1.2))
            total = total - min(ratio * advantage, clipped * advantage) - 1e-5 * entropy
        gradients = torch.autograd.grad(total / len(genomes), weights)
        with torch.no_grad():
            for weight, gradient, mean, square in zip(weights, gradients, means, squares, strict=True):
                mean.mul_(0.9).add_(0.1 * gradient)
                square.mul_(0.999).add_(0.001 * gradient**2)
                weight -= 3.5e-4 * (mean / (1 - 0.9**step)) / ((square / (1 - 0.999**step)).sqrt() + 1e-8)
    return weights


def token_by_token(controller: Controller, genome: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probability and summed entropy of one genome: a softmax over just the choices of each gene."""
    token, state, log_probability, entropy, start = 9, None, torch.zeros(()), torch.zeros(()), 0
    for gene, size in zip(genome.tolist(), SIZES.tolist(), strict=True):
        hidden, state = controller.rnn(controller.tokens(torch.tensor([[token]])), state)
        logs = torch.log_softmax(controller.logits(hidden)[0, 0, start : start + size], dim=0)
        log_probability = log_probability + logs[gene]
        entropy = entropy - (logs.exp() * logs).sum()
        token, start = start + gene, start + size
    return log_probability, entropy


@pytest.mark.parametrize("rewards", [[0.9, 0.1], [0.5, 0.5]])
def test_an_update_is_ten_passes_of_proximal_policy_optimization(rewards):
    """With equal rewards there is no advantage, and only the entropy pulls.

    In double precision: Adam divides small gradients by their size, and so makes much of the last bits of single ones.
    """
    policy = Policy(SIZES, np.random.SeedSequence(5))
    policy._controller.double()
    genomes = np.array([[0, 1, 2], [3, 0, 1]])
    advantages = (np.array(rewards) - np.mean(rewards)).tolist()
    expected = hand_made_update(policy, genomes, advantages, 10)
    policy.learn(genomes, np.array(rewards))
    for weight, other in zip(policy._controller.parameters(), expected, strict=True):
        assert torch.allclose(weight, other, rtol=0, atol=1e-7)
    untouched = Policy(SIZES, np.random.SeedSequence(5))._controller.double().parameters()
    assert max((weight - other).abs().max() for weight, other in zip(untouched, expected, strict=True)) > 1e-3


def test_an_update_reports_the_entropy_per_gene_before_it():
    policy = Policy(SIZES, np.random.SeedSequence(5))
    genomes = np.array([[0, 1, 2], [3, 0, 1]])
    with torch.no_grad():
        entropies = [float(token_by_token(policy._controller, genome)[1]) for genome in genomes]
    assert policy.learn(genomes, np.array([0.9, 0.1])) == pytest.approx(np.mean(entropies) / 3)
    even = np.log(SIZES).mean()
    assert np.mean(entropies) / 3 == pytest.approx(even, rel=0.05)  # at first every choice is about as likely


def test_the_log_probability_and_the_entropy_of_a_genome_are_those_of_its_tokens():
    made = wide_controller()
    genomes = all_genomes()
    with torch.no_grad():
        taken, entropy = made(genomes)
        for row, genome in enumerate(genomes.numpy()):
            log_probability, summed = token_by_token(made, genome)
            assert taken[row].item() == pytest.approx(log_probability.item(), abs=1e-4)
            assert entropy[row].item() == pytest.approx(summed.item(), abs=1e-4)


def test_the_advantage_is_the_reward_beyond_the_baseline_before_this_batch():
    policy = Policy(SIZES, np.random.SeedSequence(5))
    first, second = policy.sample(4), policy.sample(4)
    policy.learn(first, np.array([1.0, 1.0, 1.0, 5.0]))
    assert policy.baseline == pytest.approx(2.0)
    twin = copy.deepcopy(policy)
    twin._optimizer = torch.optim.Adam(twin._controller.parameters(), lr=3.5e-4)
    policy._optimizer = torch.optim.Adam(policy._controller.parameters(), lr=3.5e-4)
    rewards = np.array([3.0, 1.0, 2.0, 2.5])
    expected = hand_made_update(twin, second, (rewards - 2.0).tolist(), 10)
    policy.learn(second, rewards)
    for weight, other in zip(policy._controller.parameters(), expected, strict=True):
        assert torch.allclose(weight, other, atol=2e-5)
    assert policy.baseline == pytest.approx(0.95 * 2.0 + 0.05 * np.mean(rewards))


def test_threads_are_as_many_afterwards_as_before():
    torch.set_num_threads(2)
    policy = Policy(SIZES, np.random.SeedSequence(5))
    policy.learn(policy.sample(2), np.array([1.0, 0.0]))
    policy.likeliest_genome()
    assert torch.get_num_threads() == 2


def test_twenty_networks_are_sampled_at_a_time():
    assert RLWeighted(SPACE, 1, target_ms=1.0).ask().shape == (20, 18)


def test_metrics_are_the_mean_reward_of_what_was_told_last_and_the_controller_s_entropy():
    searcher = RLWeighted(SPACE, 1, target_ms=1.0)
    assert searcher.metrics() == {}
    genomes = searcher.ask()
    losses, violations = rewards_of(genomes), np.zeros(20)
    violations[:2], violations[2:5] = np.inf, 0.5  # two failed, and three are beyond a limit
    searcher.tell(genomes, np.where(violations[:, None] == np.inf, np.inf, losses), violations)
    rewards = [*[0.0] * 3, *(1 - losses[5:, 0])]
    assert searcher.metrics()["reward"] == pytest.approx(np.mean(rewards))
    assert searcher.metrics()["entropy"] == pytest.approx(np.log(SPACE.gene_sizes).mean(), rel=0.05)
    genomes = searcher.ask()
    searcher.tell(genomes, np.full((20, 2), np.inf), np.full(20, np.inf))
    assert searcher.metrics() == {}


def test_metrics_of_several_targets_say_which_they_are_of():
    searcher = RLWeighted(SPACE, 1, target_ms=[0.5, 2.0])
    for target in ("0.5", "2", "0.5"):
        genomes = searcher.ask()
        searcher.tell(genomes, rewards_of(genomes), np.zeros(20))
        assert set(searcher.metrics()) == {f"reward (target {target})", f"entropy (target {target})"}


def test_exponents_and_targets_are_those_of_the_goals():
    assert RLWeighted(SPACE, 1, target_ms=2).goals == (WeightedProduct(2.0, -0.07, -0.07),)
    searcher = RLWeighted(SPACE, 1, target_ms=(2.0, 3.0), alpha=0.0, beta=-1.0)
    assert searcher.goals == (WeightedProduct(2.0, 0.0, -1.0), WeightedProduct(3.0, 0.0, -1.0))
    with pytest.raises(InputError, match=r"at least one target and none twice, got \[\]"):
        RLWeighted(SPACE, 1, target_ms=[])
