"""Runtimes: one conformance suite; a new runtime joins by its entry point."""

from __future__ import annotations

import gc
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from evomnas.core import registry
from evomnas.core.errors import InputError
from evomnas.latency.prepare import prepare
from evomnas.latency.runtimes import onnx_runtime
from evomnas.latency.runtimes.base import check_output, installed_providers, installed_version, open_runtime
from evomnas.latency.runtimes.onnx_graph import to_onnx
from evomnas.networks.network import build_network
from evomnas.problem.architecture import Architecture
from evomnas.problem.pretrained.traits import PLAIN, Traits
from evomnas.problem.published import published
from evomnas.problem.search_space import SearchSpace
from evomnas.results.evaluation import Failure, RuntimeMismatch

SPACE = SearchSpace(filters=(8, 12, 8), layers=(1, 2, 1), strides=(1, 2, 2), stem=8, stem_stride=1, head=24, divisor=4)
genomes = st.tuples(*(st.integers(0, int(size) - 1) for size in SPACE.gene_sizes))


@pytest.fixture(scope="module", params=sorted(registry.available("runtimes")))
def runtime(request):
    return open_runtime(request.param)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=pytest.mark.thorough if name == "executorch" else ())
        for name in sorted(registry.available("runtimes"))
    ],
)
def quick_runtime(request):
    """ExecuTorch lowers every network for seconds."""
    return open_runtime(request.param)


def check(runtime, genome, resolution, batch, channels, traits=PLAIN) -> None:
    architecture = replace(SPACE.decode(np.array(genome)), traits=traits)
    prepared = prepare(runtime, architecture, 5, channels, resolution, batch)
    logits = runtime.load(prepared.model, prepared.images, 1)()
    assert logits.shape == (batch, 5)
    assert np.abs(prepared.logits).max() > 1e-3  # a dead network would prove nothing
    np.testing.assert_allclose(logits, prepared.logits, rtol=1e-3, atol=1e-4)
    check_output(runtime.name, logits, prepared.logits)


squares = st.integers(4, 19)
sizes = squares | st.tuples(squares, squares)


@given(genome=genomes, resolution=sizes, batch=st.integers(1, 3), channels=st.sampled_from([1, 3]))
@settings(max_examples=10)
@pytest.mark.parametrize("name", ["onnxruntime", "torch", "litert", "openvino", "ncnn"])
def test_a_runtime_computes_the_network_s_logits(name, genome, resolution, batch, channels):
    """Every op, kernel, SE and skip of the space, at odd and even resolutions, square and not."""
    check(open_runtime(name), genome, resolution, batch, channels)


@pytest.mark.parametrize(
    "genome",
    [
        [0, 0, 1, 2, 0, 0, 2, 1, 0, 2, 1, 1, 1, 0, 1, 1, 2, 0],
        pytest.param([3, 1, 1, 1, 2, 1, 0, 0, 0, 0, 0, 2, 2, 0, 0, 2, 1, 1], marks=pytest.mark.thorough),
    ],
)
def test_every_runtime_computes_every_op_se_and_skip(quick_runtime, genome):
    """Few networks, since one runtime lowers slowly: the genes' choices are spread over the three blocks."""
    check(quick_runtime, genome, 9, 2, 3)


def test_every_runtime_computes_operations_beside_mnasnet_s(quick_runtime):
    blocks = (
        "fmbconv2_k3_s2_f8_n2_se0.25_id-extradw2_k5_s1_f12_n1_se0.5-convnext3_k7_s2_f8_n2_id-ffn2_k1_s1_f12_n1"
        "-uib2a5_k3_s1_f12_n1_id-shuffle3_k3_s1_f12_n1_se0.25_id-fire4_k5_s1_f16_n1-condense4_k3_s1_f16_n1_id"
        "-pass_k1_s2_f24_n1"
    )
    prepared = prepare(quick_runtime, Architecture.parse(f"stem8_s1-{blocks}-head16-hswish_late"), 5, 3, 11, 2)
    logits = quick_runtime.load(prepared.model, prepared.images, 1)()
    np.testing.assert_allclose(logits, prepared.logits, rtol=1e-3, atol=1e-4)


@pytest.mark.thorough
def test_every_runtime_takes_images_that_are_not_square(runtime):
    check(runtime, [0, 0, 1, 2, 0, 0, 2, 1, 0, 2, 1, 1, 1, 0, 1, 1, 2, 0], (9, 14), 1, 3)


TRAITS = Traits("relu6", "same", 1e-5)


@given(genome=genomes, resolution=sizes)
@settings(max_examples=6)
@pytest.mark.parametrize("name", ["onnxruntime", "litert", "ncnn"])
def test_files_have_the_traits_of_their_network(name, genome, resolution):
    check(open_runtime(name), genome, resolution, 1, 3, TRAITS)


@pytest.mark.parametrize("resolution", [9, 10])
def test_every_runtime_computes_clipped_activations_and_tensorflow_s_padding(quick_runtime, resolution):
    check(quick_runtime, [2, 1, 0, 1, 1, 0, 2, 1, 0, 1, 1, 1, 1, 0, 1, 1, 2, 0], resolution, 2, 3, TRAITS)


def test_tensorflow_s_padding_is_a_part_of_the_convolution_in_an_onnx_file():
    """A node of its own would take time."""
    network = build_network(published("efficientnet-lite0"), 5).eval()
    nodes = [node.op_type for node in onnx.load_from_string(to_onnx(network, torch.zeros(1, 3, 64, 64))).graph.node]
    convolutions = sum(isinstance(module, torch.nn.Conv2d) for module in network.modules())
    assert (nodes.count("Conv"), nodes.count("Pad")) == (convolutions, 0)


def test_images_that_can_be_written_to_are_read_at_every_run(runtime):
    prepared = prepare(runtime, SPACE.mobilenet_v2(), 4, 3, 9)
    images = prepared.images.copy()
    run = runtime.load(prepared.model, images, 1)
    first = run().copy()
    images[...] = images[:, ::-1, ::-1]
    assert not np.allclose(run(), first)
    images[...] = prepared.images
    check_output(runtime.name, run(), first)


def test_images_that_cannot_be_written_to_give_the_same(runtime, recwarn):
    prepared = prepare(runtime, SPACE.mobilenet_v2(), 4, 3, 9)
    images = prepared.images.view()
    images.flags.writeable = False
    run = runtime.load(prepared.model, images, 1)
    for _ in range(3):
        check_output(runtime.name, run(), prepared.logits)
    assert not recwarn.list


def test_a_loaded_model_needs_the_contents_of_its_file_no_more(runtime):
    """Whoever loads a model may forget the bytes and the images at once."""
    prepared = prepare(runtime, SPACE.mobilenet_v2(), 4, 3, 9)  # as the tests before: a program is kept
    run = runtime.load(bytes(bytearray(prepared.model)), prepared.images.copy(), 1)
    gc.collect()
    others = [bytes([number]) * len(prepared.model) for number in range(20)]  # in the memory of the bytes
    more = [np.full_like(prepared.images, number) for number in range(20)]  # in that of the images
    check_output(runtime.name, run(), prepared.logits)
    assert (len(others), len(more)) == (20, 20)


def test_another_output_than_pytorch_s_is_found_out():
    logits = np.array([[1.0, -2.0]], dtype=np.float32)
    check_output("it", logits * 1.0001, logits)
    for wrong in (logits * 1.1, logits * np.nan, logits[:, :1]):
        with pytest.raises(RuntimeMismatch, match="it computes other logits than PyTorch") as caught:
            check_output("it", wrong, logits)
        assert Failure.of(caught.value).kind == "mismatch"


def test_a_runtime_says_its_version_and_how_to_install_it(runtime):
    assert installed_version(runtime)
    assert runtime.install.startswith("pip install ")


def test_a_runtime_that_is_not_installed_is_refused_with_the_line_that_installs_it(monkeypatch):
    class Missing:
        name, package, install = "missing", "no-such-package", "pip install no-such-package"

    monkeypatch.setattr(registry, "load", lambda group, name: Missing)
    with pytest.raises(InputError, match="the runtime missing is not installed: pip install no-such-package"):
        open_runtime("missing")


def test_every_provider_that_is_here_computes_the_network_s_logits(quick_runtime):
    """On a machine with a GPU, or with another package of ONNX Runtime, there are others than the CPU."""
    runtime = quick_runtime
    providers = installed_providers(runtime)
    assert providers[0] == "cpu"
    prepared = prepare(runtime, SPACE.mobilenet_v2(), 4, 3, 9, 2)
    for provider in providers:
        opened = open_runtime(runtime.name, provider)
        assert opened.in_caller or provider != "cpu"
        images = prepared.images.copy()
        run = opened.load(prepared.model, images, 1)
        check_output(runtime.name, run(), prepared.logits)
        images[...] = images[::-1]
        check_output(runtime.name, run(), prepared.logits[::-1])


def test_a_provider_that_is_not_here_is_refused_with_the_line_that_installs_it(runtime):
    missing = {"cuda", "qnn", "cpus"} - set(installed_providers(runtime))
    for provider in missing:
        with pytest.raises(InputError, match=rf"the runtime {runtime.name} cannot use {provider} here, only cpu"):
            open_runtime(runtime.name, provider)
    if runtime.name == "onnxruntime" and "cuda" in missing:
        with pytest.raises(InputError, match=": pip install onnxruntime-gpu$"):
            open_runtime("onnxruntime", "cuda")


def test_onnx_runtime_does_not_run_on_the_cpu_what_its_provider_cannot(monkeypatch):
    """ONNX Runtime's package for the CPU has one provider that runs no such network."""
    monkeypatch.setitem(onnx_runtime.PROVIDERS, "azure", ("AzureExecutionProvider", {}))
    runtime = open_runtime("onnxruntime", "azure")
    prepared = prepare(runtime, SPACE.mobilenet_v2(), 4, 3, 9)
    with pytest.raises(RuntimeError, match="cannot run this network on azure alone: .*") as caught:
        runtime.load(prepared.model, prepared.images, 1)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["onnxruntime", "litert", "ncnn"])
def test_a_part_of_a_network_can_be_converted(name):
    """Layer by layer: the parts' outputs are the network's."""
    runtime = open_runtime(name)
    network = build_network(SPACE.mobilenet_v2(), 5, 3).eval()
    value = torch.randn(1, 3, 9, 9)
    with torch.no_grad():
        for part in (network.stem, *(layer for block in network.blocks for layer in block), network.head):
            run = runtime.load(runtime.convert(part, value), value.numpy(), 1)
            value = part(value)
            np.testing.assert_allclose(run(), value.numpy(), rtol=1e-3, atol=1e-5)


@pytest.mark.thorough
def test_executorch_programs_are_kept_on_disk_and_belong_to_their_weights(monkeypatch):
    from evomnas.latency.runtimes import executorch_xnnpack as executorch

    runtime = open_runtime("executorch")
    first = prepare(runtime, SPACE.mobilenet_v2(), 4, 1, 8)
    monkeypatch.setattr(executorch, "lower", lambda network, images: b"lowered again")
    assert prepare(runtime, SPACE.mobilenet_v2(), 4, 1, 8).model == first.model
    assert prepare(runtime, SPACE.mobilenet_v2(), 5, 1, 8).model == b"lowered again"
    monkeypatch.setattr(executorch, "MAX_CACHE_BYTES", 1)
    prepare(runtime, SPACE.mobilenet_v2(), 6, 1, 8)
    assert len(list((executorch.user_folder() / "executorch").glob("*.pte"))) == 1


def test_onnx_files_name_their_input_and_output_and_pass_the_checker():
    import onnx

    prepared = prepare(registry.load("runtimes", "onnxruntime")(), SPACE.mobilenet_v2(), 5, 3, 8)
    model = onnx.load_from_string(prepared.model)
    onnx.checker.check_model(model, full_check=True)
    assert [value.name for value in model.graph.input] == ["image"]
    assert [value.name for value in model.graph.output] == ["logits"]
    assert not any(node.op_type == "BatchNormalization" for node in model.graph.node)
