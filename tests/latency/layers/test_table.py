"""The layer table: each distinct layer once, and a calibrated sum that knows its error.

The thorough part runs a stage with ExecuTorch as well, which takes long to lower it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import points, traits

from evomnas.core.resolution import sides
from evomnas.latency.layers import table as layer_table
from evomnas.latency.layers.prepare_layers import prepare_parts
from evomnas.latency.layers.stages import STAGE_COPIES, Parts, describe_stages
from evomnas.latency.layers.surroundings import surround
from evomnas.latency.layers.table import CORRECTIONS, LayerTable, check_table, fit_coefficients
from evomnas.latency.meter import Meter
from evomnas.latency.prepare import prepare_here
from evomnas.latency.runtimes.base import check_output, open_runtime
from evomnas.latency.setting import Setting
from evomnas.loop.launch import search
from evomnas.networks.network import Layer, SqueezeExcite, build_network
from evomnas.problem.pretrained.traits import Traits
from evomnas.problem.search_space import SearchSpace
from evomnas.results.archive import Archive
from evomnas.results.evaluation import Cost, Failure, Measurement
from evomnas.results.timing import Ratio

SPACE = SearchSpace(filters=(8, 8), layers=(1, 2), strides=(1, 2), stem=8, stem_stride=1, head=16, divisor=4)


@given(points(), traits, st.sampled_from([16, (16, 22)]))
def test_a_stage_says_what_its_module_is_and_equal_keys_are_equal_modules(point, some, resolution):
    space, genome = point
    architecture = replace(space.decode(genome), traits=replace(some, epsilon=0.001))
    modules = build_network(architecture, 5, 3).eval().stages()
    found = describe_stages(architecture, 3, resolution, 5)
    assert len(found) == len(modules)
    seen: dict[str, tuple] = {}
    value = torch.zeros(1, 3, *sides(resolution))
    for stage, module in zip(found, modules, strict=True):
        with torch.no_grad():
            after = module(value)
        shapes = tuple((name, tensor.shape) for name, tensor in module.named_parameters())
        described = (str(module), shapes, value.shape, after.shape)
        assert seen.setdefault(stage.key, described) == described
        assert stage.surroundings_key is None or seen.setdefault(stage.surroundings_key, value.shape) == value.shape
        parts = list(module.modules())
        weights = [part.weight.numel() for part in parts if isinstance(part, torch.nn.Conv2d | torch.nn.Linear)]
        assert stage.weights == sum(weights)
        assert stage.gates == any(isinstance(part, SqueezeExcite) for part in parts)
        assert stage.identities == (isinstance(module, Layer) and isinstance(module.skip, torch.nn.Identity))
        value = after
    assert [stage.surroundings_key is None for stage in found] == [True] + [False] * (len(found) - 1)


def test_only_traits_that_are_not_the_default_change_the_key_of_a_stage():
    plain, same = SPACE.mobilenet_v2(), Traits("relu6", "same", 1e-5)
    keys = {
        some: [stage.key for stage in describe_stages(replace(plain, traits=some), 3, 16, 5)]
        for some in (Traits(), Traits(epsilon=1e-5), same)
    }
    assert keys[Traits()] == keys[Traits(epsilon=1e-5)]  # it is folded into the weights
    assert keys[Traits()][0] == "4x_stem_i3_f8_s1_r16"
    assert keys[same][0] == "4x_stem_i3_f8_s1_r16_relu6_same"
    assert [key for key in keys[same] if key in keys[Traits()]] == keys[Traits()][-1:]  # the classifier has none


def test_the_stages_of_a_network_are_prepared_in_their_surroundings_and_these_alone():
    architecture = SPACE.mobilenet_v2()
    runtime = open_runtime("onnxruntime")
    wanted = ((0, True), (2, True), (2, False), (4, True), (5, True), (5, False))
    prepared = prepare_parts(runtime, Parts(architecture, wanted), 5, 3, 8)
    assert [one.images.shape for one in prepared] == [
        (1, 3, 8, 8),  # the stem's input is the image
        (1, 1, 8, 8),
        (1, 1, 8, 8),
        (1, 1, 4, 4),
        (1, 1, 4, 4),
        (1, 1, 4, 4),
    ]
    assert [one.logits.shape for one in prepared] == [
        (1, 8, 1, 1),  # one pixel of the output
        (1, 8, 1, 1),
        (1, 8, 1, 1),
        (1, 16, 1, 1),
        (1, 5),
        (1, 16, 1, 1),
    ]
    for one in prepared:
        output = runtime.load(one.model, one.images, 1)()
        np.testing.assert_allclose(output, one.logits, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["onnxruntime", pytest.param("executorch", marks=pytest.mark.thorough)])
def test_runtimes_run_a_stage_in_its_surroundings(name):
    runtime = open_runtime(name)
    parts = Parts(SPACE.decode([3, 1, 1, 0, 2, 1, 2, 1, 1, 1, 2, 2]), ((1, True), (1, False)))
    within, alone = prepare_parts(runtime, parts, 5, 3, 8)
    for one in (within, alone):
        check_output(name, runtime.load(one.model, one.images, 1)(), one.logits)
    assert within.logits.shape == (1, 12, 1, 1)  # the layer is there
    assert alone.logits.shape == (1, 8, 1, 1)


def test_surroundings_hold_copies_of_the_stage_and_leave_the_global_generator_alone():
    network = build_network(SPACE.mobilenet_v2(), 5, 3).eval()
    before = torch.get_rng_state()
    value = torch.ones(1, 8, 8, 8)
    with torch.no_grad():
        module, images = surround(network.stages()[1], value, is_first=False)
        branches = list(module.branches)
        expected = sum(branch[2](branch[1](branch[0](images))) for branch in branches)
        torch.testing.assert_close(module(images), expected)
    assert torch.equal(torch.get_rng_state(), before)
    assert len(branches) == STAGE_COPIES
    weights = {branch[1].body[0].weight.data_ptr() for branch in branches}
    assert len(weights) == STAGE_COPIES  # each of its own
    for branch in branches:
        torch.testing.assert_close(branch[1].body[0].weight, network.stages()[1].body[0].weight)


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
    def _machine_archive(self) -> Archive:
        return self.archive

    def compare(self, prepared, on_wait=lambda: None, time_limit_s=0.0, reference=None):
        assert reference == "unit"
        for key in prepared:
            self.compared.append(key)
            if self.broken and self.broken in key:
                yield key, Failure("error", "this layer is broken")
            else:
                cost = self.cost(key)
                yield key, Ratio(cost, cost, cost, (cost,), 0.0, True, None)

    def measure(self, prepared, on_wait=lambda: None):
        for architecture in prepared:
            found = describe_stages(architecture, 3, 8, 5)
            around = [self.cost(stage.surroundings_key) for stage in found if stage.surroundings_key]
            total = (sum(self.cost(stage.key) for stage in found) - sum(around)) / STAGE_COPIES
            ratio = 1.1 * total - 0.02 * len(found) + 3.0
            yield architecture, Measurement(Cost(1, 1, 0), ratio, ratio, ratio, ratio, (ratio,), 0.0)


def table(meter: ArithmeticMeter) -> LayerTable:
    def prepare(architectures):
        return ((one, (Cost(1, 1, 0), None)) for one in architectures)

    def prepare_parts(parts):
        return ((one, ["unit"] * len(one.selection)) for one in parts)

    return LayerTable(meter, SPACE, prepare, prepare_parts)


def test_the_sum_is_calibrated_and_every_layer_is_measured_once(rng):
    meter = ArithmeticMeter()
    made = table(meter)
    architectures = [SPACE.decode(genome) for genome in SPACE.sample(30, rng)]
    expected = {one: measured.ratio for one, measured in meter.measure(dict.fromkeys(architectures))}
    assert dict(made.measure(architectures)) == pytest.approx(expected)
    assert made.error == pytest.approx(0.0, abs=1e-9)
    count = len(meter.compared)
    assert count == 2 * len(set(meter.compared))  # at two times
    again = table(meter)  # from what was kept
    assert dict(again.measure(architectures)) == pytest.approx(expected)
    assert len(meter.compared) == count


def test_the_fit_draws_corrections_towards_zero_and_keeps_the_rest(rng):
    count = 40
    features = rng.uniform(1, 2, size=(count, 3 + len(CORRECTIONS)))
    features[:, 2], features[:, 4] = 1.0, 0.0  # and a space without SE
    plain = features @ [1.1, -0.02, 0.3, 0, 0, 0]
    np.testing.assert_allclose(fit_coefficients(features, plain)[0], [1.1, -0.02, 0.3, 0, 0, 0], atol=1e-9)
    corrected = plain + 0.2 * features[:, 3]
    (*_, weight, gate, identity), error = fit_coefficients(features, corrected)
    assert 0 < weight < 0.2
    assert gate == 0
    assert abs(identity) < 0.1
    residuals = features @ fit_coefficients(features, corrected)[0] / corrected - 1
    assert error == pytest.approx(np.sqrt((residuals**2).sum() / (count - 6)))


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
    monkeypatch.setattr(made, "_fit", lambda: np.array([-1.0, 0.0, 0.0, 0.0, 0.0, 0.0]))
    [(_, result)] = made.measure([SPACE.mobilenet_v2()])
    assert isinstance(result, Failure)
    assert "measure whole networks" in result.message


def test_a_search_may_add_up_its_latencies(tiny_values, tmp_path, monkeypatch):
    from evomnas.problem.loading import validate_definition

    monkeypatch.setattr(layer_table, "FIT_NETWORKS", 9)
    tiny_values["latency"] = {"method": "layers"}
    run = search(validate_definition(tiny_values), budget=2, seed=1, out=tmp_path / "run", workers=0)
    results = run.results()
    assert [result.evaluation.status for result in results] == ["ok"] * 2
    for result in results:
        measured = result.evaluation.measurement
        assert measured.low_ms <= measured.latency_ms <= measured.high_ms
        assert measured.samples == ()
    assert run.archive.context(run.record.measurement_context)["method"] == "layers"


@pytest.mark.thorough
def test_both_ways_are_compared_on_real_networks(monkeypatch):
    """That they agree within a factor of four is all that a test can ask of a busy machine."""
    monkeypatch.setattr(layer_table, "FIT_NETWORKS", 10)
    setting = Setting("onnxruntime", "local", 1, 1, 3, 8, 5, SPACE.mobilenet_v2())
    meter = Meter(setting, lambda one: prepare_here(setting, one)[1], Archive())

    def prepare(architectures):
        return ((one, prepare_here(setting, one)) for one in architectures)

    def ready(parts):
        return ((one, prepare_parts(open_runtime("onnxruntime"), one, 5, 3, 8)) for one in parts)

    made = LayerTable(meter, SPACE, prepare, ready)
    networks = [SPACE.decode(genome) for genome in SPACE.sample(4, np.random.default_rng(9))]
    found = check_table(made, meter, prepare, networks)
    assert found.networks == len(set(networks))
    assert -1 <= found.tau <= 1
    assert -1 <= found.tau_whole <= 1
    assert found.mean_error <= found.largest_error < 3.0
    [measured] = [made.to_measurement(Cost(1, 1, 0), ratio) for _, ratio in made.measure(networks[:1])]
    assert measured.latency_ms == pytest.approx(measured.ratio * meter.calibration.latency_ms)
