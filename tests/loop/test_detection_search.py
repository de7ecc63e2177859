"""A search for backbones of detectors, from the problem file to the report, on drawn rectangles."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from accessibility import hidden_columns, serious, sticking_out
from box_files import draw, save, write_voc
from typer.testing import CliRunner

import evomnas
from evomnas.cli import deploy, measure, predict, search, show  # noqa: F401 they register themselves
from evomnas.cli.app import app
from evomnas.cli.detection import detect  # noqa: F401
from evomnas.cli.shipping import export  # noqa: F401
from evomnas.core.errors import InputError
from evomnas.data.splits import load_dataset
from evomnas.deploy.detection.detector_files import load_detector, read_detector_manifest
from evomnas.deploy.hubs.pushing import files_to_push
from evomnas.problem.architecture import Architecture
from evomnas.problem.detection.counting import count_detector
from evomnas.problem.detection.plan import plan_detector
from evomnas.problem.loading import validate_definition
from evomnas.report.references import find_references
from evomnas.report.reproduce import problem_file
from evomnas.report.run_report import write_report
from evomnas.report.shipping.network_files import network_files
from evomnas.results.archive import Archive
from evomnas.results.constraints import DetectorLimits
from evomnas.results.packing.pack import pack
from evomnas.results.run import Run
from evomnas.training.detection.detection_task import DetectionTask

pytest.importorskip("faster_coco_eval")
PROBLEM = {
    "name": "shapes", "task": "detection",
    "space": {"filters": [8, 8], "layers": [1, 1], "strides": [2, 2], "stem": 8, "head": 16, "divisor": 4},
    "data": {"dataset": "boxes", "resolution": 96, "score": "ap50"},
    "training": {"epochs": 3},
}  # fmt: skip


@pytest.fixture(scope="module")
def problem(tmp_path_factory):
    path = write_voc(tmp_path_factory.mktemp("shapes"), draw(24, (96, 128)))
    return validate_definition({**PROBLEM, "data": {**PROBLEM["data"], "path": str(path)}})


@pytest.fixture(scope="module")
def run(problem, tmp_path_factory) -> Run:
    folder = tmp_path_factory.mktemp("detected") / "run"
    return evomnas.search(problem, "random", budget=3, workers=0, out=folder, device="cpu")


def command(*arguments: str):
    return CliRunner().invoke(app, list(map(str, arguments)))


def test_the_objectives_are_one_minus_ap50_and_the_latency_of_the_whole_detector(run):
    results = run.results()
    assert len(results) == 3
    for result in results:
        evaluation = result.evaluation
        findings = run.reader.findings(evaluation.architecture)
        assert evaluation.losses == (1 - findings.ap50, evaluation.measured.latency_ms)
        assert evaluation.score_error == findings.ap50_error
        counts = count_detector(plan_detector(evaluation.architecture, 96), 3 + 1)
        assert evaluation.measured.cost.params == counts.params
        row = result.to_dict()
        assert (row["accuracy"], row["score"]) == (None, findings.ap50)
    assert max(result.evaluation.score for result in results) > 0


def test_latencies_and_trainings_have_contexts_of_their_own(run):
    assert run.archive.context(run.record.measurement_context)["kind"] == "detection"
    assert run.archive.context(run.record.training_context)["task"] == "detection"


def test_ap_needs_no_new_training(run, problem):
    """Both scores of a training are kept."""
    other = problem.model_copy(update={"data": problem.data.model_copy(update={"score": "ap"})})
    again = evomnas.search(
        other, "random", budget=3, workers=0, out=run.folder.parent / "ap", archive=run.archive.path, device="cpu"
    )
    for result in again.results():
        findings = run.reader.findings(result.evaluation.architecture)
        assert result.evaluation.losses[0] == 1 - findings.ap
    assert again.manifest.reused.networks == 3


def test_the_report_shows_boxes_on_pictures_by_network(run):
    page = write_report(run).read_text()
    section = page.partition('id="boxes-title"')[2].partition("</section>")[0]
    shown = run.reader.findings(run.front()[0].evaluation.architecture).shown
    assert len(re.findall(r'<image id="picture-\d+" href="data:image/', section)) == len(shown)
    networks = {result.evaluation.architecture.id for result in run.explained(run.results())}
    assert set(re.findall(r"<figcaption>(\w+)</figcaption>", section)) == networks
    boxes = sum(len(run.reader.findings(one.evaluation.architecture).shown[0].boxes) for one in run.front())
    assert section.count("<rect") >= boxes
    assert "AP50 of ball" in section
    assert "evomnas train" in page.partition("<footer")[0].partition('id="commands"')[0]


def test_the_table_has_no_column_of_accuracies_which_detectors_lack(run):
    header, first = command("show", run.folder).stdout.splitlines()[:2]
    assert header.split()[:5] == ["id", "AP50", "±", "latency", "ms"]
    assert re.match(r"[0-9a-f]{8} +[\d.]+% +[\d.]+% +[\d.]+ ", first)


def test_a_packed_run_is_read_elsewhere_with_its_boxes(run, tmp_path):
    opened = Run.open(pack(run, tmp_path / "run.zip").path)
    network = run.results()[0].evaluation.architecture
    assert opened.reader.findings(network) == run.reader.findings(network)
    place = opened.reader.findings(run.front()[0].evaluation.architecture).shown[0].place
    images = run.search_images_fingerprint
    assert opened.archive.picture(images, place) == run.archive.picture(images, place)


def test_a_network_of_the_run_is_described_as_a_detector(run):
    network = run.front()[0].evaluation.architecture.id
    described = command("describe", network, "--run", run.folder)
    assert "SSDLite with 4 logits" in described.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "--teacher"), "detectors learn from boxes alone, and have no teacher: drop --teacher"),
        (("train", "--set", "full.dropout=0.1"), "full.dropout is for networks that tell classes apart: drop it"),
        (("export",), r"is not trained yet: evomnas train \S+ \w{8}$"),
        (("export", "--teacher"), "detectors learn from boxes alone, and have no teacher: drop --teacher"),
        (("export", "--to", "python"), "unknown format 'python': there are executorch, litert, onnx"),
        (("export", "--prune", "0.5"), "exported in float and int8: drop --prune, --factorize and --huffman"),
        (("detect", "--data", "."), r"evomnas train \S+ \w{8} trains this one on the run's own images"),
    ],
)  # fmt: skip
def test_what_no_detector_can_do_is_refused_in_one_line_that_leads_on(run, arguments, message):
    network = run.results()[-1].evaluation.architecture.id
    refused = command(arguments[0], run.folder, network, *arguments[1:])
    assert refused.exit_code == 2
    assert refused.stderr.count("\n") == 1
    assert re.search(message, refused.stderr.strip())


@pytest.fixture(scope="module")
def trained(run):
    """The row of a detector that the run has trained in full."""
    network = run.front()[0].evaluation.architecture.id
    done = command("train", run.folder, network, "--epochs", "2", "--device", "cpu", "--format", "json", "--quiet")
    assert done.exit_code == 0, done.output
    [row] = json.loads(done.stdout)
    return row


def test_a_found_detector_is_trained_in_full_and_scored_on_the_test_images(run, trained):
    manifest = read_detector_manifest(Path(trained["folder"]))
    assert manifest.start == "random weights"
    assert (manifest.test.ap50, manifest.test.images) == (trained["test_ap50"], trained["test_images"])
    assert manifest.test.ap50_interval == tuple(trained["test_ap50_interval"])
    assert f"random, seed {run.record.seed}, 3 networks evaluated" in manifest.origin
    assert manifest.latency.ms == trained["latency_ms"]
    assert (trained["test_accuracy"], trained["failure"]) == (None, None)
    again = command("train", run.folder, trained["id"], "--epochs", "2", "--device", "cpu", "--quiet")
    assert re.search(rf"{trained['id']} +{trained['test_ap50']:.2%}", again.stdout)
    assert read_detector_manifest(Path(trained["folder"])) == manifest


def test_the_score_of_a_full_training_is_in_table_report_and_pack(run, trained, tmp_path):
    opened = Run.open(run.folder)
    row = next(one.to_dict() for one in opened.results() if one.evaluation.architecture.id == trained["id"])
    assert (row["test_score"], row["test_accuracy"]) == (trained["test_ap50"], None)
    assert "test AP50" in command("show", run.folder).stdout
    assert "Test AP: of " in write_report(opened).read_text()
    elsewhere = Run.open(pack(opened, tmp_path / "run.zip").path)
    assert load_detector(elsewhere.folder / "networks" / Path(trained["folder"]).name)
    assert elsewhere.front()[0].test_quality == opened.front()[0].test_quality


def test_a_damaged_detector_of_a_run_names_the_command_that_mends_it(trained, tmp_path):
    folder = tmp_path / "networks" / "copy"
    shutil.copytree(trained["folder"], folder)
    (folder / "detector.json").write_text("[]")
    save(tmp_path / "photo.png", draw(1)[0].pixels)
    assert "Input should be an object; evomnas train writes it again" in command("predict", folder, tmp_path).stderr


def test_what_others_need_of_a_detector_is_pushed_as_one(run, trained):
    folder = Path(trained["folder"])
    files = files_to_push(folder, "apache-2.0")
    assert {"README.md", "detector.json", "weights.safetensors"} <= files.keys()
    head = files["README.md"].decode().split("\n---\n")[0]
    assert "license: apache-2.0" in head
    assert "pipeline_tag: object-detection" in head


def test_a_trained_detector_says_what_is_in_pictures_and_where(run, trained, tmp_path):
    picture = save(tmp_path / "photo.png", draw(1, (96, 128), seed=5)[0].pixels)
    (tmp_path / "broken.png").write_bytes(b"no picture")
    answer = command("predict", trained["folder"], tmp_path, "--min-score", "0.05", "--format", "json")
    assert answer.exit_code == 1
    broken, found = json.loads(answer.stdout)
    assert "cannot read the image" in broken["error"]
    assert (found["image"], found["error"]) == (str(picture), None)
    for thing in found["objects"]:
        left, top, right, bottom = thing["box"]
        assert 0 <= left <= right <= 128
        assert 0 <= top <= bottom <= 96
        assert thing["class"] in ("ball", "car", "tree")
    assert found["objects"]
    assert "nothing" in command("predict", trained["folder"], picture, "--min-score", "1").stdout
    header, *_ = command("predict", trained["folder"], picture, "--min-score", "0.05", "--format", "csv").stdout.split()
    assert header == "image,class,score,left,top,right,bottom,error"
    refused = command("predict", trained["folder"], picture, "--top", "2")
    assert "is a detector, which finds things: --top is for classes" in refused.stderr


@pytest.mark.thorough
def test_exported_detectors_are_scored_in_their_runtime_and_find_the_same(run, trained, tmp_path):
    options = ("--epochs", "2", "--device", "cpu", "--quantize", "int8", "--format", "json")
    done = command("export", run.folder, trained["id"], *options)
    assert done.exit_code == 0, done.output
    plain, quantized = json.loads(done.stdout)
    assert [(one["format"], one["variant"]) for one in (plain, quantized)] == [("onnx", "float"), ("onnx", "int8")]
    assert plain["ap50"] == pytest.approx(trained["test_ap50"], abs=1e-3)
    assert quantized["bytes"] < 0.6 * plain["bytes"]
    assert min(plain["latency_ms"], quantized["latency_ms"]) > 0
    folder = Path(trained["folder"])
    assert "| `model-int8.onnx` |" in (folder / "README.md").read_text()
    header, files = network_files(run)
    assert header[2] == "test AP"
    assert (f"networks/{folder.name}/model-int8.onnx", f"{quantized['ap']:.2%}") in [(row[0], row[2]) for row in files]
    picture = save(tmp_path / "photo.png", draw(1, (96, 128), seed=5)[0].pixels)
    answers = {
        name: json.loads(
            command("predict", folder / name, picture, "--min-score", "0.05", "--format", "json").stdout
        )[0]["objects"]
        for name in ("detector.json", "model-float.onnx", "model-int8.onnx")
    }  # fmt: skip
    whole, same, near = answers.values()
    assert [one["class"] for one in same[:5]] == [one["class"] for one in whole[:5]]
    assert [one["score"] for one in same[:5]] == pytest.approx([one["score"] for one in whole[:5]], abs=1e-3)
    assert near[0]["score"] == pytest.approx(whole[0]["score"], abs=0.1)


@pytest.mark.thorough
@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_the_report_works_in_a_browser(run, trained, visit, scheme, width):
    """Its script goes through, though detectors have no accuracy."""
    page = visit(write_report(Run.open(run.folder)), scheme, width)
    page.wait_for_selector("#facts tbody tr")
    headings = page.locator("#networks thead button").all_inner_texts()
    assert headings[:3] == ["id", "AP50", "test AP50"]
    assert "accuracy" not in headings
    assert page.locator("#commands").inner_text().count("evomnas train") == 1
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert sticking_out(page) == hidden_columns(page) == serious(page) == []


@pytest.mark.thorough
def test_baselines_stand_beside_the_front(run, problem, tmp_path):
    path = tmp_path / "shapes.toml"
    path.write_text(problem_file(run))
    options = ("--archive", run.archive.path, "--out", tmp_path / "baselines", "--device", "cpu")
    done = command("baselines", path, "reference", "mnasnet-small@0.35", *options, "--set", "full.epochs=1", "--format",
                   "json")  # fmt: skip
    assert done.exit_code == 0, done.output
    rows = json.loads(done.stdout)
    assert [row["name"] for row in rows] == ["reference", "mnasnet-small@0.35"]
    assert all(row["latency_ms"] > 0 and row["test_images"] > 0 for row in rows)
    [reference, *_] = find_references(run, run.results())
    assert reference.losses[0] == pytest.approx(1 - rows[0]["validation_score"])
    assert load_detector(tmp_path / "baselines" / "reference")
    assert "unknown backbone 'resnet18'" in command("baselines", path, "resnet18", *options).stderr


@pytest.mark.thorough
def test_measure_times_the_whole_detector(run):
    [result, *_] = run.front()
    measured = command("measure", result.evaluation.architecture.id, "--run", run.folder, "--format", "json").stdout
    assert json.loads(measured)[0]["latency_ms"] == pytest.approx(result.evaluation.measured.latency_ms, rel=0.6)


@pytest.mark.thorough
def test_a_network_is_trained_to_the_same_score_in_any_order(problem):
    dataset = load_dataset(problem.data)
    first, second = (
        DetectionTask(dataset, problem.data, problem.training, "cpu").train(Architecture.parse(notation))
        for notation in 2 * ["stem8_s2-dconv_k3_s2_f8_n1-mbconv3_k3_s2_f8_n1-head16"]
    )
    assert (first.losses, first.findings) == (second.losses, second.findings)
    assert first.losses[-1] < first.losses[0]
    assert first.accuracy is None


def test_folds_find_boxes_in_every_image(problem):
    data = problem.data.model_copy(update={"folds": 2})
    dataset = load_dataset(data)
    task = DetectionTask(dataset, data, problem.training.model_copy(update={"epochs": 1}), "cpu")
    result = task.train(Architecture.parse("stem8_s2-dconv_k3_s2_f8_n1-head16"))
    places = [image.place for image in result.findings.shown]
    assert places[0] == 0
    assert places[-1] == len(dataset.train_images) - 1


def test_limits_count_the_whole_detector(problem):
    network = Architecture.parse("stem8_s2-dconv_k3_s2_f8_n1-head16")
    counts = count_detector(plan_detector(network, 96), 4)
    shape = {"classes": 3, "channels": 3, "resolution": 96}
    evaluation = type("Known", (), {"quantities": {}, "architecture": network, "exceeding": lambda self, over: over})()
    half = counts.params // 2
    for limit, expected in ((counts.params, evaluation), (half, counts.params / half - 1)):
        limits = problem.constraints.model_copy(update={"max_params": limit})
        assert DetectorLimits(limits, shape).apply(evaluation) == expected
    least = problem.constraints.model_copy(update={"max_params": 10})
    with pytest.raises(InputError, match="no network of the space meets constraints.max_params = 10"):
        DetectorLimits(least, shape).check(problem.space)


def test_a_data_set_without_boxes_is_refused(tmp_path):
    problem = validate_definition({**PROBLEM, "data": {"dataset": "digits", "resolution": 96}})
    with pytest.raises(InputError, match="the data set digits has no boxes, which detection needs"):
        evomnas.search(problem, "random", budget=1, workers=0, out=tmp_path / "run", device="cpu")


def test_an_archive_with_findings_that_none_could_have_is_refused(run, tmp_path):
    row = dict(next(iter(run.archive.rows("findings"))))
    from evomnas.results.detection.findings import Findings

    assert Findings.from_row(row) == run.archive.findings(row["context"], row["network"])
    for wrong in (
        {"ap": 1.5}, {"ap50": float("nan")}, {"ap_error": -0.1}, {"details": "[]"},
        {"shown": json.dumps([[0, [[0, 0.5, 0, 0, 1, 1.5]]]])}, {"shown": json.dumps([[0, [["a", 0.5, 0, 0, 1, 1]]]])},
    ):  # fmt: skip
        with pytest.raises((ValueError, TypeError)):
            Findings.from_row(row | wrong)


@pytest.mark.thorough
@pytest.mark.parametrize("options", [("--workers", "2"), ("--executor", "ray"), ("--async", "--workers", "2")])
def test_every_executor_finds_the_same(problem, run, tmp_path, options):
    path = tmp_path / "shapes.toml"
    data = {**PROBLEM["data"], "path": str(problem.data.path)}
    lines = ['name = "shapes"', 'task = "detection"']
    for name, values in {**PROBLEM, "data": data}.items():
        if isinstance(values, dict):
            lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    path.write_text("\n".join(lines))
    result = command("run", path, "--algo", "random", "--budget", "3", "--out", tmp_path / "run", *options)
    assert result.exit_code == 0, result.output
    found = {one.evaluation.architecture: one.evaluation.trained.score for one in Run.open(tmp_path / "run").results()}
    expected = {one.evaluation.architecture: one.evaluation.trained.score for one in run.results()}
    assert found == pytest.approx(expected)


def test_a_search_goes_on_where_it_was(run):
    more = command("resume", run.folder, "--budget", "4", "--workers", "0", "--device", "cpu")
    assert more.exit_code == 0, more.output
    again = Run.open(run.folder)
    assert len(again.results()) == 4
    assert [one.evaluation.losses for one in again.results()[:3]] == [
        one.evaluation.losses for one in run.results()[:3]
    ]
    assert np.isfinite(again.manifest.hypervolume)
    assert Archive(again.archive.path).class_names(again.search_images_fingerprint) == ["ball", "car", "tree"]
