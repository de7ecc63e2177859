"""int8: files that are measured and scored in place of float ones, for every runtime that has them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from evomnas.core.errors import InputError
from evomnas.deploy.formats import FORMATS
from evomnas.evaluation.executors.worker import Workbench
from evomnas.latency.prepare import prepare
from evomnas.latency.quantization import scoring
from evomnas.latency.quantization.scoring import check_int8, quantizer_for
from evomnas.latency.runtimes.base import open_runtime
from evomnas.latency.setting import problem_setting
from evomnas.loop.launch import check_runtime, search
from evomnas.networks.classifier import Classifier
from evomnas.problem.architecture import Architecture
from evomnas.problem.loading import validate_definition
from evomnas.problem.sections import FullSection, LatencySection, TrainingSection

RUNTIMES = ["onnxruntime", "litert"]


def in_int8(tiny, runtime="onnxruntime", **constraints):
    """The tiny problem, measured and scored in int8."""
    values = tiny.model_dump(exclude={"space"}) | {"space": tiny.space, "constraints": constraints}
    values["latency"] |= {"runtime": runtime, "precision": "int8"}
    values["training"] |= {"precision": "int8"}
    return validate_definition(values)


@pytest.mark.parametrize("name", RUNTIMES)
def test_a_network_is_prepared_as_an_int8_file(name, tiny):
    runtime, network = open_runtime(name), tiny.space.mobilenet_v2()
    plain, quantized = (prepare(runtime, network, 5, 3, 16, 2, precision) for precision in ("float", "int8"))
    np.testing.assert_array_equal(plain.images, quantized.images)
    error = np.abs(quantized.logits - plain.logits).max() / np.abs(plain.logits).max()
    assert 1e-4 < error < 0.3
    np.testing.assert_array_equal(runtime.load(quantized.model, quantized.images, 1)(), quantized.logits)
    assert int8_weights(name, quantized.model)
    assert not int8_weights(name, plain.model)


def int8_weights(name, model):
    """How many of a file's constants are int8 arrays of several dimensions."""
    if name == "onnxruntime":
        import onnx

        constants = onnx.load_from_string(model).graph.initializer
        return sum(one.data_type == onnx.TensorProto.INT8 and len(one.dims) > 1 for one in constants)
    from ai_edge_litert import schema_py_generated as schema

    tensors = schema.ModelT.InitFromPackedBuf(model, 0).subgraphs[0].tensors
    return sum(one.type == schema.TensorType.INT8 and len(one.shape) == 4 for one in tensors)


@pytest.mark.parametrize("name", RUNTIMES)
def test_a_candidate_is_scored_as_the_file_that_export_would_write(name, tiny, tiny_dataset):
    definition = in_int8(tiny, name)
    task = Workbench(definition, tiny_dataset, "cpu").task
    trained = task.fit(tiny.space.mobilenet_v2()).network.eval()
    found = task.predict(trained)
    batches = task.batches
    classifier = Classifier(trained, batches.mean.tolist(), batches.std.tolist(), list("0123456789"), 8).eval()
    images = tiny_dataset.train_images[:].astype(np.float32)  # fewer than the calibration takes at most
    with torch.no_grad():
        model, _ = FORMATS["onnx" if name == "onnxruntime" else name].quantize(classifier, {}, images)
    validation = tiny_dataset.validation_images[:].astype(np.float32)
    run = open_runtime(name).load(model, buffer := np.zeros_like(validation[:1]), 1)
    logits = []
    for image in validation:
        buffer[0] = image
        logits.append(run()[0].copy())
    np.testing.assert_array_equal(found.classes, np.argmax(logits, 1))
    plain = task.with_recipe(tiny.training).predict(trained)
    assert not np.array_equal(found.confidences, plain.confidences)


def test_what_was_measured_and_trained_in_float_is_what_it_was(tiny):
    """Archives of before have contexts without the new settings."""
    assert "precision" not in tiny.training.context
    assert TrainingSection(epochs=1, precision="int8").context["precision"] == "int8"
    assert "precision" not in FullSection().context
    assert tiny.axes == ("validation accuracy (%)", "latency (ms)")
    assert in_int8(tiny).axes == ("validation accuracy in int8 (%)", "latency (ms)")
    assert quantizer_for(tiny) is None


def test_a_search_in_int8_measures_scores_and_limits_int8_files(tiny, tmp_path):
    run = search(in_int8(tiny, max_latency_ms=100), "random", budget=2, out=tmp_path / "run", workers=0)
    results = run.results()
    assert [result.evaluation.status for result in results] == ["ok", "ok"]
    contexts = [run.archive.context(key) for key in (run.record.measurement_context, run.record.training_context)]
    assert contexts[0]["precision"] == contexts[1]["training"]["precision"] == "int8"
    assert contexts[1]["scored in"] == "onnxruntime"
    plain = search(tiny, "random", budget=2, out=tmp_path / "plain", workers=0)
    others = [plain.archive.context(key) for key in (plain.record.measurement_context, plain.record.training_context)]
    assert contexts[0] == others[0] | {"precision": "int8"}
    assert "scored in" not in others[1]
    by_network = {result.evaluation.architecture: result.evaluation for result in plain.results()}
    for result in results:
        twin = by_network[result.evaluation.architecture]
        assert result.evaluation.trained.losses == twin.trained.losses  # the trainings are the same
        assert result.evaluation.measured.latency_ms != twin.measured.latency_ms


@pytest.mark.parametrize(
    ("latency", "message"),
    [
        ({"runtime": "torch"}, "evomnas makes no int8 files for the runtime torch, but for litert and onnxruntime"),
        (
            {"method": "layers"},
            "layers are added up in float alone: latency.precision = 'int8' measures whole networks",
        ),
    ],
)
def test_what_has_no_int8_is_refused_before_a_search(tiny, latency, message):
    section = LatencySection(precision="int8", **latency)
    with pytest.raises(InputError, match=message):
        check_runtime(tiny.model_copy(update={"latency": section}))


def test_scoring_in_int8_needs_a_runtime_that_has_it_and_its_quantizer(tiny, monkeypatch):
    scored = tiny.training.model_copy(update={"precision": "int8"})
    in_torch = tiny.model_copy(update={"training": scored, "latency": LatencySection(runtime="torch")})
    with pytest.raises(InputError, match="no int8 files for the runtime torch"):
        check_runtime(in_torch)
    monkeypatch.setattr(scoring, "find_spec", lambda name: None)
    missing = r"int8 files for the runtime litert need ai_edge_quantizer: pip install 'evomnas\[litert\]'"
    with pytest.raises(InputError, match=missing):
        check_int8("litert")


def test_a_setting_of_int8_is_another_setting(tiny):
    setting = problem_setting(in_int8(tiny), 10, 1)
    assert replace(setting, precision="float") == problem_setting(tiny, 10, 1)


def test_a_gate_that_is_dead_for_all_images_does_not_spoil_the_file():
    """Its activations are 0 on all calibration images, and XNNPACK refuses a scale of 4e-12."""
    network = Architecture.parse("stem8_s2-mbconv3_k3_s2_f12_n1_se0.25-head16")
    prepared = prepare(open_runtime("litert"), network, 5, 3, 16, precision="int8")
    assert np.isfinite(prepared.logits).all()
