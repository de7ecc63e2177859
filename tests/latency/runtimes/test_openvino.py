"""OpenVINO: nothing is reported over the network, and float32 stays float32."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from evomnas.latency.prepare import prepare
from evomnas.latency.runtimes import openvino_runtime
from evomnas.latency.runtimes.base import open_runtime
from evomnas.problem.published import published


@pytest.fixture(scope="module")
def openvino():
    return open_runtime("openvino")


def test_its_telemetry_cannot_be_imported(openvino):
    assert "cpu" in openvino.providers()
    with pytest.raises(ImportError, match="openvino_telemetry"):
        import openvino_telemetry  # noqa: F401
    assert sys.modules["openvino.tools.ovc.telemetry_utils"].tm.__name__.endswith("telemetry_stub")


def test_threads_and_precision_are_as_asked(openvino, monkeypatch):
    asked = []

    class Core:
        """OpenVINO's own, which also keeps what it was asked for."""

        def __init__(self, core):
            self._core = core

        def __getattr__(self, name):
            return getattr(self._core, name)

        def compile_model(self, *arguments):
            asked.append(self._core.compile_model(*arguments))
            return asked[-1]

    core = Core(openvino_runtime._core())
    monkeypatch.setattr(openvino_runtime, "_core", lambda: core)
    prepared = prepare(openvino, published("mnasnet-small"), 5, 3, 32)
    for threads in (1, 2):
        np.testing.assert_allclose(
            openvino.load(prepared.model, prepared.images, threads)(), prepared.logits, atol=1e-4
        )
        found = {name: asked[-1].get_property(name) for name in ("INFERENCE_NUM_THREADS", "NUM_STREAMS")}
        assert found == {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
        assert asked[-1].get_property("INFERENCE_PRECISION_HINT").to_string() == "f32"
