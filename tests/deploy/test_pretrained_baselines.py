"""Published networks, fine-tuned at every resolution, as a front of their own beside a run's."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import torchvision
from matplotlib import pyplot
from typer.testing import CliRunner

from evomnas.cli import deploy, show  # noqa: F401 they register themselves
from evomnas.cli.app import app
from evomnas.core.errors import InputError
from evomnas.deploy.pretrained_baselines import fine_tune_baselines
from evomnas.deploy.saving import load_network
from evomnas.loop.launch import search
from evomnas.problem.loading import load_definition
from evomnas.problem.pretrained import donors
from evomnas.report.run_figures import pareto_figure
from evomnas.report.run_report import write_report
from evomnas.results.evaluation import FullTraining, Measurement, Training
from evomnas.results.full_trainings import baseline_results, fully_trained

NAMES = ["mobilenet-v2", "mobilenet_v3_small"]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A cache of torch's that has a file of MobileNetV3's, and none of MobileNetV2's."""
    folder = tmp_path_factory.mktemp("torch")
    (folder / "hub" / "checkpoints").mkdir(parents=True)
    torch.manual_seed(5)
    content = io.BytesIO()
    torch.save(torchvision.models.mobilenet_v3_small().state_dict(), content)
    known = donors.PUBLISHED_WEIGHTS["mobilenet_v3_small"]
    (folder / "hub" / "checkpoints" / known.files[0]).write_bytes(content.getvalue())
    changed = replace(known, hashes=(hashlib.sha256(content.getvalue()).hexdigest(),))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(folder))
        patch.setattr(donors, "PUBLISHED_WEIGHTS", {**donors.PUBLISHED_WEIGHTS, "mobilenet_v3_small": changed})
        yield folder


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    """Settings of a problem with two classes of 32 images: dark ones and light ones."""
    rng = np.random.default_rng(0)
    path, arrays = tmp_path_factory.mktemp("images") / "images.npz", {}
    for part, count in (("train", 16), ("test", 8)):
        labels = np.repeat([0, 1], count)
        pixels = rng.normal(80, 30, (2 * count, 40, 40, 3)) + 90 * labels[:, None, None, None]
        arrays |= {f"x_{part}": pixels.clip(0, 255).astype(np.uint8), f"y_{part}": labels}
    np.savez(path, **arrays)
    return [
        "name=two", "data.dataset=npz", f"data.path={path}", "data.resolution=40", "data.validation=0.5",
        "training.epochs=1", "full.epochs=1", "space.resolutions=[32, 40]",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def problem(settings):
    return load_definition("digits", settings, donor="efficientnet-lite0")


@pytest.fixture(scope="module")
def run(problem, tmp_path_factory):
    return search(problem, "random", budget=1, out=tmp_path_factory.mktemp("two") / "run")


@pytest.fixture(scope="module")
def tuned(cache, run):
    """The baselines; the plan of the trainings, and its names in the order in which they ended."""
    plans, done = [], []
    arguments = run.definition, NAMES, run.archive.path, run.folder.parent / "baselines"
    found = fine_tune_baselines(
        *arguments, device="cpu", on_plan=plans.append, on_progress=lambda name, *_: done.append(name)
    )
    return found, plans[0].expected, done


def test_they_are_measured_validated_and_tested_at_every_resolution(tuned, run):
    found, expected, done = tuned
    assert [(one.name, one.resolution) for one in found] == [(name, side) for name in NAMES for side in (40, 32)]
    good = [one for one in found if one.reason is None]
    for one in good:
        assert isinstance(one.validation, Training)
        assert isinstance(one.result, FullTraining)
        assert isinstance(one.measurement, Measurement)
        row = one.to_dict()
        assert (row["validation_accuracy"], row["test_images"]) == (one.validation.accuracy, 16)
    labels = [f"{one.name} at {one.resolution} px" for one in good]
    assert list(expected) == [*(f"{label} as a candidate" for label in labels), *labels]
    assert all(seconds > 0 for seconds in expected.values())
    assert done[:2] == list(expected)[:2]
    assert sorted(done[2:]) == sorted(labels)


def test_missing_weights_are_a_reason_and_no_failure_of_the_others(tuned):
    missing = [one for one in tuned[0] if one.name == "mobilenet-v2"]
    assert {one.reason for one in missing} == {
        'its weights are not on this machine: python -c "import torchvision; '
        "torchvision.models.mobilenet_v2(weights='DEFAULT')\""
    }
    assert all(one.validation is one.result is one.measurement is None for one in missing)


def test_those_on_their_own_front_are_trained_in_full_first(tuned, run):
    front = {one.baseline.label for one in baseline_results(run) if one.result.on_front}
    assert set(tuned[2][2 : 2 + len(front)]) == front


@pytest.mark.thorough
def test_nothing_is_done_twice(tuned, run, monkeypatch):
    monkeypatch.setattr("evomnas.deploy.full_training.FullTask.train", lambda *_, **__: pytest.fail("trained again"))
    monkeypatch.setattr("evomnas.training.proxy_task.ProxyTask.train", lambda *_, **__: pytest.fail("trained again"))
    plans = []
    again = fine_tune_baselines(
        run.definition, NAMES, run.archive.path, run.folder.parent / "baselines", device="cpu", on_plan=plans.append
    )
    assert again == tuned[0]
    assert set(plans[0].expected.values()) == {0.0}


def test_a_saved_one_takes_images_of_its_resolution_with_its_own_normalisation(tuned, run):
    folder = run.folder.parent / "baselines" / "pretrained"
    classifier = load_network(folder / "mobilenet_v3_small-32px")
    assert classifier.resolution == 32
    assert classifier.normalise.mean.flatten().tolist() == pytest.approx([123.675, 116.28, 103.53])
    card = (folder / "mobilenet_v3_small-32px" / "README.md").read_text()
    assert "the weights of mobilenet_v3_small (SHA-256 " in card
    assert json.loads((folder / "mobilenet_v3_small-40px" / "model.json").read_text())["resolution"] == 40


def test_a_report_has_them_as_a_front_of_their_own(tuned, run):
    results = baseline_results(run)
    latencies = [one.result.evaluation.measured.latency_ms for one in results]
    assert len(results) == 2
    assert latencies == sorted(latencies)
    figure = pareto_figure(run, run.results())
    assert "pretrained baselines" in [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    pyplot.close(figure)
    page = write_report(run).read_text()
    data = json.loads(page.partition('id="data">')[2].partition("</script>")[0])
    assert [one["name"] for one in data["baselines"]] == [one.baseline.label for one in results]
    assert [one["front"] for one in data["baselines"]] == [one.result.on_front for one in results]
    assert "What one would have taken instead" in page
    names = sorted(network.name for network in fully_trained(run))
    assert names == [f"pretrained mobilenet_v3_small at {side} px" for side in (32, 40)]


def test_show_prints_them_beside_the_front_and_alone(tuned, run):
    def shown(*options: str) -> str:
        result = CliRunner().invoke(app, ["show", str(run.folder), *options])
        assert result.exit_code == 0, result.output
        return result.stdout

    assert "Pretrained baselines, fine-tuned as the candidates were" in shown()
    assert shown("--baselines").count("mobilenet_v3_small") == 2
    rows = json.loads(shown("--baselines", "--format", "json"))
    assert [row["name"] for row in rows] == [one.baseline.name for one in baseline_results(run)]
    table = list(csv.DictReader(io.StringIO(shown("--baselines", "--format", "csv"))))
    assert [(row["name"], int(row["resolution"])) for row in table] == [(r["name"], r["resolution"]) for r in rows]
    assert float(table[0]["test_accuracy"]) == rows[0]["test_accuracy"]
    assert len(json.loads(shown("--format", "json"))) == len(run.front())  # which scripts read


@pytest.mark.thorough
def test_a_problem_without_a_donor_has_them_in_its_reports_as_well(cache, settings, tmp_path, monkeypatch):
    short = {"epochs": 1, "batch": 32}
    monkeypatch.setattr("evomnas.problem.definition.PROXY", short)
    monkeypatch.setattr("evomnas.problem.definition.FULL", short)
    plain = load_definition("digits", settings[:5] + settings[5:7])
    run = search(plain, "random", budget=1, out=tmp_path / "run")
    assert baseline_results(run) == []
    [one] = fine_tune_baselines(plain, NAMES[1:], run.archive.path, tmp_path / "baselines", device="cpu")
    assert (one.resolution, str(one.network)) == (40, "torchvision:mobilenet_v3_small")
    [result] = baseline_results(run)
    assert result.result.training == one.result
    assert [network.name for network in fully_trained(run)] == ["pretrained mobilenet_v3_small at 40 px"]


@pytest.mark.thorough
def test_damaged_weights_are_a_reason_too(cache, problem, tmp_path, monkeypatch):
    wrong = replace(donors.PUBLISHED_WEIGHTS["mobilenet_v3_small"], hashes=("0",))
    monkeypatch.setattr(donors, "PUBLISHED_WEIGHTS", {**donors.PUBLISHED_WEIGHTS, "mobilenet_v3_small": wrong})
    found = fine_tune_baselines(problem, NAMES[1:], tmp_path / "a.sqlite", tmp_path, device="cpu")
    assert all("is damaged or another file: its SHA-256 begins with" in one.reason for one in found)


def test_no_weights_at_all_are_an_error_before_anything_is_read(problem, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("evomnas.deploy.full_training.load_training_images", lambda *_: pytest.fail("read the images"))
    with pytest.raises(InputError, match="no pretrained weights on this machine; resnet18: .*; evomnas donors lists"):
        fine_tune_baselines(problem, ["resnet18"], tmp_path / "a.sqlite", tmp_path)
    assert not (tmp_path / "a.sqlite").exists()
