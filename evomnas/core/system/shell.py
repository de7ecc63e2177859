"""Command lines as they are typed into the shell of this system."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterable

from evomnas.core.system.optional import WINDOWS


def quote(argument: str) -> str:
    """Return an argument as it is typed, in quotes where it needs them: single ones, or double ones on Windows.

    Args:
        argument: The argument as the program gets it.
    """
    return join([argument])


def join(arguments: Iterable[str]) -> str:
    """Return a command line as it is typed.

    Args:
        arguments: The program and its arguments as the program gets them.
    """
    return subprocess.list2cmdline(arguments) if WINDOWS else shlex.join(arguments)
