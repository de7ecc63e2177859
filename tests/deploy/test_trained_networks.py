"""Which networks of a run are trained, and that nothing is trained twice."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from evomnas.core.errors import InputError
from evomnas.deploy.full_training import FullTask
from evomnas.deploy.saving import load_network
from evomnas.deploy.trained_networks import front_networks, knee_network, most_accurate_network, train_networks
from evomnas.results.archive import Archive
from evomnas.results.evaluation import Failure, FullTraining
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
