"""Tables: complete or partial records of a space's networks, as NAS benchmarks publish them.

A table is a CSV file with a header, or a JSON file: a list of objects, or an object of objects whose keys
are genomes written one character per gene. Some columns are genes, others are objectives. Values of genes are
text; a gene's choices are its values in the table, numbers in their order and then words.

Looking a network up costs microseconds, so that searches can be studied by the thousand; and where a table holds
every network of its space, the true Pareto front is known.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evomnas.core.errors import InputError, unknown
from evomnas.problem.tabular_space import TabularArchitecture, TabularSpace

MAX_GENE_CHARACTERS = 64
SEPARATORS = ("-", "_", "/", "|")


class Table:
    """A table that was read: its space and, row by row, what it says of every network.

    Attributes:
        space: The genes.
        columns: The objectives' values as they stand in the file, shape (n, 2); NaN where it has none. Rows of one
            network, as of a benchmark that repeats trainings, are averaged.
        fingerprint: A hash of the genes and these values.
    """

    def __init__(
        self,
        path: Path,
        genes: Sequence[str],
        objectives: Sequence[str],
        reference: str | None = None,
        genes_per_block: int = 1,
    ) -> None:
        """Read a file.

        Args:
            path: The file.
            genes: Columns that are genes; none where the keys of a JSON file hold them.
            objectives: The two columns that are objectives.
            reference: The reference network's name; by default the network whose second objective is the median.
            genes_per_block: So many neighbouring genes describe one block together.

        Raises:
            InputError: The file cannot be read or is not such a table; the message says why.
        """
        self.path = path
        names, values = _parse(path, genes, objectives)
        if len(names[0]) % genes_per_block:
            raise InputError(f"table.genes_per_block is {genes_per_block}, and {path} has {len(names[0])} genes")
        choices = [sorted(set(column), key=_order) for column in zip(*names, strict=True)]
        places = [{value: place for place, value in enumerate(column)} for column in choices]
        genomes = np.array([[p[v] for p, v in zip(places, row, strict=True)] for row in names], dtype=np.int64)
        rows, group = np.unique(genomes, axis=0, return_inverse=True)
        self.columns: NDArray[np.float64] = _means(values, group.reshape(-1), len(rows))
        separator = _separator(path, choices)
        row_names = [separator.join(c[g] for c, g in zip(choices, row, strict=True)) for row in rows]
        self._rows = {name: number for number, name in enumerate(row_names)}
        self.space = TabularSpace(choices, rows, self._reference_row(reference), genes_per_block, separator)
        content = json.dumps([row_names, self.columns.tolist()])
        self.fingerprint = hashlib.blake2b(content.encode(), digest_size=12).hexdigest()

    def _reference_row(self, reference: str | None) -> int:
        if reference is None:
            known = np.flatnonzero(np.isfinite(self.columns).all(axis=1))
            return int(known[np.argsort(self.columns[known, 1], kind="stable")[(len(known) - 1) // 2]])
        if reference not in self._rows:
            raise InputError(f"table.reference: {self.path} has no network {reference!r}")
        return self._rows[reference]

    @cached_property
    def complete(self) -> bool:
        """Whether every genome of the space has a row with both objectives."""
        return len(self.columns) == self.space.genomes and bool(np.isfinite(self.columns).all())

    def row(self, architecture: TabularArchitecture) -> NDArray[np.float64] | None:
        """The objectives' values of a network, shape (2,); None where the table lacks the network or one of them."""
        number = self._rows.get(architecture.name)
        return None if number is None or not np.isfinite(self.columns[number]).all() else self.columns[number]


def _means(values: NDArray[np.float64], group: NDArray[np.int64], groups: int) -> NDArray[np.float64]:
    """Means of the values that there are, shape (groups, 2), over the rows of each group; NaN where there is none."""
    known = np.isfinite(values)
    sums, counts = np.zeros((groups, 2)), np.zeros((groups, 2))
    np.add.at(sums, group, np.where(known, values, 0.0))
    np.add.at(counts, group, known)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _separator(path: Path, choices: Sequence[Sequence[str]]) -> str:
    """What joins genes' values to a network's name, so that no two networks share one; nothing between characters."""
    values = [value for column in choices for value in column]
    if all(len(value) == 1 for value in values):
        return ""
    for separator in SEPARATORS:
        if not any(separator in value for value in values):
            return separator
    raise InputError(f"values of genes of {path} hold each of {' '.join(SEPARATORS)}, which join them: rename some")


def _order(value: str) -> tuple[bool, float, str]:
    number = _number(value)
    return number is None, 0.0 if number is None else number, value


def _number(text: object) -> float | None:
    """A finite number; None for anything else."""
    try:
        number = float(text) if isinstance(text, str | int | float) and not isinstance(text, bool) else math.nan
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _parse(path: Path, genes: Sequence[str], objectives: Sequence[str]) -> tuple[list[list[str]], NDArray[np.float64]]:
    """Per row its genes' values and its objectives, shape (n, 2); NaN where an objective is empty."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the table {path}: {error}") from None
    keys, rows = _json_rows(path, text) if path.suffix.lower() == ".json" else (None, _csv_rows(path, text))
    if not rows:
        raise InputError(f"the table {path} is empty")
    if not genes and keys is None:
        raise InputError("table.genes is missing: name the columns that are genes")
    for column in (*genes, *objectives):
        if not any(column in row for row in rows):
            raise unknown("column", column, {str(name) for row in rows[:1] for name in row})
    genomes = [[row.get(gene) for gene in genes] for row in rows] if genes else [list(key) for key in keys or ()]
    names = [[_gene(path, value) for value in genome] for genome in genomes]
    if len({len(row) for row in names}) > 1 or not names[0]:
        raise InputError(f"the keys of {path} are not genomes of one length: name the genes' columns in table.genes")
    values = [[math.nan if (n := _number(row.get(name))) is None else n for name in objectives] for row in rows]
    array = np.array(values, dtype=np.float64)
    for name, column in zip(objectives, array.T, strict=True):
        if not np.isfinite(column).any():
            raise InputError(f"the column {name} of {path} holds no number")
    if not np.isfinite(array).all(axis=1).any():
        raise InputError(f"no row of {path} has both {' and '.join(objectives)}")
    return names, array


def _gene(path: Path, value: object) -> str:
    text = str(value).strip()
    if value is None or not text or len(text) > MAX_GENE_CHARACTERS or not text.isprintable():
        raise InputError(f"the table {path} has a row without a value for every gene")
    return text


def _csv_rows(path: Path, text: str) -> list[Mapping[str, Any]]:
    try:
        rows = [row for row in csv.DictReader(text.splitlines(), strict=True) if any(row.values())]
    except csv.Error as error:
        raise InputError(f"the table {path} is not valid CSV: {error}") from None
    if any(None in row for row in rows):
        raise InputError(f"the table {path} has a row with more cells than columns")
    return list(rows)


def _json_rows(path: Path, text: str) -> tuple[list[str] | None, list[Mapping[str, Any]]]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"the table {path} is not valid JSON: {str(error)[:200]}") from None
    keys = list(content) if isinstance(content, dict) else None
    rows = list(content.values()) if isinstance(content, dict) else content
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError(f"the table {path} must be a list of objects, or an object of objects")
    return keys, rows
