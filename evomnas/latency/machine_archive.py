"""The user's own archive of the machine: its calibrations and layer tables, which all runs on it share."""

from __future__ import annotations

import contextlib
from pathlib import Path

from evomnas.core.errors import InputError
from evomnas.core.system.machine import user_folder
from evomnas.results.archive import Archive


def machine_archive_path() -> Path:
    """Return the path of the user's archive of the machine."""
    return user_folder() / "machine.sqlite"


def open_machine_archive() -> Archive | None:
    """Open the user's archive of the machine; return None if it is damaged or the home folder cannot be written."""
    path = machine_archive_path()
    with contextlib.suppress(OSError, InputError):
        path.parent.mkdir(parents=True, exist_ok=True)
        return Archive(path)
    return None


def machine_archive_fault() -> str | None:
    """Return why the user's archive of the machine cannot be used; None if it can be, or if there is none."""
    path = machine_archive_path()
    try:
        if path.exists():
            Archive(path).close()
    except InputError as error:
        return str(error).partition(";")[0]  # what follows is advice about the archives of runs
    except OSError as error:
        return f"{path}: {error.strerror}"
    return None


def set_machine_archive_aside() -> Path:
    """Give the user's archive of the machine another name, so that a new one is begun. Nothing is deleted.

    Returns:
        Where it is now.

    Raises:
        OSError: It cannot be renamed.
    """
    path = machine_archive_path()
    number = next(number for number in range(1, 10_000) if not path.with_name(f"{path.name}.{number}").exists())
    for suffix in ("-wal", "-shm", ""):
        file = path.with_name(path.name + suffix)
        if file.exists():
            file.rename(path.with_name(f"{path.name}.{number}{suffix}"))
    return path.with_name(f"{path.name}.{number}")
