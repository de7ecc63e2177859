"""What searches by a policy gradient share: what they do when their controller has converged."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from playing import SPACE

from evomnas.algorithms.policy.monas import Monas
from evomnas.algorithms.policy.search import MINIBATCH_SIZE, PATIENCE
from evomnas.algorithms.rl_weighted import RLWeighted
from evomnas.algorithms.rnn_controller import PPO, REINFORCE, Controller, Policy
from evomnas.core.seeding import torch_generator
from evomnas.loop.stopping import MAX_FRUITLESS_ASKS


def converged() -> Monas:
    """A search whose controller emits one network only, whatever it is told."""
    searcher = Monas(SPACE, 1, target_ms=1.0)
    with torch.no_grad():
        for parameter in searcher._policies[0]._controller.parameters():
            parameter.mul_(10_000)
    return searcher


def ask(searcher: Monas) -> set[object]:
    """The networks of one minibatch, all of which are told to be alike."""
    genomes = searcher.ask()
    searcher.tell(genomes, np.ones((len(genomes), 2)), np.zeros(len(genomes)))
    return {SPACE.decode(genome) for genome in genomes}


@pytest.mark.thorough
def test_a_controller_that_has_converged_goes_on_to_other_networks_before_the_search_would_end():
    searcher = converged()
    asked = [ask(searcher) for _ in range(PATIENCE + 1)]
    assert len(set.union(*asked)) == 1  # what runs of older versions asked for stays as it was
    seen, fruitless = set(asked[0]), 0
    for _ in range(20):
        networks = ask(searcher)
        fruitless = fruitless + 1 if networks <= seen else 0
        assert fruitless < MAX_FRUITLESS_ASKS - PATIENCE - 1
        seen |= networks
    assert len(seen) > 10


def test_the_temperature_stays_one_while_networks_are_new():
    searcher, twin = (RLWeighted(SPACE, 3, target_ms=1.0) for _ in range(2))
    expected = twin._policies[0]._controller.emit(MINIBATCH_SIZE, twin._policies[0]._generator)
    assert np.array_equal(searcher.ask(), expected.numpy())


def test_a_temperature_evens_the_choices_out():
    controller = Controller(np.array([4]), torch_generator(1))
    with torch.no_grad():
        controller.logits.weight.zero_()
        controller.logits.bias.copy_(torch.tensor([4.0, 2.0, 0.0, -2.0]))
    for temperature in (1.0, 2.0, 8.0):
        emitted = controller.emit(20_000, torch_generator(2), temperature)[:, 0]
        shares = torch.bincount(emitted, minlength=4) / 20_000
        assert torch.allclose(shares, (controller.logits.bias / temperature).softmax(0), atol=0.015)


def test_one_pass_is_reinforce():
    """Adam's first step goes by the signs of Williams' gradient, the mean of -(reward - baseline) times grad log p."""
    policy = Policy(np.array([4, 2, 3]), np.random.SeedSequence(2), REINFORCE)
    policy._controller.double()
    before = [parameter.detach().clone() for parameter in policy._controller.parameters()]
    genomes, rewards = np.array([[0, 0, 0], [3, 1, 2]]), np.array([1.0, 0.0])
    log_probability, _ = policy._controller(torch.from_numpy(genomes))
    loss = -(log_probability * torch.tensor([0.5, -0.5])).mean()
    gradients = torch.autograd.grad(loss, list(policy._controller.parameters()))
    policy.learn(genomes, rewards)
    steep = 0
    for old, new, gradient in zip(before, policy._controller.parameters(), gradients, strict=True):
        clear = gradient.abs() > 1e-4  # beyond the pull of the entropy, and of Adam's epsilon
        assert torch.allclose((new - old)[clear], -REINFORCE.learning_rate * gradient[clear].sign(), rtol=1e-3)
        steep += int(clear.sum())
    assert steep > 1000
    assert PPO.passes == 10
