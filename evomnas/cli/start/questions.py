"""Questions before a problem file is written."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import typer

from evomnas.core.errors import InputError
from evomnas.core.resolution import Resolution, format_resolution, parse_resolution
from evomnas.problem.target import LOCAL, parse_target

T = TypeVar("T")
NO_LIMIT = "none"


@dataclass(frozen=True, slots=True)
class Answers:
    """The wishes of somebody for a search.

    Attributes:
        target: The device on which latency is measured.
        limit_ms: The latency that a network may have at most, in milliseconds; None for no limit.
        resolution: The size of images in pixels.
    """

    target: str
    limit_ms: float | None
    resolution: Resolution


def ask(target: str | None, limit: str | None, resolution: str | None, usual: Resolution) -> Answers:
    """Return what somebody wants. What was not typed is asked for on a terminal; elsewhere it is the usual.

    Args:
        target: Of `--target`; None here and below where it was not typed.
        limit: Of `--limit-ms`.
        resolution: Of `--resolution`.
        usual: The resolution that suits the images.

    Raises:
        InputError: An answer that was typed as an option cannot be used.
    """
    return Answers(
        target=_answer(
            target, "Device that runs the network (local, ssh://user@host, or adb://SERIAL)", LOCAL, _read_target
        ),
        limit_ms=_answer(limit, "Longest latency in milliseconds", NO_LIMIT, read_limit),
        resolution=_answer(resolution, "Image size in pixels", format_resolution(usual), parse_resolution),
    )


def _answer(typed: str | None, question: str, usual: str, read: Callable[[str], T]) -> T:
    if typed is not None:
        return read(typed)
    if not sys.stdin.isatty():
        return read(usual)
    while True:
        try:
            return read(str(typer.prompt(question, default=usual, err=True)))
        except InputError as error:
            typer.echo(str(error), err=True)


def _read_target(text: str) -> str:
    try:
        parse_target(text)
    except ValueError as error:
        raise InputError(str(error)) from None
    return text


def read_limit(text: str) -> float | None:
    """Return a latency in milliseconds; None for no limit.

    Args:
        text: What was typed.

    Raises:
        InputError: It is neither a positive number nor `none`.
    """
    if text.strip().lower() == NO_LIMIT:
        return None
    try:
        limit = float(text)
    except ValueError:
        limit = 0.0
    if not 0 < limit < float("inf"):
        raise InputError(f"the limit is a positive number of milliseconds or {NO_LIMIT}, got {text!r}: as 5 or 0.5")
    return limit
