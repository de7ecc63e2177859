"""Results as plain aligned columns, which survive pipes and mail; and a line that says what is going on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from evomnas.results.run import Result, Run

LINE_EVERY_S = 20.0  # where progress goes to a file


class PlainFormat(StrEnum):
    """How what has no rows of results is printed."""

    TABLE = "table"
    JSON = "json"


def print_results(run: Run, results: Sequence[Result]) -> None:
    """Evaluated networks of a run."""
    from evomnas.report.words import result_table

    if not results:
        typer.echo("No network has been evaluated successfully yet.")
        return
    header, rows = result_table(run, results)
    print_columns(header, rows, left=1)


def print_columns(header: tuple[str, ...], rows: Sequence[tuple[str, ...]], left: int) -> None:
    """Rows under a header: the first `left` columns to the left, the rest to the right."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    for row in (header, *rows):
        cells = [
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        typer.echo("  ".join(cells).rstrip())


@contextmanager
def working() -> Iterator[Callable[[str], None]]:
    """A line on standard error that says what is going on, on a terminal alone; it does not move by itself."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda text: None
        return
    with console.status("starting", spinner="line", refresh_per_second=0.01) as status:
        yield status.update
