"""A search of images that are not square, from their files to the code on a card."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from PIL import Image
from printed_code import code_blocks, run_all
from tiny_problem import TINY

from evomnas.deploy.baselines import train_baselines
from evomnas.deploy.export import export_network
from evomnas.deploy.formats import FORMATS
from evomnas.deploy.formats.request import Request
from evomnas.deploy.prediction import open_network, predict
from evomnas.deploy.saving import load_network, read_manifest
from evomnas.deploy.trained_networks import knee_network, train_networks
from evomnas.loop.launch import search
from evomnas.problem.loading import validate_definition
from evomnas.report.run_report import write_report
from evomnas.results.run import Run

SIZE = (24, 32)
SMALL = [
    "data.resolution=[24,32]", "data.fit=pad", "data.validation=0.25", "space.width=0.1", "space.head=32",
    "space.divisor=4", "space.filters=[16,24]", "space.layers=[1,1]", "space.strides=[1,2]", "training.batch=8",
    "training.epochs=1", "full.epochs=2", "full.batch=8",
]  # fmt: skip


@pytest.fixture(scope="module")
def wide(photographs, tmp_path_factory):
    """A run, its knee network after the full training, and its exports; pictures of 40x48 pixels are padded."""
    out = tmp_path_factory.mktemp("wide") / "run"
    run = search("images", overrides=[*SMALL, f"data.path={photographs}"], budget=2, out=out, device="cpu")
    write_report(run)
    [trained] = train_networks(run, [knee_network(run)], device="cpu")
    return run, trained, export_network(run, trained.network, Request(("onnx",), quantize=True), device="cpu")


def test_a_run_knows_its_size_again(wide):
    run, _, _ = wide
    opened = Run.open(run.folder)
    assert opened.shape == {"classes": 2, "channels": 3, "resolution": SIZE}
    assert opened.manifest.data["resolution"] == [*SIZE]
    assert opened.image_data.fit == "pad"
    measured = [result.evaluation for result in opened.results()]
    assert all(one.measured is not None and one.trained is not None for one in measured)
    context = opened.archive.context(opened.record.measurement_context)
    assert context["resolution"] == [*SIZE]


def test_the_report_says_size_and_fit_and_draws_maps_of_their_own_height_and_width(wide):
    run, _, _ = wide
    page = (run.folder / "report.html").read_text()
    assert "24x32 pixels (height x width)" in page
    assert "a whole picture, on black" in page
    assert '"resolution": [24, 32]' in page
    assert "[12, 16]" in page  # behind the stride of 2


def test_the_card_the_manifest_and_the_files_say_the_size(wide):
    _, trained, exported = wide
    manifest = read_manifest(trained.folder)
    assert (manifest.resolution, manifest.fit) == (SIZE, "pad")
    assert json.loads((trained.folder / "model.json").read_text())["resolution"] == [*SIZE]
    card = (trained.folder / "README.md").read_text()
    assert "RGB images of 24x32 pixels (height x width)" in card
    network = load_network(trained.folder)
    assert (network.resolution, network.preprocessing.size) == (SIZE, SIZE)
    for export in exported.exports:
        assert export.latency_ms > 0
        assert open_network(trained.folder / export.file).preprocessing.size == SIZE


def check_answers(folder, file) -> dict[str, float]:
    """A file answers to pictures as the network does; returns the answer to the last picture, which stays there."""
    rng = np.random.default_rng(3)
    for shape in ((50, 31), (31, 90)):
        Image.fromarray(rng.integers(0, 256, (*shape, 3), dtype=np.uint8)).save(folder / "photo.jpg")
        [expected] = predict(open_network(folder), [folder / "photo.jpg"])
        [found] = predict(open_network(folder / file), [folder / "photo.jpg"])
        assert dict(found.classes) == pytest.approx(dict(expected.classes), abs=2e-4)
    return dict(expected.classes)


@pytest.mark.thorough
@pytest.mark.parametrize("name", [name for name in FORMATS if name != "onnx"])
def test_files_of_other_formats_answer_as_the_network_does(name, wide):
    run, trained, _ = wide
    pytest.importorskip(FORMATS[name].needs[0])
    exported = export_network(run, trained.network, Request((name,), quantize=True), device="cpu")
    written = [export for export in exported.exports if export.format == name]
    assert [export.latency_ms > 0 for export in written] == [True, True]
    check_answers(trained.folder, f"model-float{FORMATS[name].suffix}")


@pytest.mark.thorough
def test_the_code_of_the_card_answers_as_the_network_does(wide):
    _, trained, _ = wide
    expected = check_answers(trained.folder, "model-float.onnx")
    pytorch, *others = code_blocks((trained.folder / "README.md").read_text())
    [code] = [code.replace("model-int8", "model-float") for code in others if "onnxruntime" in code]
    assert 'read_picture(opened, 3, (24, 32), "pad")' in code
    [by_card] = run_all([(trained.folder, code)], has_evomnas=False)
    [by_pytorch] = run_all([(trained.folder, pytorch)], has_evomnas=True)
    assert by_card == pytest.approx(expected, abs=2e-4)
    assert by_pytorch == pytest.approx(expected, abs=2e-4)


@pytest.mark.thorough
def test_baselines_take_images_that_are_not_square(wide, tmp_path):
    run, _, _ = wide
    found = train_baselines(
        run.definition, ["mobilenet-v2@0.1", "squeezenet1_1"], tmp_path / "archive.sqlite", tmp_path
    )
    assert [one.reason for one in found] == [None, None]
    assert all(one.measurement.latency_ms > 0 and 0 <= one.result.score.accuracy <= 1 for one in found)


@pytest.mark.thorough
def test_searches_with_sizes_of_the_same_proportions_train_and_measure_each_at_its_own(photographs, tmp_path):
    sizes = "space.resolutions=[[12,16],[24,32]]"
    run = search("images", overrides=[*SMALL, sizes, f"data.path={photographs}"], budget=4, out=tmp_path, device="cpu")
    networks = {result.evaluation.architecture for result in run.results()}
    assert {network.resolution for network in networks} == {(12, 16), SIZE}
    small = next(network for network in networks if network.resolution == (12, 16))
    [trained] = train_networks(run, [small], device="cpu")
    assert read_manifest(trained.folder).resolution == (12, 16)
    assert re.search(r"at batch 1 and 12x16 pixels", (trained.folder / "README.md").read_text())


@pytest.mark.thorough
def test_a_square_that_is_written_as_two_numbers_shares_its_archive(tiny, tmp_path):
    first = search(tiny, "random", budget=2, seed=1, out=tmp_path / "a", workers=0)
    definition = validate_definition({**TINY, "data": {**TINY["data"], "resolution": [8, 8]}})
    second = search(definition, "random", budget=2, seed=1, out=tmp_path / "b", workers=0)
    assert second.record.training_context == first.record.training_context
