"""Runs that were moved: which folder is meant, and where the archive of its evaluations is now."""

from __future__ import annotations

import difflib
import sqlite3
import zipfile
from contextlib import closing
from pathlib import Path

from evomnas.core import defaults
from evomnas.core.errors import InputError
from evomnas.core.system.shell import quote
from evomnas.results.database.schema import APPLICATION_ID
from evomnas.results.manifest import MANIFEST, Manifest
from evomnas.results.packing.content import FRONT, REPORT
from evomnas.results.packing.unpack import Unpacked, unpack


def run_folder(path: Path | str) -> Unpacked:
    """Return the folder of a run that somebody names.

    Args:
        path: The folder, one of the files in it that people open, or a zip file that `evomnas pack` wrote.

    Returns:
        The folder, which need not hold a run; and whether it was unpacked now.

    Raises:
        InputError: It is a file of another kind, or a folder of several runs.
    """
    path = Path(path).expanduser()
    if path.is_file():
        if path.name in (MANIFEST, REPORT, FRONT):
            return Unpacked(path.parent, is_new=False)
        if path.suffix.lower() == ".zip" or zipfile.is_zipfile(path):
            return unpack(path)
        what = "an archive of runs" if path.suffix == ".sqlite" else "no run"
        raise InputError(f"{path} is {what}: give the folder of a run, or a zip file that evomnas pack wrote")
    if not path.exists():
        raise InputError(
            f"{path} holds no run, as there is nothing at it{_nearest(path)}: evomnas list shows what is here"
        )
    if path.is_dir() and not (path / MANIFEST).exists() and next(path.glob(f"*/{MANIFEST}"), None) is not None:
        shown = quote(str(path))
        raise InputError(f"{path} holds no run (no {MANIFEST}), but folders that do: evomnas list {shown} shows them")
    return Unpacked(path, is_new=False)


def _nearest(path: Path) -> str:
    """Return a question that names a run of nearly that name beside it or in `runs`; empty where there is none."""
    places = dict.fromkeys([path.parent, *([Path(defaults.RUNS)] if not path.parent.parts else [])])
    found = {one.parent.name: one.parent for place in places for one in place.glob(f"*/{MANIFEST}")}
    nearest = difflib.get_close_matches(path.name, found, n=1, cutoff=0.7)
    return f" (did you mean {found[nearest[0]]}?)" if nearest else ""


def find_archive(folder: Path, manifest: Manifest) -> Path:
    """Return the archive with the evaluations of a run: where it was, in the run's folder, or beside it.

    Args:
        folder: The run's folder.
        manifest: Its run.json.

    Returns:
        The file. One that cannot be read is returned as well: whoever opens it says why.

    Raises:
        InputError: It is nowhere there.
    """
    recorded = folder.resolve() / manifest.archive
    if recorded.is_file() and _holds_run(recorded, manifest.run) is not False:
        return recorded.resolve()
    for place in (folder.resolve(), folder.resolve().parent):
        for path in sorted(place.glob("*.sqlite")):
            if _holds_run(path, manifest.run):
                return path
    raise InputError(
        f"{folder} came without its archive, which has its evaluations: where it was searched, evomnas pack RUN "
        f"writes one file with both; or put that archive ({recorded.name}) into the folder"
    )


def _holds_run(path: Path, run: str) -> bool | None:
    """Return whether an archive has a run; None if that cannot be told."""
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            connection.execute("PRAGMA trusted_schema = OFF")
            if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
                return None
            return connection.execute("SELECT 1 FROM runs WHERE id = ?", (run,)).fetchone() is not None
    except (sqlite3.Error, ValueError):  # a run's id that no database can look up
        return None
