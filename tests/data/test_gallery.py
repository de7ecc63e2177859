"""Folders of images as people have them: splits, classes and copies are what their owner meant, or both are named."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from evomnas.core.errors import InputError
from evomnas.data.first_look import check_images
from evomnas.data.gallery.kinds import is_picture_file
from evomnas.data.gallery.layout import find_layout, split_name
from evomnas.data.gallery.listing import ListedImage, describe_changes, list_images, read_listing, to_csv
from evomnas.data.gallery.reading import read_gallery
from evomnas.data.splits import draw, folds_by_content, load_training_images, split_by_content, split_for_search
from evomnas.deploy.testsplit import load_test_images
from evomnas.problem.loading import load_definition
from evomnas.problem.sections import DataSection


def tree(root: Path, *files: str) -> Path:
    """Pictures that differ, other files empty, and with a slash at the end empty folders."""
    for name in files:
        path = root / name
        (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if name.endswith((".jpg", ".png")):
            Image.fromarray(np.random.default_rng([*name.encode()]).integers(0, 256, (6, 9, 3), dtype=np.uint8)).save(
                path, "PNG"
            )
        elif not name.endswith("/"):
            path.write_text("no picture")
    return root


def several(folder: str, count: int = 4) -> list[str]:
    return [f"{folder}{number}.png" for number in range(count)]


def both(folder: str, count: int = 4) -> list[str]:
    """Images of two classes within a folder."""
    return [*several(f"{folder}cats/", count), *several(f"{folder}dogs/", count)]


def section(root: Path, **values: object) -> DataSection:
    return DataSection(dataset="image-folder", path=root, resolution=6, **values)


def split_sizes(root: Path) -> dict[str, int]:
    return read_gallery(section(root), "train").origin.found.splits


@pytest.mark.parametrize(
    ("names", "split"),
    [
        (
            "train Train TRAIN training Training train_images trainset train-set Training_Set train2017 trn train_data",
            "train",
        ),
        ("val Val valid VALID validation validation_set val2017 dev dev-set Validation", "validation"),
        ("test Test TEST testing test_set tst eval evaluation test_images Testing test1 holdout", "test"),
        ("cats trains Testudo devices valley evaluator trainee vals 2017", None),
    ],
)
def test_splits_are_known_in_every_usual_spelling(names, split):
    assert {split_name(name) for name in names.split()} == {split}


@pytest.mark.parametrize(
    ("files", "splits", "classes"),
    [
        (both(""), ("all",), ("cats", "dogs")),
        ([*both("Train/"), *both("Test/")], ("train", "test"), ("cats", "dogs")),
        ([*both("training/"), *both("valid/")], ("train", "test"), ("cats", "dogs")),
        ([*both("TRAIN/"), *both("dev/"), *both("tst/")], ("train", "validation", "test"), ("cats", "dogs")),
        ([*both("photos/train/"), *both("photos/eval/"), "readme.txt"], ("train", "test"), ("cats", "dogs")),
        ([*both("a/b/training_set/"), *both("a/b/test_set/"), "a/__MACOSX/x.jpg"], ("train", "test"), ("cats", "dogs")),
        (both("wrapped/"), ("all",), ("cats", "dogs")),
        (both("train/"), ("all",), ("cats", "dogs")),
        ([*several("cats/train/"), *several("cats/test/"), *several("dogs/train/"), *several("dogs/test/")],
         ("train", "test"), ("cats", "dogs")),
        ([*several("train/"), *several("bus/"), *several("car/")], ("all",), ("bus", "car", "train")),
        ([*several("train/train/"), *several("train/bus/"), *several("test/bus/")],
         ("train", "test"), ("bus", "train")),
        ([*both("train/"), *both("test/"), "docs/readme.txt", "empty/"], ("train", "test"), ("cats", "dogs")),
        ([*both(""), "empty/", "notes/readme.txt"], ("all",), ("cats", "dogs")),
        ([*several("cats/deep/down/"), *several("dogs/")], ("all",), ("cats", "dogs")),
        ([*both("wrapped/"), "loose.png"], ("all",), ("cats", "dogs")),
    ],
)  # fmt: skip
def test_folders_are_read_as_they_were_meant(files, splits, classes, tmp_path):
    layout = find_layout(tree(tmp_path, *files))
    assert (layout.splits, layout.classes) == (splits, classes)
    check_images(load_definition(str(tmp_path)))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([*both("train/"), *both("test/"), *several("birds/")],
         "ROOT can be read in two ways: test and train as splits, so that birds would not be used, or all of them as "
         "classes; move birds elsewhere, or rename test and train$"),
        ([*both("train/"), *both("Training/")], "Training and train both as the train split, or one of them alone"),
        ([*both("train/"), *both("val/"), *both("dev/")], "dev and val both as the validation split"),
        ([*both("val/"), *both("test/")], "test and val as splits, of which none is to train on, or as classes"),
        ([*several("train/"), *several("test/")], "ROOT/test and train: a split holds a folder for each class"),
        ([*both("train/"), *several("test/")], "train as splits, so that test would not be used"),
        ([*several("cats/train/"), *several("cats/test/"), *several("dogs/")],
         "cats divided into splits and dogs not, or all of them classes"),
        ([*both("train/"), *both("test/"), *several("test/birds/")],
         "ROOT/test/birds has a class that no image to train on has, birds: move it elsewhere"),
        ([*both("train/"), *several("test/Cats/")], "the classes 'Cats' and 'cats' differ in capital letters"),
        ([*several("Mäuse/"), *several("Ma\u0308use/"), *several("b/")], "differ in capital letters or in the form of"),
        ([*several("cats\n/"), *several("b/")], r"the name of the class 'cats\\n' holds a control character"),
        ([*several("cats/"), *several("cats/more/")], "ROOT has one class, cats: a search needs two or more"),
        ([*several("cats/"), *several("dogs/", 2)], "ROOT/dogs has 2 images: a class needs 3 or more, one of which is"),
        ([*both("train/"), *both("test/"), *several("train/birds/", 1)], "birds has 1 image: a class needs 2 or more$"),
        ([*several("cats/"), "dogs/1.heic"], "dogs holds no images that can be read; .heic files are not read"),
        ([*several("cats/"), "dogs/1.NEF"], "dogs holds no images that can be read; .nef files are not read"),
        (several(""), "ROOT holds 4 images and no folder per class"),
        (["photos.zip"], "ROOT holds no images, but photos.zip: unpack it$"),
        (["cats/", "dogs/readme.txt"], "no images in ROOT: expected one sub-folder of images per class"),
    ],
)  # fmt: skip
def test_what_can_be_read_in_two_ways_or_fails_later_is_refused_at_once(files, message, tmp_path):
    tree(tmp_path, *files)
    with pytest.raises(InputError, match=message.replace("ROOT", re.escape(str(tmp_path)))):
        check_images(load_definition(str(tmp_path)))


def test_names_that_are_not_utf8_are_refused(tmp_path):
    tree(tmp_path, *both(""))
    try:
        os.rename(os.fsencode(tmp_path / "cats"), os.fsencode(tmp_path) + b"/caf\xe9")
    except OSError:
        pytest.skip("this file system has no such names")
    with pytest.raises(InputError, match=r"the name of the class 'caf\\udce9' is not UTF-8"):
        check_images(load_definition(str(tmp_path)))
    os.rename(os.fsencode(tmp_path) + b"/caf\xe9", os.fsencode(tmp_path / "cats"))
    os.rename(os.fsencode(tmp_path / "cats" / "1.png"), os.fsencode(tmp_path / "cats") + b"/\xff.png")
    with pytest.raises(InputError, match=r"names of 1 files are not UTF-8: rename '.*udcff.png'"):
        read_gallery(section(tmp_path), "train")


def test_pictures_with_unusual_names_are_known_by_how_they_begin(tmp_path):
    image = Image.new("RGB", (8, 8), "red")
    for kind in ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "JPEG2000", "ICO"):
        for name in ("IMG_1", "picture.txt", "photo.jpg_large"):
            image.save(tmp_path / name, kind)
            assert is_picture_file(tmp_path / name), (kind, name)
    for content in (b"", b"P", b"BM", b"BM is no bitmap", b"Photograph", b"RIFF\0\0\0\0WAVE", b"P6"):
        (tmp_path / "notes.txt").write_bytes(content)
        assert not is_picture_file(tmp_path / "notes.txt"), content
    image.save(tmp_path / "camera.nef", "TIFF")  # whose small preview is all that Pillow would read
    assert not is_picture_file(tmp_path / "camera.nef")
    assert not is_picture_file(tmp_path / "nowhere")


def test_val_validates_the_search_and_test_is_for_the_end(tmp_path):
    root = tree(tmp_path, *both("train/", 6), *both("val/", 3), *both("test/", 2))
    images = load_training_images(section(root))
    listed = list_images(images, section(root))
    assert {image.file.split("/")[0]: image.use for image in listed.images} == {
        "train": "training",
        "val": "validation",
    }
    dataset = split_for_search(images, section(root))
    assert (len(dataset.train_labels), len(dataset.validation_labels)) == (12, 6)
    assert len(load_test_images(section(root), images).labels) == 4
    assert listed.found.splits == {"training": 12, "validation": 6, "test": 4}
    assert "12 to train on, 6 to validate the search, 4 kept for the test; 9x6 pixels." in listed.found.describe()
    assert list_images(images, section(root, folds=3)).images[0].use.startswith("fold ")


def test_no_image_is_in_two_parts_and_none_is_lost(tmp_path):
    root = tree(tmp_path, *both("", 30))
    images = load_training_images(section(root))
    dataset, test = split_for_search(images, section(root)), load_test_images(section(root), images)
    parts = [dataset.train_images, dataset.validation_images, test.images]
    seen = [image.tobytes() for part in parts for image in part]
    assert len(seen) == len(set(seen)) == 60
    assert all(len(part) > 4 for part in parts)


@pytest.mark.parametrize("change", ["add", "remove", "rename", "class"])
def test_adding_or_removing_a_file_moves_no_other(change, tmp_path):
    root = tree(tmp_path, *both("", 30))

    def parts() -> dict[str, str]:
        listed = list_images(load_training_images(section(root)), section(root))
        return {image.picture: image.use for image in listed.images}

    before = parts()
    if change == "add":
        tree(root, *(f"cats/0-{number}.png" for number in range(20)))
    elif change == "remove":
        for number in range(0, 30, 3):
            (root / "cats" / f"{number}.png").unlink()
    elif change == "rename":
        for number in range(30):
            (root / "cats" / f"{number}.png").rename(root / "cats" / f"new-{29 - number}.png")
    else:
        tree(root, *several("birds/", 9))
    after = parts()
    assert before.keys() & after.keys()
    for picture in before.keys() & after.keys():
        assert before[picture] == after[picture]
    if change in ("add", "class"):
        assert before.keys() <= after.keys()  # none went to the test images


def test_every_bad_file_of_every_split_is_found_at_the_start(tmp_path):
    root = tree(tmp_path, *both("train/"), *both("val/"), *both("test/"))
    for name in ("train/cats/0.png", "val/dogs/1.png", "test/cats/2.png"):
        content = (root / name).read_bytes()
        (root / name).write_bytes(content[: len(content) // 2])
    (root / "test/dogs/3.png").write_bytes(b"")
    with pytest.raises(InputError, match="^4 of 24 images cannot be read, remove or replace them: ") as caught:
        load_training_images(section(root))
    for name in ("train/cats/0.png", "val/dogs/1.png", "test/cats/2.png", "test/dogs/3.png"):
        assert str(root / name) in str(caught.value)
    (root / "train/cats/0.png").unlink()
    (root / "val/dogs/1.png").unlink()
    (root / "test/cats/2.png").unlink()
    with pytest.raises(InputError, match=r"^cannot read the image .*test/dogs/3.png: .*; remove or replace it$"):
        load_training_images(section(root))


def copies(root: Path) -> Path:
    tree(root, *both("train/", 8), *both("val/", 3), *both("test/", 3))
    shutil.copy(root / "train/cats/0.png", root / "test/cats/same.png")
    with Image.open(root / "train/cats/1.png") as image:
        image.save(root / "val/cats/same.bmp")  # the same pixels in another format
        image.save(root / "train/cats/again.tif")
    shutil.copy(root / "train/cats/2.png", root / "train/cats/twice.png")
    shutil.copy(root / "train/cats/3.png", root / "train/dogs/liar.png")
    return root


def test_copies_are_said_and_can_be_dropped(tmp_path):
    root = copies(tmp_path)
    kept, dropped = (read_gallery(section(root, duplicates=how), "train") for how in ("keep", "drop"))
    found = {group.what: group.examples for group in kept.origin.found.copies}
    assert found == {
        "images to train or validate on that are test images as well": ["train/cats/0.png"],
        "images to train on that validate as well": ["train/cats/1.png", "train/cats/again.tif"],
        "images of two classes": ["train/cats/3.png", "train/dogs/liar.png"],
        "images that are there twice": ["train/cats/twice.png"],
    }
    assert set(kept.origin.files) - set(dropped.origin.files) == {name for names in found.values() for name in names}
    assert len(kept.labels) == 16 + 6 + 4
    assert len(dropped.labels) == 26 - 6
    assert dropped.origin.found.dropped == 6
    assert "--set data.duplicates=drop leaves copies out" in kept.origin.found.describe()[2]
    assert dropped.origin.found.describe()[2].startswith("Left out as copies: 6. ")
    assert len(kept.origin.found.describe()) == 3
    images = load_training_images(section(root, duplicates="drop"))
    assert len(load_test_images(section(root, duplicates="drop"), images).labels) == 7  # those stay as they are


def test_a_class_of_copies_alone_is_refused(tmp_path):
    root = tree(tmp_path, *both(""))
    for number in range(1, 4):
        shutil.copy(root / "cats" / "0.png", root / "cats" / f"{number}.png")
    with pytest.raises(
        InputError, match="class 'cats' has 1 different picture to train on, copies left aside: it needs 2"
    ):
        read_gallery(section(root), "train")


def test_all_that_is_not_read_is_said_with_the_reason(tmp_path):
    root = tree(
        tmp_path, *both(""), "empty/", "notes.txt", "cats/.hidden.png", ".git/x.png", "cats/1.heic", "loose.png"
    )
    (root / "cats" / "gone.png").symlink_to(root / "nowhere")
    (root / "cats" / "elsewhere").symlink_to(root / "dogs")
    found = read_gallery(section(root), "train").origin.found
    assert {group.what: group.examples for group in found.unread} == {
        ".heic pictures, which must be converted": ["cats/1.heic"],
        "broken links": ["cats/gone.png"],
        "empty folders": ["empty"],
        "files of other kinds": ["notes.txt"],
        "hidden and system folders": [".git"],
        "hidden files": ["cats/.hidden.png"],
        "linked folders": ["cats/elsewhere"],
        "pictures outside of the classes": ["loose.png"],
    }
    assert sum(found.splits.values()) == 8
    assert len(found.describe()) == 3


def test_a_class_may_be_a_link(tmp_path):
    tree(tmp_path, *several("elsewhere/"), *several("photos/dogs/"), "elsewhere/notes.txt")
    (tmp_path / "photos" / "cats").symlink_to(tmp_path / "elsewhere")
    found = read_gallery(section(tmp_path / "photos"), "train").origin.found
    assert {name: sum(counts.values()) for name, counts in found.classes.items()} == {"cats": 4, "dogs": 4}
    assert {group.what: group.examples for group in found.unread} == {"files of other kinds": ["cats/notes.txt"]}


KEYS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 40)), min_size=1, max_size=120)


@given(KEYS, st.floats(0.05, 0.95), st.integers(1, 2))
def test_equal_pictures_stay_together_and_classes_keep_some_on_either_side(pairs, share, rest):
    labels, keys = (np.array(column) for column in zip(*pairs, strict=True))
    keys = keys.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    first, second = split_by_content(labels, keys, share, "any", rest)
    assert sorted([*first, *second]) == list(range(len(labels)))
    assert not set(keys[first].tolist()) & set(keys[second].tolist())
    if len({key for _, key in set(pairs)}) == len(set(pairs)):  # no picture of two classes
        for label in set(labels.tolist()):
            distinct = len(set(keys[labels == label].tolist()))
            of_first = len(set(keys[first][labels[first] == label].tolist()))
            assert of_first >= min(distinct, rest)
            assert (distinct - of_first > 0) == (distinct > rest)


@given(KEYS, st.integers(2, 5))
def test_folds_are_never_empty_and_hold_equal_pictures_together(pairs, folds):
    labels, keys = (np.array(column) for column in zip(*pairs, strict=True))
    keys = keys.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    folds = min(folds, len(np.unique(keys)))
    numbers = folds_by_content(labels, keys, folds)
    assert set(numbers.tolist()) == set(range(folds))
    for key in np.unique(keys):
        assert len(set(numbers[keys == key].tolist())) == 1


def test_draws_are_even_and_of_different_purposes_independent():
    keys = np.arange(20_000, dtype=np.uint64)
    one, other = draw(keys, "test"), draw(keys, "validation")
    counts = np.histogram2d(one, other, bins=10, range=[[0, 1], [0, 1]])[0]
    assert ((counts - 200) ** 2 / 200).sum() < 150  # chi-squared with 99 degrees of freedom: 1 in 1,000 is beyond 148


def test_a_split_by_content_has_about_its_share():
    keys = np.arange(10_000, dtype=np.uint64)
    _, second = split_by_content(np.zeros(10_000, dtype=np.int64), keys, 0.2, "test")
    assert abs(len(second) - 2000) < 160  # four standard errors


def test_lists_of_images_survive_a_file(tmp_path):
    images = [
        ListedImage('a "b", c.png', "Mäuse, weiß", "training", "0" * 16),
        ListedImage("x\ny.png", "b", "fold 1", "f" * 16),
    ]
    (tmp_path / "images.csv").write_text(to_csv(images), encoding="utf-8")
    assert read_listing(tmp_path) == images
    for content in ("", "a,b\n", "file,class,use,picture\n1,2\n"):
        (tmp_path / "images.csv").write_text(content)
        assert read_listing(tmp_path) is None
    assert read_listing(tmp_path / "nowhere") is None


def test_changes_name_files_and_classes():
    before = [
        ListedImage(f"{name}/{number}.png", name, "training", f"{name}{number}") for name in "ab" for number in range(9)
    ]
    assert describe_changes(before, before) == ""
    renamed = [image._replace(file=f"{image.name}/new{place}.png") for place, image in enumerate(before)]
    assert describe_changes(before, renamed) == ""
    now = [*before[2:-1], before[-1]._replace(picture="other"), ListedImage("b/new.png", "b", "training", "new")]
    assert describe_changes(before, now) == (
        "1 added (b 1: b/new.png); 2 removed (a 2: a/0.png, a/1.png); 1 changed (b 1: b/8.png)"
    )
    assert describe_changes(before, before[:1]).startswith("17 removed (b 9, a 8: a/1.png, a/2.png")
    copy = before[0]._replace(file="a/10.png")
    assert describe_changes(before, [*before, copy]) == "1 added (a 1: a/10.png)"
    moved = [before[0]._replace(use="validation"), *before[1:]]
    assert describe_changes(before, moved) == "1 used otherwise (a 1: a/0.png)"
