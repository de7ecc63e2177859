"""Rows with one value per cell, and tables of them as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

COLUMNS = (
    "id",
    "architecture",
    "status",
    "losses",
    "accuracy",
    "latency_ms",
    "latency_ci",
    "params",
    "macs",
    "on_front",
    "order",
)
PARTS = {  # columns of lists that have one number per cell; of more losses, loss_3 and so on
    "losses": ("loss_1", "loss_2"),
    "latency_ci": ("latency_low_ms", "latency_high_ms"),
    "test_interval": ("test_low", "test_high"),
    "test_score_interval": ("test_score_low", "test_score_high"),
}

WHERE_KNOWN = ("peak_kb", "file_kb", "expected_score", "front_chance")  # columns of some runs only


def flat_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row in which each number of a list has a key of its own (`PARTS`).

    Args:
        row: Values by key, as `evomnas.results.run.Result.to_dict` returns them.
    """
    flat: dict[str, Any] = {}
    for key, value in row.items():
        names = _part_names(key, len(value) if isinstance(value, list) else 0)
        flat |= {key: value} if names is None else dict(zip(names, value or (None,) * len(names), strict=True))
    return flat


def _part_names(key: str, numbers: int) -> tuple[str, ...] | None:
    """Return the keys of the numbers of a list; None of what is no list."""
    if key == "losses" and numbers > 2:
        return tuple(f"loss_{number}" for number in range(1, numbers + 1))
    return PARTS.get(key)


def to_csv(rows: Sequence[Mapping[str, Any]], first: Sequence[str] = ()) -> str:
    """Return rows as CSV with a header. Of a list, each number has a column of its own (`PARTS`).

    Args:
        rows: Values by `COLUMNS`, and those of `Result.to_dict` that are new.
        first: Columns before these.
    """
    buffer = io.StringIO()
    keys = [*first, *COLUMNS, "test_accuracy", "test_interval", "score", "score_error", "validation_loss"]
    keys += ["test_score", "test_score_interval"]
    keys += [key for key in WHERE_KNOWN if any(row.get(key) is not None for row in rows)]
    keys += ["trainings"] * any(row.get("trainings", 0) > 1 for row in rows)
    objectives = max((len(row.get("losses") or ()) for row in rows), default=0)
    columns = [column for key in keys for column in _part_names(key, objectives) or (key,)]
    writer = csv.DictWriter(buffer, columns, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    for row in rows:
        writer.writerow(flat_row(row))
    return buffer.getvalue()
