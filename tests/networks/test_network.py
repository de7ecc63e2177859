"""Networks and their costs, against published values and a closed form written here."""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import replace

import numpy as np
import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import OTHER_OPS, points
from torch import nn

from evomnas.networks.layer_costs import count_cost, layer_costs, total_cost
from evomnas.networks.network import SamePad, build_network
from evomnas.problem.architecture import Architecture, Block
from evomnas.problem.published import fit_to_resolution, published
from evomnas.problem.search_space import SearchSpace

PUBLISHED = {  # parameters, millions of MACs without SE; from the papers, their code, torchvision and timm
    "mnasnet-a1": (3_887_038, 311.3),
    "mnasnet-a1@0.35": (1_747_018, 61.6),
    "mnasnet-a1@0.5": (2_082_006, 103.1),
    "mnasnet-a1@0.75": (2_912_278, 223.3),
    "mnasnet-a1@1.4": (6_105_992, 585.8),
    "mnasnet-b1": (4_383_312, 314.4),
    "mnasnet-b1@0.5": (2_218_512, 104.5),
    "mnasnet-b1@0.75": (3_170_208, 215.5),
    "mnasnet-b1@1.3": (6_282_256, 526.4),
    "mnasnet-b1@1.4": (7_115_728, 588.8),
    "mnasnet-small": (2_030_264, 68.3),
    "mobilenet-v2": (3_504_872, 300.8),
    "mobilenet-v2@1.4": (6_108_776, 582.2),
    "efficientnet-lite0": (4_652_008, 385.2),
    "efficientnet-lite1": (5_416_680, 502.5),
    "efficientnet-lite2": (6_092_072, 576.5),
    "efficientnet-lite3": (8_197_096, 852.1),
    "efficientnet-lite4": (13_006_568, 1347.7),
    "mobilenet-v4-conv-s": (3_774_024, 186.0),
    "mobilenet-v4-conv-m": (9_715_512, 827.6),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_networks_have_the_published_costs(name):
    cost = count_cost(published(name))
    params, mega_macs = PUBLISHED[name]
    assert cost.params == params
    assert round(cost.macs / 1e6, 1) == mega_macs


@pytest.mark.parametrize(("name", "theirs"), [("s", "small"), pytest.param("m", "medium", marks=pytest.mark.thorough)])
def test_mobilenet_v4_has_the_costs_of_timm_s(name, theirs):
    """Counted by hooks on timm's network, as above."""
    model = timm.create_model(f"mobilenetv4_conv_{theirs}").eval().to("meta")
    counts: list[int] = []
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(
                lambda one, _, output: counts.append(one.weight.numel() * math.prod(output.shape[2:]))
            )
    with torch.inference_mode():
        model(torch.empty(1, 3, 224, 224, device="meta"))
    params = sum(parameter.numel() for parameter in model.parameters())
    cost = count_cost(published(f"mobilenet-v4-conv-{name}"))
    assert (cost.params, cost.macs) == (params, sum(counts))


@pytest.mark.parametrize("number", [0, *(pytest.param(one, marks=pytest.mark.thorough) for one in (1, 2, 3)), 4])
def test_an_efficientnet_lite_has_the_costs_of_timm_s_at_its_own_resolution(number):
    """Counted here, by hooks on timm's network: a convolution's weights times the pixels of its output."""
    model = timm.create_model(f"tf_efficientnet_lite{number}").eval().to("meta")
    counts: list[int] = []
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(
                lambda module, inputs, output: counts.append(module.weight.numel() * math.prod(output.shape[2:]))
            )
    _, side, _ = model.default_cfg["input_size"]
    model(torch.empty(1, 3, side, side, device="meta"))
    cost = count_cost(published(f"efficientnet-lite{number}"), resolution=side)
    assert (cost.params, cost.macs) == (sum(one.numel() for one in model.parameters()), sum(counts))


@given(st.integers(1, 40), st.sampled_from([1, 3, 5, 7]), st.integers(1, 3))
def test_same_padding_is_the_least_and_the_odd_pixel_goes_below_and_to_the_right(size, kernel, stride):
    """TensorFlow's formula, in its two cases of the size (tf.nn, Notes on padding)."""
    total = max(kernel - stride, 0) if size % stride == 0 else max(kernel - size % stride, 0)
    padded = SamePad(kernel, stride)(torch.ones(1, 1, size, size))[0, 0]
    assert padded.shape == (size + total, size + total)
    assert padded[total // 2 : total // 2 + size, total // 2 : total // 2 + size].all()
    assert padded.sum() == size * size
    convolution = nn.Conv2d(1, 1, kernel, stride)
    if total or size >= kernel:
        assert convolution(padded[None, None]).shape[2] == -(-size // stride)


def test_squeeze_and_excite_costs_mnasnet_a1_a_quarter_of_a_million_macs():
    assert round(count_cost(published("mnasnet-a1")).se_macs / 1e6, 2) == 0.25


def test_the_space_s_mobilenet_v2_is_the_published_one():
    assert SearchSpace().mobilenet_v2() == published("mobilenet-v2")


def test_layer_costs_add_up_to_the_network_s():
    architecture = published("mnasnet-small")
    rows = layer_costs(architecture, 10, 1, 64)
    assert total_cost(rows) == count_cost(architecture, 10, 1, 64)
    assert rows[0].shape == (8, 32, 32)
    assert rows[-1].shape == (10,)


def closed_form(architecture: Architecture, classes: int, channels: int, height: int, width: int) -> tuple[int, ...]:
    """Parameters, MACs and SE MACs by arithmetic: no torch, no module of evomnas.networks.network."""
    params = macs = se_macs = 0

    def conv(inputs, outputs, kernel, size, groups=1):
        nonlocal params, macs
        weights = inputs // groups * outputs * kernel * kernel
        params += weights + 2 * outputs  # and batch norm's scale and shift
        macs += weights * size[0] * size[1]

    def smaller_by(size, stride):
        return tuple(math.ceil(side / stride) for side in size)

    def gate(width, squeeze):
        nonlocal params, se_macs
        params += 2 * width * squeeze + width + squeeze
        se_macs += 2 * width * squeeze

    size = smaller_by((height, width), architecture.stem_stride)
    conv(channels, architecture.stem, 3, size)
    inputs = architecture.stem
    for block in architecture.blocks:
        for layer in range(block.layers):
            smaller = smaller_by(size, block.stride if layer == 0 else 1)
            squeeze = max(1, int(inputs * block.se))
            if block.op == "conv":
                conv(inputs, block.filters, block.kernel, smaller)
                if block.se:
                    gate(block.filters, squeeze)
            elif block.op in OTHER_OPS or block.op == "extradw3":
                number, outputs, wide = int(re.sub("a5$|[a-z]", "", block.op) or 1), block.filters, 0
                if block.op.startswith("fmbconv"):
                    conv(inputs, wide := inputs * number, block.kernel, smaller)
                elif block.op.startswith("convnext"):
                    conv(inputs, inputs, block.kernel, smaller, groups=inputs)
                    conv(inputs, wide := inputs * number, 1, smaller)
                elif block.op.startswith("ffn"):
                    conv(inputs, wide := inputs * number, 1, smaller)
                elif block.op.startswith(("extradw", "uib")):
                    conv(inputs, inputs, 5 if "uib" in block.op else block.kernel, size, groups=inputs)
                    conv(inputs, wide := inputs * number, 1, size)
                    conv(wide, wide, block.kernel, smaller, groups=wide)
                elif block.op.startswith("shuffle"):
                    inner = math.ceil(outputs / 4 / number) * number
                    conv(inputs, inner, 1, size, groups=math.gcd(number, inputs))
                    conv(inner, inner, block.kernel, smaller, groups=inner)
                    conv(inner, outputs, 1, smaller, groups=math.gcd(number, outputs))
                elif block.op.startswith("fire"):
                    squeezed = math.ceil(outputs / number)
                    conv(inputs, squeezed, 1, size)
                    if outputs > 1:
                        conv(squeezed, outputs // 2, 1, smaller)
                    conv(squeezed, outputs - outputs // 2, block.kernel, smaller)
                elif block.op.startswith("condense"):
                    conv(inputs, outputs, 1, size, groups=math.gcd(number, inputs, outputs))
                    conv(outputs, outputs, block.kernel, smaller, groups=math.gcd(number, outputs))
                if block.se:
                    gate(inner if "shuffle" in block.op else wide or outputs, squeeze)
                if wide:
                    conv(wide, outputs, 1, smaller)
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
    return params + (architecture.head + 1) * classes, macs + architecture.head * classes, se_macs


@given(points(max_filters=16), st.integers(1, 48), st.none() | st.integers(1, 48))
@settings(max_examples=12)
def test_costs_agree_with_the_closed_form(point, height, width):
    """Of squares, and of images that are not square."""
    space, genome = point
    architecture = space.decode(genome)
    resolution = height if width is None else (height, width)
    cost = count_cost(architecture, 7, 3, resolution)
    assert (cost.params, cost.macs, cost.se_macs) == closed_form(architecture, 7, 3, height, width or height)
    assert total_cost(layer_costs(architecture, 7, 3, resolution)) == cost


@pytest.mark.parametrize("op", SearchSpace().ops)
@pytest.mark.parametrize("se", SearchSpace().se_ratios)
@pytest.mark.parametrize("kernel", SearchSpace().kernels)
def test_costs_of_every_op_agree_with_the_closed_form(op, se, kernel):
    for stride, filters, skip in ((1, 8, "identity"), (2, 12, "pool"), (1, 6, "none")):
        block = Block(op, kernel, stride, filters, 2, se, skip)
        architecture = Architecture(8, 2, (block,), 20)
        cost = count_cost(architecture, 5, 3, 15)
        assert (cost.params, cost.macs, cost.se_macs) == closed_form(architecture, 5, 3, 15, 15)


@given(points(max_filters=16), st.sampled_from([8, 9, 15, 16, 31, 32, 64, 97]))
@settings(max_examples=12)
def test_every_genome_of_any_space_trains_a_step_with_finite_gradients(point, resolution):
    space, genome = point
    network = build_network(space.decode(genome), 5, 3, seed=1)
    logits = network(torch.randn(2, 3, resolution, resolution))
    assert logits.shape == (2, 5)
    torch.nn.functional.cross_entropy(logits, torch.arange(2)).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


def test_architectures_with_the_same_weights_compute_something_else_each():
    """Every gene matters: where two choices share all shapes of weights, as skips do, the function differs."""
    space = SearchSpace(
        filters=(8,), layers=(1,), strides=(1,), stem=8, head=8, ops=("conv", "mbconv3"), kernels=(3,), divisor=2
    )
    strided = replace(space, strides=(2,))
    images = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    outputs: dict[tuple, dict[Architecture, torch.Tensor]] = {}
    for one in (space, strided):
        for genome in itertools.product(*(range(size) for size in one.gene_sizes)):
            architecture = one.decode(np.array(genome))
            network = build_network(architecture, 5, 3, seed=1).eval()
            shapes = tuple(parameter.shape for parameter in network.parameters())
            with torch.inference_mode():
                outputs.setdefault(shapes, {})[architecture] = network(images)
    assert sum(map(len, outputs.values())) == space.networks + strided.networks
    for alike in outputs.values():
        for one, other in itertools.combinations(alike.values(), 2):
            assert not torch.allclose(one, other, rtol=1e-4, atol=0)


def test_weights_follow_from_the_seed_and_the_global_generator_is_left_alone():
    architecture = published("mnasnet-small")
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
    from evomnas.core.errors import InputError

    with pytest.raises(InputError, match="unknown network 'mnasnet-b2': there are .*did you mean mnasnet-b1"):
        published("mnasnet-b2")
    with pytest.raises(InputError, match="width multiplier"):
        published("mnasnet-b1@zero")
    for width in ("0", "51", "1_0", "1e1", "nan", ""):
        with pytest.raises(InputError, match="must be a number up to 50"):
            published(f"mnasnet-b1@{width}")
    assert published("mnasnet-b1@1.0") == published("mnasnet-b1")


def test_counting_needs_neither_memory_nor_time():
    assert count_cost(published("mnasnet-a1"), 1000, 10_000, 100_000).macs > 10**15
    assert count_cost(published("mnasnet-a1@50")).params > 10**9


@pytest.mark.parametrize(("resolution", "strides"), [(224, 32), (32, 32), (31, 16), (8, 8), (1, 1)])
def test_published_networks_are_fitted_to_small_images(resolution, strides):
    network = fit_to_resolution(published("mobilenet-v2"), resolution)
    assert network.total_stride == strides
    network.check_resolution(resolution)
    assert [block.filters for block in network.blocks] == [block.filters for block in published("mobilenet-v2").blocks]
