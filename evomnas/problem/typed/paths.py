"""What somebody names as a problem: a built-in one, a problem file, or images of their own.

A folder of images, a list of them (CSV, parquet, tar shards) and an npz file are searched with the settings of a
built-in problem that suits their size.
"""

from __future__ import annotations

import difflib
import os
import re
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from evomnas.core.errors import InputError
from evomnas.core.files import editable_folder
from evomnas.core.numbers.npz_headers import array_headers
from evomnas.core.system.shell import quote
from evomnas.problem.typed.settings import BACKSLASHES

OWN_IMAGES = "images"  # the built-in problem whose images are the user's
TINY_SIDE, SMALL_SIDE = 12, 48  # pixels of images up to which the settings of `digits` and `fashion-mnist` suit them
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".heic")
ARCHIVE_COMMANDS = {
    ".zip": "unzip {file} -d {folder}",
    **dict.fromkeys((".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst"), "mkdir {folder} && tar -xf {file} -C {folder}"),
    **dict.fromkeys((".7z", ".rar"), "7z x {file} -o{folder}"),
}
TABLE_SUFFIXES = (".json", ".jsonl", ".xlsx")
LISTS = {".csv": "csv", ".tsv": "csv", ".parquet": "parquet", ".tar": "webdataset"}  # data sets by suffix
OWN_DATASETS = ("image-folder", *dict.fromkeys(LISTS.values()))  # of pictures of one's own, wherever they are
SHARD_LABELS = (".cls", ".json")  # of files in a tar file that is a shard
SHARD_MEMBERS = 50  # of a tar file that are looked at
MAX_SHARD_LEVELS = 2  # of folders below one in which shards are looked for,
MAX_FOLDERS, MAX_ENTRIES = 20, 200  # so many of them, and of what is in each
MAX_SHOWN = 100  # characters of a wrong name

Values = dict[str, Any]


def is_problem(text: str) -> bool:
    """Return whether what somebody typed is the name of a built-in problem, or the path of something.

    Args:
        text: What was typed.
    """
    path = Path(os.path.expanduser(text))
    builtin = editable_folder("problems") / f"{text}.toml"
    return path.suffix.lower() == ".toml" or _exists(builtin) or _exists(path)


def read_problem(problem: str | Path, builtin: Mapping[str, Path]) -> tuple[Values, Path]:
    """Return the values of a problem as somebody names it.

    Args:
        problem: A built-in name, or the path of a problem file, of a folder of images or of an npz file.
        builtin: The files of the built-in problems by their names.

    Returns:
        The parsed file, and the folder to which its paths are relative.

    Raises:
        InputError: There is no such problem, or it cannot be read; the message says what to type.
    """
    text = str(problem)
    if text in builtin:
        return _parse(builtin[text]), builtin[text].parent
    path = Path(os.path.expanduser(text))
    if path.suffix.lower() == ".toml" and _exists(path) and path.is_file():
        return _parse(path), path.resolve().parent
    return own_images(text, builtin), Path.cwd()


def list_kind(path: Path) -> str | None:
    """Return the data set that reads a list, a table or an archive of pictures, by names alone.

    Args:
        path: A file, or a folder.

    Returns:
        The name of the data set; None for anything else, such as a folder of images or a tar file of such a folder.
    """
    if path.is_file():
        kind = LISTS.get(path.suffix.lower())
        return kind if kind != "webdataset" or _is_shard(path) else None
    files = list(_some_files(path, MAX_SHARD_LEVELS))
    if any(file.suffix.lower() in IMAGE_SUFFIXES for file in files):
        return None
    for file in files:
        suffix = file.suffix.lower()
        if suffix == ".parquet" or (suffix == ".tar" and _is_shard(file)):
            return LISTS[suffix]
    return None


def _some_files(folder: Path, levels: int) -> Iterator[Path]:
    """Yield some files of a folder and of those below it, enough to know what it holds."""
    try:
        with os.scandir(folder) as entries:
            found = [entry for entry in islice(entries, MAX_ENTRIES) if not entry.name.startswith(".")]
            folders = sorted(entry.path for entry in found if entry.is_dir())
            yield from (Path(entry.path) for entry in found if entry.is_file())
    except OSError:
        return
    if levels:
        for inner in folders[:MAX_FOLDERS]:
            yield from _some_files(Path(inner), levels - 1)


def _is_shard(path: Path) -> bool:
    """Return whether a tar file has labels in it, as shards have."""
    try:
        with tarfile.open(path, "r:", errors="surrogateescape") as archive:
            names = (member.name for member in islice(archive, SHARD_MEMBERS))
            return any(name.lower().endswith(SHARD_LABELS) for name in names)
    except (tarfile.TarError, OSError, EOFError, ValueError):
        return False


def is_own_images(problem: str | Path, builtin: Mapping[str, Path]) -> bool:
    """Return whether a problem that can be read is the path of a user's images.

    Args:
        problem: What was typed.
        builtin: The files of the built-in problems by their names.
    """
    return str(problem) not in builtin and Path(problem).suffix.lower() != ".toml"


def own_images(text: str | Path, builtin: Mapping[str, Path]) -> Values:
    """Return the problem that searches a user's images, which are not read for that.

    Args:
        text: The path of a folder of images, of a list of them, or of an npz file.
        builtin: The files of the built-in problems by their names.

    Returns:
        The values of the built-in problem `images`, with settings that suit the size of the arrays of an npz file.

    Raises:
        InputError: There is no such folder or file, or it is something else.
    """
    path = Path(os.path.expanduser(text))
    is_array = _exists(path) and path.is_file() and path.suffix.lower() == ".npz"
    kind = list_kind(path) if str(text).strip() and _exists(path) else None
    if not str(text).strip() or not (is_array or kind is not None or (_exists(path) and path.is_dir())):
        raise _explain(str(text), path, builtin)
    if not is_array:
        if path.is_dir():
            _check_no_run(path)
        values = _parse(builtin[OWN_IMAGES])
        values["data"] |= {"path": str(path)} | ({} if kind is None else {"dataset": kind})
        return values
    headers = array_headers(path)
    shape = next((headers[name][0] for name in ("x_train", "train_images") if name in headers), ())
    side = max(shape[1:3], default=0)
    base = "digits" if 0 < side <= TINY_SIDE else "fashion-mnist" if 0 < side <= SMALL_SIDE else OWN_IMAGES
    values = _parse(builtin[base])
    data, full = values["data"], values.get("full", {})
    resolution = data["resolution"] if base == OWN_IMAGES and not 0 < side < data["resolution"] else side
    values["data"] = data | {"dataset": "npz", "path": str(path), "resolution": resolution}
    if base != OWN_IMAGES:  # whether a mirrored sign is the same one, nobody can know
        values |= {"name": OWN_IMAGES, "summary": f"arrays of your own, {side} pixels", "full": full | {"augment": []}}
    return values


def _parse(path: Path) -> Values:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the problem file {path}: {error}") from None
    except (ValueError, RecursionError) as error:
        is_escape = any(sign in str(error) for sign in ("'\\'", "hex value"))
        hint = f"; {BACKSLASHES}" if is_escape else ""
        raise InputError(f"the problem file {path} is not valid TOML: {str(error)[:200]}{hint}") from None


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # it is too long for a name, or holds a null character
        return False


def _is_packed_run(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/run.json") for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def _check_no_run(folder: Path) -> None:
    """Raise InputError for the folder of a run, or of several."""
    if (folder / "run.json").is_file():
        raise InputError(f"{folder} is a run and no problem: go on with it by evomnas resume {quote(str(folder))}")
    if next(folder.glob("*/run.json"), None) is not None:
        raise InputError(f"{folder} holds runs and no images: evomnas list {quote(str(folder))} shows them")
    if not any(path.is_dir() for path in folder.iterdir()):
        files = sorted(folder.glob("*.toml"))
        if files:
            raise InputError(f"{folder} holds no images, but a problem file: evomnas run {quote(str(files[0]))}")


def _explain(text: str, path: Path, builtin: Mapping[str, Path]) -> InputError:
    """Return the error for what is no problem, which says what to type."""
    shown = text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."
    if not text.strip():
        return InputError("the name of the problem is empty: give a folder of images, or one of evomnas problems")
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", text):
        return InputError(f"{shown} is on the network: download the images, and give the folder that has them")
    if not _exists(path):
        return _unknown(shown, path, builtin)
    if not path.is_file():
        return InputError(f"{shown} is no file and no folder: give a folder of images or a problem file")
    suffix = path.suffix.lower()
    stem = path.name.partition(".")[0] or path.stem
    if suffix == ".zip" and _is_packed_run(path):
        return InputError(f"{shown} is a packed run and no problem: look at it by evomnas show {quote(text)}")
    if suffix in ARCHIVE_COMMANDS:
        command = ARCHIVE_COMMANDS[suffix].format(file=quote(text), folder=quote(stem))
        return InputError(f"{shown} is packed: unpack it ({command}), then evomnas run {quote(stem)}")
    if suffix in IMAGE_SUFFIXES:
        return InputError(
            f"{shown} is one image: give the folder that has a folder of images for each class, as photos for "
            "photos/cats/1.jpg"
        )
    if suffix in TABLE_SUFFIXES:
        return InputError(
            f"{shown} is no problem by itself: a problem file with a section [table] says which of its columns are "
            "what; lists of images are read as .csv and .parquet files"
        )
    return InputError(f"{shown} is no problem: give a folder of images, an .npz file or a .toml file")


def _unknown(shown: str, path: Path, builtin: Mapping[str, Path]) -> InputError:
    """Return the error for what is not there. It proposes near names, of built-in problems and of what lies there."""
    try:
        here = sorted(path.parent.iterdir())
    except (OSError, ValueError):
        here = []
    found = {one.name: f"{one}/" for one in here if one.is_dir() and not one.name.startswith(".")}
    found |= {one.name: str(one) for one in here if one.suffix in (".toml", ".npz", *LISTS)}
    found |= {} if path.parent.parts else {name: name for name in builtin}
    nearest = difflib.get_close_matches(path.name, found, n=2, cutoff=0.75)
    hint = f"; did you mean {' or '.join(found[name] for name in nearest)}?" if nearest else ""
    if path.suffix.lower() == ".toml":
        return InputError(f"cannot read the problem file {shown}: it does not exist{hint}")
    if path.parent.parts or path.suffix.lower() in (".npz", *LISTS):
        return InputError(f"there is no file or folder {shown}{hint}")
    names = ", ".join(sorted(builtin))
    return InputError(
        f"unknown problem {shown!r}: there are {names}; or give a folder of images, an .npz or a .toml file{hint}"
    )
