"""Results as plain aligned columns: they survive pipes and mail."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import typer


def print_results(rows: list[dict[str, Any]]) -> None:
    """Evaluated networks, as `Result.to_dict` makes them."""
    if not rows:
        typer.echo("No network has been evaluated successfully yet.")
        return
    header = ("id", "accuracy", "latency ms", "95 % interval", "parameters", "MACs", "status")
    table = []
    for row in rows:
        interval = row["latency_ci"] and f"{row['latency_ci'][0]:.4f} to {row['latency_ci'][1]:.4f}"
        accuracy = None if row["accuracy"] is None else f"{row['accuracy']:.2%}"
        latency = None if row["latency_ms"] is None else f"{row['latency_ms']:.4f}"
        counts = [None if row[name] is None else f"{row[name]:,}" for name in ("params", "macs")]
        status = "front" if row["on_front"] else row["status"]
        table.append(tuple(cell or "-" for cell in (row["id"], accuracy, latency, interval, *counts, status)))
    print_columns(header, table, left=1)


def print_columns(header: tuple[str, ...], rows: Sequence[tuple[str, ...]], left: int) -> None:
    """Rows under a header: the first `left` columns to the left, the rest to the right."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    for row in (header, *rows):
        cells = [
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        typer.echo("  ".join(cells).rstrip())
