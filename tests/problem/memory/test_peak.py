"""Peak memory in closed form: by hand, and by following every value of a written file from its maker to its reader."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import OTHER_OPS

from evomnas.core.errors import InputError
from evomnas.latency.runtimes.litert_graph import to_litert
from evomnas.loop.launch import search
from evomnas.networks.network import build_network
from evomnas.problem.architecture import Architecture
from evomnas.problem.loading import load_definition
from evomnas.problem.memory.peak import least_peak_architecture, peak_kb
from evomnas.problem.published import PUBLISHED_NETWORKS, published
from evomnas.problem.search_space import SearchSpace
from evomnas.problem.sections import ConstraintsSection
from evomnas.results.constraints import Limits
from evomnas.results.evaluation import NetworkEvaluation

SPACE = SearchSpace(filters=(8, 12, 8), layers=(1, 2, 1), strides=(1, 2, 2), stem=8, stem_stride=1, head=24, divisor=4)
SHAPE = {"classes": 5, "channels": 3, "resolution": 16}
PAD = schema.BuiltinOperator.PAD


def followed_peak(architecture, classes, channels, resolution):
    """The largest number of live values over the operations of a LiteRT file, that pad within their convolutions."""
    network = build_network(architecture, classes, channels).eval()
    side = architecture.resolution or resolution
    height, width = (side, side) if isinstance(side, int) else side
    graph = schema.ModelT.InitFromPackedBuf(
        to_litert(network, torch.zeros(1, channels, height, width)), 0
    )  # fmt: skip
    buffers, [graph], codes = graph.buffers, graph.subgraphs, graph.operatorCodes
    constant = {place for place, one in enumerate(graph.tensors) if buffers[one.buffer].data is not None}
    size = {place: math.prod(one.shape) for place, one in enumerate(graph.tensors)}
    first, last, same = {int(graph.inputs[0]): 0}, {}, {}
    for time, operator in enumerate(graph.operators):
        read = [same.get(int(place), int(place)) for place in operator.inputs if int(place) not in constant]
        [made] = map(int, operator.outputs)
        shapes = [list(graph.tensors[place].shape) for place in (read[0], made)]
        if codes[operator.opcodeIndex].builtinCode == PAD and shapes[0][3] == shapes[1][3]:
            same[made] = read[0]
            continue
        last |= dict.fromkeys(read, time)
        first[made] = last[made] = time
    times = range(len(graph.operators))
    return max(sum(size[one] for one in first if first[one] <= time <= last[one]) for time in times)


def closed_peak(architecture, **shape):
    return peak_kb(architecture, "int8", **shape) * 1024


genomes = st.tuples(*(st.integers(0, int(size) - 1) for size in SPACE.gene_sizes))
sizes = st.integers(4, 19) | st.tuples(st.integers(4, 19), st.integers(4, 19))


@given(genome=genomes, resolution=sizes, channels=st.sampled_from([1, 3]))
@settings(max_examples=40)
def test_the_closed_form_is_what_following_every_value_finds(genome, resolution, channels):
    shape = {"classes": 5, "channels": channels, "resolution": resolution}
    architecture = SPACE.decode(np.array(genome))
    assert closed_peak(architecture, **shape) == followed_peak(architecture, **shape)


@pytest.mark.parametrize("op", OTHER_OPS)
@pytest.mark.parametrize("ending", ["", "_se0.25", "_id", "_se0.5_pool"])
def test_every_operation_has_the_peak_that_following_finds(op, ending):
    for head in ("16", "16-late"):
        architecture = Architecture.parse(f"stem8_s1-{op}_k5_s2_f12_n2{ending}-head{head}")
        assert closed_peak(architecture, **SHAPE) == followed_peak(architecture, **SHAPE)


def test_a_block_that_is_no_layer_adds_nothing():
    """The peak is that of the stem, of 3 x 8 x 8 and 8 x 8 x 8 values."""
    architecture = Architecture.parse("stem8_s1-pass_k1_s1_f8_n1-head2-late")
    shape = {"classes": 2, "channels": 3, "resolution": 8}
    assert closed_peak(architecture, **shape) == followed_peak(architecture, **shape) == 11 * 64


@pytest.mark.thorough
@pytest.mark.parametrize("name", PUBLISHED_NETWORKS)
def test_published_networks_have_the_peak_that_following_finds(name):
    shape = {"classes": 1000, "channels": 3, "resolution": 224}
    assert closed_peak(published(name), **shape) == followed_peak(published(name), **shape)


@pytest.mark.thorough
@pytest.mark.parametrize("problem", ["digits", "fashion-mnist", "cifar10", "images"])
def test_random_networks_of_every_problem_have_the_peak_that_following_finds(problem):
    definition = load_definition(problem)
    for genome in definition.space.sample(60, np.random.default_rng(0)):
        architecture, shape = definition.space.decode(genome), {"classes": 10, "channels": 3}
        shape["resolution"] = definition.data.resolution
        assert closed_peak(architecture, **shape) == followed_peak(architecture, **shape)


def test_mobilenet_v2_s_peak_is_its_first_depthwise_convolution_with_a_stride():
    """It reads 96 channels of 112 pixels and writes 96 of 56."""
    values = 96 * 112**2 + 96 * 56**2
    network = published("mobilenet-v2")
    assert peak_kb(network, "int8", 1000, 3, 224) == values / 1024 == 1470
    assert peak_kb(network, "float", 1000, 3, 224) == 4 * 1470


def test_an_input_with_a_skip_lives_until_it_is_added():
    """Images of 8 pixels with 4 channels behind the stem, 12 within the layer."""
    with_skip, without = (Architecture.parse(f"stem4_s1-mbconv3_k3_s1_f4_n1{skip}-head4") for skip in ("_id", ""))
    shape = {"classes": 2, "channels": 1, "resolution": 8}
    assert closed_peak(with_skip, **shape) == 64 * (4 + 12 + 12)
    assert closed_peak(without, **shape) == 64 * (12 + 12)


@pytest.mark.parametrize("resolution", [9, pytest.param(16, marks=pytest.mark.thorough)])
def test_the_least_peak_of_a_space_is_that_of_the_whole_enumeration(resolution):
    space = SearchSpace(
        filters=(8, 16), layers=(1, 1), strides=(2, 1), stem=8, stem_stride=1, head=8, divisor=4, kernels=(3,),
    )  # fmt: skip
    shape = SHAPE | {"resolution": resolution}
    every = itertools.product(*(range(int(size)) for size in space.gene_sizes))
    peaks = {peak_kb(space.decode(np.array(genome)), "int8", **shape) for genome in every}
    assert peak_kb(least_peak_architecture(space, **shape), "int8", **shape) == min(peaks)


def test_a_limit_of_the_peak_holds_before_anything_is_measured():
    network = published("mobilenet-v2@0.1")
    shape = {"classes": 10, "channels": 3, "resolution": 64}
    for precision in ("float", "int8"):
        peak = peak_kb(network, precision, **shape)
        kept, beyond = (
            Limits(ConstraintsSection(max_peak_kb=limit), shape, precision).apply(NetworkEvaluation(network))
            for limit in (peak, peak / 2)
        )
        assert (kept.violation, kept.status) == (0.0, "stopped")
        assert (beyond.violation, beyond.status) == (pytest.approx(1.0), "infeasible")


def test_a_search_keeps_the_limit_and_shows_the_peaks(tiny, tmp_path):
    shape = {"classes": 10, "channels": 1, "resolution": 8}
    least = peak_kb(least_peak_architecture(tiny.space, **shape), "float", **shape)
    limited = tiny.model_copy(update={"constraints": ConstraintsSection(max_peak_kb=1.2 * least)})
    rows = [one.to_dict() for one in search(limited, "random", budget=6, out=tmp_path / "a", workers=0).results()]
    assert {row["status"] for row in rows} == {"ok", "infeasible"}
    assert all((row["peak_kb"] <= 1.2 * least) == (row["status"] == "ok") for row in rows)
    below = tiny.model_copy(update={"constraints": ConstraintsSection(max_peak_kb=0.9 * least)})
    message = r"no network of the space meets constraints.max_peak_kb = .* KiB of activations, 11% more"
    with pytest.raises(InputError, match=message):
        search(below, "random", budget=6, out=tmp_path / "b", workers=0)


def test_an_addition_has_both_of_its_inputs_and_its_output():
    """Plain convolutions of as many channels: nothing else has three times their values alive."""
    network = Architecture.parse("stem4_s1-conv_k3_s1_f4_n2_id-head4")
    shape = {"classes": 2, "channels": 1, "resolution": 8}
    assert closed_peak(network, **shape) == followed_peak(network, **shape) == 64 * 3 * 4
