"""The archive: every training, measurement and ask, in one SQLite file, committed the moment it ends.

Trainings and measurements are keyed by the architecture and by a context: a hash of everything that their
result depends on (`context_key`), and of nothing else. They are added once and never changed, so that
runs can share them. So are full trainings, of whatever network, on all images and scored on the test split.
A run is its settings, the sequence of architectures that its algorithm asked for, and the trainings that it cut off.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evomnas.core.errors import InputError
from evomnas.problem.architecture import Architecture
from evomnas.problem.tabular_space import TabularArchitecture
from evomnas.results.candidate_limits import CandidateLimits
from evomnas.results.evaluation import (
    Cost,
    Cut,
    Failure,
    FullTraining,
    Measurement,
    NetworkEvaluation,
    Score,
    TabularEvaluation,
    Training,
)
from evomnas.results.records import Ask, GenerationRecord, RunRecord, Tell
from evomnas.results.schema import APPLICATION_ID, MIGRATIONS, SCHEMA, SCHEMA_VERSION
from evomnas.results.timing import Calibration

BUSY_TIMEOUT_S = 60.0
FULL_DISK_BYTES = 128 * 1024  # SQLite needs some room beside a database to open it


def context_key(content: Mapping[str, Any]) -> str:
    """A short hash of a JSON-ready mapping; the order of its keys does not matter."""
    return hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=12).hexdigest()


class Archive:
    """An open archive file; `:memory:` keeps it in memory."""

    def __init__(self, path: Path | str = ":memory:", create: bool = True) -> None:
        self.path = path
        if not create and not Path(path).is_file():
            raise InputError(f"there is no archive at {path}")
        try:
            # check_same_thread: a library user may evaluate from a thread; each call is one transaction
            self._connection = sqlite3.connect(
                _address(path), uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
            self._connection.row_factory = sqlite3.Row
            self._check_or_create(create)
        except sqlite3.Error as error:
            if str(path) != ":memory:" and shutil.disk_usage(Path(path).resolve().parent).free < FULL_DISK_BYTES:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from None
            hint = "name another file with --archive" if create else "bring back a copy of it"
            raise InputError(f"cannot use {path} as an archive: {error}; {hint}") from None

    def _check_or_create(self, create: bool) -> None:
        identity = self._pragma("application_id")
        empty = self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
        if not empty and identity != APPLICATION_ID:
            raise InputError(f"{self.path} is another program's database: name another file with --archive")
        version = self._pragma("user_version")
        if not empty and not 1 <= version <= SCHEMA_VERSION:
            raise InputError(
                f"the archive {self.path} has version {version}, this evomnas reads up to {SCHEMA_VERSION}: update "
                "evomnas, or name another file with --archive"
            )
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
    def changes(self) -> int:
        """How many rows were added through this object: where it is the same, nothing was."""
        return self._connection.total_changes

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _insert(self, table: str, *rows: Mapping[str, Any], otherwise: str = "IGNORE") -> None:
        """Add rows in one transaction, except where another run has added their key before (or `REPLACE` it)."""
        if not rows:
            return
        names, marks = ", ".join(rows[0]), ", ".join("?" * len(rows[0]))
        with self._transaction():
            self._connection.executemany(
                f"INSERT OR {otherwise} INTO {table} ({names}) VALUES ({marks})", [tuple(row.values()) for row in rows]
            )

    def _row(self, table: str, **key: Any) -> sqlite3.Row | None:
        where = " AND ".join(f"{name} = ?" for name in key)
        row: sqlite3.Row | None = self._connection.execute(
            f"SELECT * FROM {table} WHERE {where}", tuple(key.values())
        ).fetchone()
        return row

    # --- contexts and calibrations -------------------------------------------------------------------

    def add_context(self, content: Mapping[str, Any]) -> str:
        """Keep what a context means; returns its key."""
        key = context_key(content)
        if self._row("contexts", key=key) is None:  # what is known can be looked up where nothing can be written
            self._insert("contexts", {"key": key, "content": json.dumps(content, sort_keys=True)})
        return key

    def context(self, key: str) -> dict[str, Any]:
        """What a context means."""
        row = self._row("contexts", key=key)
        return dict(json.loads(row["content"])) if row is not None else {}

    def calibration(self, device: str) -> Calibration | None:
        """The reference network's latency on a device."""
        row = self._row("calibrations", context=device)
        if row is None:
            return None
        return Calibration(row["latency_ms"], tuple(json.loads(row["samples_ms"])), row["load"])

    def add_calibration(self, device: str, calibration: Calibration) -> Calibration:
        """Keep a calibration; the first one of a device counts and is returned."""
        samples = json.dumps(calibration.samples_ms)
        values = {"context": device, "latency_ms": calibration.latency_ms, "samples_ms": samples, "created": _now()}
        values["load"] = calibration.load
        self._insert("calibrations", values)
        return self.calibration(device) or calibration

    def layer(self, device: str, layer: str) -> float | None:
        """A layer's latency relative to the reference network, from the table of a device."""
        row = self._row("layers", context=device, layer=layer)
        return None if row is None else float(row["ratio"])

    def add_layer(self, device: str, layer: str, ratio: float) -> None:
        """Keep a layer's latency relative to the reference network."""
        self._insert("layers", {"context": device, "layer": layer, "ratio": ratio})

    def add_alias(self, alias: str, context: str) -> None:
        """Keep, as the last, by which key those know a context who have not read the images that it depends on."""
        if self.aliased(alias)[-1:] != [context]:
            with self._transaction():
                self._connection.execute("INSERT OR REPLACE INTO aliases VALUES (?, ?)", (alias, context))

    def aliased(self, alias: str) -> list[str]:
        """The contexts of an alias, the latest last."""
        rows = self._connection.execute("SELECT context FROM aliases WHERE alias = ? ORDER BY rowid", (alias,))
        return [row["context"] for row in rows]

    # --- evaluations -----------------------------------------------------------------------------------

    def add_measurement(
        self,
        device: str,
        architecture: object,
        result: Measurement | Failure,
        candidates: CandidateLimits = CandidateLimits(),
    ) -> None:
        """Keep a network's costs and latency on a device, or why it has none by the limits of `candidates`."""
        context = _context(device, result, candidates)
        values: dict[str, Any] = {"context": context, "architecture": str(architecture), "created": _now()}
        if isinstance(result, Failure):
            values["failure"] = json.dumps(asdict(result))
        else:
            names = ("latency_ms", "low_ms", "high_ms", "ratio", "seconds", "precise", "load")
            values |= {name: getattr(result, name) for name in names} | asdict(result.cost)
            values["samples"] = json.dumps(result.samples)
        self._insert("measurements", values)

    def add_training(
        self,
        proxy: str,
        architecture: Architecture,
        result: Training | Failure,
        candidates: CandidateLimits = CandidateLimits(),
    ) -> None:
        """Keep the outcome of an architecture's training on a proxy task by the limits of `candidates`."""
        context = _context(proxy, result, candidates)
        values: dict[str, Any] = {"context": context, "architecture": str(architecture), "created": _now()}
        if isinstance(result, Failure):
            values["failure"] = json.dumps(asdict(result))
        else:
            values |= {"accuracy": result.accuracy, "losses": json.dumps(result.losses), "seconds": result.seconds}
        self._insert("trainings", values)

    def add_cut(self, run: str, architecture: Architecture, cut: Cut) -> None:
        """Keep what is left of a training that a run cut off; others must train the network in full."""
        values = asdict(cut) | {"losses": json.dumps(cut.losses)}
        self._insert("cuts", {"run": run, "architecture": str(architecture), **values, "created": _now()})

    def evaluation(
        self,
        training_context: str,
        measurement_context: str,
        architecture: Architecture,
        candidates: CandidateLimits = CandidateLimits(),
        run: str | None = None,
    ) -> NetworkEvaluation:
        """Return what is known of a network; a half that is not there yet is None.

        Args:
            training_context: The context of its training.
            measurement_context: The context of its measurement.
            architecture: The network.
            candidates: What a candidate may take: a failure by these limits comes before anything else.
            run: The run whose trainings that were cut off count: they stay so for it, whoever trained that network in
                full since. None where nobody's do.
        """
        notation = str(architecture)
        measurement = _read_measurement(self._half("measurements", measurement_context, notation, candidates))
        cut = None if run is None else self._row("cuts", run=run, architecture=notation)
        if cut is not None:
            left = Cut(tuple(json.loads(cut["losses"])), cut["error"], cut["seconds"])
            return NetworkEvaluation(architecture, measurement, left)
        training = _read_training(self._half("trainings", training_context, notation, candidates))
        return NetworkEvaluation(architecture, measurement, training)

    def _half(self, table: str, context: str, notation: str, candidates: CandidateLimits) -> sqlite3.Row | None:
        """Return a half's row: a failure by these limits before anything else, since it is what a run was told."""
        for key in (_limited(context, candidates), context):
            row = self._row(table, context=key, architecture=notation)
            if row is not None:
                return row
        return None

    def add_full_training(self, context: str, network: object, result: FullTraining | Failure) -> None:
        """Keep the outcome of the full training of an architecture, or of another network by its notation."""
        values: dict[str, Any] = {"context": context, "network": str(network), "created": _now()}
        if isinstance(result, Failure):
            values["failure"] = json.dumps(asdict(result))
        else:
            values |= asdict(result.score) | {"losses": json.dumps(result.losses), "seconds": result.seconds}
        self._insert("full_trainings", values)

    def full_training(self, context: str, network: object) -> FullTraining | Failure | None:
        """The outcome of a network's full training; None where there was none."""
        row = self._row("full_trainings", context=context, network=str(network))
        return None if row is None else _read_full_training(row)

    def full_trainings(self, context: str) -> dict[str, FullTraining | Failure]:
        """The outcomes of all full trainings of a context, by the networks' notations."""
        rows = self._connection.execute("SELECT * FROM full_trainings WHERE context = ? ORDER BY created", (context,))
        return {row["network"]: _read_full_training(row) for row in rows}

    def measurement(self, device: str, network: object) -> Measurement | Failure | None:
        """A network's costs and latency on a device, whatever a candidate may take."""
        return _read_measurement(self._row("measurements", context=device, architecture=str(network)))

    def add_lookups(self, table: str, results: Iterable[TabularEvaluation]) -> None:
        """Keep what a table says of networks, so that runs can be read without it."""
        self._insert("lookups", *(_lookup_row(table, one) for one in results))

    def lookup(self, table: str, architecture: TabularArchitecture) -> TabularEvaluation | None:
        """What a table said of a network; None where it was not asked."""
        row = self._row("lookups", context=table, architecture=str(architecture))
        return None if row is None else _read_lookup(architecture, row["content"])

    # --- runs --------------------------------------------------------------------------------------------

    def add_run(self, record: RunRecord) -> None:
        """Keep a new run's settings."""
        self._insert("runs", record.to_row())

    def run(self, run: str) -> RunRecord:
        """A run's settings.

        Raises:
            InputError: The archive has no such run.
        """
        row = self._row("runs", id=run)
        if row is None:
            raise InputError(f"the archive {self.path} has no run {run}: it is not the archive of this folder")
        return RunRecord.from_row(dict(row))

    def add_asks(self, run: str, asks: Iterable[Ask]) -> None:
        """Keep that a run's algorithm asked for architectures."""
        self._insert("asks", *({"run": run, **asdict(ask)} for ask in asks))

    def asks(self, run: str) -> list[Ask]:
        """All that a run's algorithm asked for, in order."""
        rows = self._connection.execute("SELECT * FROM asks WHERE run = ? ORDER BY position", (run,))
        return [Ask(row["position"], row["generation"], row["architecture"]) for row in rows]

    def add_tell(self, run: str, tell: Tell) -> None:
        """Keep that a run's algorithm was told a result."""
        self._insert("tells", {"run": run, **asdict(tell)})

    def tells(self, run: str) -> list[Tell]:
        """All that a run's algorithm was told one by one, in order."""
        rows = self._connection.execute("SELECT * FROM tells WHERE run = ? ORDER BY number", (run,))
        return [Tell(row["number"], row["asks"], row["ask"]) for row in rows]

    def add_generations(self, run: str, records: Iterable[GenerationRecord]) -> None:
        """Keep that generations were told, in place of what was kept of one that had been told in part."""
        rows = (asdict(record) | {"metrics": json.dumps(record.metrics)} for record in records)
        self._insert("generations", *({"run": run, **row} for row in rows), otherwise="REPLACE")

    def generations(self, run: str) -> list[GenerationRecord]:
        """All generations that a run has told, in order; runs of older versions kept none."""
        rows = self._connection.execute("SELECT * FROM generations WHERE run = ? ORDER BY generation", (run,))
        return [GenerationRecord(row["generation"], row["seconds"], json.loads(row["metrics"])) for row in rows]


def _address(path: Path | str) -> str:
    """An archive as a URI. On a read-only disk nobody writes, and SQLite must not look for a journal to share."""
    if str(path) == ":memory:":
        return "file::memory:"
    place = Path(path).resolve()
    journal = place.with_name(f"{place.name}-wal")
    frozen = place.is_file() and not os.access(place.parent, os.W_OK) and not journal.exists()
    return place.as_uri() + ("?immutable=1" if frozen else "")


def _limited(context: str, candidates: CandidateLimits) -> str:
    """The context of failures that may come of what a candidate may take: with other limits it may go well.

    Want of memory has many faces: native code ends its process, or says that it could not make something.
    """
    return f"{context} {candidates.to_json()}"


def _context(context: str, result: Measurement | Training | Failure, candidates: CandidateLimits) -> str:
    limited = isinstance(result, Failure) and result.kind not in ("diverged", "mismatch")
    return _limited(context, candidates) if limited else context


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _read_measurement(row: sqlite3.Row | None) -> Measurement | Failure | None:
    if row is None:
        return None
    if row["failure"]:
        return Failure(**json.loads(row["failure"]))
    cost = Cost(row["params"], row["macs"], row["se_macs"])
    samples = tuple(json.loads(row["samples"]))
    return Measurement(
        cost, row["latency_ms"], row["low_ms"], row["high_ms"], row["ratio"], samples, row["seconds"],
        row["precise"] != 0, row["load"],
    )  # fmt: skip


def _lookup_row(table: str, result: TabularEvaluation) -> dict[str, Any]:
    content = asdict(result)
    del content["architecture"], content["violation"]  # limits are the problem's, not the table's
    return {"context": table, "architecture": str(result.architecture), "content": json.dumps(content)}


def _read_lookup(architecture: TabularArchitecture, text: str) -> TabularEvaluation:
    content = json.loads(text)
    losses, relative = (content[name] and tuple(content[name]) for name in ("losses", "relative_losses"))
    failure = content["failure"] and Failure(**content["failure"])
    return TabularEvaluation(architecture, losses, relative, content["quantities"], failure)


def _read_training(row: sqlite3.Row | None) -> Training | Failure | None:
    if row is None:
        return None
    if row["failure"]:
        return Failure(**json.loads(row["failure"]))
    return Training(row["accuracy"], tuple(json.loads(row["losses"])), row["seconds"])


def _read_full_training(row: sqlite3.Row) -> FullTraining | Failure:
    if row["failure"]:
        return Failure(**json.loads(row["failure"]))
    return FullTraining(Score(row["correct"], row["images"]), tuple(json.loads(row["losses"])), row["seconds"])
