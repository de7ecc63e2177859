"""Problems of one's own images get settings that suit them; problem files and what was typed stay as they are."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from PIL import Image

from evomnas.data.suited import load_definition, look
from evomnas.problem.loading import load_definition as read_definition


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two classes of 20 pictures of 40x30 to 60x50 pixels each, and nothing else."""
    place = tmp_path_factory.mktemp("own") / "photos"
    for name in ("cats", "dogs"):
        (place / name).mkdir(parents=True)
        for number in range(20):
            Image.new("RGB", (40 + number, 30 + number), (number, 0, len(name))).save(place / name / f"{number}.png")
    return place


def test_a_folder_is_looked_at(folder):
    seen = look(read_definition(folder).data)
    assert seen.count == 32  # a fifth is kept for the test
    assert seen.side == 39  # the median of 30 to 49, in whole pixels
    assert seen.validating == 0


def test_splits_of_the_owner_count(folder, tmp_path):
    for part in ("train", "val", "test"):
        (tmp_path / "split" / part).mkdir(parents=True)
        for name in ("cats", "dogs"):
            (tmp_path / "split" / part / name).symlink_to(folder / name)
    seen = look(read_definition(tmp_path / "split").data)
    assert (seen.count, seen.validating) == (80, 40)


def test_lists_and_arrays_are_looked_at(folder, tmp_path):
    with open(tmp_path / "list.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("path", "label"))
        rows.writerows((path, path.parent.name) for path in sorted(folder.glob("*/*.png")))
    seen = look(read_definition(tmp_path / "list.csv").data)
    assert (seen.count, seen.side) == (32, 39)
    pixels, labels = np.zeros((40, 28, 28), np.uint8), np.arange(40) % 2
    np.savez(tmp_path / "arrays.npz", x_train=pixels, y_train=labels, x_test=pixels[:4], y_test=labels[:4])
    arrays = load_definition(tmp_path / "arrays.npz")
    assert (arrays.data.folds, arrays.data.resolution, arrays.training.epochs) == (5, 28, 30)


def test_a_broken_picture_is_left_to_the_search(folder, tmp_path):
    for name in ("cats", "dogs"):
        (tmp_path / "b" / name).mkdir(parents=True)
        for number in range(3):
            (tmp_path / "b" / name / f"{number}.png").write_bytes(b"nothing")
    assert look(read_definition(tmp_path / "b").data).side is None


@pytest.mark.parametrize("named", ["path", "data", "images"])
def test_images_get_settings_however_they_are_named(named, folder):
    told = []
    if named == "path":
        problem = load_definition(str(folder), on_suggestion=told.append)
    elif named == "data":
        problem = load_definition(None, data=folder, on_suggestion=told.append)
    else:
        problem = load_definition("images", [f"data.path={folder}"], on_suggestion=told.append)
    assert (problem.data.folds, problem.training.epochs, problem.training.batch) == (5, 30, 16)
    assert (problem.data.resolution, problem.space.strides[0]) == (39, 1)
    assert len(told) == 4


def test_what_was_typed_comes_first(folder):
    problem = load_definition(folder, ["training.epochs=2", "data.validation=0.25", "data.resolution=96"])
    assert (problem.training.epochs, problem.data.folds, problem.data.resolution) == (2, None, 96)
    assert problem.space == read_definition(folder).space


def test_problem_files_donors_and_the_rules_of_version_0_1_stay_as_they_are(folder, tmp_path):
    text = (
        f'name = "own"\n[data]\ndataset = "image-folder"\npath = "{folder}"\nresolution = 96\n[training]\nepochs = 5\n'
    )
    (tmp_path / "own.toml").write_text(text)
    for problem, overrides, options in (
        (tmp_path / "own.toml", [], {}),
        (folder, ["data.rules=1"], {}),
        (folder, [], {"donor": "efficientnet-lite0"}),
        ("digits", [], {}),
        ("images", ["data.path=/nowhere"], {}),
    ):
        assert load_definition(problem, overrides, **options) == read_definition(problem, overrides, **options)
