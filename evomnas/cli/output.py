"""Results as plain aligned columns, which survive pipes and mail."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from evomnas.results.run import Result, Run


class PlainFormat(StrEnum):
    """The output formats of commands that do not print rows of results."""

    TABLE = "table"
    JSON = "json"


def print_results(run: Run, results: Sequence[Result]) -> None:
    """Print evaluated networks of a run.

    Args:
        run: The run.
        results: Those to print, one row each.
    """
    from evomnas.report.words import result_table

    if not results:
        typer.echo("No network has been evaluated successfully yet.")
        return
    header, rows = result_table(run, results)
    print_columns(header, rows, left=1)


def print_columns(header: tuple[str, ...], rows: Sequence[tuple[str, ...]], left: int) -> None:
    """Print rows under a header.

    Args:
        header: The titles of the columns.
        rows: The cells of each row, as many as there are titles.
        left: The number of columns, from the first, that are aligned to the left. The others are aligned to the right.
    """
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    for row in (header, *rows):
        cells = [
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        typer.echo("  ".join(cells).rstrip())
