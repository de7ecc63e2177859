"""The layer table: each distinct layer once, and a calibrated sum that knows its error."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from strategies import points

from evomnas.archive import Archive
from evomnas.evaluation import Cost, Failure, Measurement
from evomnas.latency.protocol import Ratio
from evomnas.layer_table import LayerTable, Parts, check, stage_keys
from evomnas.meter import Meter, Setting, prepare_here
from evomnas.network import build_network
from evomnas.search import search
from evomnas.space import SearchSpace
from evomnas.workbench import prepare_stages

SPACE = SearchSpace(filters=(8, 8), layers=(1, 2), strides=(1, 2), stem=8, stem_stride=1, head=16, divisor=4)


@given(points())
def test_there_is_one_key_per_stage_and_equal_keys_are_equal_modules(point):
    space, genome = point
    architecture = space.decode(genome)
    keys = stage_keys(architecture, 3, 16, 5)
    network = build_network(architecture, 5, 3).eval()
    stages = network.stages()
    assert len(keys) == len(stages)
    seen: dict[str, tuple] = {}
    value = torch.zeros(1, 3, 16, 16)
    for key, stage in zip(keys, stages, strict=True):
        with torch.no_grad():
            after = stage(value)
        shapes = tuple((name, tensor.shape) for name, tensor in stage.named_parameters())
        described = (str(stage), shapes, value.shape, after.shape)
        assert seen.setdefault(key, described) == described
        value = after


def test_stages_are_prepared_with_the_input_that_they_have_in_the_network():
    from evomnas.latency.runtimes import open_runtime

    architecture = SPACE.mobilenet_v2()
    runtime = open_runtime("onnxruntime")
    every = tuple(range(len(stage_keys(architecture, 3, 8, 5))))
    prepared = prepare_stages(runtime, Parts(architecture, every), 5, 3, 8)
    for before, after in itertools.pairwise(prepared):
        np.testing.assert_array_equal(before.logits, after.images)
    assert prepared[-1].logits.shape == (1, 5)
    some = prepare_stages(runtime, Parts(architecture, every[1:3]), 5, 3, 8)
    np.testing.assert_array_equal(some[0].images, prepared[1].images)
    for one in prepared:
        output = runtime.load(one.model, one.images, 1)()
        np.testing.assert_allclose(output, one.logits, rtol=1e-3, atol=1e-5)


class ArithmeticMeter(Meter):
    """A meter whose layers take what a formula says: the table must find the formula again."""

    def __init__(self) -> None:
        self.archive, self.compared, self.broken = Archive(), [], ""
        self.setting = Setting("onnxruntime", "local", 1, 1, 3, 8, 5, SPACE.mobilenet_v2())
        self.key = "device"

    @staticmethod
    def cost(key: str) -> float:
        return 0.01 * sum(key.encode()) % 7 + 0.5

    @property
    def _store(self) -> Archive:
        return self.archive

    def compare(self, prepared, on_wait=lambda: None, time_limit_s=0.0):
        for key in prepared:
            self.compared.append(key)
            if self.broken and key.startswith(self.broken):
                yield key, Failure("error", "this layer is broken")
            else:
                cost = self.cost(key)
                yield key, Ratio(cost, cost, cost, (cost,), 0.0, True, None)

    def measure(self, prepared, on_wait=lambda: None):
        for architecture in prepared:
            keys = stage_keys(architecture, 3, 8, 5)
            ratio = 1.1 * sum(map(self.cost, keys)) - 0.02 * len(keys) + 0.3
            yield architecture, Measurement(Cost(1, 1, 0), ratio, ratio, ratio, ratio, (ratio,), 0.0)


def table(meter: ArithmeticMeter) -> LayerTable:
    def prepare(architectures):
        return ((one, (Cost(1, 1, 0), None)) for one in architectures)

    def prepare_parts(parts):
        return ((one, [None] * len(one.places)) for one in parts)

    return LayerTable(meter, SPACE, prepare, prepare_parts)


def test_the_sum_is_calibrated_and_every_layer_is_measured_once(rng):
    meter = ArithmeticMeter()
    made = table(meter)
    architectures = [SPACE.decode(genome) for genome in SPACE.sample(30, rng)]
    expected = {one: measured.ratio for one, measured in meter.measure(dict.fromkeys(architectures))}
    assert dict(made.measure(architectures)) == pytest.approx(expected)
    assert made.error == pytest.approx(0.0, abs=1e-9)
    count = len(meter.compared)
    assert count == len(set(meter.compared))
    again = table(meter)  # from what was kept
    assert dict(again.measure(architectures)) == pytest.approx(expected)
    assert len(meter.compared) == count


def test_a_layer_that_cannot_be_measured_fails_its_networks_alone(rng):
    meter = ArithmeticMeter()
    meter.broken = "mbconv6_k5"
    results = dict(table(meter).measure([SPACE.decode(genome) for genome in SPACE.sample(30, rng)]))
    for architecture, result in results.items():
        broken = any(block.op == "mbconv6" and block.kernel == 5 for block in architecture.blocks)
        assert isinstance(result, Failure) == broken


def test_a_layer_that_failed_once_is_tried_again():
    """As after a lost connection: nothing about a failure is kept."""
    meter = ArithmeticMeter()
    made = table(meter)
    architecture = SPACE.mobilenet_v2()
    list(made.measure([architecture]))  # fits
    other = SPACE.decode([3, 1, 1, 1, 2, 1, 2, 1, 1, 1, 2, 2])
    meter.broken = "mbconv"
    [(_, first)] = made.measure([other])
    meter.broken = ""
    [(_, second)] = made.measure([other])
    assert isinstance(second, float)
    assert isinstance(first, Failure) or first == second  # its layers may have been in the table already


def test_a_sum_that_is_not_positive_is_a_failure(monkeypatch):
    meter = ArithmeticMeter()
    made = table(meter)
    monkeypatch.setattr(made, "_fit", lambda: np.array([-1.0, 0.0, 0.0]))
    [(_, result)] = made.measure([SPACE.mobilenet_v2()])
    assert isinstance(result, Failure)
    assert "measure whole networks" in result.message


def test_a_search_may_add_up_its_latencies(tiny_values, tmp_path):
    from evomnas.definition import validate_definition

    tiny_values["latency"] = {"method": "layers"}
    run = search(validate_definition(tiny_values), budget=4, seed=1, out=tmp_path / "run", workers=0)
    results = run.results()
    assert [result.evaluation.status for result in results] == ["ok"] * 4
    for result in results:
        measured = result.evaluation.measurement
        assert measured.low_ms <= measured.latency_ms <= measured.high_ms
        assert measured.samples == ()
    assert run.archive.context(run.record.device)["method"] == "layers"


def test_both_ways_are_compared_on_real_networks():
    """That they agree within a factor of two is all that a test can ask of a busy machine."""
    setting = Setting("onnxruntime", "local", 1, 1, 3, 8, 5, SPACE.mobilenet_v2())
    meter = Meter(setting, lambda one: prepare_here(setting, one)[1], Archive())

    def prepare(architectures):
        return ((one, prepare_here(setting, one)) for one in architectures)

    def prepare_parts(parts):
        from evomnas.latency.runtimes import open_runtime

        return ((one, prepare_stages(open_runtime("onnxruntime"), one, 5, 3, 8)) for one in parts)

    made = LayerTable(meter, SPACE, prepare, prepare_parts)
    networks = [SPACE.decode(genome) for genome in SPACE.sample(6, np.random.default_rng(9))]
    found = check(made, meter, prepare, networks)
    assert found.networks == len(set(networks))
    assert -1 <= found.tau <= 1
    assert found.mean_error <= found.largest_error < 1.0
    [measured] = [made.measurement(Cost(1, 1, 0), ratio) for _, ratio in made.measure(networks[:1])]
    assert measured.latency_ms == pytest.approx(measured.ratio * meter.calibration.latency_ms)
