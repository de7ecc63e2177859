"""CSV files: columns, paths, and faults by the numbers of lines."""

from __future__ import annotations

import pytest
from catalogue_files import CLASSES, entries, write_csv

from evomnas.core.errors import InputError
from evomnas.data.catalogues.csv_file import read_csv
from evomnas.problem.sections import DataSection


@pytest.fixture
def written(tmp_path):
    return write_csv(tmp_path, entries())


def read(path, **settings):
    return read_csv(DataSection(dataset="csv", path=path, resolution=8, **settings))


@pytest.mark.parametrize(
    ("header", "settings"),
    [
        ("path,label,split", {}),
        ("File_Name, Class ,Subset", {}),
        ('"filename","species","set"', {}),
        ("where,what,when", {"image_column": "where", "label_column": "WHAT", "split_column": "when"}),
        ("path,label,class", {"split_column": "class"}),
    ],
)
def test_columns_are_found_or_named(header, settings, tmp_path):
    files = read(write_csv(tmp_path, entries(), header), **settings)
    assert (files.classes, len(files.labels)) == (CLASSES, 30)
    assert [files.splits.count(split) for split in ("train", "validation", "test")] == [20, 4, 6]
    assert files.source.files[0] == "pictures/000.png"


def test_a_file_without_a_header_has_paths_labels_and_splits_in_this_order(written):
    written.write_text(written.read_text().partition("\n")[2])
    assert len(read(written).labels) == 30
    two = "\n".join(line.rpartition(",")[0] for line in written.read_text().splitlines())
    written.write_text(two)
    assert set(read(written).splits) == {"all"}


@pytest.mark.parametrize("delimiter", [";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_other_delimiters_line_ends_and_marks_of_spreadsheets_are_read(delimiter, end, written):
    text = written.read_text().replace(",", delimiter).replace("\n", end)
    written.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert len(read(written).labels) == 30


def test_paths_are_relative_to_the_file_or_absolute_and_empty_lines_are_none(written, tmp_path):
    lines = written.read_text().splitlines()
    (tmp_path / "inner").mkdir()
    moved = [f"../{line}" if place % 2 else f"{tmp_path}/{line}" for place, line in enumerate(lines[1:])]
    path = tmp_path / "inner" / "list.csv"
    path.write_text("\n".join([lines[0], *moved[:10], "", " , , ", *moved[10:]]))
    files = read(path)
    assert len(files.labels) == 30
    assert sum(len(content.read_bytes()) > 0 for content in files.source.read()) == 30


def test_every_wrong_line_is_named_by_its_number(written):
    lines = written.read_text().splitlines()
    lines[1] = "pictures/nowhere.png,ants,train"
    lines[4] = "pictures/003.png"
    lines[5] = "pictures/004.png,,train"
    lines[7] = ",ants,train"
    lines[9] = "pictures/008.png,ants,somewhere"
    written.write_text("\n".join(lines))
    with pytest.raises(InputError) as caught:
        read(written)
    assert str(caught.value) == (
        f"{written} has 5 wrong lines: line 2: there is no file 'pictures/nowhere.png'; "
        "line 5: it has 1 cells, and column 3 is needed; line 6: it has no label; line 8: it has no path; "
        "line 10: 'somewhere' is no split: there are train, validation and test"
    )
    written.write_text("\n".join([lines[0], *["missing.png,ants,train"] * 30]))
    with pytest.raises(InputError, match="has 30 wrong lines: line 2: .*; line 11: .*; and 20 more$"):
        read(written)


def test_lines_are_counted_where_cells_hold_several(written):
    lines = written.read_text().splitlines()
    lines[2] = '"pictures/001.png","bees\nand more",train'
    lines[3] = "missing.png,ants,train"
    written.write_text("\n".join(lines))
    with pytest.raises(InputError, match="has 1 wrong lines: line 5: there is no file"):
        read(written)


@pytest.mark.parametrize(
    ("content", "settings", "message"),
    [
        ("", {}, "is empty: it needs a line for each picture, with its path and its label"),
        ("path,label\n", {}, "lists no pictures"),
        ("top1,ms\n1,2\n", {}, "no column that is known as the path of a picture .*it has top1, ms; --set "
         "data.image_column=NAME says which it is. For a table of evaluated networks, write a problem file"),
        ("path,top1\n1,2\n", {}, "no column that is known as the label .*--set data.label_column=NAME"),
        ("path,label\n", {"label_column": "kind"}, "has no column 'kind' .data.label_column.: there are path, label"),
        ('path,label\n"a,b\n', {}, "line 2: unexpected end of data"),
        (b"path,label\na\xff,b\n", {}, "line 2: it is not UTF-8"),
        ("path,label\n\0,b\n", {}, "null character"),
    ],
)  # fmt: skip
def test_what_is_no_list_says_what_to_do(content, settings, message, tmp_path):
    (tmp_path / "a.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=message):
        read(tmp_path / "a.csv", **settings)


def test_classes_that_are_numbers_are_in_their_order(tmp_path):
    path = write_csv(tmp_path, entries())
    path.write_text(path.read_text().replace("ants", "10").replace("bees", "9"))
    assert read(path).classes == ("9", "10")
