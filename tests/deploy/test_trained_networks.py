"""Which networks of a run are trained, and that nothing is trained twice."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest

from evomnas.core.errors import InputError
from evomnas.deploy.export import export_network
from evomnas.deploy.formats.request import Request
from evomnas.deploy.full_training import FullTask
from evomnas.deploy.saving import load_network
from evomnas.deploy.trained_networks import front_networks, knee_network, most_accurate_network, train_networks
from evomnas.deploy.training_store import FullTrainings
from evomnas.results.archive import Archive
from evomnas.results.evaluation import Failure, FullTraining
from evomnas.results.full_trainings import fully_trained
from evomnas.results.run import Run


def test_the_front_is_fastest_first_and_its_last_is_the_most_accurate(finished_run):
    front = front_networks(finished_run)
    losses = {one.evaluation.architecture: one.evaluation.losses for one in finished_run.results()}
    assert set(front) == {one.evaluation.architecture for one in finished_run.results() if one.on_front}
    assert [losses[one][1] for one in front] == sorted(losses[one][1] for one in front)
    assert losses[most_accurate_network(finished_run)][0] == min(one[0] for one in losses.values() if one)
    assert knee_network(finished_run) in front


def test_a_trained_network_is_not_trained_again(finished_run, trained, monkeypatch):
    monkeypatch.setattr(FullTask, "train", lambda *_, **__: pytest.fail("was trained again"))
    [again] = train_networks(finished_run, [trained.network], device="cpu")
    assert again.result == trained.result
    assert isinstance(again.result, FullTraining)


@pytest.fixture
def copied(finished_run, trained, exports, tmp_path) -> Run:
    """A copy of the finished run, its archive, and what was trained and exported."""
    return Run.open(shutil.copytree(finished_run.folder.parent, tmp_path / "copy") / finished_run.folder.name)


def test_a_training_with_other_settings_is_kept_by_itself(copied, trained, monkeypatch):
    """Its folder has the settings in its name, and its score is none of the problem's."""
    own = copied.folder / "networks" / trained.network.id
    before = {path: path.read_bytes() for path in own.rglob("*") if path.is_file()}
    settings = ["full.epochs=1", "full.augment=['shift','flip']"]
    [short] = train_networks(copied, [trained.network], device="cpu", settings=settings)
    assert short.folder == copied.folder / "networks" / f"{trained.network.id}-epochs-1-augment-shift-flip"
    manifest = json.loads((short.folder / "model.json").read_text())
    assert (manifest["recipe"]["epochs"], len(manifest["losses"])) == (1, 1)
    assert {path: path.read_bytes() for path in before} == before
    assert [one.result for one in fully_trained(copied) if one.notation == str(trained.network)] == [trained.result]
    monkeypatch.setattr(FullTask, "train", lambda *_, **__: pytest.fail("was trained again"))
    [again] = train_networks(copied, [trained.network], device="cpu", settings=[*reversed(settings)])
    assert (again.folder, again.result) == (short.folder, short.result)
    exported = export_network(copied, trained.network, Request(), device="cpu", settings=settings)
    assert exported.folder == short.folder
    assert [one.file for one in exported.exports] == ["model-float.onnx"]
    with pytest.raises(InputError, match=r"is not trained yet: evomnas train .* --set full.epochs=2"):
        export_network(copied, trained.network, Request(), settings=["full.epochs=2"])


def test_settings_that_are_the_problem_s_own_are_no_others(copied, trained, monkeypatch):
    monkeypatch.setattr(FullTask, "train", lambda *_, **__: pytest.fail("was trained again"))
    own = [f"full.epochs={copied.definition.full.epochs}", "full.learning_rate=1.6e-2"]
    [same] = train_networks(copied, [trained.network], device="cpu", settings=own)
    assert same.folder.name == trained.network.id
    assert same.result == trained.result


def test_a_run_with_the_settings_as_its_own_takes_such_a_network_over(copied, trained, monkeypatch):
    [short] = train_networks(copied, [trained.network], device="cpu", settings=["full.epochs=1"])
    monkeypatch.setattr(FullTask, "train", lambda *_, **__: pytest.fail("was trained again"))
    beside = Run(copied.folder.parent / "beside", copied.archive, copied.record, copied.manifest.model_copy())
    recipe = copied.definition.full.model_copy(update={"epochs": 1})
    beside.definition = copied.definition.model_copy(update={"full": recipe})
    [taken] = train_networks(beside, [trained.network], device="cpu")
    assert taken.folder == beside.folder / "networks" / trained.network.id
    assert taken.result == short.result


def test_the_time_is_said_before_a_training_begins(copied, trained, monkeypatch):
    """Of what is left to do: nothing of a network that is trained, and the rest of one that was interrupted."""
    others = [one.evaluation.architecture for one in copied.results() if one.evaluation.architecture != trained.network]
    told: list = []
    chosen = [trained.network, *others[:2]]

    def trainings(**changes):
        on_progress = lambda name, *_: told.append(("epoch", name))  # noqa: E731
        return train_networks(
            copied, chosen, device="cpu", on_plan=lambda plan: told.append(("plan", plan)), on_progress=on_progress
        )

    list(trainings())
    (kind, plan), *rest = told
    assert kind == "plan"
    assert list(plan.expected) == [one.id for one in chosen]
    assert plan.expected[trained.network.id] == 0
    assert plan.seconds == sum(plan.expected.values()) + plan.afterwards
    assert min(plan.expected[one.id] for one in others[:2]) > 0
    assert rest == [("epoch", one.id) for one in others[:2] for _ in range(4)]
    monkeypatch.setattr(FullTrainings, "_find", lambda *_: None)  # as if nothing was trained to the end

    def expected(epochs_left: int) -> float:
        monkeypatch.setattr(FullTask, "remaining_epochs", lambda *_: epochs_left)
        told.clear()
        with pytest.raises(RuntimeError, match="the plan is known"):
            next(train_networks(copied, [trained.network], device="cpu", on_plan=stop))
        return told[0][trained.network.id]

    def stop(plan) -> None:
        told.append(plan.expected)
        raise RuntimeError("the plan is known")

    monkeypatch.setattr(FullTask, "time_step", lambda *_: 0.25)
    steps = 1438 // 128
    assert expected(4) == 4 * steps * 0.25
    assert expected(1) == steps * 0.25  # interrupted after its third epoch


def test_another_run_of_the_archive_takes_the_network_over(finished_run, trained, tmp_path, monkeypatch):
    monkeypatch.setattr(FullTask, "train", lambda *_, **__: pytest.fail("was trained again"))
    beside = finished_run.folder.parent / "beside"
    manifest = finished_run.manifest.model_copy()
    other = Run(beside, finished_run.archive, replace(finished_run.record), manifest)
    [taken] = train_networks(other, [trained.network], device="cpu")
    assert taken.folder == beside / "networks" / trained.network.id
    assert (taken.folder / "weights.safetensors").read_bytes() == (trained.folder / "weights.safetensors").read_bytes()
    card, manifest = ((taken.folder / name).read_text() for name in ("README.md", "model.json"))
    assert "nsga2, seed 3" in card
    assert "in beside" in card
    assert str(finished_run.folder / "networks") not in card + manifest
    assert load_network(taken.folder).classes == load_network(trained.folder).classes
    shutil.rmtree(beside)


def test_a_teacher_is_trained_first_and_teaches(finished_run, trained):
    student = next(one.evaluation.architecture for one in finished_run.results() if not one.on_front)
    teacher, taught = train_networks(finished_run, [student], distil=True, device="cpu")
    assert teacher.network == trained.network
    assert taught.folder.name == f"{student.id}-distilled"
    with pytest.raises(InputError, match="is the front's most accurate network, the teacher"):
        list(train_networks(finished_run, [trained.network], distil=True, device="cpu"))


def test_a_training_that_diverges_is_a_record_and_leaves_no_files(finished_run, tmp_path):
    recipe = finished_run.definition.full.model_copy(update={"learning_rate": 1e30, "warmup": 0.0})
    (tmp_path / "run").mkdir()
    run = Run(tmp_path / "run", finished_run.archive, finished_run.record, finished_run.manifest.model_copy())
    run.definition = finished_run.definition.model_copy(update={"full": recipe})
    [one] = train_networks(run, [front_networks(finished_run)[0]], device="cpu")
    assert isinstance(one.result, Failure)
    assert one.result.kind == "diverged"
    assert not list(one.folder.glob("*"))


def test_images_with_other_classes_than_the_search_s_are_refused(finished_run):
    manifest = finished_run.manifest.model_copy(update={"data": finished_run.manifest.data | {"classes": 7}})
    run = Run(finished_run.folder, finished_run.archive, finished_run.record, manifest)
    with pytest.raises(InputError, match="searched images with 7 classes, its data now have 10"):
        list(train_networks(run, [front_networks(finished_run)[0]], device="cpu"))


def test_full_trainings_come_back_as_they_were_added(tmp_path, trained):
    archive = Archive(tmp_path / "a.sqlite")
    archive.add_full_training("c", trained.network, trained.result)
    archive.add_full_training("c", "torchvision:resnet18", Failure("diverged", "NaN"))
    archive.add_full_training("c", trained.network, Failure("diverged", "too late"))
    assert archive.full_training("c", trained.network) == trained.result
    assert archive.full_training("d", trained.network) is None
    assert list(archive.full_trainings("c")) == [str(trained.network), "torchvision:resnet18"]
    archive.add_alias("problem", "c")
    archive.add_alias("problem", "c")
    assert archive.alias_contexts("problem") == ["c"]
