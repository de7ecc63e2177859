"""Tables: records of a space's networks, complete or partial, as NAS benchmarks publish them.

A table is a CSV file with a header, or a JSON file. A JSON file holds a list of objects, or an object of objects whose
keys are genomes, written with one character per gene. Some columns are genes, others are objectives. Genes' values
are text. A gene's choices are the values in its column: numbers come first, in their order, and then words.

Looking a network up takes microseconds, so searches can be studied by the thousand. Where a table holds every network
of its space, the true Pareto front is known.
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
GENE_SEPARATORS = ("-", "_", "/", "|")


class Table:
    """The content of a table file: its space, and the objectives of each of its networks.

    Attributes:
        path: The file.
        space: The genes, their choices, and the genomes of the table's networks.
        columns: The m objectives of each network, as they stand in the file, shape (networks, m); NaN where the file
            has no number. Several rows of one network, as of a benchmark that repeats trainings, are averaged.
        fingerprint: A hash of the networks' names and these values, 24 hexadecimal digits.
    """

    def __init__(
        self,
        path: Path,
        genes: Sequence[str],
        objectives: Sequence[str],
        reference: str | None = None,
        genes_per_block: int = 1,
    ) -> None:
        """Read a table file.

        Args:
            path: The file.
            genes: The columns that are genes; none where the keys of a JSON file are the genomes.
            objectives: The columns that are objectives, two or more.
            reference: Name of the reference network. None stands for the network whose second objective is the median.
            genes_per_block: Number of neighbouring genes that describe one block together.

        Raises:
            InputError: The file cannot be read or is not such a table, or it has no network of the name `reference`;
                the message says why.
        """
        self.path = path
        gene_values, objective_values = _parse(path, genes, objectives)
        if len(gene_values[0]) % genes_per_block:
            raise InputError(f"table.genes_per_block is {genes_per_block}, and {path} has {len(gene_values[0])} genes")
        choices = [sorted(set(column), key=_order) for column in zip(*gene_values, strict=True)]
        indices = [{value: index for index, value in enumerate(column)} for column in choices]
        genomes = np.array(
            [[index[value] for index, value in zip(indices, row, strict=True)] for row in gene_values], dtype=np.int64
        )
        rows, row_of_genome = np.unique(genomes, axis=0, return_inverse=True)
        self.columns: NDArray[np.float64] = _group_means(objective_values, row_of_genome.reshape(-1), len(rows))
        separator = _separator(path, choices)
        names = [separator.join(values[gene] for values, gene in zip(choices, row, strict=True)) for row in rows]
        self._row_by_name = {name: number for number, name in enumerate(names)}
        self.space = TabularSpace(choices, rows, self._reference_row(reference), genes_per_block, separator)
        content = json.dumps([names, self.columns.tolist()])
        self.fingerprint = hashlib.blake2b(content.encode(), digest_size=12).hexdigest()

    def _reference_row(self, reference: str | None) -> int:
        if reference is None:
            known = np.flatnonzero(np.isfinite(self.columns).all(axis=1))
            return int(known[np.argsort(self.columns[known, 1], kind="stable")[(len(known) - 1) // 2]])
        if reference not in self._row_by_name:
            raise InputError(f"table.reference: {self.path} has no network {reference!r}")
        return self._row_by_name[reference]

    @cached_property
    def complete(self) -> bool:
        """True where every genome of the space has a row with all objectives."""
        return len(self.columns) == self.space.genomes and bool(np.isfinite(self.columns).all())

    def row(self, architecture: TabularArchitecture) -> NDArray[np.float64] | None:
        """Return the objectives of a network.

        Args:
            architecture: The network.

        Returns:
            The values as they stand in the file, shape (m,); None where the table lacks the network or one of them.
        """
        number = self._row_by_name.get(architecture.name)
        return None if number is None or not np.isfinite(self.columns[number]).all() else self.columns[number]


def _group_means(values: NDArray[np.float64], group: NDArray[np.int64], groups: int) -> NDArray[np.float64]:
    """Average rows by group, leaving out what is not finite.

    Args:
        values: Shape (n, m).
        group: The group of each row, shape (n,).
        groups: Number of groups.

    Returns:
        Shape (groups, m); NaN where a group has no finite value.
    """
    known = np.isfinite(values)
    sums, counts = np.zeros((groups, values.shape[1])), np.zeros((groups, values.shape[1]))
    np.add.at(sums, group, np.where(known, values, 0.0))
    np.add.at(counts, group, known)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _separator(path: Path, choices: Sequence[Sequence[str]]) -> str:
    """Choose the separator that joins the values of genes to a network's name, so that no two networks share a name.

    Values of a single character each need none. Otherwise it is the first separator that no value contains.
    """
    values = [value for column in choices for value in column]
    if all(len(value) == 1 for value in values):
        return ""
    for separator in GENE_SEPARATORS:
        if not any(separator in value for value in values):
            return separator
    raise InputError(
        f"values of genes of {path} hold each of {' '.join(GENE_SEPARATORS)}, which join them: rename some"
    )


def _order(value: str) -> tuple[bool, float, str]:
    """Return a key that sorts numbers by value, and words behind them."""
    number = _number(value)
    return number is None, 0.0 if number is None else number, value


def _number(text: object) -> float | None:
    """Return a finite number from a cell of the table; None for anything else."""
    try:
        number = float(text) if isinstance(text, str | int | float) and not isinstance(text, bool) else math.nan
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _parse(path: Path, genes: Sequence[str], objectives: Sequence[str]) -> tuple[list[list[str]], NDArray[np.float64]]:
    """Read the rows of a file.

    Returns:
        The values of the genes, row by row; and the m objectives, shape (n, m), NaN where one is empty.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"cannot read the table {path}: it does not exist; --data FILE says where it is") from None
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
    gene_values = [[_gene(path, value) for value in genome] for genome in genomes]
    if len({len(row) for row in gene_values}) > 1 or not gene_values[0]:
        raise InputError(f"the keys of {path} are not genomes of one length: name the genes' columns in table.genes")
    numbers = [[_number(row.get(name)) for name in objectives] for row in rows]
    values = np.array([[math.nan if number is None else number for number in row] for row in numbers], dtype=np.float64)
    for name, column in zip(objectives, values.T, strict=True):
        if not np.isfinite(column).any():
            raise InputError(f"the column {name} of {path} holds no number")
    if not np.isfinite(values).all(axis=1).any():
        every = "both" if len(objectives) == 2 else "all of"
        raise InputError(f"no row of {path} has {every} {' and '.join(objectives)}")
    return gene_values, values


def _gene(path: Path, value: object) -> str:
    """Return the value of a gene as text, without blanks around it."""
    text = str(value).strip()
    if value is None or not text or len(text) > MAX_GENE_CHARACTERS or not text.isprintable():
        raise InputError(f"the table {path} has a row without a value for every gene")
    return text


def _csv_rows(path: Path, text: str) -> list[Mapping[str, Any]]:
    """Return the rows of a CSV file by column; empty rows are left out."""
    try:
        rows = [row for row in csv.DictReader(text.splitlines(), strict=True) if any(row.values())]
    except csv.Error as error:
        raise InputError(f"the table {path} is not valid CSV: {error}") from None
    if any(None in row for row in rows):
        raise InputError(f"the table {path} has a row with more cells than columns")
    return list(rows)


def _json_rows(path: Path, text: str) -> tuple[list[str] | None, list[Mapping[str, Any]]]:
    """Return the keys of a JSON file that is an object, None for a list; and its rows by column."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"the table {path} is not valid JSON: {str(error)[:200]}") from None
    keys = list(content) if isinstance(content, dict) else None
    rows = list(content.values()) if isinstance(content, dict) else content
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError(f"the table {path} must be a list of objects, or an object of objects")
    return keys, rows
