"""What the shell proposes when somebody presses Tab: problems, algorithms, runs, and networks of a run.

Everything is read from names of files, so that it comes at once. Where nothing is proposed, shells propose files.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import typer

from evomnas.core import defaults

PROBLEM_FILES = (".toml", ".npz", ".csv", ".tsv", ".parquet", ".tar")


def problems(incomplete: str) -> list[str]:
    """Return built-in problems, and the folders and files here that may be problems.

    Args:
        incomplete: The beginning of the word.
    """
    from evomnas.core.files import editable_folder

    names = [path.stem for path in editable_folder("problems").glob("*.toml")]
    names += [path.name for path in _visible(Path()) if path.suffix.lower() in PROBLEM_FILES or path.is_dir()]
    return _beginning(names, incomplete)


def algorithms(incomplete: str) -> list[str]:
    """Return the names of the registered algorithms.

    Args:
        incomplete: The beginning of the word.
    """
    from evomnas.core import registry

    return _beginning(registry.available("algorithms"), incomplete)


def donors(incomplete: str) -> list[str]:
    """Return the names of the networks whose pretrained weights are known.

    Args:
        incomplete: The beginning of the word.
    """
    from evomnas.problem.pretrained.donors import DONORS

    return _beginning(DONORS, incomplete)


def runs(incomplete: str) -> list[str]:
    """Return the runs in the folder that was typed so far, or here and in `runs`.

    Args:
        incomplete: The beginning of the word.
    """
    typed, slash, _ = incomplete.rpartition("/")
    places = [f"{typed}/"] if slash else ["", f"{defaults.RUNS}/"]
    found = [
        f"{place}{path.name}"
        for place in places
        for path in _visible(Path(os.path.expanduser(place)))
        if path.suffix == ".zip" or (path / "run.json").is_file()
    ]
    return _beginning(found, incomplete)


def networks(context: typer.Context, incomplete: str) -> list[str]:
    """Return the ids on the front of the run that was typed.

    Args:
        context: The command so far.
        incomplete: The beginning of the word.
    """
    values: dict[str, Any] = context.params
    folder = values.get("folder") or values.get("run_folder")
    if not isinstance(folder, str | Path):
        return []
    try:
        with (Path(folder) / "front.csv").open(encoding="utf-8", newline="") as file:
            ids = [row.get("id") or "" for row in csv.DictReader(file)]
    except (OSError, ValueError, csv.Error):
        return []
    return _beginning(ids, incomplete)


def _visible(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError:
        return []


def _beginning(words: Iterable[str], incomplete: str) -> list[str]:
    return [word for word in words if word.startswith(incomplete)]
