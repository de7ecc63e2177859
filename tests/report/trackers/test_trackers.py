"""Searches in TensorBoard and MLflow, with their own local stores, and what becomes of trackers that fail."""

from __future__ import annotations

import io
import sys

import pytest
from PIL import Image
from typer.testing import CliRunner

from evomnas.cli import search as command  # noqa: F401 it registers its commands
from evomnas.cli.app import app
from evomnas.core.errors import InputError
from evomnas.loop.callbacks.base import Callback
from evomnas.loop.launch import resume, search
from evomnas.report.trackers import opening, tensorboard_log
from evomnas.report.trackers.opening import open_trackers
from evomnas.results.run import Run


class Broken(Callback):
    def on_evaluation(self, run, result):
        raise OSError("the server is gone")


def test_tensorboard_has_a_step_for_each_network_and_the_hypervolume(finished_run, tmp_path, monkeypatch):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setattr(tensorboard_log, "FOLDER", tmp_path / "tensorboard")
    run, [tracker] = finished_run, open_trackers(["tensorboard"])
    tracker.on_begin(run)
    for result in run.results():
        tracker.on_evaluation(run, result)
    tracker.on_end(run)
    kept = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    results = sorted(run.results(), key=lambda one: one.order)
    for name, number in (
        ("accuracy", lambda one: one.evaluation.quantities["accuracy"]),
        ("params", lambda one: one.evaluation.measured.cost.params),
    ):
        steps = kept.Scalars(f"network/{name}")
        assert [one.step for one in steps] == [one.order for one in results]
        assert [one.value for one in steps] == pytest.approx([number(one) for one in results])
    assert kept.Scalars("search/hypervolume")[-1].value == pytest.approx(run.manifest.hypervolume)
    first = results[0].evaluation
    curve = kept.Scalars(f"training/{first.architecture.id}")
    assert [one.value for one in curve] == pytest.approx(list(first.trained.losses))
    [picture], [table] = kept.Images("search/front"), kept.Tensors("search/networks")
    with Image.open(io.BytesIO(picture.encoded_image_string)) as opened:
        assert opened.size == (picture.width, picture.height)
    text = table.tensor_proto.string_val[0].decode()
    assert all(f"| {one.evaluation.architecture.id} |" in text for one in run.front())
    assert str(run.folder / "report.html") in text


def test_a_resumed_search_goes_on_in_the_same_folder(tabular_file, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    search(tabular_file, "random", budget=4, out=tmp_path / "run", callbacks=open_trackers(["tensorboard"]))
    resume(tmp_path / "run", budget=7, callbacks=open_trackers(["tensorboard"]))
    kept = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    assert len({one.step for one in kept.Scalars("network/loss_1")}) == 7


def test_a_place_that_mlflow_cannot_use_is_a_line_that_says_where_to_set_it(monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setattr(mlflow.tracking._tracking_service.utils, "_tracking_uri", "bogus://place")
    with pytest.raises(InputError, match="cannot log to bogus://place: set MLFLOW_TRACKING_URI to a server"):
        open_trackers(["mlflow"])


def test_mlflow_has_a_child_run_for_each_network_and_the_report(tabular_file, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    mlflow.set_tracking_uri((tmp_path / "store").as_uri())
    run = search(tabular_file, "random", budget=3, out=tmp_path / "run", callbacks=open_trackers(["mlflow"]))
    client = mlflow.tracking.MlflowClient()
    experiment = client.get_experiment_by_name("tabular")
    found = client.search_runs([experiment.experiment_id])
    [parent] = [one for one in found if "mlflow.parentRunId" not in one.data.tags]
    children = [one for one in found if one.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert {one.data.params["architecture"] for one in children} == {
        str(one.evaluation.architecture) for one in run.results()
    }
    assert parent.data.params["algorithm"] == "random"
    assert parent.data.metrics["hypervolume"] == pytest.approx(run.manifest.hypervolume)
    assert {one.path for one in client.list_artifacts(parent.info.run_id)} == {"front.csv", "run.json", "report.html"}
    losses = {one.info.run_name: one.data.metrics["loss_1"] for one in children}
    assert losses == {one.evaluation.architecture.id: pytest.approx(one.evaluation.losses[0]) for one in run.results()}


@pytest.mark.parametrize(
    ("name", "package"), [("tensorboard", "tensorboard.compat.proto"), ("mlflow", "mlflow.tracking")]
)
def test_without_its_package_a_tracker_says_what_to_install(name, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=rf"--track {name} needs .*not installed: pip install 'evomnas\[{name}\]'"):
        open_trackers([name])


def run_with(tabular_file, folder, *options):
    arguments = ["run", str(tabular_file), "--algo", "random", "--budget", "4", "--out", str(folder), *options]
    return CliRunner().invoke(app, arguments)


def test_an_unknown_tracker_is_refused_before_anything_is_written(tabular_file, tmp_path):
    done = run_with(tabular_file, tmp_path / "run", "--track", "excel")
    assert done.exit_code == 2
    assert "unknown tracker 'excel': there are mlflow, tensorboard" in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_tracker_that_fails_is_one_line_and_the_search_goes_on(tabular_file, tmp_path, monkeypatch):
    monkeypatch.setattr(opening, "open_trackers", lambda names: [Broken()])
    done = run_with(tabular_file, tmp_path / "run", "--track", "mlflow")
    assert done.exit_code == 0
    lines = [line for line in done.stderr.splitlines() if "server" in line]
    assert lines == ["the callback Broken failed, and is told no more of this search (OSError: the server is gone)"]
    assert Run.open(tmp_path / "run").manifest.status == "finished"


def test_the_same_tracker_twice_is_one():
    pytest.importorskip("tensorboard")
    assert len(open_trackers(["tensorboard", "tensorboard"])) == 1
    assert open_trackers([]) == []
