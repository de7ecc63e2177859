"""Runtimes: one conformance suite; a new runtime joins by its entry point."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evomnas import registry
from evomnas.evaluation import Failure, RuntimeMismatch
from evomnas.latency.runtimes import Prepared, checked_runner
from evomnas.space import SearchSpace
from evomnas.workbench import prepare

SPACE = SearchSpace(filters=(8, 12, 8), layers=(1, 2, 1), strides=(1, 2, 2), stem=8, stem_stride=1, head=24, divisor=4)
genomes = st.tuples(*(st.integers(0, int(size) - 1) for size in SPACE.gene_sizes))


@pytest.fixture(scope="module", params=sorted(registry.available("runtimes")))
def runtime(request):
    return registry.load("runtimes", request.param)()


@given(genome=genomes, resolution=st.integers(4, 19), batch=st.integers(1, 3), channels=st.sampled_from([1, 3]))
@settings(max_examples=30)
def test_a_runtime_computes_the_network_s_logits(runtime, genome, resolution, batch, channels):
    """Every op, kernel, SE and skip of the space, at odd and even resolutions."""
    prepared = prepare(runtime, SPACE.decode(np.array(genome)), 5, channels, resolution, batch)
    logits = checked_runner(runtime, prepared, threads=1)()
    assert logits.shape == (batch, 5)
    assert np.abs(prepared.logits).max() > 1e-3  # a dead network would prove nothing
    np.testing.assert_allclose(logits, prepared.logits, rtol=1e-3, atol=1e-4)


def test_a_runtime_that_computes_something_else_is_found_out(runtime):
    prepared = prepare(runtime, SPACE.mobilenet_v2(), 5, 1, 8)
    wrong = Prepared(prepared.model, prepared.images, prepared.logits + 0.1 * np.abs(prepared.logits).max())
    with pytest.raises(RuntimeMismatch, match="computes other logits than PyTorch") as caught:
        checked_runner(runtime, wrong, threads=1)
    assert Failure.of(caught.value).kind == "mismatch"
    dead = Prepared(prepared.model, prepared.images, np.full_like(prepared.logits, np.nan))
    with pytest.raises(RuntimeMismatch, match="other logits"):
        checked_runner(runtime, dead, threads=1)


def test_a_runtime_says_its_version(runtime):
    assert runtime.version()


def test_onnx_files_name_their_input_and_output_and_pass_the_checker():
    import onnx

    prepared = prepare(registry.load("runtimes", "onnxruntime")(), SPACE.mobilenet_v2(), 5, 3, 8)
    model = onnx.load_from_string(prepared.model)
    onnx.checker.check_model(model, full_check=True)
    assert [value.name for value in model.graph.input] == ["image"]
    assert [value.name for value in model.graph.output] == ["logits"]
    assert not any(node.op_type == "BatchNormalization" for node in model.graph.node)
