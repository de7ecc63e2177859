"""Latencies on one scale: calibrated once per machine, whoever asks.

The thorough part measures with ExecuTorch as well; that it computes the logits, `runtimes/test_runtimes.py` tests.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import pytest

from evomnas.core.errors import InputError
from evomnas.core.system.machine import accelerator
from evomnas.latency import meter
from evomnas.latency.meter import Meter, measure_latency, open_meter
from evomnas.latency.prepare import prepare_here
from evomnas.latency.runtimes import onnx_runtime
from evomnas.latency.runtimes.base import PreparedNetwork
from evomnas.latency.setting import Setting, default_reference
from evomnas.networks.layer_costs import count_cost
from evomnas.problem.architecture import Architecture
from evomnas.problem.published import published
from evomnas.results.archive import Archive
from evomnas.results.evaluation import Failure, Measurement

SMALL = Architecture.parse("stem8_s1-dconv_k3_s1_f8_n1_id-mbconv3_k3_s2_f16_n2_id-head32")


def setting(**changes) -> Setting:
    values = {"runtime": "onnxruntime", "target": "local", "threads": 1, "batch": 1, "channels": 1, "resolution": 8}
    return Setting(**(values | {"classes": 4, "reference": SMALL} | changes))


@pytest.fixture
def opened():
    """Opens meters that are closed after the test."""
    with ExitStack() as meters:
        yield lambda archive=None, **changes: meters.enter_context(open_meter(setting(**changes), archive))


def test_a_network_with_a_resolution_of_its_own_is_prepared_at_it():
    """Half the side has about a quarter of the MACs, and the runtime gets images of that size."""
    whole = setting(resolution=32)
    cost, prepared = prepare_here(whole, replace(SMALL, resolution=16))
    assert prepared.images.shape == (1, 1, 16, 16)
    assert cost == count_cost(SMALL, 4, 1, 16)
    assert cost.macs < 0.3 * prepare_here(whole, SMALL)[0].macs


def test_one_network_against_itself_takes_what_was_calibrated(opened, real_measurements):
    own = opened()
    [(architecture, measured)] = own.measure({SMALL: prepare_here(own.setting, SMALL)})
    assert architecture == SMALL
    assert isinstance(measured, Measurement)
    assert measured.latency_ms == pytest.approx(own.calibration.latency_ms * measured.ratio)
    assert 0.5 < measured.ratio < 2.0  # itself; no claim about the machine
    assert measured.low_ms <= measured.latency_ms <= measured.high_ms
    assert len(measured.samples) >= 12


def test_all_archives_of_a_machine_share_one_calibration(opened, monkeypatch):
    first = opened(Archive(), classes=5).calibration
    monkeypatch.setattr(meter.Meter, "_reference", property(lambda self: pytest.fail("was calibrated again")))
    assert opened(Archive(), classes=5).calibration == first


def test_another_shape_runtime_or_protocol_is_another_device(opened, monkeypatch):
    archive = Archive()
    keys = [opened(archive, **changes).key for changes in ({}, {"classes": 6}, {"threads": 2}, {"runtime": "torch"})]
    monkeypatch.setattr(meter.protocol, "VERSION", 99)
    keys.append(opened(archive).key)
    assert len(set(keys)) == 5
    assert {"host", "processor", "version", "protocol", "runtime", "target", "threads"} <= archive.context(
        keys[0]
    ).keys()


def test_another_provider_is_another_device_and_the_cpu_is_what_it_was(opened, monkeypatch):
    """ONNX Runtime's package for the CPU has one provider that runs no such network."""
    monkeypatch.setitem(onnx_runtime.PROVIDERS, "azure", ("AzureExecutionProvider", {}))
    archive = Archive()
    plain, other = opened(archive, classes=5), opened(archive, classes=5, provider="azure")
    assert plain.context.keys().isdisjoint({"provider", "accelerator"})
    assert other.context == plain.context | {"provider": "azure", "accelerator": accelerator()}
    with pytest.raises(InputError, match="^nothing can be measured on azure: ONNX Runtime cannot run this network"):
        _ = other.calibration


def test_a_folder_that_cannot_be_written_costs_a_calibration_and_nothing_else(opened, tmp_path, monkeypatch):
    file = tmp_path / "a file"
    file.touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(file))
    assert opened(classes=7).calibration.latency_ms > 0


def test_a_network_that_fails_does_not_spoil_the_others(opened):
    own = opened()
    cost, good = prepare_here(own.setting, SMALL)
    other = Architecture.parse("stem8_s1-dconv_k3_s1_f8_n2_id-head32")
    wrong = PreparedNetwork(good.model, good.images, good.logits + 1)
    results = dict(own.measure({SMALL: (cost, good), other: (cost, wrong)}))
    assert isinstance(results[SMALL], Measurement)
    assert isinstance(results[other], Failure)
    assert results[other].kind == "mismatch"


@pytest.mark.parametrize("limit", [("BATCH_NETWORKS", 2), ("BATCH_BYTES", 1)])
def test_many_networks_are_measured_in_several_batches(opened, monkeypatch, limit):
    monkeypatch.setattr(meter, *limit)
    own = opened()
    prepared = {}
    for filters in (8, 16, 24):
        architecture = Architecture.parse(f"stem8_s1-conv_k3_s1_f{filters}_n1-head32")
        prepared[architecture] = prepare_here(own.setting, architecture)
    results = dict(own.measure(prepared))
    assert results.keys() == prepared.keys()
    assert all(isinstance(result, Measurement) for result in results.values())


def test_a_meter_leaves_its_device_with_the_block_even_after_an_error(monkeypatch):
    closed = []
    monkeypatch.setattr(Meter, "close", lambda self: closed.append(self))
    with pytest.raises(RuntimeError, match="in the block"), open_meter(setting()) as own:
        raise RuntimeError("in the block")
    assert closed == [own]


@pytest.mark.parametrize("batch_bytes", [1, 10, 16, 1000])
@pytest.mark.parametrize("batch_networks", [1, 2, 3])
def test_batches_hold_every_network_once_and_no_more_than_fits(monkeypatch, batch_bytes, batch_networks):
    monkeypatch.setattr(meter, "BATCH_BYTES", batch_bytes)
    monkeypatch.setattr(meter, "BATCH_NETWORKS", batch_networks)
    sizes = {"a": 8, "b": 8, "c": 20, "d": 1, "e": 1, "f": 1}
    batches = list(meter._batches(sizes))
    assert [key for batch in batches for key in batch] == list(sizes)
    for batch in batches:
        assert len(batch) == 1 or (len(batch) <= batch_networks and sum(map(sizes.get, batch)) <= batch_bytes)


@pytest.mark.parametrize("runtime", ["onnxruntime", "torch", pytest.param("executorch", marks=pytest.mark.thorough)])
def test_measure_latency_is_a_call(runtime):
    measured = measure_latency(SMALL, runtime=runtime, resolution=8, classes=3, reference=SMALL)
    assert measured.latency_ms > 0
    assert np.isfinite(measured.samples).all()


def test_wrong_arguments_are_refused():
    with pytest.raises(InputError, match="unknown runtime 'tflite'"):
        measure_latency(SMALL, runtime="tflite")
    with pytest.raises(InputError, match="on ssh://pi only the runtime onnxruntime can measure, not torch"):
        measure_latency(SMALL, runtime="torch", target="ssh://pi")
    with pytest.raises(InputError, match="the runtime torch runs whole networks alone"):
        setting(runtime="torch", method="layers").check()
    with pytest.raises(InputError, match="cannot read the target"):
        measure_latency(SMALL, target="pi")
    with pytest.raises(InputError, match="block 6 brings the total stride to 32"):
        measure_latency(published("mnasnet-a1"), resolution=16)


def test_the_default_reference_is_mobilenet_v2_as_far_as_the_image_allows():
    assert default_reference(224) == published("mobilenet-v2")
    default_reference(1).check_resolution(1)
