"""An archive file from outside: its rows are data, and nothing else of it is used."""

from __future__ import annotations

import math
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evomnas.core.errors import InputError
from evomnas.core.files import printable
from evomnas.results.database.connection import Database, check_identity

MAX_CELL_BYTES = 16 * 2**20
MAX_NUMBER = 2.0**63
SHARES = {("trainings", "accuracy"), ("cuts", "error")}  # numbers of at most 1


def copy_outside(path: Path, target: Database) -> None:
    """Copy the rows of an archive from outside into another one. Each cell must have its type and range.

    Args:
        path: The file. One of an older version is brought up to date.
        target: Gets the rows.

    Raises:
        InputError: It is no archive, of a newer version, damaged, or holds what no archive holds.
    """
    try:
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
        try:
            for pragma in ("trusted_schema = OFF", "cell_size_check = ON", "mmap_size = 0"):
                connection.execute(f"PRAGMA {pragma}")
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_CELL_BYTES)
            check_identity(connection, path.name)
            _check_tables(connection)
            faults = [row[0] for row in connection.execute("PRAGMA quick_check(1)")]
        finally:
            connection.close()
        if faults != ["ok"]:
            raise InputError(f"{path.name} is damaged: {faults[0]}")
        source = Database(path, create=False)
        try:
            for table in target.tables:
                target.add_rows(table, (_checked(table, row, target) for row in _rows(source, table, target)))
        finally:
            source.close()
    except sqlite3.Error as error:
        raise InputError(f"{path.name} is damaged: {error}") from None


def _check_tables(connection: sqlite3.Connection) -> None:
    """Raise InputError where a file has triggers, views or virtual tables, which could do something when read."""
    for kind, name, sql in connection.execute("SELECT type, name, sql FROM sqlite_master"):
        is_plain = sql is None if kind == "index" else kind == "table" and re.match(r"CREATE TABLE\b", sql or "")
        if not is_plain:
            raise InputError(f"it has a {kind} {name!r}, as no archive has")


def _rows(source: Database, table: str, target: Database) -> Iterator[dict[str, Any]]:
    known = set(target.columns(table))
    if set(source.columns(table)) != known:
        raise InputError(f"its table {table} has other columns than an archive")
    yield from source.rows(table)


def _checked(table: str, row: dict[str, Any], target: Database) -> dict[str, Any]:
    """Return a row whose cells are what they should be; texts lose what would do something to a terminal."""
    types = target.columns(table)
    checked = {}
    for name, value in row.items():
        kind = types[name]
        if isinstance(value, str) and kind == "TEXT":
            value = printable(value)
        elif value is not None and kind in ("REAL", "INTEGER"):
            whole = isinstance(value, int) if kind == "INTEGER" else isinstance(value, int | float)
            largest = 1.0 if (table, name) in SHARES else MAX_NUMBER
            if not whole or not math.isfinite(value) or not 0 <= value <= largest:
                raise InputError(f"{table}.{name} is {str(value)[:40]!r}, as it is in no archive")
        elif kind == "BLOB" and not isinstance(value, bytes):
            raise InputError(f"{table}.{name} holds no bytes")
        elif value is not None and kind != "BLOB":
            raise InputError(f"{table}.{name} is no text")
        checked[name] = value
    return checked
