"""Files that are replaced in one step, a check of where a file may be written, and the folders that users edit."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from evomnas.core import remedies
from evomnas.core.errors import InputError
from evomnas.core.system.optional import WINDOWS
from evomnas.core.system.processes import is_alive

_CONTROL_CHARACTERS = {number: None for number in (*range(32), *range(127, 160)) if chr(number) not in "\n\t"}
MAX_WRITING_S = 600.0  # an unfinished file of this age is nobody's, where the system does not tell who lives
PROBE_BYTES = 4096  # a full disk takes files, and no content
REPLACING_PAUSES_S = (0.05, 0.1, 0.2, 0.4, 0.8)  # virus scanners have new files open for a moment


def check_place(path: Path, option: str, suffix: str = "") -> None:
    """Check that a file or folder can be made at a path, before that costs anything.

    For that a small file is written into the folder, or into that in which folders would have to be made. It is
    removed at once.

    Args:
        path: The path; its parent folders need not exist yet.
        option: The words for how the path is typed, such as `--out DIR`, for the message.
        suffix: What the names of other files beside it will have behind its name.

    Raises:
        InputError: A parent of the path is a file, the path is too long, or the system takes no file there.
    """
    with writing(path, option):
        folder = next(parent for parent in path.absolute().parents if parent.exists())
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            os.lstat(f"{path}{suffix}")
        if not folder.is_dir():
            raise InputError(
                f"{remedies.shown(path)} cannot be made, since {folder} is a file: choose another with {option}"
            )
        with tempfile.TemporaryFile(dir=folder, buffering=0) as probe:
            probe.write(bytes(PROBE_BYTES))


@contextlib.contextmanager
def writing(path: Path, option: str) -> Iterator[None]:
    """Let what the system refuses inside the block be wrong input, whose message names the option.

    Args:
        path: The file or folder that the block writes.
        option: The words for how the path is typed, such as `--out DIR`.

    Yields:
        Nothing.

    Raises:
        InputError: The system refused something.
    """
    try:
        yield
    except (OSError, sqlite3.OperationalError) as error:
        line = remedies.refused(error, path, option)
        if line is None:
            raise
        raise InputError(line) from None


def editable_folder(name: str) -> Path:
    """Return a folder of files that users edit without touching code.

    If evomnas was installed, the folder is inside the package; in a checkout it is beside the package.

    Args:
        name: `problems` or `reports`.

    Returns:
        The folder; it exists in a complete installation or checkout.
    """
    package = Path(__file__).resolve().parents[1]
    installed = package / name
    return installed if installed.is_dir() else package.parent / name


def printable(text: str) -> str:
    """Return a text from outside without the control characters that would do something to a terminal.

    Args:
        text: The text; line feeds and tabs stay in it.
    """
    return text.translate(_CONTROL_CHARACTERS)


def is_partial(path: Path) -> bool:
    """Return whether a file is an unfinished one of `write_atomically`.

    Args:
        path: The file; only its name is looked at.

    Returns:
        True for names such as `.run.json.1234.part`, where 1234 is the process that writes it.
    """
    return re.fullmatch(r"\..+\.\d+\.part", path.name) is not None


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replace a file's content in one step: a reader sees the old content or the new one, never a part.

    Unfinished files that killed processes left for the same path are removed first.

    Args:
        path: The file to write; its folder must exist.
        content: The new content; text is written as UTF-8.
    """
    for partial in path.parent.glob(f".{path.name}.*.part"):
        if is_partial(partial) and _is_abandoned(partial):
            partial.unlink(missing_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)
        _replace(path, partial)
    finally:
        partial.unlink(missing_ok=True)


def _is_abandoned(partial: Path) -> bool:
    """Return whether nobody writes an unfinished file any more."""
    alive = is_alive(int(partial.name.split(".")[-2]))
    if alive is None:
        with contextlib.suppress(OSError):  # it was removed in this moment
            return time.time() - partial.stat().st_mtime > MAX_WRITING_S
    return alive is False


def _replace(path: Path, partial: Path) -> None:
    """Put a finished file in its place. Windows refuses that while another program has the old one open."""
    for pause in REPLACING_PAUSES_S if WINDOWS else ():
        with contextlib.suppress(PermissionError):
            partial.replace(path)
            return
        time.sleep(pause)
    partial.replace(path)
