"""What people type for a problem: names, files and folders, and what they are told where it is none."""

from __future__ import annotations

import re
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from evomnas.core.errors import InputError
from evomnas.problem.loading import load_definition
from evomnas.problem.typed.paths import is_problem, list_kind
from evomnas.problem.typed.settings import parse_value


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A folder to type in, with photographs and a file or two."""
    for folder in ("photos/cats", "my photos ü/cats", "runs/one", "project"):
        (tmp_path / folder).mkdir(parents=True)
    for file in (
        "photos.zip",
        "labels.csv",
        "labels.json",
        "notes.txt",
        "one.jpg",
        "runs/one/run.json",
        "project/mine.toml",
    ):
        (tmp_path / file).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("typed", ["photos", "photos/", "./photos", "project/../photos", "~/photos"])
def test_a_folder_is_searched_as_the_problem_of_one_s_own_images(typed, here, monkeypatch):
    monkeypatch.setenv("HOME", str(here))
    definition = load_definition(typed, ["training.epochs=2"])
    assert definition.data.path == here / "photos"
    assert (definition.name, definition.data.dataset, definition.training.epochs) == ("images", "image-folder", 2)
    assert definition == load_definition("images", ["data.path=photos", "training.epochs=2"])
    assert definition == load_definition(None, ["training.epochs=2"], data=typed)
    assert definition == load_definition("images", ["training.epochs=2"], data=Path(typed))


def test_names_with_spaces_and_other_letters_are_folders_as_well(here):
    assert load_definition("my photos ü").data.path == here / "my photos ü"
    (here / "2024").mkdir()
    assert load_definition("2024").data.path == load_definition("images", data="2024").data.path == here / "2024"


def test_a_name_is_a_built_in_problem_before_it_is_a_folder(here):
    (here / "images").mkdir()
    assert load_definition("images").data.path is None
    assert load_definition("images/").data.path == here / "images"
    assert load_definition(None, data="images").data.path == here / "images"


@pytest.mark.parametrize(
    ("shape", "resolution", "stride"),
    [((9, 8, 8), 8, 4), ((9, 28, 28), 28, 8), ((9, 20, 32, 3), 32, 8), ((9, 64, 64, 3), 64, 32), ((9, 300, 8), 96, 32)],
)
def test_arrays_are_searched_with_settings_that_suit_their_size(shape, resolution, stride, here):
    np.savez(here / "mine.npz", x_train=np.zeros(shape, dtype=np.uint8), y_train=np.zeros(9, dtype=int))
    definition = load_definition("mine.npz")
    assert (definition.name, definition.data.dataset, definition.data.path) == ("images", "npz", here / "mine.npz")
    assert definition.data.resolution == resolution
    assert int(np.prod([definition.space.stem_stride, *definition.space.strides])) == stride
    assert load_definition("mine.npz", ["data.resolution=48"]).data.resolution == 48


def test_data_of_a_problem_file_are_read_elsewhere(tiny_file, tabular_file, here):
    tiny_file.write_text(tiny_file.read_text().replace('dataset = "digits"', 'dataset = "image-folder"'))
    assert load_definition(tiny_file, data="photos").data.path == here / "photos"
    assert load_definition(tabular_file, data="labels.csv").table.path == here / "labels.csv"
    with pytest.raises(InputError, match="data.path is given twice, by --data and by --set: drop one of them"):
        load_definition(tiny_file, ["data.path=photos"], data="photos")


@pytest.mark.parametrize(
    ("problem", "options"), [("digits", {"data": "photos"}), ("digits", {"overrides": ["data.path=photos"]})]
)
def test_digits_are_at_no_path(problem, options, here):
    with pytest.raises(InputError, match=f"and nothing at a path: .* evomnas run {here}/photos$"):
        load_definition(problem, **options)
    arrays = load_definition("digits", ["data.dataset=npz", "data.path=mine.npz"])
    assert arrays.data.path == here / "mine.npz"


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("photo", "unknown problem 'photo': there are cifar10, coco, digits, "),
        ("photo", "; or give a folder of images, an .npz or a .toml file; did you mean photos/?$"),
        ("digit", "did you mean digits?$"),
        ("image", "did you mean images or imagenet?$"),
        ("qwertz", "a .toml file$"),
        ("x" * 300, f"unknown problem '{'x' * 100}...'"),
        ("", "the name of the problem is empty"),
        ("pro/mine.toml", "cannot read the problem file pro/mine.toml: it does not exist$"),
        ("project/mime.toml", "project/mime.toml: it does not exist; did you mean project/mine.toml?$"),
        ("project/min.tml", "there is no file or folder project/min.tml; did you mean project/mine.toml?$"),
        ("photos/catz", "there is no file or folder photos/catz; did you mean photos/cats/?$"),
        ("photos/*", "there is no file or folder photos/*$"),
        ("photos.zip", "photos.zip is packed: unpack it (unzip photos.zip -d photos), then evomnas run photos$"),
        ("one.jpg", "one.jpg is one image: give the folder that has a folder of images for each class"),
        ("labels.json", "labels.json is no problem by itself: a problem file with a section [table] says"),
        ("notes.txt", "notes.txt is no problem: give a folder of images, an .npz file or a .toml file$"),
        ("https://example.org/photos.zip", "is on the network: download the images, and give the folder"),
        ("/dev/null", "/dev/null is no file and no folder"),
        ("runs/one", "runs/one is a run and no problem: go on with it by evomnas resume runs/one$"),
        ("runs", "runs holds runs and no images: evomnas list runs shows them$"),
        ("project", "project holds no images, but a problem file: evomnas run project/mine.toml$"),
        ("a\0b", "unknown problem"),
    ],
)
def test_what_is_no_problem_is_told_what_to_type(typed, message, here):
    with pytest.raises(
        InputError, match=re.sub(r"[?()\[\]*]|(?<=x)\.\.\.", lambda found: re.escape(found[0]), message)
    ):
        load_definition(typed)


def test_images_that_are_named_twice_are_refused(here):
    with pytest.raises(InputError, match=r"named twice, by PROBLEM \(photos\) and by --data \(project\): drop one"):
        load_definition("photos", data="project")


def test_a_packed_run_is_no_problem(here):
    with zipfile.ZipFile(here / "sent.zip", "w") as archive:
        archive.writestr("run/run.json", "{}")
    with pytest.raises(
        InputError, match="sent.zip is a packed run and no problem: look at it by evomnas show sent.zip"
    ):
        load_definition("sent.zip")


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("a b.zip", "unzip 'a b.zip' -d 'a b'"),
        ("a.tar.gz", "mkdir a && tar -xf a.tar.gz -C a"),
        ("a.tgz", "mkdir a && tar -xf a.tgz -C a"),
        ("a.7z", "7z x a.7z -oa"),
    ],
)
def test_packed_images_are_unpacked_by_a_command_that_can_be_typed(name, command, here):
    (here / name).touch()
    with pytest.raises(InputError, match=re.escape(f"({command})")):
        load_definition(name)


def test_names_of_networks_are_no_problems(here):
    for text in ("digits", "photos", "nowhere.toml", "notes.txt"):
        assert is_problem(text)
    for text in ("resnet18", "mobilenet-v2@0.5", "x" * 300):
        assert not is_problem(text)


def test_the_kind_of_a_list_follows_from_names_alone(here):
    assert list_kind(Path("labels.csv")) == "csv"
    assert [list_kind(Path(name)) for name in ("labels.json", "photos", "project")] == [None] * 3
    for folder in ("tables", "tables/deep", "mixed"):
        Path(folder).mkdir()
    for file in ("tables/deep/part.PARQUET", "tables/read.me", "mixed/part.parquet", "mixed/one.jpg"):
        Path(file).touch()
    assert list_kind(Path("tables")) == list_kind(Path("tables/deep/part.PARQUET")) == "parquet"
    assert list_kind(Path("mixed")) is None  # pictures in folders come first


def test_tar_files_are_shards_if_they_hold_labels(here):
    for name, member in (("shard", "one.cls"), ("pictures", "cats/one.jpg")):
        Path(member).parent.mkdir(exist_ok=True)
        Path(member).touch()
        with tarfile.open(here / f"{name}.tar", "w") as archive:
            archive.add(member)
    assert [list_kind(Path(f"{name}.tar")) for name in ("shard", "pictures")] == ["webdataset", None]


@pytest.mark.parametrize(
    ("typed", "value"),
    [('"', '"'), ('""', ""), ('"C:\\photos"', "C:\\photos"), ('"a"b"', '"a"b"'), ("8", 8), ("[1, 2]", [1, 2])],
)
def test_a_value_is_toml_or_the_text_as_it_stands(typed, value):
    assert parse_value(typed) == value
