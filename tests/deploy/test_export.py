"""Exports: real files in real runtimes, which give the trained network's answers."""

from __future__ import annotations

import json
import shutil
import sys
import zlib
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from ai_edge_litert.interpreter import Interpreter
from PIL import Image
from printed_code import code_blocks, run_all

from evomnas.core.errors import InputError
from evomnas.deploy import export as exports_module
from evomnas.deploy.cards.snippets import PICTURE
from evomnas.deploy.durations import REPORT_S
from evomnas.deploy.export import MEASURING_S, SCORING_S, _calibration_images, _plan, export_network
from evomnas.deploy.formats import FORMATS
from evomnas.deploy.formats.exported_files import EXPORTS_FILE, Export, read_exports, slow_int8_files
from evomnas.deploy.formats.pytorch.python_module import load_module
from evomnas.deploy.formats.request import Request
from evomnas.deploy.prediction import open_network, predict
from evomnas.deploy.saving import load_network, read_manifest
from evomnas.latency.devices.protocol import CALIBRATION_S
from evomnas.latency.runtimes import base as runtimes
from evomnas.results.run import Run

SMALLER = "factorized 90 %, pruned 50 %"


def logits(path: Path, images) -> np.ndarray:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"image": one[None].astype(np.float32)})[0] for one in images])


def test_an_onnx_file_takes_pixels_and_knows_its_classes(trained, exports, task):
    path = trained.folder / exports["float"].file
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    metadata = {one.key: one.value for one in model.metadata_props}
    assert json.loads(metadata["classes"]) == list("0123456789")
    assert metadata["network"] == str(trained.network)
    images = task.test.images[:40]
    with torch.no_grad():
        expected = load_network(trained.folder)(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(logits(path, images), expected, rtol=1e-3, atol=1e-4)


def test_int8_files_that_cost_too_much_are_named():
    def export(variant, latency_ms, low_ms, high_ms, format="onnx"):
        return Export(f"model-{variant}.{format}", format, variant, 9, 10, 0.9, latency_ms, low_ms, high_ms, 8, 8)

    table = [
        export("float", 1.0, 0.99, 1.01), export("int8", 1.3, 1.28, 1.32), export("float", 1.0, 0.9, 1.1, "litert"),
        export("int8", 1.05, 0.95, 1.15, "litert"), export("pruned, int8", 0.9, 0.8, 1.0),
        export("x, int8", None, None, None),
    ]  # fmt: skip
    slower = "model-int8.onnx is 30% slower than model-float.onnx on this device"
    assert slow_int8_files(table, ["onnx"], None, True) == [slower]
    beyond = "model-int8.onnx takes 1.3000 ms, beyond constraints.max_latency_ms = 1"
    hint = ": a search with latency.precision = 'int8' keeps it for int8 files"
    assert slow_int8_files(table, ["onnx"], 1.0, True) == [slower, beyond + hint]
    assert slow_int8_files(table, ["onnx"], 1.0, False) == [slower, beyond]
    assert slow_int8_files(table, ["executorch"], 1.0, False) == [slower]


@pytest.fixture
def copied_network(finished_run, trained, exports, tmp_path):
    """A copy of the finished run with its trained network, and the network."""
    copied = shutil.copytree(finished_run.folder.parent, tmp_path / "copy") / finished_run.folder.name
    return Run.open(copied), trained.network


def test_every_variant_is_scored_in_its_runtime(trained, exports, task):
    assert list(exports) == ["float", "int8", SMALLER, f"{SMALLER}, int8"]
    with torch.no_grad():
        answers = load_network(trained.folder)(torch.from_numpy(task.test.images[:])).argmax(1).numpy()
    for export in exports.values():
        content = (trained.folder / export.file).read_bytes()
        found = logits(trained.folder / export.file, task.test.images).argmax(1)
        assert (export.correct, export.images) == (int((found == task.test.labels).sum()), len(task.test.labels))
        assert export.agreement == pytest.approx(float((found == answers).mean()))
        assert (export.bytes, export.packed_bytes) == (len(content), len(zlib.compress(content, 9)))
        assert export.low_ms <= export.latency_ms <= export.high_ms
    assert exports["float"].agreement == 1.0
    assert exports["int8"].agreement > 0.6  # of ten classes; this hardly trained network depends on its run's latencies


def test_int8_files_hold_int8_weights_and_the_same_metadata(trained, exports):
    for variant in ("int8", f"{SMALLER}, int8"):
        model = onnx.load(trained.folder / exports[variant].file)
        weights = [one for one in map(onnx.numpy_helper.to_array, model.graph.initializer) if one.dtype == np.int8]
        assert sum(one.size for one in weights if one.ndim > 1) > 500
        assert "classes" in {one.key for one in model.metadata_props}
        assert exports[variant].huffman_bytes < exports[variant].bytes + 256
    assert exports["float"].huffman_bytes is None
    zeros = np.concatenate([one.ravel() for one in weights if one.ndim > 1]) == 0
    assert zeros.mean() >= 0.5  # what was pruned is 0 in int8, too


def test_the_time_of_every_step_is_planned_in_the_order_of_the_steps(copied_network, task):
    """Fine-tuning takes the share of the training that it has."""
    run, network = copied_network
    plans, said = [], []
    request = Request(("onnx",), quantize=True, prune=0.5, prune_channels=0.25, factorize=0.9)
    exported = export_network(run, network, request, device="cpu", on_plan=plans.append, say=said.append)
    [plan] = plans
    assert next(iter(plan.expected)) == "exporting float to onnx"
    assert "dropping channels and fine-tuning" in plan.expected
    files = {one.variant: one for one in exported.exports}
    assert files[f"channels pruned 25 %, {SMALLER}"].bytes < files[SMALLER].bytes
    card = (exported.folder / "README.md").read_text()
    assert "% smaller" in card
    assert "(exports.svg)" in card
    assert (exported.folder / "exports.svg").read_text().startswith("<svg")
    assert [text for text in said if text in plan.expected] == [*plan.expected]
    assert {text for text in said if text not in plan.expected} <= {
        "reading the images", "waiting for another training or latency"
    }  # fmt: skip
    seconds = json.loads((run.folder / "networks" / network.id / "model.json").read_text())["seconds"]
    assert plan.expected["pruning and fine-tuning"] == pytest.approx(seconds / 4, abs=0.1)  # one epoch of four


def test_int8_files_take_longer_by_their_images_and_all_takes_longer_on_a_slow_core(copied_network, task, monkeypatch):
    run, network = copied_network
    manifest = read_manifest(run.folder / "networks" / network.id)
    request = Request(("onnx", "executorch"), quantize=True)
    monkeypatch.setattr(exports_module, "measure_pace", lambda: 2.0)
    plan = _plan(request, manifest, None, task, image_s=0.01, calibrated={"onnxruntime"})
    found, onnx, executorch = plan.expected, FORMATS["onnx"], FORMATS["executorch"]
    for kind in (onnx, executorch):
        by_images = 256 * (2 * kind.image_s + kind.calibration * 0.01)
        assert found[f"exporting float to {kind.name}"] == 2 * kind.seconds[0]
        assert found[f"quantizing float for {kind.name}"] == pytest.approx(2 * kind.seconds[1] + by_images)
    assert found["measuring the files for onnx"] == 2 * MEASURING_S
    assert found["measuring the files for executorch"] == 2 * executorch.seconds[0] + CALIBRATION_S + 2 * MEASURING_S
    assert found["running model-int8.onnx on the test images"] == 2 * SCORING_S  # where nobody has measured the network
    assert plan.afterwards == 2 * REPORT_S


def test_exports_are_kept_in_one_table(trained, exports):
    kept = [one for one in read_exports(trained.folder) if one.format == "onnx"]
    assert {one.variant: one for one in kept} == exports
    assert not list(trained.folder.glob(".*.part"))


def test_a_python_file_stands_in_the_same_table_and_on_the_card(copied_network, exports, task):
    """It is run on the test images, too, and what is not measured has no latency."""
    run, network = copied_network
    exported = export_network(run, network, Request(("python",)), device="cpu")
    one = exported.exports[-1]
    assert (one.format, one.file, one.latency_ms) == ("python", "model_float.py", None)
    assert (one.agreement, one.correct) == (1.0, exports["float"].correct)
    assert read_exports(exported.folder) == exported.exports
    assert "from model_float import CLASSES, load" in (exported.folder / "README.md").read_text()
    images = torch.from_numpy(task.test.images[:5])
    with torch.no_grad():
        ours, theirs = load_network(exported.folder)(images), load_module(exported.folder / one.file)(images)
    torch.testing.assert_close(theirs, ours, rtol=1e-5, atol=1e-6)


@pytest.mark.thorough
def test_executorch_programs_know_their_classes_and_give_the_same_answers(
    finished_run, trained, exports, task, tmp_path
):
    """And so does the code that the card has for them."""
    pytest.importorskip("executorch")
    from executorch.runtime import Runtime

    request = Request(("executorch",), quantize=True)
    folder, _, exported, *_ = export_network(finished_run, trained.network, request, device="cpu")
    assert [(one.format, one.variant) for one in exported[-2:]] == [("executorch", "float"), ("executorch", "int8")]
    assert len(exported) == len(exports) + 2
    program, int8 = exported[-2:]
    assert (program.agreement, program.correct) == (1.0, exports["float"].correct)
    assert int8.agreement > 0.6
    for one in (program, int8):
        loaded = Runtime.get().load_program((folder / one.file).read_bytes())
        assert json.loads(loaded.load_method("classes").execute([])[0]) == list("0123456789")
    copied = shutil.copytree(folder, tmp_path / "copied")
    Image.fromarray(task.test.images[0, 0]).save(copied / PICTURE)
    [printed] = run_all([(copied, code_blocks((copied / "README.md").read_text())[-1])], has_evomnas=False)
    [answer] = predict(open_network(copied / int8.file), [copied / PICTURE])
    assert printed == pytest.approx(dict(answer.classes), abs=2e-4)


def test_litert_files_know_their_classes_take_float_images_and_give_the_same_answers(
    finished_run, trained, exports, task, tmp_path
):
    """And so does the code that the card has for them."""
    request = Request(("litert",), quantize=True)
    folder, _, exported, *_ = export_network(finished_run, trained.network, request, device="cpu")
    plain, int8 = (one for one in exported if one.format == "litert")
    assert [plain.variant, int8.variant] == ["float", "int8"]
    assert (plain.agreement, plain.correct) == (1.0, exports["float"].correct)
    assert int8.agreement > 0.6
    assert int8.bytes < plain.bytes
    for one in (plain, int8):
        content = (folder / one.file).read_bytes()
        assert json.loads(FORMATS["litert"].metadata(content)["classes"]) == list("0123456789")
        [image] = Interpreter(model_content=content).get_input_details()
        assert image["dtype"] == np.float32
        assert list(image["shape"]) == [1, 8, 8, 1]
    copied = shutil.copytree(folder, tmp_path / "copied")
    Image.fromarray(task.test.images[0, 0]).save(copied / PICTURE)
    [code] = [block for block in code_blocks((copied / "README.md").read_text()) if ".tflite" in block]
    [printed] = run_all([(copied, code)], has_evomnas=False)
    [answer] = predict(open_network(copied / int8.file), [copied / PICTURE])
    assert printed == pytest.approx(dict(answer.classes), abs=2e-4)


def test_a_runtime_reads_its_images_at_every_run(trained, exports, task):
    """Which the test split's run relies on."""
    runtime = runtimes.open_runtime("onnxruntime")
    image = np.zeros((1, 1, 8, 8), np.float32)
    run = runtime.load((trained.folder / exports["float"].file).read_bytes(), image, 1)
    first = run().copy()
    image[0] = task.test.images[0]
    assert not np.array_equal(first, run())


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (Request(("tflite",)), "unknown export format 'tflite': there are executorch, litert, onnx"),
        (Request(prune=1.0), "--prune takes a share between 0 and 1, as 0.5, got 1"),
        (Request(prune_channels=0.0), "--prune-channels takes a share between 0 and 1, as 0.5, got 0"),
        (Request(factorize=-0.5), "--factorize takes a share between 0 and 1"),
        (Request(huffman=True), "--huffman codes int8 weights: add --quantize int8"),
    ],
)
def test_wrong_requests_are_one_line(finished_run, trained, request_, message):
    with pytest.raises(InputError, match=message):
        export_network(finished_run, trained.network, request_)


def test_a_runtime_that_is_not_installed_is_one_line(finished_run, trained, monkeypatch):
    monkeypatch.setattr(runtimes, "installed_version", lambda runtime: None)
    before = sorted(trained.folder.iterdir())
    with pytest.raises(InputError, match="the runtime executorch is not installed: pip install 'evomnas.executorch.'"):
        export_network(finished_run, trained.network, Request(("executorch",)))
    assert sorted(trained.folder.iterdir()) == before


@pytest.mark.parametrize(
    ("module", "quantize"),
    [
        ("executorch.exir", False),
        pytest.param("torchao.quantization.pt2e.quantize_pt2e", True, marks=pytest.mark.thorough),  # imports for 10 s
        ("onnxruntime.quantization", True),
    ],
)
def test_a_package_that_is_there_by_half_is_one_line(monkeypatch, module, quantize):
    pytest.importorskip("executorch")
    monkeypatch.setitem(sys.modules, module, None)
    kind = "onnx" if module.startswith("onnx") else "executorch"
    with pytest.raises(InputError, match=f"{kind} files need {module}, which cannot be imported .*: pip install"):
        Request((kind,), quantize).check()
    if quantize:
        Request((kind,)).check()


def test_calibration_takes_256_images_from_all_of_them(task):
    images = _calibration_images(task)
    assert len(images) == 256 < len(task.training.images)
    assert np.array_equal(images[[0, -1]], task.training.images[[0, -1]])
    places = [np.flatnonzero((task.training.images[:] == one).all((1, 2, 3)))[0] for one in images]
    assert len(set(places)) == 256


def test_a_network_that_was_not_trained_is_told_how(finished_run, trained):
    other = next(one.evaluation.architecture for one in finished_run.results() if not one.on_front)
    with pytest.raises(InputError, match=f"{other.id} is not trained yet: evomnas train .* {other.id}"):
        export_network(finished_run, other, Request())
    with pytest.raises(InputError, match="--set full.epochs=3; it was trained with no option$"):
        export_network(finished_run, trained.network, Request(), settings=["full.epochs=3"])


def test_a_torn_table_of_exports_is_one_line(tmp_path):
    (tmp_path / EXPORTS_FILE).write_text("[{")
    with pytest.raises(InputError, match="cannot read .*exports.json.*remove it, and export again"):
        read_exports(tmp_path)
