"""Pruning, factors and codes, against what theory says of them."""

from __future__ import annotations

import heapq
import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from evomnas.core.errors import InputError
from evomnas.deploy.compression import (
    CODE_TABLE_BYTES,
    FINE_TUNING_RATE,
    _factors,
    check_channels,
    check_ranks,
    code_lengths,
    factorize_network,
    fine_tuning_epochs,
    huffman_bytes,
    prune_channels,
    prune_network,
)
from evomnas.deploy.full_training import FullTask
from evomnas.deploy.saving import load_network
from evomnas.networks.narrowing import narrow_architecture
from evomnas.training.quantized.fake_quantization import FakeQuantized


def test_pruning_leaves_the_largest_weights_and_they_stay_zero_through_fine_tuning(trained, task):
    network = load_network(trained.folder).network
    before = [one.weight.detach().clone() for one in network.modules() if isinstance(one, nn.Conv2d | nn.Linear)]
    made = prune_network(network, 0.5, task)
    after = [one.weight.detach() for one in made.modules() if isinstance(one, nn.Conv2d | nn.Linear)]
    old, new = (torch.cat([one.flatten() for one in weights]) for weights in (before, after))
    assert float((new == 0).float().mean()) == pytest.approx(0.5, abs=1e-3)
    assert old[new == 0].abs().max() <= old[new != 0].abs().min()
    assert not torch.equal(old[new != 0], new[new != 0])  # the rest was trained on
    assert all(torch.equal(one, two) for one, two in zip(
        before, [m.weight for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)], strict=True
    ))  # fmt: skip


def test_a_pruned_network_for_int8_is_fine_tuned_as_its_file_computes(trained, task, tiny, monkeypatch):
    network, computed = load_network(trained.folder).network, []
    compute = FakeQuantized.__call__
    monkeypatch.setattr(FakeQuantized, "__call__", lambda self, x: computed.append(len(x)) or compute(self, x))
    for_int8 = FullTask(tiny.model_copy(update={"full": tiny.full.model_copy(update={"precision": "int8"})}))
    made = prune_network(network, 0.5, for_int8)
    assert sum(computed) == fine_tuning_epochs(tiny.full.epochs) * len(for_int8.training.labels) // 64 * 64
    weights = torch.cat([one.weight.flatten() for one in made.modules() if isinstance(one, nn.Conv2d | nn.Linear)])
    assert float((weights == 0).float().mean()) == pytest.approx(0.5, abs=1e-3)


def test_factors_are_the_best_of_their_rank():
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(12, 20, generator=generator)
    left, right = _factors(weight, 0.5)
    rank = left.shape[1]
    assert rank == int(0.5 * 240 / 32)
    values = torch.linalg.svdvals(weight)
    error = torch.linalg.matrix_norm(weight - left @ right)
    assert float(error) == pytest.approx(float(values[rank:].square().sum().sqrt()), rel=1e-4)  # Eckart and Young
    assert _factors(torch.ones(1, 9), 0.5) is None


def test_a_factorized_network_has_fewer_weights_and_other_shapes(trained, task):
    network = load_network(trained.folder).network
    made = factorize_network(network, 0.8, task)
    assert sum(one.numel() for one in made.parameters()) < sum(one.numel() for one in network.parameters())
    assert len(made.head) == len(network.head) + 1
    images = torch.zeros(2, 1, 8, 8)
    assert made(images).shape == network(images).shape


def test_a_share_that_leaves_no_rank_says_which_do(trained):
    network = load_network(trained.folder).network
    pattern = r"--factorize 0.001 leaves nothing of this network's head and classifier: .* from (0\.\d+) on"
    with pytest.raises(InputError, match=pattern) as raised:
        check_ranks(network, 0.001)
    least = float(re.search(pattern, str(raised.value))[1])
    check_ranks(network, least)
    with pytest.raises(InputError, match="leaves nothing of this network's (head|classifier): "):
        check_ranks(network, least - 0.002)


def test_fewer_channels_are_fine_tuned_and_the_network_stays_as_it_was(trained, task, monkeypatch):
    network, tuned = load_network(trained.folder).network, []
    state = {name: value.clone() for name, value in network.state_dict().items()}
    monkeypatch.setattr(task, "fine_tune", lambda *args: tuned.append(args))
    made = prune_channels(network, 0.4, task)
    assert tuned == [(made, fine_tuning_epochs(task.recipe.epochs), FINE_TUNING_RATE)]
    assert made.architecture == narrow_architecture(network.architecture, 0.4)
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())


def test_channels_of_off_the_shelf_networks_are_not_dropped():
    with pytest.raises(InputError, match="--prune-channels takes a network of the search space, not one of"):
        check_channels(nn.Linear(3, 2), 0.5)


def test_off_the_shelf_networks_are_not_factorized():
    with pytest.raises(InputError, match="--factorize takes a network of the search space, not an off-the-shelf one"):
        check_ranks(nn.Linear(3, 2), 0.5)


@given(st.lists(st.integers(1, 1000), min_size=2, max_size=40))
def test_codes_can_be_decoded_and_cost_what_the_tree_costs(counts):
    lengths = code_lengths(counts)
    assert sum(2.0**-length for length in lengths) == 1.0  # Kraft: a full prefix code
    cost, heap = 0, sorted(counts)
    while len(heap) > 1:  # the sum of all inner nodes
        merged = heapq.heappop(heap) + heapq.heappop(heap)
        cost += merged
        heapq.heappush(heap, merged)
    assert sum(count * length for count, length in zip(counts, lengths, strict=True)) == cost


def test_a_huffman_code_comes_within_a_bit_of_the_entropy(rng):
    weights = [rng.normal(0, 10, (50, 40)).round().clip(-127, 127).astype(np.int8) for _ in range(2)]
    share = np.unique(np.concatenate(weights), return_counts=True)[1] / 4000
    entropy = -(share * np.log2(share)).sum() * 4000 / 8
    assert entropy <= huffman_bytes(weights) - CODE_TABLE_BYTES <= entropy + 4000 / 8
    assert huffman_bytes([np.zeros(80, np.int8)]) == CODE_TABLE_BYTES + 10
