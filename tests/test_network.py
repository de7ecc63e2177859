"""Networks and their costs, against published values and a closed form written here."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from evomnas.architecture import Architecture
from evomnas.cost import count_cost, layer_costs, total_cost
from evomnas.network import build_network
from evomnas.space import SearchSpace
from evomnas.zoo import published

SMALL = SearchSpace(filters=(8, 12, 16), layers=(1, 2, 1), strides=(1, 2, 2), stem=8, stem_stride=1, head=24, divisor=4)
genomes = st.tuples(*(st.integers(0, int(size) - 1) for size in SMALL.gene_sizes))


@pytest.mark.parametrize(
    ("name", "params", "mega_macs"),
    [
        ("mnasnet-a1", 3_887_038, 311.3),
        ("mnasnet-a1@0.5", 2_082_006, 103.1),
        ("mnasnet-b1", 4_383_312, 314.4),
        ("mnasnet-b1@1.3", 6_282_256, 526.4),
        ("mnasnet-small", 2_030_264, 68.3),
        ("mobilenet-v2", 3_504_872, 300.8),
    ],
)
def test_published_networks_have_the_published_costs(name, params, mega_macs):
    cost = count_cost(published(name))
    assert cost.params == params
    assert abs(cost.macs / 1e6 - mega_macs) <= 0.1


def test_layer_costs_add_up_to_the_network_s():
    architecture = published("mnasnet-small")
    rows = layer_costs(architecture, 10, 1, 64)
    assert total_cost(rows) == count_cost(architecture, 10, 1, 64)
    assert rows[0].shape == (8, 32, 32)
    assert rows[-1].shape == (10,)


def closed_form(architecture: Architecture, classes: int, channels: int, resolution: int) -> tuple[int, int, int]:
    """Parameters, MACs and SE MACs by arithmetic: no torch, no module of evomnas.network."""
    params = macs = se_macs = 0

    def conv(inputs, outputs, kernel, size, groups=1):
        nonlocal params, macs
        weights = inputs // groups * outputs * kernel * kernel
        params += weights + 2 * outputs  # and batch norm's scale and shift
        macs += weights * size * size

    def gate(width, squeeze):
        nonlocal params, se_macs
        params += 2 * width * squeeze + width + squeeze
        se_macs += 2 * width * squeeze + width + squeeze

    size = -(-resolution // architecture.stem_stride)
    conv(channels, architecture.stem, 3, size)
    inputs = architecture.stem
    for block in architecture.blocks:
        for layer in range(block.layers):
            smaller = -(-size // (block.stride if layer == 0 else 1))
            squeeze = max(1, int(inputs * block.se))
            if block.op == "conv":
                conv(inputs, block.filters, block.kernel, smaller)
                if block.se:
                    gate(block.filters, squeeze)
            else:
                wide = inputs * block.expansion
                if block.expansion > 1:
                    conv(inputs, wide, 1, size)
                conv(wide, wide, block.kernel, smaller, groups=wide)
                if block.se:
                    gate(wide, squeeze)
                conv(wide, block.filters, 1, smaller)
            inputs, size = block.filters, smaller
    conv(inputs, architecture.head, 1, size)
    return params + (architecture.head + 1) * classes, macs + (architecture.head + 1) * classes, se_macs


@given(genomes, st.integers(4, 20))
@settings(max_examples=25)
def test_costs_agree_with_the_closed_form(genome, resolution):
    architecture = SMALL.decode(np.array(genome))
    cost = count_cost(architecture, 7, 3, resolution)
    assert (cost.params, cost.macs, cost.se_macs) == closed_form(architecture, 7, 3, resolution)


@given(genomes, st.integers(4, 17))
@settings(max_examples=25)
def test_every_genome_trains_a_step_with_finite_gradients(genome, resolution):
    network = build_network(SMALL.decode(np.array(genome)), 5, 3, seed=1)
    logits = network(torch.randn(4, 3, resolution, resolution))
    assert logits.shape == (4, 5)
    torch.nn.functional.cross_entropy(logits, torch.arange(4)).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())


def test_weights_follow_from_the_seed_and_the_global_generator_is_left_alone():
    architecture = SMALL.mobilenet_v2()
    state = torch.get_rng_state()
    first, again, other = (build_network(architecture, seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["stem.0.weight"], other["stem.0.weight"])


def forward(notation: str, x: torch.Tensor) -> tuple[torch.nn.Module, torch.Tensor, torch.Tensor]:
    network = build_network(Architecture.parse(notation), 2, x.shape[1]).eval()
    inputs: list[torch.Tensor] = []
    layer = network.blocks[0][0]
    layer.register_forward_hook(lambda module, args, result: inputs.extend((args[0], result)))
    network(x)
    return layer, inputs[0], inputs[1]


def test_the_pooling_skip_averages_over_the_stride_and_pads_channels_with_zeros():
    layer, x, y = forward("stem8_s1-conv_k3_s2_f12_n1_pool-head8", torch.randn(1, 3, 6, 6))
    shortcut = torch.zeros_like(y)
    shortcut[:, :8] = x.reshape(1, 8, 3, 2, 3, 2).mean((3, 5))
    torch.testing.assert_close(y, layer.body(x) + shortcut)


def test_the_pooling_skip_cuts_channels_where_there_are_fewer():
    layer, x, y = forward("stem8_s1-conv_k3_s1_f4_n1_pool-head8", torch.randn(1, 3, 5, 5))
    torch.testing.assert_close(y, layer.body(x) + x[:, :4])


def test_the_projection_of_an_inverted_bottleneck_is_linear():
    """No activation after the last batch norm: outputs of both signs."""
    _, _, y = forward("stem8_s1-mbconv6_k3_s1_f16_n1-head8", torch.randn(2, 3, 8, 8))
    assert (y < 0).any()
    assert (y > 0).any()
    _, _, y = forward("stem8_s1-conv_k3_s1_f16_n1-head8", torch.randn(2, 3, 8, 8))
    assert (y >= 0).all()


def test_unknown_published_networks_are_refused():
    from evomnas.errors import InputError

    with pytest.raises(InputError, match="unknown network 'mnasnet-b2': there are .*did you mean mnasnet-b1"):
        published("mnasnet-b2")
    with pytest.raises(InputError, match="width multiplier"):
        published("mnasnet-b1@zero")
