"""A CSV file of paths and labels, with a split in a third column if there is one. Paths are relative to the file."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from evomnas.core.errors import InputError
from evomnas.data.catalogues.entries import Leftovers, arrange
from evomnas.data.check import required_path
from evomnas.data.gallery.files import GalleryFiles
from evomnas.data.gallery.kinds import is_picture_name
from evomnas.data.gallery.layout import Split, split_name
from evomnas.data.prepared.source import MISSING, FileSource
from evomnas.problem.sections import DataSection

SUFFIXES = (".csv", ".tsv")
COLUMNS = {  # usual names of the columns, the likeliest first
    "image": (
        "path", "file", "filename", "file_name", "filepath", "file_path", "image", "image_path", "image_file", "img",
    ),
    "label": ("label", "class", "class_name", "category", "target", "labels", "species", "y"),
    "split": ("split", "subset", "set", "partition"),
}  # fmt: skip
MAX_FAULTS = 10  # that a message names
MAX_FIELD = 2**20  # characters


class _Row(NamedTuple):
    line: int
    cells: Sequence[str]


@dataclass(frozen=True)
class _Columns:
    """The places of the columns; None without a split."""

    image: int
    label: int
    split: int | None


def read_csv(section: DataSection) -> GalleryFiles:
    """Return the pictures that a CSV file lists.

    Args:
        section: The data section. Its path is the file, in UTF-8; cells are separated by commas, semicolons or tabs.
            It may name the columns.

    Returns:
        The pictures.

    Raises:
        InputError: The file cannot be read, its columns are not found, or lines are wrong; the message has all of them
            by their numbers.
    """
    path = required_path(section)
    rows = list(_rows(path))
    if not rows:
        raise InputError(f"{path} is empty: it needs a line for each picture, with its path and its label")
    columns, has_header = _find_columns(path, rows[0].cells, section)
    faults: list[str] = []
    entries: list[tuple[int, str, str, Split]] = []
    for line, cells in rows[has_header:]:
        if not any(cell.strip() for cell in cells):
            continue
        fault = _fault(cells, columns)
        if fault:
            faults.append(f"line {line}: {fault}")
            continue
        split = "all" if columns.split is None else split_name(cells[columns.split].strip()) or "all"
        entries.append((line, cells[columns.image].strip(), cells[columns.label].strip(), split))
    root = path.parent
    source = FileSource.of(root, [root / name for _, name, _, _ in entries])
    missing = np.flatnonzero(source.sizes == MISSING)
    faults += [f"line {entries[place][0]}: there is no file {entries[place][1]!a}" for place in missing]
    if faults:
        faults.sort(key=lambda fault: int(fault.split()[1].rstrip(":")))
        more = f"; and {len(faults) - MAX_FAULTS:,} more" if len(faults) > MAX_FAULTS else ""
        raise InputError(f"{path} has {len(faults):,} wrong lines: {'; '.join(faults[:MAX_FAULTS])}{more}")
    labels, splits = [label for _, _, label, _ in entries], [split for _, _, _, split in entries]
    return arrange(path, source, labels, splits, Leftovers())


def _rows(path: Path) -> Iterator[_Row]:
    """Yield the lines of a CSV file with their numbers."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise InputError(f"{path}, line {line}: it is not UTF-8, save it as such") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    first = text.partition("\n")[0]
    delimiter = max(",\t;", key=first.count)
    csv.field_size_limit(MAX_FIELD)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        before = 0
        for cells in reader:
            yield _Row(before + 1, cells)
            before = reader.line_num
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: {error}") from None


def _find_columns(path: Path, first: Sequence[str], section: DataSection) -> tuple[_Columns, bool]:
    """Return the columns, and whether the first line names them."""
    names = [cell.strip().lower() for cell in first]
    chosen: dict[str, int | None] = {}
    typed: Mapping[str, str | None] = {
        "image": section.image_column, "label": section.label_column, "split": section.split_column,
    }  # fmt: skip
    for kind, name in typed.items():
        if name is not None and name.strip().lower() not in names:
            raise InputError(f"{path} has no column {name!a} (data.{kind}_column): there are {', '.join(first)}")
        usual = [name.strip().lower()] if name is not None else [one for one in COLUMNS[kind] if one in names]
        chosen[kind] = names.index(usual[0]) if usual else None
    image, label = chosen["image"], chosen["label"]
    if image is None and label is None and len(first) in (2, 3) and _is_entry(path, first):
        return _Columns(0, 1, 2 if len(first) == 3 else None), False
    if image is None or label is None:
        missing = "path of a picture" if image is None else "label"
        key = "image" if image is None else "label"
        raise InputError(
            f"{path} has no column that is known as the {missing} (such as {', '.join(COLUMNS[key][:3])}): it has "
            f"{', '.join(first)}; --set data.{key}_column=NAME says which it is. For a table of evaluated networks, "
            "write a problem file with a section [table]"
        )
    return _Columns(image, label, chosen["split"]), True


def _is_entry(path: Path, cells: Sequence[str]) -> bool:
    """Return whether the first line is a picture already, and no header."""
    return is_picture_name(cells[0].strip()) or (path.parent / cells[0].strip()).is_file()


def _fault(cells: Sequence[str], columns: _Columns) -> str:
    """Return what is wrong with a line; empty if nothing is."""
    last = max(columns.image, columns.label, columns.split or 0)
    if len(cells) <= last:
        return f"it has {len(cells)} cells, and column {last + 1} is needed"
    if not cells[columns.image].strip():
        return "it has no path"
    if "\0" in cells[columns.image]:
        return "its path holds a null character"
    if not cells[columns.label].strip():
        return "it has no label"
    if columns.split is not None and split_name(cells[columns.split].strip()) is None:
        return f"{cells[columns.split].strip()[:40]!a} is no split: there are train, validation and test"
    return ""
