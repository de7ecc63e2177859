"""One set of tests for all forms in which people keep pictures: a new form joins by one line."""

from __future__ import annotations

import numpy as np
import pytest
from catalogue_files import CLASSES, FORMS, Entry, entries, write_csv, write_parquet, write_shards
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evomnas.core.errors import InputError
from evomnas.data.catalogues.finding import list_pictures
from evomnas.data.first_look import check_images
from evomnas.data.gallery.listing import list_images
from evomnas.data.splits import load_dataset, load_training_images
from evomnas.deploy.testsplit import load_test_images
from evomnas.problem.loading import load_definition
from evomnas.problem.sections import DataSection

LISTS = [name for name in FORMS if name not in ("image-folder", "npz")]


@pytest.fixture(params=sorted(FORMS))
def form(request) -> str:
    if request.param == "parquet":
        pytest.importorskip("pyarrow")
    return request.param


def typed(path, *overrides: str) -> DataSection:
    """The data section of what somebody types as a problem."""
    definition = load_definition(str(path), ["data.resolution=32", *overrides])
    check_images(definition)
    return definition.data


def test_what_people_type_is_read_as_what_it_is(form, tmp_path):
    pictures = entries()
    section = typed(FORMS[form](tmp_path / "set", pictures))
    assert section.dataset == form
    training = load_training_images(section)
    assert training.classes == (CLASSES if form != "npz" else ("0", "1"))
    dataset = load_dataset(section)
    assert (len(dataset.train_labels), len(dataset.validation_labels)) == (20, 4)
    assert len(load_test_images(section, training).labels) == 6
    found = list_images(training, section).found
    assert found.splits == {"training": 20, "validation": 4, "test": 6}
    assert found.classes[training.classes[0]] == {"training": 10, "validation": 2, "test": 3}


def test_the_same_pictures_are_the_same_images_whatever_they_come_in(tmp_path):
    pytest.importorskip("pyarrow")
    pictures = entries()
    found, keys = {}, {}
    for form, write in FORMS.items():
        section = typed(write(tmp_path / form, pictures), "data.fit=crop")
        training = load_training_images(section)
        order = np.argsort(training.origin.keys)
        keys[form] = training.origin.keys[order].tolist()
        found[form] = training.images[order].tobytes(), training.labels[order].tolist()
        test = load_test_images(section, training)
        assert test.images.shape == (6, 3, 32, 32)
        assert test.fit == training.fit == "crop"
    assert len(set(map(tuple, keys.values()))) == 1
    assert len({images for images, _ in found.values()}) == 1
    assert len({tuple(labels) for _, labels in found.values()}) == 1


def test_without_splits_the_same_pictures_are_kept_aside_whatever_they_come_in(tmp_path):
    """What a picture shows decides, not its name or its place."""
    pytest.importorskip("pyarrow")
    pictures = entries(splits={"train": 30})
    kept, validated = set(), set()
    for form, write in FORMS.items():
        section = typed(write(tmp_path / form, pictures), "data.validation=0.2")
        training = load_training_images(section)
        kept.add(tuple(sorted(training.origin.keys.tolist())))
        listing = list_images(training, section)
        assert listing.found.kept_aside
        validated.add(tuple(sorted(image.picture for image in listing.images if image.use == "validation")))
        assert len(load_test_images(section, training).labels) == 30 - len(training.labels)
    assert len(kept) == len(validated) == 1


def test_all_broken_pictures_of_all_splits_are_named_at_once(form, tmp_path):
    if form == "npz":
        pytest.skip("numbers of an array are never broken")
    pictures = entries()
    for place in (3, 22, 27):
        pictures[place] = Entry(b"\x89PNG\r\n\x1a\n" + b"no picture" * 5, *pictures[place][1:])
    section = typed(FORMS[form](tmp_path / "set", pictures))
    with pytest.raises(
        InputError, match="3 of 30 images cannot be read, remove or replace them: .*Truncated"
    ) as caught:
        load_training_images(section)
    assert str(caught.value).count(", ") >= 2


def test_copies_are_found_in_all_splits(form, tmp_path):
    pictures = entries()
    pictures[2] = Entry(pictures[26].content, *pictures[2][1:])  # of the test
    pictures[5] = Entry(pictures[7].content, *pictures[5][1:])
    section = typed(FORMS[form](tmp_path / "set", pictures))
    found = list_images(load_training_images(section), section).found
    counts = {group.what: group.count for group in found.copies}
    assert counts == {
        "images to train or validate on that are test images as well": 1,
        "images that are there twice": 1,
    }
    dropped = section.model_copy(update={"duplicates": "drop"})
    assert list_images(load_training_images(dropped), dropped).found.dropped == 2


def test_pictures_without_a_label_are_counted_and_left_out(tmp_path):
    pytest.importorskip("pyarrow")
    pictures = entries()
    unknown = [*pictures[:29], Entry(pictures[29].content, -1, "test")]
    for write in (write_shards, write_parquet):
        section = typed(write(tmp_path / write.__name__, unknown))
        training = load_training_images(section)
        assert len(load_test_images(section, training).labels) == 5
        [group] = list_images(training, section).found.unread
        assert (group.what, group.count, len(group.examples)) == ("pictures without a label", 1, 1)


@pytest.mark.parametrize("form", LISTS)
def test_a_source_in_parts_gives_what_it_gives_whole(form, tmp_path):
    if form == "parquet":
        pytest.importorskip("pyarrow")
    files = list_pictures(typed(FORMS[form](tmp_path / "set", entries())))
    source = files.source

    def contents(of) -> list[bytes]:
        return [content if isinstance(content, bytes) else content.read_bytes() for content in of.read()]

    whole = contents(source)
    assert len(whole) == len(source.names) == len(set(source.names)) == 30

    @given(st.tuples(st.integers(0, 30), st.integers(0, 30)).map(sorted))
    @settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def parts(ends) -> None:
        start, stop = ends
        part = source.part(start, stop)
        assert contents(part) == whole[start:stop]
        assert list(part.names) == list(source.names)[start:stop]
        assert list(part.files) == list(source.files)[start:stop]

    parts()
    assert source.part(0, 30).digest == source.digest
    assert source.part(0, 29).digest != source.digest
    assert not source.changed()


@pytest.mark.parametrize("form", LISTS)
def test_a_changed_file_is_noticed_and_another_key(form, tmp_path):
    if form == "parquet":
        pytest.importorskip("pyarrow")
    section = typed(FORMS[form](tmp_path / "set", entries()))
    before = list_pictures(section).source
    file = sorted(path for path in (tmp_path / "set").rglob("*") if path.suffix in (".png", ".tar", ".parquet"))[0]
    content = file.read_bytes()
    file.write_bytes(content + b"\0" * 512 if form == "webdataset" else content)
    assert before.changed() == [str(file)]
    assert list_pictures(section).source.digest != before.digest
    file.unlink()
    assert before.changed()
    assert len(list(before.read())) == 30  # whoever reads it finds out why


def test_a_class_with_too_few_pictures_is_named(tmp_path):
    pictures = [Entry(entry.content, 0, entry.split) for entry in entries(splits={"train": 10})]
    path = write_csv(tmp_path, pictures)
    with pytest.raises(InputError, match="list.csv has one class, ants: a search needs two or more"):
        typed_pictures(path)
    path.write_text(path.read_text().replace("000.png,ants", "000.png,bees"))
    with pytest.raises(InputError, match="class 'bees' has 1 image: a class needs 3 or more, one of which is kept"):
        typed_pictures(path)
    path.write_text(path.read_text().replace("001.png,ants", "001.png,Ants"))
    with pytest.raises(InputError, match="'Ants' and 'ants' differ in capital letters"):
        typed_pictures(path)


def typed_pictures(path):
    return list_pictures(typed(path))


def test_a_class_of_the_test_alone_is_refused(tmp_path):
    path = write_csv(tmp_path, entries())
    path.write_text(path.read_text().replace("029.png,bees", "029.png,wasps"))
    with pytest.raises(InputError, match="has a class that no picture to train on has, 'wasps'"):
        typed_pictures(path)


def test_settings_of_columns_are_refused_where_there_are_none(tmp_path):
    with pytest.raises(InputError, match="label_column names a column of csv and parquet.*webdataset"):
        load_definition(str(write_shards(tmp_path, entries())), ["data.label_column=cls"])
    with pytest.raises(InputError, match="split_column names a column of csv, and the data set is image-folder"):
        load_definition("images", ["data.split_column=part"])
