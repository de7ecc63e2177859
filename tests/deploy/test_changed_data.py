"""Images that change or move after a search or a training, and files that do not fit any more."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from evomnas.cli.deploy import app
from evomnas.cli.search import app as search_app
from evomnas.cli.shipping import export  # noqa: F401 it registers itself
from evomnas.core.errors import InputError
from evomnas.deploy import full_training as full
from evomnas.deploy.export import export_network, read_exports
from evomnas.deploy.formats.request import Request
from evomnas.deploy.full_training import FullTask
from evomnas.deploy.saving import load_network
from evomnas.deploy.trained_networks import train_networks
from evomnas.loop.launch import resume, search
from evomnas.problem.loading import validate_definition
from evomnas.report.run_report import write_report
from evomnas.results.full_trainings import fully_trained
from evomnas.results.packing.pack import pack
from evomnas.results.run import Run
from evomnas.training.trainer import Trainer


def write_images(folder: Path, count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for label, name in enumerate(("ants", "bees")):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            pixels = rng.integers(0, 200, (8, 8, 3), dtype=np.uint8)
            pixels[:, :, label] += 55
            Image.fromarray(pixels).save(folder / name / f"{seed}-{index}.png")


@pytest.fixture(scope="module")
def whole(tiny, tmp_path_factory):
    """A search of three networks on an image folder; one is trained in full and exported."""
    root = tmp_path_factory.mktemp("whole")
    write_images(root / "photos" / "train", 12, 1)
    write_images(root / "photos" / "val", 3, 2)
    values = tiny.model_dump(mode="json", exclude_none=True)
    values["data"] |= {"dataset": "image-folder", "path": str(root / "photos")}
    values["full"] |= {"epochs": 2, "batch": 12}
    run = search(validate_definition(values), "random", budget=3, seed=1, out=root / "run")
    network = run.results()[0].evaluation.architecture
    [one] = train_networks(run, [network], device="cpu")
    export_network(run, network, Request(quantize=True, huffman=True), device="cpu")
    return SimpleNamespace(root=root, network=network, result=one.result)


@pytest.fixture
def here(whole, tmp_path):
    """A copy of all that, whose images may be changed; the copied run reads the copied images."""
    root = shutil.copytree(whole.root, tmp_path / "copy")
    run = Run.open(root / "run")
    run.read_data_from(root / "photos")
    folder = root / "run" / "networks" / whole.network.id
    return SimpleNamespace(run=run, network=whole.network, folder=folder, photos=root / "photos", result=whole.result)


@pytest.fixture
def no_training(monkeypatch):
    monkeypatch.setattr(FullTask, "train", lambda *_, **__: pytest.fail("was trained again"))


def train(here):
    [one] = train_networks(here.run, [here.network], device="cpu")
    return one


def test_images_that_have_changed_since_the_search_are_refused(here, no_training):
    write_images(here.photos / "train", 1, 3)
    before = sorted(here.run.folder.rglob("*"))
    for attempt in (lambda: train(here), lambda: export_network(here.run, here.network, Request(), device="cpu")):
        with pytest.raises(
            InputError, match="have changed since its search: 2 added \\(ants 1, bees 1: train/"
        ) as caught:
            attempt()
        assert str(caught.value).endswith("by --accept-changes: what was measured stays, and the report says so")
    assert sorted(here.run.folder.rglob("*")) == before


def test_a_search_goes_on_with_images_that_have_changed_and_says_so(here):
    """What was evaluated stays; networks that follow are trained on the images of today, under their fingerprint."""
    run, photos = here.run, here.photos
    removed = next(photos.glob("train/ants/*.png"))
    removed.unlink()
    write_images(photos / "train", 1, 3)
    before = {str(one.evaluation.architecture): one.evaluation for one in run.results()}
    said = CliRunner().invoke(search_app, ["resume", str(run.folder), "--budget", "5", "--data", str(photos)])
    assert said.exit_code == 2
    assert "2 added (ants 1, bees 1: train/ants/3-0.png, train/bees/3-0.png)" in said.stderr
    assert f"1 removed (ants 1: train/ants/{removed.name})" in said.stderr
    gone_on = resume(run.folder, budget=5, data=photos, accept_changes=True)
    after = {str(one.evaluation.architecture): one.evaluation for one in gone_on.results()}
    assert len(after) == 5
    assert before.items() <= after.items()
    [accepted] = gone_on.accepted
    original, later = gone_on.training_contexts
    assert later == accepted.context
    new = [one for notation, one in after.items() if notation not in before]
    for one in new:
        assert run.archive.evaluation(original, run.record.measurement_context, one.architecture).training is None
        kept = run.archive.evaluation(later, run.record.measurement_context, one.architecture).training
        assert (kept.accuracy, kept.losses) == (one.training.accuracy, one.training.losses)
    images = {run.archive.context(context)["data"] for context in (original, later)}
    assert images == {run.search_images_fingerprint, accepted.images}
    assert "accepted so after 3 networks: 2 added (ants 1, bees 1" in write_report(gone_on).read_text()
    assert resume(run.folder, budget=6, data=photos).manifest.accepted == gone_on.manifest.accepted
    packed = Run.open(pack(Run.open(run.folder), run.folder.parent / "packed.zip").path)
    assert [one.evaluation for one in packed.results()] == [one.evaluation for one in gone_on.results()]


def test_a_network_is_trained_on_images_that_have_changed_and_its_card_says_so(here):
    write_images(here.photos / "train", 1, 3)
    [one] = train_networks(here.run, [here.network], device="cpu", accept_changes=True)
    card = (one.folder / "README.md").read_text()
    assert "| Images changed since the search | 2 added (ants 1, bees 1: " in card
    assert f"| Trained on | {2 * 13:,} images" in card
    assert str(here.network) in here.run.reader.any_full_trainings()
    assert export_network(here.run, here.network, Request(), device="cpu").exports  # they were accepted already
    assert [accepted.context for accepted in Run.open(here.run.folder).accepted] == [None]
    with pytest.raises(InputError, match="have changed since its search"):
        resume(here.run.folder, budget=4, data=here.photos)


def test_a_run_without_a_list_says_that_it_cannot_say_which(here):
    (here.run.folder / "images.csv").write_text("damaged")
    write_images(here.photos / "train", 1, 3)
    with pytest.raises(InputError, match="changed since its search: the run keeps no list of them that says which"):
        train(here)


def test_other_classes_are_never_accepted(here):
    (here.photos / "train" / "ants").rename(here.photos / "train" / "wasps")
    shutil.rmtree(here.photos / "val" / "ants")
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        (here.photos / "train" / "crickets").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(here.photos / "train" / "crickets" / f"{number}.png")
    with pytest.raises(InputError, match="its networks take .*'classes': 2.*, and its images are now .*'classes': 3"):
        resume(here.run.folder, budget=4, data=here.photos, accept_changes=True)


def test_a_new_test_split_is_scored_without_a_training_and_its_exports_start_anew(here, no_training):
    write_images(here.photos / "val", 2, 4)
    with pytest.raises(InputError, match="have changed since .* was trained: train it again with evomnas train"):
        export_network(here.run, here.network, Request(), device="cpu")
    [old] = fully_trained(here.run)
    assert train(here).result.score.images == 10
    content = json.loads((here.folder / "model.json").read_text())
    assert content["test"]["images"] == 10
    assert "10 test images" in (here.folder / "README.md").read_text()
    [new] = fully_trained(here.run)  # of the latest test split alone
    assert (old.result.score.images, new.result.score.images) == (6, 10)
    exported = export_network(here.run, here.network, Request(), device="cpu").exports
    assert [(one.variant, one.images) for one in exported] == [("float", 10)]
    assert read_exports(here.folder) == exported
    assert [path.name for path in here.folder.glob("model-*")] == ["model-float.onnx"]


def test_a_table_of_exports_removes_no_other_file(here):
    (here.run.folder / "mine.onnx").write_text("mine")
    rows = json.loads((here.folder / "exports.json").read_text())
    names = ["../../mine.onnx", "README.md", "weights.safetensors"]
    rows += [rows[0] | {"variant": name, "file": name, "source": "other"} for name in names]
    rows.append(rows[0] | {"variant": "more", "file": "model-x.onnx` | [link](away) | `"})
    (here.folder / "exports.json").write_text(json.dumps(rows))
    export_network(here.run, here.network, Request(), device="cpu")
    assert (here.run.folder / "mine.onnx").read_text() == "mine"
    load_network(here.folder)
    card = (here.folder / "README.md").read_text()
    assert f"| `{rows[0]['file']}` |" in card
    assert "away" not in card


@pytest.mark.thorough
def test_images_may_be_moved(here, whole, no_training, tmp_path):
    moved = here.photos.rename(tmp_path / "moved")
    run, network = here.run.folder, here.network.id
    gone = str(here.run.record.definition.data.path)
    whole_photos = Path(gone).rename(Path(gone).with_name("away"))
    try:
        for command in (["train", run, network], ["export", run, network]):
            refused = CliRunner().invoke(app, [*map(str, command)])
            assert refused.exit_code == 2
            assert f"{gone} does not exist" in refused.stderr
            assert "--data FOLDER says where it is" in refused.stderr
            done = CliRunner().invoke(app, [*map(str, command), "--data", str(moved)])
            assert done.exit_code == 0, done.stderr
            if command[0] == "train":
                assert f"evomnas export {run} {network} --data {moved} --quantize int8" in done.stdout
        assert resume(run, budget=4, data=moved).manifest.evaluations == 4
    finally:
        whole_photos.rename(gone)


@pytest.mark.parametrize("what", ["torn", "foreign", "classes"])
def test_what_does_not_fit_is_trained_again(here, what):
    weights, manifest = here.folder / "weights.safetensors", here.folder / "model.json"
    whole = weights.read_bytes()
    if what == "torn":
        weights.write_bytes(whole[:-100])
    elif what == "foreign":
        weights.write_bytes(whole[:-4] + b"\0\0\0\0")
    else:
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"classes": ["bees", "ants"]}))
    with pytest.raises(InputError, match="evomnas train"):
        export_network(here.run, here.network, Request(), device="cpu")
    assert train(here).result.score == here.result.score
    assert weights.read_bytes() == whole
    assert load_network(here.folder).classes == ("ants", "bees")
    exported = export_network(here.run, here.network, Request(), device="cpu").exports
    assert [one.variant for one in exported] == ["float", "int8"]  # the same weights: what was exported still holds


@pytest.mark.thorough
def test_the_huffman_size_of_the_same_file_is_kept(here):
    before = {one.variant: one.huffman_bytes for one in read_exports(here.folder)}
    exported = export_network(here.run, here.network, Request(quantize=True), device="cpu").exports
    assert {one.variant: one.huffman_bytes for one in exported} == before
    assert before["int8"] > 0


def test_test_images_are_read_once_a_training_has_ended(here, monkeypatch):
    shutil.rmtree(here.folder)
    events = []
    train_epoch, load = Trainer.train_epoch, full.load_test_images
    monkeypatch.setattr(Trainer, "train_epoch", lambda self: events.append("epoch") or train_epoch(self))
    monkeypatch.setattr(full, "load_test_images", lambda *given: events.append("test images") or load(*given))
    train(here)
    assert events == ["epoch", "epoch", "test images"]


def test_a_test_split_that_is_gone_is_told_before_a_training(here, no_training):
    """Some of the images to train on would take its place, so they are no longer those of the search."""
    shutil.rmtree(here.photos / "val")
    with pytest.raises(InputError, match="the images of .* have changed since its search"):
        train(here)


def test_networks_that_the_run_lacks_are_named_as_commands_take_them(here):
    """A published network has an id, by which no command finds it."""
    said = CliRunner().invoke(app, ["export", str(here.run.folder), "mobilenet-v2@0.1"])
    assert said.exit_code == 2
    notation = said.stderr.split()[-1]
    again = CliRunner().invoke(app, ["export", str(here.run.folder), notation])
    assert again.stderr == said.stderr
