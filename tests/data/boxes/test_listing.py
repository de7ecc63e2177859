"""Sets of boxes in three formats: the same boxes, the splits that their owner meant, and all faults at once."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from box_files import CLASSES, FORMATS, SPLITS, coco, draw, save, voc_xml, write_coco, write_voc, write_yolo
from PIL import Image

from evomnas.core.errors import InputError
from evomnas.data.boxes.boxes import Boxes
from evomnas.data.boxes.listing import list_boxes, rarest_classes
from evomnas.data.boxes.yolo_text import yaml_names
from evomnas.data.first_look import check_images
from evomnas.data.gallery.files import GalleryFiles
from evomnas.data.gallery.listing import list_images
from evomnas.data.splits import load_training_images, split_for_search
from evomnas.deploy.testsplit import load_test_images
from evomnas.evaluation.executors.image_files import open_images, save_images
from evomnas.problem.sections import DataSection

DRAWN = draw()


@pytest.fixture(scope="module", params=FORMATS)
def folder(request, tmp_path_factory) -> Path:
    return FORMATS[request.param](tmp_path_factory.mktemp(request.param), DRAWN)


def section(path: Path, **values: object) -> DataSection:
    return DataSection(dataset="boxes", path=path, **{"resolution": 32} | values)


def things(files: GalleryFiles) -> dict[str, set[tuple[str, ...]]]:
    """The boxes of each picture by the stem of its file, rounded to pixels, with the names of their classes."""
    boxes = files.targets.boxes
    names = [files.classes[label] for label in boxes.labels]
    rows = [(name, *map(str, corners)) for name, corners in zip(names, boxes.corners.round(2).tolist(), strict=True)]
    return {Path(file).stem: set(rows[boxes.part(place)]) for place, file in enumerate(files.source.files)}


def expected(pictures) -> dict[str, set[tuple[str, ...]]]:
    return {
        f"{number:03}": {(CLASSES[label], *map(str, map(float, corners))) for label, *corners in drawn.things}
        for number, drawn in enumerate(pictures)
    }


def test_three_formats_have_the_same_boxes_and_splits(folder):
    files = list_boxes(section(folder))
    assert things(files) == expected(DRAWN)
    assert files.classes == CLASSES
    assert [files.splits.count(name) for name in ("train", "validation", "test")] == list(SPLITS.values())
    assert (files.targets.sizes == (64, 48)).all()
    check = files.targets.boxes
    sides = check.corners[:, 2:] - check.corners[:, :2]
    assert check.areas == pytest.approx(sides.prod(axis=1), rel=1e-3)


def test_a_search_sees_the_owner_s_splits_and_the_test_images_are_kept_apart(folder):
    images = load_training_images(section(folder))
    dataset = split_for_search(images, section(folder))
    assert dataset.train_images.shape == (6, 3, 32, 32)
    assert len(dataset.train_targets) == 6
    assert len(dataset.validation_targets) == len(dataset.validation_images) == 2
    assert dataset.counts.sum() == sum(len(drawn.things) for drawn in DRAWN if drawn.split != "test")
    assert dataset.split(0).validation_targets is dataset.validation_targets
    test = load_test_images(section(folder), images)
    assert len(test.images) == len(test.targets) == 2
    assert test.targets.boxes.counts.tolist() == [len(drawn.things) for drawn in DRAWN if drawn.split == "test"]


def test_what_is_found_counts_boxes_by_class_and_pictures_by_split(folder):
    images = load_training_images(section(folder))
    listing = list_images(images, section(folder))
    numbers = {
        name: sum(label == place for one in DRAWN for label, *_ in one.things) for place, name in enumerate(CLASSES)
    }
    words = ", ".join(f"{name} {count}" for name, count in numbers.items())
    first, second, *_ = listing.found.describe()
    assert first == f"Found {sum(numbers.values())} boxes of 3 classes: {words} in {folder}."
    assert second == "6 to train on, 2 to validate the search, 2 kept for the test; 64x48 pixels."


def test_without_splits_content_says_where_a_picture_goes(tmp_path):
    root = write_yolo(tmp_path, draw(20))
    images = load_training_images(section(root))
    dataset = split_for_search(images, section(root, validation=0.4))
    test = load_test_images(section(root), images)
    assert len(images.images) + len(test.images) == 20
    assert min(len(dataset.train_images), len(dataset.validation_images), len(test.images)) > 1
    assert set(dataset.validation_targets.boxes.labels) == set(test.targets.boxes.labels) == {0, 1, 2}
    found = list_images(images, section(root, validation=0.4)).found
    assert found.splits == {
        "training": len(dataset.train_images), "test": len(test.images), "validation": len(dataset.validation_images),
    }  # fmt: skip


def test_folds_validate_every_picture_once_with_its_boxes(tmp_path):
    root = write_yolo(tmp_path, draw(12))
    dataset = split_for_search(load_training_images(section(root)), section(root, folds=3))
    splits = [dataset.split(number) for number in range(3)]
    assert sum(len(split.validation_targets) for split in splits) == len(dataset.train_images)
    boxes = [split.train_targets.boxes.counts.sum() + split.validation_targets.boxes.counts.sum() for split in splits]
    assert boxes == [dataset.train_targets.boxes.counts.sum()] * 3


def test_images_in_files_keep_their_boxes(tmp_path, folder):
    dataset = split_for_search(load_training_images(section(folder)), section(folder))
    save_images(dataset, tmp_path)
    opened = open_images(tmp_path)
    assert opened.fingerprint == dataset.fingerprint
    assert opened.validation_targets.fit == "stretch"
    assert opened.validation_targets.resolution == 32


def test_a_changed_box_changes_the_fingerprint(tmp_path):
    root = write_voc(tmp_path, DRAWN)
    before = split_for_search(load_training_images(section(root)), section(root)).fingerprint
    file = root / "Annotations" / "000.xml"
    left = DRAWN[0].things[0][1]
    file.write_text(file.read_text().replace(f"<xmin>{left}<", f"<xmin>{left + 1}<"))
    assert split_for_search(load_training_images(section(root)), section(root)).fingerprint != before


def test_pictures_without_boxes_are_kept(tmp_path):
    pictures = [*draw(9), draw(1, seed=5)[0]._replace(things=[])]
    for write in FORMATS.values():
        files = list_boxes(section(write(tmp_path / write.__name__, pictures)))
        assert sorted(files.targets.boxes.counts)[0] == 0
        assert files.labels.max() == len(CLASSES)


def test_one_class_is_enough(tmp_path):
    pictures = [drawn._replace(things=[(1, *thing[1:]) for thing in drawn.things]) for drawn in draw(8)]
    images = load_training_images(section(write_voc(tmp_path, pictures)))
    assert images.classes == ("car",)
    assert set(images.targets.boxes.labels) == {0}


def test_a_crowd_and_the_area_of_an_outline_are_kept(tmp_path):
    content = coco({f"{number}.png": drawn for number, drawn in enumerate(draw(4))})
    content["annotations"][0] |= {"iscrowd": 1, "area": 7.5}
    for number, drawn in enumerate(draw(4)):
        save(tmp_path / f"{number}.png", drawn.pixels)
    (tmp_path / "_annotations.coco.json").write_text(json.dumps(content))
    boxes = list_boxes(section(tmp_path / "_annotations.coco.json")).targets.boxes
    assert boxes.crowd.tolist() == [True] + [False] * (len(boxes.crowd) - 1)
    assert boxes.areas[0] == 7.5


def test_pictures_of_the_same_name_are_told_apart_by_their_folders(tmp_path):
    first, second = draw(4), draw(4, seed=1)
    for split, pictures in (("train", first), ("valid", second)):
        (tmp_path / split).mkdir()
        for number, drawn in enumerate(pictures):
            save(tmp_path / split / f"{number}.png", drawn.pixels)
        content = coco({f"{number}.png": drawn for number, drawn in enumerate(pictures)})
        (tmp_path / split / "_annotations.coco.json").write_text(json.dumps(content))
    files = list_boxes(section(tmp_path))
    assert files.source.files == tuple(f"{split}/{number}.png" for split in ("train", "valid") for number in range(4))


ORIENTATIONS = {
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("annotated", ["upright", "stored"])
def test_boxes_of_a_turned_picture_are_where_the_things_are(tmp_path, orientation, annotated):
    """The bright pixels of the array that a network gets are in the box, whichever way it was annotated."""
    pictures = draw(3)
    root = write_voc(tmp_path, pictures)
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[5:20, 10:50] = 255
    upright = np.asarray(Image.fromarray(pixels).transpose(ORIENTATIONS[orientation]))
    exif = Image.Exif()
    exif[274] = orientation
    save(root / "JPEGImages" / "turned.png", pixels, exif=exif)
    seen = pixels if annotated == "stored" else upright
    rows, columns = (np.flatnonzero(seen[:, :, 0].any(axis=axis)) for axis in (1, 0))
    box = (0, int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    drawn = pictures[0]._replace(pixels=seen, things=[box])
    (root / "Annotations" / "turned.xml").write_text(voc_xml("turned.png", drawn))
    files = list_boxes(section(root, resolution=(60, 40)))
    place = files.source.files.index("JPEGImages/turned.png")
    left, top, right, bottom = files.targets.boxes.corners[files.targets.boxes.part(place)][0].astype(int)
    assert upright[top:bottom, left:right].min() == 255
    assert upright.sum() == upright[top:bottom, left:right].sum()


# --- what is wrong ----------------------------------------------------------------------------------------


def break_voc(root: Path) -> None:
    """One fault of every kind in files of their own."""
    edits = {
        "000": ("<xmin>", "<xmin>60"), "001": ("<ymax>", "<ymax>9"), "002": ("<xmin>", "<xmin>nan"),
        "003": (f"<name>{CLASSES[0]}</name>", "<name></name>"), "004": ("<width>64", "<width>65"),
        "005": ("<annotation>", '<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><annotation>'),
        "006": ("</annotation>", ""),
    }  # fmt: skip
    for name, (before, after) in edits.items():
        file = root / "Annotations" / f"{name}.xml"
        file.write_text(file.read_text().replace(before, after, 1))
    (root / "JPEGImages" / "007.png").unlink()
    (root / "JPEGImages" / "008.png").write_bytes(b"no picture")


def test_all_faults_are_named_by_file_at_once(tmp_path):
    root = write_voc(tmp_path, DRAWN)
    break_voc(root)
    with pytest.raises(InputError, match="9 faults in its boxes") as raised:
        check_images_of(root)
    message = str(raised.value)
    for what, where in {
        "right or lower edge comes before": "000.xml object 1",
        "leave their picture": "001.xml object 1",
        "not four numbers": "002.xml object 1",
        "without a class": "003.xml object 1",
        "another size": "004.xml (64x48 and not 65x48 pixels)",
        "declares a document type": "005.xml",
        "no XML": "006.xml",
        "missing": "007.xml (007.png)",
        "no picture": "008.xml (008.png)",
    }.items():
        assert what in message
        assert f"Annotations/{where}" in message
    assert message.endswith("Mend or remove them, then start again")


def check_images_of(path: Path) -> None:
    """The first look of a search."""
    from evomnas.problem.loading import load_definition

    definition = load_definition("digits")
    check_images(definition.model_copy(update={"data": section(path)}))


def edited(content, table: str, place: int = 0, **values: object):
    content[table][place] |= values
    return content


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda c: edited(c, "annotations", bbox=[5, 5, -3, 4]), "edge comes before"),
        (lambda c: edited(c, "annotations", bbox=[5, 5, float("nan"), 4]), "not four numbers"),
        (lambda c: edited(c, "annotations", bbox=[5, 5, 10**400, 4]), "not four numbers"),
        (lambda c: edited(c, "annotations", bbox=[5, 5, 4]), "not four numbers"),
        (lambda c: edited(c, "annotations", bbox=None), "not four numbers"),
        (lambda c: edited(c, "annotations", bbox=[True, 5, 4, 4]), "not four numbers"),
        (lambda c: edited(c, "annotations", bbox=[-5, 5, 400, 4]), "leave their picture"),
        (lambda c: edited(c, "annotations", category_id=4), r"unknown classes: .*annotation 1 \(category 4\)"),
        (lambda c: edited(c, "annotations", category_id=[4]), "unknown classes"),
        (lambda c: edited(c, "annotations", image_id=77), "boxes of no listed picture"),
        (lambda c: edited(c, "images", id=2), "listed twice"),
        (lambda c: edited(c, "images", 1, file_name="000.png"), "boxes in two places"),
        (lambda c: edited(c, "images", file_name="../../../etc/passwd"), r"pictures that are missing.*etc/passwd"),
        (lambda c: edited(c, "images", width=65), "64x48 and not 65x48"),
        (lambda c: edited(c, "categories", id=17), "categories that are there twice"),
        (lambda c: edited(c, "categories", name=5), "categories that are there twice, or have no name"),
        (lambda c: c | {"images": [*c["images"], 7]}, r"without an id: .*images\[4\]"),
    ],
)  # fmt: skip
def test_a_fault_in_coco_s_file_is_named(tmp_path, edit, words):
    drawn = {f"{number:03}.png": one for number, one in enumerate(draw(4))}
    for name, one in drawn.items():
        save(tmp_path / name, one.pixels)
    (tmp_path / "boxes.json").write_text(json.dumps(edit(coco(drawn))))
    with pytest.raises(InputError, match=rf"(?s)faults? in its boxes.*{words}"):
        list_boxes(section(tmp_path))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("7 0.5 0.5 0.1 0.1", r"unknown classes: labels/train/000.txt line 1 \(class 7\)"),
        ("-1 0.5 0.5 0.1 0.1", "unknown classes"),
        ("ball 0.5 0.5 0.1 0.1", "unknown classes"),
        ("0 0.5 0.5 0.1", "5 columns: labels/train/000.txt line 1"),
        ("0 0.5 0.5 0.1 x", "not four numbers"),
        ("0 0.5 0.5 -0.1 0.1", "edge comes before"),
        ("0 0.5 0.5 0.1 inf", "not four numbers"),
        ("0 32 24 6 5", "leave their picture"),
    ],
)
def test_a_fault_in_a_line_is_named(tmp_path, line, words):
    root = write_yolo(tmp_path, DRAWN)
    (root / "labels" / "train" / "000.txt").write_text(line)
    with pytest.raises(InputError, match=words):
        list_boxes(section(root))


def test_boxes_without_an_area_are_left_out_and_named(tmp_path):
    root = write_voc(tmp_path, DRAWN)
    file = root / "Annotations" / "000.xml"
    left, right = DRAWN[0].things[0][1], DRAWN[0].things[0][3]
    file.write_text(file.read_text().replace(f"<xmax>{right}<", f"<xmax>{left}<"))
    files = list_boxes(section(root))
    assert [group.describe(1) for group in files.unread()] == [
        "boxes without an area: 1 (Annotations/000.xml object 1)"
    ]
    assert files.targets.boxes.counts[0] == len(DRAWN[0].things) - 1


def test_a_text_without_a_picture_is_a_fault_and_pictures_of_no_list_are_named(tmp_path):
    root = write_yolo(tmp_path / "yolo", DRAWN)
    (root / "images" / "train" / "001.png").unlink()
    with pytest.raises(InputError, match=r"pictures that are missing: labels/train/001.txt"):
        list_boxes(section(root))
    root = write_voc(tmp_path / "voc", DRAWN)
    lists = root / "ImageSets" / "Main"
    (lists / "train.txt").write_text("".join(f"{number:03}\n" for number in range(5)))
    (lists / "trainval.txt").write_text("".join(f"{number:03}\n" for number in range(8)))
    (lists / "ball_train.txt").write_text("005 -1\n")
    files = list_boxes(section(root))
    assert [files.splits.count(name) for name in ("train", "validation", "test")] == [5, 2, 2]
    assert [group.what for group in files.unread()] == ["pictures of no split"]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "has no boxes: expected are COCO's"),
        ({"a.json": "{"}, "no JSON"),
        ({"a.json": "[" * 100_000}, "no JSON"),
        ({"a.json": '{"images": []}'}, "has no boxes"),
        ({"a.xml": "<html></html>"}, "has no pictures with boxes"),
        ({"a.txt": "0 0.5 0.5 0.1 0.1"}, "no names of their classes"),
        ({"a.txt": "0 .5 .5 .1 .1", "data.yaml": "names: [a]", "a.xml": "<x/>"}, "two formats, Pascal VOC and YOLO"),
    ],
)  # fmt: skip
def test_what_is_no_set_of_boxes_is_refused(tmp_path, files, words):
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=words):
        list_boxes(section(tmp_path))


def test_a_file_that_is_not_coco_s_is_refused_before_what_is_beside_it_is_read(tmp_path):
    root = write_yolo(tmp_path / "yolo", DRAWN)
    with pytest.raises(InputError, match=r"data.yaml is not in COCO's format, a .json file: name the folder"):
        list_boxes(section(root / "data.yaml"))


def test_too_few_pictures_and_classes_without_any_to_train_on_are_refused(tmp_path):
    with pytest.raises(InputError, match="has 2 pictures with boxes to train on: it needs 3 or more"):
        list_boxes(section(write_voc(tmp_path / "few", draw(2))))
    pictures = [one._replace(things=[(0, *thing[1:]) for thing in one.things]) for one in DRAWN[:-1]]
    pictures.append(DRAWN[-1]._replace(things=[(2, 1, 1, 9, 9)]))
    with pytest.raises(InputError, match="a class that no picture to train on has, 'tree'"):
        list_boxes(section(write_coco(tmp_path / "late", pictures)))


@pytest.mark.parametrize(
    "text",
    [
        "names: [cat, 'big dog', \"a, b\"]",
        "nc: 3\nnames:\n  - cat\n  - big dog  # of all\n  - 'a, b'\ntrain: x",
        "names:\n- cat\n- big dog\n- a, b\n\nval: [1, 2]",
        'names:\n  0: cat\n  1: big dog\n  2: "a, b"\n',
        "names: {0: cat, 1: big dog, 2: 'a, b'}",
        "names: [\n  cat,\n  big dog,\n  'a, b'\n]",
    ],
)
def test_names_of_classes_are_read_from_every_usual_form(text):
    assert yaml_names(text) == ("cat", "big dog", "a, b")
    assert yaml_names(text.replace("names", "labels")) == ()


def test_the_rarest_class_stands_for_a_picture():
    labels = np.array([0, 0, 0, 1, 1, 2, 0, 1])
    boxes = Boxes.of([4, 2, 0, 2], np.zeros((8, 4)), labels, np.zeros(8, bool), np.zeros(8))
    assert rarest_classes(boxes, 3).tolist() == [1, 2, 3, 1]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("[]", "a list and not an object with images, annotations, categories"),
        ("null", "a single value and not an object with images, annotations, categories"),
        ('{"images": [], "annotations": null}', "without a list of annotations and categories"),
    ],
)
def test_json_in_another_format_is_named_with_the_reason(tmp_path, content, reason):
    save(tmp_path / "0.png", DRAWN[0].pixels)
    (tmp_path / "boxes.json").write_text(content)
    with pytest.raises(
        InputError, match=rf"has no boxes \(files that are not in COCO's format \({reason}\): boxes.json\)"
    ):
        list_boxes(section(tmp_path))


def test_json_in_another_format_beside_boxes_is_left_out(tmp_path):
    write_voc(tmp_path, DRAWN)
    (tmp_path / "results.json").write_text("[]")
    assert ["results.json"] in [group.examples for group in list_boxes(section(tmp_path)).unread()]


def test_a_file_whose_pictures_are_all_missing_names_some_of_them(tmp_path):
    content = {"images": [{"id": number, "file_name": f"{number}.png"} for number in range(50)]}
    (tmp_path / "boxes.json").write_text(json.dumps(coco({}) | content))
    with pytest.raises(InputError, match=r"has 50 faults .* boxes.json: 19.png and 30 more\. Mend"):
        list_boxes(section(tmp_path))
