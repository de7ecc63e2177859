"""Files that are written layer by layer, for every runtime that has a writer: they compute what PyTorch does."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from strategies import OTHER_OPS, traits
from torch import nn

from evomnas.latency.prepare import convert_with_output, prepare
from evomnas.latency.runtimes.base import check_output, open_runtime
from evomnas.networks.channels import ChannelSelection
from evomnas.networks.network import Layer, Parallel
from evomnas.problem.architecture import Block
from evomnas.problem.loading import load_definition
from evomnas.problem.pretrained.traits import PLAIN
from evomnas.problem.published import PUBLISHED_NETWORKS, published


@pytest.fixture(scope="module", params=["onnxruntime", "litert", "ncnn"])
def writer(request):
    return open_runtime(request.param)


def run(writer, module, images):
    """The output of a file for images, and PyTorch's."""
    with torch.no_grad():
        prepared = convert_with_output(writer, module.eval(), images)
    return writer.load(prepared.model, prepared.images, 1)(), prepared.logits


@given(
    sizes=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    kernel=st.sampled_from([1, 3, 5, 7]),
    stride=st.integers(1, 3),
    padding=st.integers(0, 3),
    is_depthwise=st.booleans(),
)
@settings(max_examples=40)
def test_convolutions_pad_as_pytorch_does(writer, sizes, kernel, stride, padding, is_depthwise):
    if min(sizes) + 2 * padding < kernel:
        return
    conv = nn.Conv2d(4, 4 if is_depthwise else 6, kernel, stride, padding, groups=4 if is_depthwise else 1)
    found, expected = run(writer, conv, torch.randn(2, 4, *sizes, generator=torch.Generator().manual_seed(0)))
    np.testing.assert_allclose(found, expected, atol=1e-5)


@given(
    sizes=st.tuples(st.integers(2, 9), st.integers(2, 9)),
    channels=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    stride=st.sampled_from([1, 2]),
)
@example(sizes=(2, 3), channels=(3, 2), stride=1)  # channels of six values, which ncnn keeps in the places of eight
@settings(max_examples=40)
def test_pooling_skips_average_what_is_there_on_odd_sizes_and_pad_or_cut_channels(writer, sizes, channels, stride):
    layer = Layer(Block("conv", 3, stride, channels[1], 1, skip="pool"), channels[0], stride, 0.1, PLAIN)
    images = torch.randn(1, channels[0], *sizes, generator=torch.Generator().manual_seed(0))
    found, expected = run(writer, layer, images)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_values_of_parallel_branches_are_added(writer):
    module = Parallel([nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(3, 4, 5, padding=2)])
    found, expected = run(writer, module, torch.randn(2, 3, 6, 5, generator=torch.Generator().manual_seed(0)))
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.ReLU6(), nn.Hardswish()])
def test_activations_are_computed(writer, activation):
    images = 20 * torch.randn(1, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    found, expected = run(writer, nn.Sequential(nn.Conv2d(3, 3, 1), activation), images)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_convolutions_behind_the_average_are_computed(writer):
    """As in a late head, and in the surroundings in which one is timed."""
    convolutions = [nn.Conv2d(6, 8, 1), nn.Hardswish(), nn.Conv2d(8, 8, 1, groups=8), nn.Conv2d(8, 4, 1, groups=2)]
    module = nn.Sequential(nn.AdaptiveAvgPool2d(1), *convolutions, nn.Flatten())
    found, expected = run(writer, module, torch.randn(2, 6, 5, 4, generator=torch.Generator().manual_seed(0)))
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("op", OTHER_OPS)
@given(sizes=st.tuples(st.integers(1, 9), st.integers(1, 9)), stride=st.sampled_from([1, 2]), traits=traits)
@settings(max_examples=6)
def test_operations_beside_mnasnet_s_are_computed(writer, op, sizes, stride, traits):
    assume(min(sizes) >= stride)  # as in every network: its total stride is at most the size of its images
    layer = Layer(Block(op, 3, stride, 6, 1, se=0.5, skip="identity"), 6, stride, 0.1, traits)
    for module in layer.modules():
        if isinstance(module, ChannelSelection):  # one that a state dict brought along
            module.index.copy_(torch.tensor([5, 0, 3, 3, 1, 2]))
    found, expected = run(writer, layer, torch.randn(2, 6, *sizes, generator=torch.Generator().manual_seed(0)))
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.thorough
@pytest.mark.parametrize("name", PUBLISHED_NETWORKS)
def test_published_networks_have_pytorch_s_logits(writer, name):
    prepared = prepare(writer, published(name), 1000, 3, 224)
    check_output(writer.name, writer.load(prepared.model, prepared.images, 1)(), prepared.logits)


@pytest.mark.thorough
@pytest.mark.parametrize("problem", ["digits", "fashion-mnist", "cifar10", "images"])
def test_200_networks_of_every_problem_s_space_have_pytorch_s_logits(writer, problem):
    definition = load_definition(problem)
    genomes = definition.space.sample(200, np.random.default_rng(0))
    for place, genome in enumerate(genomes):
        channels, resolution = (1, 3)[place % 2], definition.data.resolution - place % 3
        prepared = prepare(writer, definition.space.decode(genome), 10, channels, resolution)
        check_output(writer.name, writer.load(prepared.model, prepared.images, 1)(), prepared.logits)
