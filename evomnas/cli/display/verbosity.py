"""How much commands show while they work."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from evomnas.core.errors import InputError

QuietOption = Annotated[
    bool, typer.Option("--quiet", "-q", help="Show no progress and no notes: the result alone, and errors.")
]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Show a line for each network as well.")]
JsonLinesOption = Annotated[
    bool, typer.Option("--json", help="Print progress and result as JSON, one object a line, for scripts.")
]


class Verbosity(StrEnum):
    """The ways to show a search: its result alone, its progress, each network as well, or JSON for scripts."""

    QUIET = "--quiet"
    NORMAL = ""
    VERBOSE = "--verbose"
    JSON = "--json"


def choose_verbosity(quiet: bool, verbose: bool, json_lines: bool) -> Verbosity:
    """Return how much is to be shown.

    Args:
        quiet: Whether `--quiet` was typed.
        verbose: Whether `--verbose` was.
        json_lines: Whether `--json` was.

    Raises:
        InputError: More than one of them was.
    """
    wanted = {Verbosity.QUIET: quiet, Verbosity.VERBOSE: verbose, Verbosity.JSON: json_lines}
    typed = [verbosity for verbosity, is_typed in wanted.items() if is_typed]
    if len(typed) > 1:
        raise InputError(f"{' and '.join(typed)} exclude each other: drop all but one")
    return typed[0] if typed else Verbosity.NORMAL
