"""Parquet files: columns, names of classes, and what is said where pyarrow is missing."""

from __future__ import annotations

import sys

import pytest
from catalogue_files import CLASSES, entries, write_parquet

from evomnas.core.errors import InputError
from evomnas.data.catalogues.parquet_files import KEPT_GROUPS, _group, read_parquet
from evomnas.data.splits import load_training_images
from evomnas.problem.sections import DataSection

PICTURES = entries()
CONTENTS = [entry.content for entry in PICTURES[:12]]


def section(path, **settings):
    return DataSection(dataset="parquet", path=path, resolution=8, **settings)


def test_without_pyarrow_one_line_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    (tmp_path / "a.parquet").touch()
    with pytest.raises(InputError, match=r"^parquet files need pyarrow: pip install 'evomnas\[parquet\]'$"):
        read_parquet(section(tmp_path))


@pytest.fixture
def write(tmp_path):
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")

    def written(name: str = "a.parquet", metadata: bytes | None = None, **columns):
        default = {"image": [{"bytes": one.content, "path": None} for one in PICTURES[:12]]}
        default["label"] = [one.label for one in PICTURES[:12]]
        values = {key: value for key, value in (default | columns).items() if value is not None}
        table = pyarrow.table({key: pyarrow.array(value) for key, value in values.items()})
        if metadata is not None:
            table = table.replace_schema_metadata({"huggingface": metadata})
        parquet.write_table(table, tmp_path / name, row_group_size=5)
        return tmp_path / name

    return written


def test_columns_are_found_by_their_types_or_named(write):
    names = [CLASSES[one.label] for one in PICTURES[:12]]
    fine = {"label_column": "fine_label"}
    for path, settings, classes in (
        (write("a.parquet"), {}, ("0", "1")),
        (
            write("b.parquet", image=None, photo=CONTENTS, label=None, kind=names),
            {},
            CLASSES,
        ),
        (
            write("c.parquet", label=None, fine_label=names, coarse_label=[1] * 12),
            fine,
            CLASSES,
        ),
        (write("d.parquet", thumbnail=[b"x"] * 12, id=list(range(12))), {}, ("0", "1")),
    ):
        files = read_parquet(section(path, **settings))
        assert files.classes == classes
        assert list(files.source.read()) == CONTENTS


@pytest.mark.parametrize(
    ("columns", "settings", "message"),
    [
        ({"image": None}, {}, r"has no column of pictures \(bytes\): it has label \(int64\)"),
        ({"label": None}, {}, "has no column of labels"),
        ({"label": None, "fine": [1] * 12, "coarse": [1] * 12}, {}, "several columns of labels .*, fine, coarse: --set "
         "data.label_column=fine chooses one"),
        ({}, {"label_column": "image"}, "has no column 'image' of labels .* .data.label_column.: it has image"),
        ({}, {"image_column": "label"}, "has no column 'label' of pictures"),
        ({"label": [None] * 12, "kind": ["a"] * 12}, {"label_column": "kind"}, "has one class, a"),
    ],
)  # fmt: skip
def test_columns_that_nobody_can_know_are_asked_for(columns, settings, message, write):
    with pytest.raises(InputError, match=message):
        read_parquet(section(write(**columns), **settings))


@pytest.mark.parametrize(
    "metadata", [b"{", b"[]", b'{"info": {"features": {"label": {"names": ["a", "a"]}}}}', b'{"info": 3}']
)
def test_a_description_that_cannot_be_used_is_none(metadata, write):
    assert read_parquet(section(write(metadata=metadata))).classes == ("0", "1")


def test_a_class_that_the_description_lacks_is_named(write):
    path = write(metadata=b'{"info": {"features": {"label": {"names": ["ants"]}}}}')
    with pytest.raises(InputError, match="names 1 classes, and a picture has the number 1"):
        read_parquet(section(path))


def test_pictures_that_are_paths_alone_are_broken_and_no_file_is_opened(write):
    """A table must not make anybody's files readable."""
    path = write(image=[{"bytes": None, "path": __file__} for _ in range(12)])
    with pytest.raises(InputError, match="no column of pictures|12 of 12 images cannot be read"):
        load_training_images(section(path))


def test_what_is_no_parquet_file_or_is_none_of_the_same_set_is_refused(write, tmp_path):
    write("a.parquet")
    write("b.parquet", image=None, photo=CONTENTS)
    with pytest.raises(InputError, match="files of different columns or classes"):
        read_parquet(section(tmp_path))
    (tmp_path / "b.parquet").write_bytes(b"PAR1 no such file")
    with pytest.raises(InputError, match="cannot read the parquet file .*b.parquet"):
        read_parquet(section(tmp_path))


def test_groups_of_rows_are_read_once_each(tmp_path):
    pytest.importorskip("pyarrow")
    files = read_parquet(section(write_parquet(tmp_path, PICTURES, group=5)))
    _group.cache_clear()
    assert len(list(files.source.read())) == 30
    assert _group.cache_info().misses == 4 + 1 + 2  # of 20, 4 and 6 rows
    assert _group.cache_info().currsize == KEPT_GROUPS
