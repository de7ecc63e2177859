"""The table of a network's exported files, `exports.json` in its folder."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pydantic import TypeAdapter, ValidationError

from evomnas.core.errors import InputError
from evomnas.problem.sections import ScoreName
from evomnas.results.evaluation import Score

EXPORTS_FILE, FIGURE_FILE = "exports.json", "exports.svg"
INT8 = "int8"  # at the end of the name of a variant
ANY_SIZE, ANY_BATCH = "any size", "any batch"  # in the name of a variant, and texts that the file holds
FILE_NAME = re.compile(r"model[-_][\w.+-]+")


class MeasuredFile(Protocol):
    """An exported file with its latency, of whatever network; see `Export`."""

    @property
    def file(self) -> str:
        """Its name."""

    @property
    def format(self) -> str:
        """The name of its format."""

    @property
    def variant(self) -> str:
        """`float`, `int8` and so on."""

    @property
    def latency_ms(self) -> float | None:
        """The latency in milliseconds; None if it could not be measured."""

    @property
    def low_ms(self) -> float | None:
        """The lower end of its 95 % interval."""

    @property
    def high_ms(self) -> float | None:
        """The upper end of its 95 % interval."""


@dataclass(frozen=True)
class Export:
    """An exported file and its figures, a row of `exports.json`.

    Attributes:
        file: The name of the file, in the network's folder.
        format: `onnx`, `executorch`, `litert`, `python` or `torch-export`.
        variant: `float`, `int8`, `pruned 50 %, int8` and so on.
        correct: The number of test images that it classifies correctly, in its runtime.
        images: The number of test images.
        agreement: The share of the test images that get the same class as from the trained network in PyTorch.
        latency_ms: The latency in milliseconds; None if it could not be measured, and of files for PyTorch.
        low_ms: The lower end of its 95 % interval; None if it could not be measured.
        high_ms: The upper end of its 95 % interval; None if it could not be measured.
        bytes: The size of the file.
        packed_bytes: The size of the file after deflate, which is what a download or an installation package takes.
        huffman_bytes: The size of the file with Huffman-coded int8 weights; None if it was not asked for.
        source: A hash of the weights and test images that these figures are of; empty if unknown.
        balanced_accuracy: The mean recall of the classes; None in tables of older versions.
        macro_f1: The mean F1 of the classes; None in tables of older versions.
    """

    file: str
    format: str
    variant: str
    correct: int
    images: int
    agreement: float
    latency_ms: float | None
    low_ms: float | None
    high_ms: float | None
    bytes: int
    packed_bytes: int
    huffman_bytes: int | None = None
    source: str = ""
    balanced_accuracy: float | None = None
    macro_f1: float | None = None

    @property
    def has_own_name(self) -> bool:
        """Whether the file is called as evomnas calls its files. The table may have been written by anybody."""
        return FILE_NAME.fullmatch(self.file) is not None

    @property
    def score(self) -> Score:
        """The score on the test images."""
        return Score(self.correct, self.images)

    def score_of(self, name: ScoreName) -> float | None:
        """Return a score on the test images; None where an older version did not keep it.

        Args:
            name: The score.
        """
        return {
            "accuracy": self.score.accuracy, "balanced-accuracy": self.balanced_accuracy, "macro-f1": self.macro_f1,
        }[name]  # fmt: skip


def read_exports(folder: Path) -> list[Export]:
    """Read the table of a network's exports.

    Args:
        folder: The network's folder.

    Returns:
        The exports; none if there is no table.

    Raises:
        InputError: The table cannot be read.
    """
    try:
        return TypeAdapter(list[Export]).validate_json((folder / EXPORTS_FILE).read_bytes())
    except FileNotFoundError:
        return []
    except (OSError, ValidationError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not a table that evomnas export wrote"
        raise InputError(f"cannot read {folder / EXPORTS_FILE}: {reason}; remove it, and export again") from None


def slow_int8_files(
    exports: Sequence[MeasuredFile], formats: Sequence[str], limit_ms: float | None, was_searched_in_float: bool
) -> list[str]:
    """Return a line for each int8 file that is slower than its float file, or beyond the latency limit of the search.

    Args:
        exports: The exports of a network.
        formats: The names of the formats that the runtime of the search runs: its limit counts in these.
        limit_ms: The limit in milliseconds; None without one.
        was_searched_in_float: Whether the search measured float files.
    """
    files = {(export.format, export.variant): export for export in exports}
    lines = []
    for export in exports:
        if not export.variant.endswith(INT8) or export.latency_ms is None:
            continue
        plain = files.get((export.format, export.variant.removesuffix(INT8).removesuffix(", ") or "float"))
        if plain is not None and plain.latency_ms is not None and (export.low_ms or 0) > (plain.high_ms or 0):
            share = export.latency_ms / plain.latency_ms - 1
            lines.append(f"{export.file} is {share:.0%} slower than {plain.file} on this device")
        if limit_ms is not None and export.format in formats and export.latency_ms > limit_ms:
            line = f"{export.file} takes {export.latency_ms:.4f} ms, beyond constraints.max_latency_ms = {limit_ms:g}"
            hint = ": a search with latency.precision = 'int8' keeps it for int8 files" if was_searched_in_float else ""
            lines.append(line + hint)
    return lines
