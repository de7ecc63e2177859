"""Packed runs, which may come from anybody: a zip file becomes a folder beside it.

Nothing in it is trusted. Names that lead elsewhere, links, and more than a run can hold are refused. Only the files of
a run are taken out. Of its archive the rows are read as data and written into a new one, once each has the type and the
range that it must have. At last everything is read as the commands read it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import stat
import zipfile
import zlib
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Any

from evomnas.core.errors import InputError
from evomnas.core.files import printable, write_atomically
from evomnas.core.system.shell import quote
from evomnas.data.pictures import is_picture
from evomnas.results.answers.mistakes import Answers
from evomnas.results.archive import Archive
from evomnas.results.database.outside import copy_outside
from evomnas.results.detection.findings import Findings
from evomnas.results.manifest import MANIFEST, Manifest, read_manifest
from evomnas.results.packing.content import ARCHIVE, is_unpacked
from evomnas.results.readers import READERS

MAX_FILES = 10_000
MAX_GROWTH, FREE_GROWTH_BYTES = 50, 200 * 2**20  # a file may grow by this factor, or to this size in any case
MAX_TRIES = 1000  # names that are tried for the folder


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A packed run as a folder.

    Attributes:
        folder: The folder.
        is_new: Whether it was made now; False if it was there.
    """

    folder: Path
    is_new: bool


def unpack(path: Path) -> Unpacked:
    """Unpack a run beside its zip file, unless that was done before.

    Args:
        path: The zip file.

    Returns:
        The folder of the run. Its name is that of the file, with a number if there is another folder of that name.

    Raises:
        InputError: The file is no packed run, or cannot be unpacked here.
    """
    with _open(path) as archive:
        entries = _inspect(path, archive)
        key = _key(entries)
        folder, is_there = _find_place(path, key)
        if is_there:
            return Unpacked(folder, is_new=False)
        temporary = path.resolve().parent / f".{folder.name}.{os.getpid()}.part"
        try:
            temporary.mkdir()
            _extract(path, archive, entries, temporary)
            _settle(path, temporary, key)
            try:
                temporary.replace(folder)
            except OSError:  # another command unpacked it meanwhile
                folder, is_there = _find_place(path, key)
                if not is_there:
                    raise
                return Unpacked(folder, is_new=False)
        except PermissionError:
            raise InputError(
                f"{path} cannot be unpacked where it is: copy it into a folder of yours, and name it there"
            ) from None
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return Unpacked(folder, is_new=True)


def packed_run_id(path: Path) -> str | None:
    """Return the id of the run in a zip file; None if there is none.

    Args:
        path: The file.
    """
    try:
        with _open(path) as archive:
            entries = _inspect(path, archive)
            content = json.loads(archive.read(entries[PurePosixPath(MANIFEST)]))
        return str(content["run"])
    except (InputError, KeyError, TypeError, ValueError, RecursionError, OSError, zipfile.BadZipFile):
        return None


def _open(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except zipfile.BadZipFile:
        raise InputError(f"{path} is no run: give the folder of a run, or a file that evomnas pack wrote") from None


def _inspect(path: Path, archive: zipfile.ZipFile) -> dict[PurePosixPath, zipfile.ZipInfo]:
    """Return the entries that are taken out, by their paths within the run's folder; refuse what no run has."""
    infos = [info for info in archive.infolist() if not info.is_dir()]
    if len(infos) > MAX_FILES:
        raise InputError(f"{path} holds {len(infos):,} files, which no run has")
    for info in infos:
        _check_entry(path, info)
    roots = [PurePosixPath(info.filename).parent for info in infos if PurePosixPath(info.filename).name == MANIFEST]
    roots = [root for root in roots if "__MACOSX" not in root.parts]
    if not roots:
        raise InputError(f"{path} holds no run: give a file that evomnas pack wrote")
    if len(roots) > 1:
        names = ", ".join(sorted(str(root) for root in roots)[:5])
        raise InputError(f"{path} holds {len(roots)} runs ({names}): unpack it, and give one of their folders")
    entries: dict[PurePosixPath, zipfile.ZipInfo] = {}
    for info in infos:
        name = PurePosixPath(info.filename)
        if name.is_relative_to(roots[0]) and is_unpacked(name.relative_to(roots[0])):
            if name.relative_to(roots[0]) in entries:
                raise InputError(f"{path} holds {info.filename} twice")
            entries[name.relative_to(roots[0])] = info
    if PurePosixPath(ARCHIVE) not in entries:
        typed = quote(roots[0].name or "RUN")
        raise InputError(
            f"{path} holds a run and no archive of it: where it was searched, evomnas pack {typed} writes both into one"
        )
    total, packed = sum(info.file_size for info in entries.values()), path.stat().st_size
    if total > max(FREE_GROWTH_BYTES, MAX_GROWTH * packed):
        raise InputError(f"{path} would grow from {packed:,} to {total:,} bytes, as no run does")
    if total > shutil.disk_usage(path.resolve().parent).free:
        raise InputError(f"{path} needs {total:,} bytes, more than the disk has free: copy it to another one")
    return entries


def _check_entry(path: Path, info: zipfile.ZipInfo) -> None:
    """Raise InputError for an entry that leads out of its folder, is no plain file, or cannot be read."""
    name, kind = info.filename, stat.S_IFMT(info.external_attr >> 16)
    parts = PurePosixPath(name).parts
    if name.startswith("/") or ".." in parts or "\\" in name or re.match(r"[A-Za-z]:", name):
        raise InputError(f"{path} holds {name!r}, which leads out of its folder: nothing was unpacked")
    if kind not in (0, stat.S_IFREG):
        raise InputError(f"{path} holds {name!r}, which is a link or no plain file: nothing was unpacked")
    if info.flag_bits & 1:
        raise InputError(f"{path} is encrypted: unpack it, and give the folder of the run")


def _key(entries: dict[PurePosixPath, zipfile.ZipInfo]) -> str:
    """Return a hash of the content, so that a file that was unpacked before is known again."""
    content = [(str(name), info.CRC, info.file_size) for name, info in sorted(entries.items())]
    return hashlib.blake2b(repr(content).encode(), digest_size=12).hexdigest()


def _find_place(path: Path, key: str) -> tuple[Path, bool]:
    """Return the folder of the unpacked run, and whether it is there already."""
    for number in count(1):
        folder = path.with_name(path.stem if number == 1 else f"{path.stem}-{number}")
        if not folder.exists():
            return folder, False
        try:
            if read_manifest(folder).packed == key:
                return folder, True
        except InputError:
            pass
        if number == MAX_TRIES:
            raise InputError(f"{path} cannot be unpacked: there are too many folders of its name beside it")
    raise AssertionError("unreachable")


def _extract(path: Path, archive: zipfile.ZipFile, entries: dict[PurePosixPath, zipfile.ZipInfo], folder: Path) -> None:
    for name, info in entries.items():
        target = folder.joinpath(*name.parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with archive.open(info) as source, target.open("xb") as file:
                shutil.copyfileobj(source, file)
        except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, RuntimeError, ValueError) as error:
            raise InputError(f"cannot unpack {info.filename} of {path}: {error}; have it sent again") from None


def _settle(path: Path, folder: Path, key: str) -> None:
    """Check the content of an unpacked run, and put a new archive in the place of the one from outside."""
    try:
        manifest = Manifest.model_validate(_clean(read_manifest(folder).to_json()))
        if manifest.archive != ARCHIVE:
            raise InputError(f"its archive is {manifest.archive}, not in it")
        (folder / ARCHIVE).rename(folder / "outside.sqlite")
        with closing(Archive(folder / ARCHIVE)) as archive:
            copy_outside(folder / "outside.sqlite", archive)
            _read_all(archive, manifest)
        for file in folder.glob("outside.sqlite*"):
            file.unlink()
    except InputError as error:
        raise InputError(f"{path} is no run that can be used: {str(error).replace(f'{folder}/', '')}") from None
    manifest.packed = key
    write_atomically(folder / MANIFEST, json.dumps(manifest.to_json(), indent=2) + "\n")


def _read_all(archive: Archive, manifest: Manifest) -> None:
    """Read a run as the commands do, so that wrong values are found now."""
    try:
        record = archive.run(manifest.run)
        kind = READERS[record.definition.kind]
        kind.data_model.model_validate(manifest.data)
        reader = kind(
            archive, record.definition, record.training_context, record.measurement_context, manifest.data,
            record.candidates, record.id, inherits=record.mode.inherits,
        )  # fmt: skip
        for ask in archive.asks(record.id):
            reader.evaluation(record.definition.parse(ask.architecture))
        for generation in archive.generations(record.id):
            if not all(isinstance(value, int | float) for value in generation.metrics.values()):
                raise TypeError("metrics must be numbers")
        archive.tells(record.id)
        reader.reference_cost()
        _read_answers(archive)
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"it holds values that no run has ({type(error).__name__}: {' '.join(str(error).split())[:200]})"
        ) from None


def _read_answers(archive: Archive) -> None:
    """Read what networks answered and found, the names of classes, and pictures."""
    for row in archive.rows("answers"):
        Answers.from_row(row)
    for row in archive.rows("findings"):
        Findings.from_row(row)
    for row in archive.rows("class_names"):
        if not all(isinstance(name, str) for name in archive.class_names(row["images"])):
            raise TypeError("names of classes must be texts")
    for row in archive.rows("pictures"):
        if not is_picture(row["content"]):
            raise ValueError("a picture must be a small PNG or JPEG file")


def _clean(value: Any) -> Any:
    """Return JSON without control characters, which would do something to a terminal."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, list):
        return [_clean(one) for one in value]
    return {_clean(name): _clean(one) for name, one in value.items()} if isinstance(value, dict) else value
