"""Files that are replaced in one step, and places where a file can lie."""

from __future__ import annotations

import os
import re
from pathlib import Path

from evomnas.core.errors import InputError


def check_place(path: Path, option: str) -> None:
    """Raise InputError where nothing can ever lie at `path`: beneath a file, or with a name that is too long."""
    try:
        above = next(parent for parent in path.absolute().parents if parent.exists())
    except OSError as error:
        raise InputError(f"{path} cannot be made: {error.strerror}; choose another with {option}") from None
    if not above.is_dir():
        raise InputError(f"{path} cannot be made, since {above} is a file: choose another with {option}")


def _is_partial(path: Path) -> bool:
    return re.fullmatch(r"\..+\.\d+\.part", path.name) is not None


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replace a file's content in one step; what a process that was killed left of its attempt goes first."""
    for left in path.parent.glob(f".{path.name}.*.part"):
        if _is_partial(left) and not Path(f"/proc/{left.name.split('.')[-2]}").exists():
            left.unlink(missing_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
