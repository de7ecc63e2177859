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
PARTS = {  # columns of lists that have one number per cell
    "losses": ("loss_1", "loss_2"),
    "latency_ci": ("latency_low_ms", "latency_high_ms"),
    "test_interval": ("test_low", "test_high"),
    "test_score_interval": ("test_score_low", "test_score_high"),
}


def flat_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row in which each number of a list has a key of its own (`PARTS`).

    Args:
        row: Values by key, as `evomnas.results.run.Result.to_dict` returns them.
    """
    flat: dict[str, Any] = {}
    for key, value in row.items():
        names = PARTS.get(key)
        flat |= {key: value} if names is None else dict(zip(names, value or (None,) * len(names), strict=True))
    return flat


def to_csv(rows: Sequence[Mapping[str, Any]], first: Sequence[str] = ()) -> str:
    """Return rows as CSV with a header. Of a list, each number has a column of its own (`PARTS`).

    Args:
        rows: Values by `COLUMNS`, and those of `Result.to_dict` that are new.
        first: Columns before these.
    """
    buffer = io.StringIO()
    keys = [*first, *COLUMNS, "test_accuracy", "test_interval", "score", "score_error", "validation_loss"]
    keys += ["test_score", "test_score_interval"]
    columns = [column for key in keys for column in PARTS.get(key, (key,))]
    writer = csv.DictWriter(buffer, columns, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    for row in rows:
        writer.writerow(flat_row(row))
    return buffer.getvalue()
