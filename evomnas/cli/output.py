"""Results as plain aligned columns, which survive pipes and mail."""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from evomnas.results.run import Result, Run


class Format(StrEnum):
    """The output formats of commands that print rows of results."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


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


def print_csv(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print rows as CSV with a header; nothing where there are none.

    Args:
        rows: Values by the names of their columns, which are the same for all rows.
    """
    if rows:
        writer = csv.DictWriter(sys.stdout, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def open_page(page: Path) -> None:
    """Open a page in the user's browser, or say on standard error that there is none.

    Args:
        page: The HTML file.
    """
    import webbrowser

    from evomnas.core.system.machine import has_desktop

    try:  # elsewhere than on a desktop the browsers that are left draw on the terminal
        is_open = has_desktop() and webbrowser.open(page.resolve().as_uri())
    except webbrowser.Error:
        is_open = False
    if not is_open:
        typer.echo(f"There is no browser here: open {page.resolve()} on a machine that has one.", err=True)


def one_line(text: str) -> str:
    """Return a text from outside on one line, without what would steer the terminal.

    Args:
        text: The text.
    """
    return "".join(character if character.isprintable() else "?" for character in " ".join(text.split()))
