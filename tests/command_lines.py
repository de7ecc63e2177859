"""Command lines of `evomnas` as texts, read by the parser of the real command. Nothing is run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from itertools import takewhile
from typing import Any

import typer

from evomnas.cli import compare, deploy, measure, predict, runs, search, show  # noqa: F401 they register themselves
from evomnas.cli.app import app
from evomnas.cli.detection import detect  # noqa: F401
from evomnas.cli.hubs import push  # noqa: F401
from evomnas.cli.shipping import export  # noqa: F401

UsageError = typer.BadParameter.__base__
END_SIGNS = ",;:).?`"  # of a sentence, or of the part of it that holds the command
CALL = re.compile(r"(?<![\w./-])evomnas (?=[a-z-])")


def parse(line: str) -> tuple[str, dict[str, Any]]:
    """Return the command of a whole line and the values of its arguments and options.

    Raises:
        AssertionError: There is no such command, or it does not take the line.
    """
    program, *words = shlex.split(line, comments=True)
    assert program == "evomnas", line
    return _parse(words)


def _parse(words: list[str]) -> tuple[str, dict[str, Any]]:
    group = typer.main.get_command(app)
    general = list(takewhile(lambda word: word.startswith("-"), words))
    name, *arguments = words[len(general) :] or [""]
    assert name in group.commands, f"there is no command {name!r}: evomnas {shlex.join(words)}"
    try:
        group.make_context("evomnas", [*general, name])
        return name, group.commands[name].make_context(name, arguments).params
    except UsageError as error:
        raise AssertionError(f"{error.format_message()}: evomnas {shlex.join(words)}") from None


def parse_mentions(text: str) -> list[tuple[str, dict[str, Any]]]:
    """Return the commands within sentences, and the values of their arguments and options.

    A command ends where a sentence or a part of it does, or before the words with which the sentence goes on. All
    options of its part belong to it.

    Raises:
        AssertionError: There is no such command, or it does not take its options.
    """
    return [_parse_beginning(list(_words(text[match.end() :]))) for match in CALL.finditer(text)]


def _words(text: str) -> Iterator[str]:
    """Yield the words of the first line or part of a sentence, without the sign at its end."""
    reader = shlex.shlex(text.partition("\n")[0], posix=True, punctuation_chars=False)
    reader.whitespace_split, reader.commenters = True, ""
    while True:
        try:
            word = reader.get_token()
        except ValueError:  # an apostrophe of the sentence
            return
        if word is None:
            return
        if word == ".":  # this folder
            yield word
            continue
        yield word.rstrip(END_SIGNS)
        if word.endswith(tuple(END_SIGNS)):
            return


def _parse_beginning(words: list[str]) -> tuple[str, dict[str, Any]]:
    if len(words) == 1 and words[0] in typer.main.get_command(app).commands:
        return words[0], {}  # named, not typed
    last_option = max((place for place, word in enumerate(words) if word.startswith("--")), default=0)
    error: AssertionError | None = None
    for end in range(len(words), last_option, -1):
        try:
            return _parse(words[:end])
        except AssertionError as longer:
            error = longer
    raise error or AssertionError("no command")
