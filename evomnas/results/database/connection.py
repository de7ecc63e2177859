"""A connection to an archive's file: it is opened, checked, created or brought up to date; rows are added and found."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import Any

from evomnas.core.errors import InputError
from evomnas.core.files import check_place
from evomnas.core.system.optional import soft_limit
from evomnas.results.database.schema import APPLICATION_ID, MIGRATIONS, SCHEMA, SCHEMA_VERSION

JOURNAL_SUFFIX = "-journal"  # of the file beside it that has the longest name
BUSY_TIMEOUT_S = 60.0
MIN_FREE_DISK_BYTES = 128 * 1024  # SQLite needs some room beside a database to open it


class Database:
    """An open file with the tables of an archive; `evomnas.results.archive.Archive` says what is in them.

    Attributes:
        path: The path of the file, or `:memory:` for an archive in memory.
    """

    def __init__(self, path: Path | str = ":memory:", create: bool = True, late: bool = False) -> None:
        """Open an archive. One of an older version is brought up to date.

        Args:
            path: The path of the file, or `:memory:` for an archive in memory.
            create: True to create the file if it is missing or empty.
            late: True to create a missing file in `establish`, and to keep in memory until then. So a search that is
                refused leaves no file behind.

        Raises:
            InputError: There is no archive and none may be created, or the file is none that this version can use.
            OSError: The disk is full, or a folder cannot be written to.
        """
        self.path = path
        if not create and not Path(path).is_file():
            raise InputError(f"there is no archive at {path}")
        self._is_late = late and str(path) != ":memory:" and not Path(path).exists()
        if self._is_late:
            check_place(Path(path), "--archive FILE")
        self._connect(":memory:" if self._is_late else path, create)

    def _connect(self, path: Path | str, create: bool) -> None:
        try:
            # check_same_thread is off, since users of the library may evaluate in threads; each call is one transaction
            self._connection = sqlite3.connect(
                _address(path), uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
            self._connection.row_factory = sqlite3.Row
            self._connection.execute("PRAGMA trusted_schema = OFF")  # of a file that somebody sent
            self._check_or_create(create)
        except sqlite3.Error as error:
            if str(path) != ":memory:" and (refusal := _refusal(error, Path(path))) is not None:
                raise refusal from None
            hint = "name another file with --archive" if create else "bring back a copy of it"
            raise InputError(f"cannot use {path} as an archive: {error}; {hint}") from None

    def establish(self) -> None:
        """Create the file of an archive that was opened as a late one, with its folder; others stay as they are.

        What was kept in memory goes into the file, which another run may have created meanwhile.

        Raises:
            InputError: The file is another program's by now.
            OSError: The file or its folder cannot be created.
        """
        if not self._is_late:
            return
        memory, tables = self._connection, self.tables
        Path(self.path).parent.mkdir(parents=True, exist_ok=True)
        self._connect(self.path, create=True)
        self._is_late = False
        for table in tables:
            self._insert(table, *map(dict, memory.execute(f"SELECT * FROM {table}")))
        memory.close()

    def _check_or_create(self, create: bool) -> None:
        empty = self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
        version = SCHEMA_VERSION if empty else check_identity(self._connection, self.path)
        if empty and not create:
            raise InputError(f"{self.path} is empty: it is not the archive of these runs")
        if empty:
            self._connection.execute("PRAGMA journal_mode = WAL")
            with self._transaction():
                if self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
                    self._script(SCHEMA)
                    self._connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                    self._connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        elif version < SCHEMA_VERSION:
            with self._transaction():
                for step in range(self._pragma("user_version") + 1, SCHEMA_VERSION + 1):
                    self._script(MIGRATIONS[step])
                self._connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _script(self, statements: str) -> None:
        for statement in statements.strip().split(";\n"):
            self._connection.execute(statement)

    def _pragma(self, name: str) -> int:
        return int(self._connection.execute(f"PRAGMA {name}").fetchone()[0])

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    @property
    def tables(self) -> list[str]:
        """The names of the tables."""
        return [row["name"] for row in self._connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]

    def columns(self, table: str) -> dict[str, str]:
        """Return the names of a table's columns, and their types.

        Args:
            table: The name of the table.
        """
        return {row["name"]: row["type"] for row in self._connection.execute(f"PRAGMA table_xinfo({table})")}

    def rows(self, table: str, **key: Any) -> Iterator[dict[str, Any]]:
        """Find the rows of a table, in the order in which they were added.

        Args:
            table: The name of the table.
            **key: Values that some columns must have.

        Yields:
            The values of a row by column.
        """
        where = " AND ".join(f"{name} = ?" for name in key) or "TRUE"
        for row in self._connection.execute(f"SELECT * FROM {table} WHERE {where} ORDER BY rowid", tuple(key.values())):
            yield dict(row)

    def add_rows(self, table: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add rows to a table, unless their keys are there.

        Args:
            table: The name of the table.
            rows: The values of each row by column.
        """
        self._insert(table, *rows)

    def make_portable(self) -> None:
        """Leave everything in the one file, which is then as small as it can be."""
        self._connection.execute("PRAGMA journal_mode = DELETE")
        self._connection.execute("VACUUM")

    @property
    def changes(self) -> int:
        """The number of rows that were added through this object. As long as it is the same, nothing was added."""
        return self._connection.total_changes

    def content(self) -> bytes:
        """Return all that an archive in memory holds."""
        return self._connection.serialize()

    def restore(self, content: bytes) -> None:
        """Let an archive in memory hold what another one held.

        Args:
            content: What `content` returned, perhaps in an older version.

        Raises:
            InputError: A later version wrote it.
        """
        self._connection.deserialize(content)
        self._check_or_create(create=True)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _insert(self, table: str, *rows: Mapping[str, Any], otherwise: str = "IGNORE") -> None:
        """Add rows in one transaction. Rows whose key exists are left out, or `REPLACE` the earlier ones."""
        if rows:
            with self._transaction():
                self._write(table, *rows, otherwise=otherwise)

    def _write(self, table: str, *rows: Mapping[str, Any], otherwise: str = "IGNORE") -> None:
        """Add rows within a transaction; see `_insert`."""
        names, marks = ", ".join(rows[0]), ", ".join("?" * len(rows[0]))
        self._connection.executemany(
            f"INSERT OR {otherwise} INTO {table} ({names}) VALUES ({marks})", [tuple(row.values()) for row in rows]
        )

    def _row(self, table: str, **key: Any) -> sqlite3.Row | None:
        where = " AND ".join(f"{name} = ?" for name in key)
        row: sqlite3.Row | None = self._connection.execute(
            f"SELECT * FROM {table} WHERE {where}", tuple(key.values())
        ).fetchone()
        return row


def check_identity(connection: sqlite3.Connection, path: Path | str) -> int:
    """Check that a database is an archive that this version can use.

    Args:
        connection: The open database.
        path: Its file, for messages.

    Returns:
        The version of its layout.

    Raises:
        InputError: It is not.
    """
    identity, version = (
        int(connection.execute(f"PRAGMA {name}").fetchone()[0]) for name in ("application_id", "user_version")
    )
    if identity != APPLICATION_ID:
        raise InputError(f"{path} is another program's database: name an archive, or a file that is not there yet")
    if not 1 <= version <= SCHEMA_VERSION:
        raise InputError(
            f"the archive {path} has version {version}, this evomnas reads up to {SCHEMA_VERSION}: update "
            "evomnas, or name another file"
        )
    return version


def _refusal(error: sqlite3.Error, path: Path) -> OSError | None:
    """Return what the system refused when an archive was opened, which SQLite does not say; None if it did not."""
    number = None
    if shutil.disk_usage(path.resolve().parent).free < MIN_FREE_DISK_BYTES:
        number = errno.ENOSPC
    elif "disk I/O error" in str(error) and soft_limit("FSIZE") is not None:
        number = errno.EFBIG
    elif "unable to open" in str(error):
        try:
            os.lstat(f"{path}{JOURNAL_SUFFIX}")
        except FileNotFoundError:
            pass
        except OSError as refusal:
            return refusal
        with contextlib.ExitStack() as stack:
            try:
                for _ in range(3):  # the archive, and two files beside it
                    stack.callback(os.close, os.open(path, os.O_RDWR))
            except OSError as refusal:
                return None if isinstance(refusal, FileNotFoundError) else refusal
    return None if number is None else OSError(number, os.strerror(number), str(path))


def _address(path: Path | str) -> str:
    """Return the URI of an archive. On a read-only disk SQLite must not look for a journal, since nobody writes."""
    if str(path) == ":memory:":
        return "file::memory:"
    file = Path(path).resolve()
    journal = file.with_name(f"{file.name}-wal")
    is_read_only = file.is_file() and not os.access(file.parent, os.W_OK) and not journal.exists()
    return _uri(file) + ("?immutable=1" if is_read_only else "")


def _uri(file: PurePath) -> str:
    """Return an absolute path as SQLite reads it: the host of a network drive belongs to the path."""
    uri = file.as_uri()
    return uri if uri.startswith("file:///") else f"file:////{uri.removeprefix('file://')}"
