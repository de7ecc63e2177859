"""Folders of images as people have them: each wrong one is told, by names of files alone, what to do."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from torchvision.datasets.folder import IMG_EXTENSIONS

from evomnas.core.errors import InputError
from evomnas.data.folders import IMAGE_SUFFIXES, check_image_folder, class_folders, image_files


def tree(root: Path, *files: str) -> Path:
    """Empty files and, with a slash at the end, empty folders."""
    for name in files:
        path = root / name
        (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if not name.endswith("/"):
            path.touch()
    return root


def several(folder: str, count: int = 3) -> list[str]:
    return [f"{folder}{number}.jpg" for number in range(count)]


def test_the_suffixes_are_those_that_torchvision_knows():
    assert IMAGE_SUFFIXES == IMG_EXTENSIONS


@pytest.mark.parametrize(
    "files",
    [
        [*several("cats/"), *several("dogs/")],
        [*several("cats/"), *several("dogs/deep/down/"), ".git/", "dogs/._1.jpg", "notes.txt"],
        [*several("train/cats/", 2), *several("train/dogs/", 2)],
        [*several("train/cats/", 2), *several("train/dogs/", 2), *several("test/cats/"), "elsewhere/"],
        [*several("Training/"), *several("cats/")],
    ],
)
def test_a_folder_per_class_is_right(files, tmp_path):
    check_image_folder(tree(tmp_path, *files))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (several("", 1), "ROOT holds 1 image and no folder per class: put the images of each class into a folder"),
        (several("", 5), "ROOT holds 5 images and no folder per class: .*, as ROOT/cats/1.jpg and ROOT/dogs/2.jpg"),
        ([*several("a/cats/"), *several("a/dogs/")], "are further down, in ROOT/a: give that folder$"),
        ([*several("a/b/c/cats/"), *several("a/b/c/dogs/")], "are further down, in ROOT/a/b/c: give that folder$"),
        ([*several("cats/"), *several("cats/more/")], "ROOT has one class, cats: a search needs two or more"),
        (
            [*several("Training/cats/"), *several("Testing/cats/")],
            "rename Training to train and rename Testing to test$",
        ),
        (
            [*several("TRAIN/cats/"), *several("valid/cats/"), "docs/"],
            "rename TRAIN to train and rename valid to test$",
        ),
        ([*several("cats/"), *several("dogs/"), "notes/readme.txt"], "ROOT/notes holds no images, and every folder in"),
        ([*several("cats/"), *several("dogs/", 2)], "ROOT/dogs has 2 images: a class needs 3 or more, one of which is"),
        ([*several("cats/"), *several("dogs/", 1)], "ROOT/dogs has 1 image: a class needs 3 or more, one of which is"),
        (
            [*several("train/cats/"), *several("train/dogs/", 1)],
            "ROOT/train/dogs has 1 image: a class needs 2 or more$",
        ),
        ([], "no images in ROOT: expected one sub-folder of images per class"),
        (["cats/", "dogs/readme.txt"], "no images in ROOT: expected one sub-folder of images per class"),
        (["cats/1.HEIC", "dogs/"], ".heic files are not read: convert them to .jpg or .png$"),
        ([*several("cats/"), "dogs/1.gif"], "ROOT/dogs holds no images, .*; .gif files are not read: convert them"),
        (["photos.zip"], "ROOT holds no images, but photos.zip: unpack it$"),
        (["train/photos.tar.gz"], "ROOT/train holds no images, but photos.tar.gz: unpack it$"),
    ],
)
def test_a_wrong_folder_is_told_what_to_do(files, message, tmp_path):
    tree(tmp_path, *files)
    with pytest.raises(InputError, match=message.replace("ROOT", re.escape(str(tmp_path)))):
        check_image_folder(tmp_path)


def test_a_file_is_no_folder(tmp_path):
    with pytest.raises(InputError, match="file.txt is not a folder: put the images of each class into a folder"):
        check_image_folder(tree(tmp_path, "file.txt") / "file.txt")


@pytest.mark.skipif(os.getuid() == 0, reason="root reads everything")
def test_a_folder_that_cannot_be_read_is_said_to_be_so(tmp_path):
    tree(tmp_path, *several("cats/"), *several("dogs/"))
    (tmp_path / "dogs").chmod(0)
    try:
        with pytest.raises(InputError, match="dogs cannot be read by this user"):
            check_image_folder(tmp_path)
    finally:
        (tmp_path / "dogs").chmod(0o755)


def test_images_are_found_at_any_depth_and_hidden_ones_are_none(tmp_path):
    tree(tmp_path, "b/1.jpg", "b/deep/2.PNG", "b/.3.jpg", "b/4.txt", "b/5.jpg/", "a/1.webp", ".c/1.jpg", "d.jpg")
    assert [folder.name for folder in class_folders(tmp_path)] == ["a", "b"]
    assert sorted(path.name for path in image_files(tmp_path / "b")) == ["1.jpg", "2.PNG"]
