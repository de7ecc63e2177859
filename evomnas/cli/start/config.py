"""Show defaults of options with the files that set them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from evomnas.cli.app import app, reported
from evomnas.cli.options import FormatOption
from evomnas.cli.output import PlainFormat, print_columns
from evomnas.cli.start.config_files import OUTSIDE, config_paths, options_of, read_settings
from evomnas.core.errors import unknown

Row = dict[str, Any]
BUILT_IN = "built in"


@app.command()
@reported
def config(
    context: typer.Context,
    command: Annotated[
        str | None,
        typer.Argument(metavar="[COMMAND]", help="Show all options of this command, those of no file as well."),
    ] = None,
    output: FormatOption = PlainFormat.TABLE,
) -> None:
    """Show the defaults of options that files set, and where."""
    group = context.parent.command if context.parent is not None else None
    rows = _set_rows(group) if command is None else _all_rows(group, command)
    if output is PlainFormat.JSON:
        typer.echo(json.dumps(rows, indent=2))
        return
    if rows:
        header = ("command", "option", "value", "origin")
        print_columns(header, [tuple(_shown(row[name]) for name in header) for row in rows], left=4)
    for line in _places():
        typer.echo(line)


def _set_rows(group: Any) -> list[Row]:
    """Return the defaults that files set."""
    return [
        {"command": one.command, "option": f"--{one.option}", "value": one.value, "origin": str(one.file)}
        for one in read_settings(group)
    ]


def _all_rows(group: Any, command: str) -> list[Row]:
    """Return all options of a command."""
    commands = {name: one for name, one in group.commands.items() if name not in OUTSIDE}
    if command not in commands:
        raise unknown("command", command, commands)
    rows = {row["option"]: row for row in _set_rows(group) if row["command"] == command}
    for name, option in options_of(commands[command]).items():
        built_in = {"command": command, "option": f"--{name}", "value": _plain(option.default), "origin": BUILT_IN}
        rows.setdefault(f"--{name}", built_in)
    return [rows[name] for name in sorted(rows)]


def _plain(value: Any) -> Any:
    """Return a default as JSON has it."""
    return value if isinstance(value, str | int | float | list | None) else str(value)


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return (
        ", ".join(map(str, value))
        if isinstance(value, list)
        else str(value).lower()
        if isinstance(value, bool)
        else str(value)
    )


def _places() -> list[str]:
    """Return in words which files are read."""
    places = config_paths()
    user, project = places[0], places[1] if len(places) > 1 else Path("pyproject.toml")
    found = "" if user.is_file() else ", which is not there"
    return [
        f"User:    {user}{found}",
        f"Project: {project}, its table tool.evomnas" if len(places) > 1 else f"Project: no {project} here or above",
    ]
