"""Parquet files of a data set as Hugging Face keeps them: a column of pictures as they were in files, and a label.

Needs pyarrow, `pip install 'evomnas[parquet]'`. Of what is not asked for nothing is read.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evomnas.core.errors import InputError
from evomnas.data.catalogues.entries import Label, Leftovers, arrange, data_files, splits_of_files
from evomnas.data.check import required_path
from evomnas.data.gallery.files import GalleryFiles
from evomnas.data.gallery.layout import Split
from evomnas.data.prepared.source import file_states, listing_digest
from evomnas.problem.sections import DataSection

if TYPE_CHECKING:
    import pyarrow

SUFFIX = ".parquet"
INSTALL = "pip install 'evomnas[parquet]'"
LABELS = ("label", "labels", "class", "category", "target")  # usual names of the column
KEPT_GROUPS = 2  # groups of rows that stay in memory, since neighbours are asked for one after the other

Numbers = NDArray[np.int64]
_reading = threading.Lock()


@dataclass(frozen=True, eq=False)
class TableSource:
    """Pictures in rows of parquet files.

    Attributes:
        root: The folder of the files.
        tables: Their names, as seen from there.
        states: The size and the time of the last change of each, int64, shape (tables, 2).
        column: The column of the pictures; of a structure its `bytes`.
        places: The file of each, its group of rows, and its row in the group and in the file, int64, shape (n, 4).
    """

    root: Path
    tables: tuple[str, ...]
    states: Numbers
    column: str
    places: Numbers

    @property
    def names(self) -> Sequence[str]:
        """See `PictureSource.names`."""
        return [str(self.root / name) for name in self.files]

    @property
    def files(self) -> Sequence[str]:
        """The names of the pictures, as seen from the folder of the files."""
        return [f"{self.tables[table]}#{row}" for table, _, _, row in self.places.tolist()]

    @property
    def digest(self) -> bytes:
        """See `PictureSource.digest`."""
        return listing_digest((self.column, *self.tables), self.states, self.places)

    def take(self, places: Numbers) -> TableSource:
        """See `ListedSource.take`."""
        return TableSource(self.root, self.tables, self.states, self.column, self.places[places])

    def part(self, start: int, stop: int) -> TableSource:
        """See `PictureSource.part`."""
        return TableSource(self.root, self.tables, self.states, self.column, self.places[start:stop])

    def read(self) -> Iterator[bytes]:
        """See `PictureSource.read`. What is missing is empty."""
        for table, group, row, _ in self.places.tolist():
            with _reading:  # so that threads do not read one group at a time each
                cells = _group(self.root / self.tables[table], tuple(self.states[table]), group, self.column)
            yield b"" if cells is None or row >= len(cells) else cells[row].as_py() or b""

    def changed(self) -> Sequence[str]:
        """See `PictureSource.changed`."""
        now = file_states(self.root, self.tables)
        return [str(self.root / self.tables[place]) for place in np.flatnonzero((now != self.states).any(axis=1))]


@lru_cache(maxsize=KEPT_GROUPS)
def _group(path: Path, state: tuple[int, ...], group: int, column: str) -> pyarrow.ChunkedArray | None:
    """Return the pictures of a group of rows; None where it cannot be read."""
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            found = file.read_row_group(group, columns=[column]).column(0)
    except (OSError, ValueError, pyarrow.ArrowException):
        return None
    return found.combine_chunks().field("bytes") if pyarrow.types.is_struct(found.type) else found


class _Table(NamedTuple):
    """A file for the index: its labels, the numbers of rows in its groups, and what its schema says."""

    labels: list[Label]
    groups: list[int]
    column: str
    class_names: list[str] | None


def read_parquet(section: DataSection) -> GalleryFiles:
    """Return the pictures of parquet files.

    Args:
        section: The data section. Its path is a file, or a folder of them. It may name the columns.

    Raises:
        InputError: pyarrow is not installed, a file cannot be read, columns are not found, or labels and splits cannot
            be used.
    """
    path = required_path(section)
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError:
        raise InputError(f"parquet files need pyarrow: {INSTALL}") from None
    files = data_files(path, SUFFIX)
    if not files:
        raise InputError(f"{path} holds no {SUFFIX} files")
    root = path if path.is_dir() else path.parent
    tables = [_read_table(section, file) for file in files]
    labels: list[Label] = []
    splits: list[Split] = []
    places: list[tuple[int, int, int, int]] = []
    for number, (table, split) in enumerate(zip(tables, splits_of_files(files, root), strict=True)):
        labels += table.labels
        splits += [split] * len(table.labels)
        rows = [(group, row) for group, count in enumerate(table.groups) for row in range(count)]
        places += [(number, group, row, index) for index, (group, row) in enumerate(rows)]
    kinds = {(table.column, tuple(table.class_names or ())) for table in tables}
    if len(kinds) > 1:
        raise InputError(f"{path} has files of different columns or classes: give a folder of one data set")
    names = tuple(str(file.relative_to(root)) for file in files)
    rows_of = np.array(places, dtype=np.int64).reshape(-1, 4)
    source = TableSource(root, names, file_states(root, names), tables[0].column, rows_of)
    return arrange(path, source, labels, splits, Leftovers(), tables[0].class_names)


def _read_table(section: DataSection, path: Path) -> _Table:
    """Read the labels of a file, and where its pictures are."""
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            schema = file.schema_arrow
            image, label = _image_column(section, path, schema), _label_column(section, path, schema)
            labels = file.read(columns=[label]).column(0)
            groups = [file.metadata.row_group(place).num_rows for place in range(file.metadata.num_row_groups)]
    except InputError:
        raise
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        raise InputError(f"cannot read the parquet file {path}: {str(error).splitlines()[0]}") from None
    if pyarrow.types.is_dictionary(labels.type):
        labels = labels.cast(labels.type.value_type)
    return _Table(labels.to_pylist(), groups, image, _class_names(schema, label))


def _image_column(section: DataSection, path: Path, schema: pyarrow.Schema) -> str:
    import pyarrow

    def has_bytes(kind: pyarrow.DataType) -> bool:
        if pyarrow.types.is_struct(kind):
            return any(kind.field(place).name == "bytes" for place in range(kind.num_fields))
        return bool(pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind))

    found = [field.name for field in schema if has_bytes(field.type)]
    return _one(path, schema, found, section.image_column, ("image", "img"), "image", "pictures (bytes)")


def _label_column(section: DataSection, path: Path, schema: pyarrow.Schema) -> str:
    import pyarrow

    def may_be_label(kind: pyarrow.DataType) -> bool:
        kind = kind.value_type if pyarrow.types.is_dictionary(kind) else kind
        tests = (pyarrow.types.is_integer, pyarrow.types.is_string, pyarrow.types.is_large_string)
        return any(test(kind) for test in tests)

    found = [field.name for field in schema if may_be_label(field.type)]
    return _one(path, schema, found, section.label_column, LABELS, "label", "labels (numbers or texts)")


def _one(
    path: Path,
    schema: pyarrow.Schema,
    found: Sequence[str],
    named: str | None,
    usual: Sequence[str],
    kind: str,
    words: str,
) -> str:
    """Return the column of a kind: the one that is named, has a usual name, or is the only one."""
    if named is not None:
        if named not in found:
            raise InputError(f"{path} has no column {named!a} of {words} (data.{kind}_column): it has {_list(schema)}")
        return named
    known = [name for name in usual if name in found] or list(found)
    if len(known) == 1 or (known and known[0] in usual):
        return known[0]
    if not known:
        raise InputError(f"{path} has no column of {words}: it has {_list(schema)}")
    raise InputError(
        f"{path} has several columns of {words}, {', '.join(known)}: --set data.{kind}_column={known[0]} chooses one"
    )


def _list(schema: pyarrow.Schema) -> str:
    return ", ".join(f"{field.name} ({field.type})" for field in schema)[:300]


def _class_names(schema: pyarrow.Schema, label: str) -> list[str] | None:
    """Return the names of classes that the data set's own description has for a column."""
    try:
        described: Any = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        names = described["info"]["features"][label]["names"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    is_usable = isinstance(names, list) and all(isinstance(name, str) and name for name in names)
    return names if is_usable and len(set(names)) == len(names) else None
