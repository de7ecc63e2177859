"""Tar files in WebDataset's form: what belongs to a picture has its name up to the first dot.

A shard is gone through once by its headers. A picture is then read from its place in the shard. Nothing is written to
the disk, and names within a shard are never used as paths.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evomnas.core.errors import InputError
from evomnas.data.catalogues.entries import Label, Leftovers, arrange, data_files, printable, splits_of_files
from evomnas.data.check import required_path
from evomnas.data.gallery.files import GalleryFiles
from evomnas.data.prepared.source import file_states, listing_digest
from evomnas.problem.sections import DataSection

SUFFIX = ".tar"
IMAGES = ("jpg", "jpeg", "png", "webp", "bmp", "tif", "tiff", "ppm", "pgm", "gif", "avif")
LABELS = ("cls", "json")  # the first that a picture has counts
NAME_FILES = ("classes.txt", "classnames.txt")  # in the folder: the name of class 0, of class 1, and so on
LABEL_KEYS = ("label", "cls", "class", "target")  # of a JSON object
MAX_LABEL_BYTES = 2**20
PACKED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}

Numbers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ShardSource:
    """Pictures at places in shards.

    Attributes:
        root: The folder of the shards.
        shards: Their names, as seen from there.
        states: The size and the time of the last change of each, int64, shape (shards, 2).
        keys: The names of the pictures in their shards, without what follows the first dot.
        places: The shard of each, where its content begins, and its length in bytes, int64, shape (n, 3).
    """

    root: Path
    shards: tuple[str, ...]
    states: Numbers
    keys: tuple[str, ...]
    places: Numbers

    @property
    def names(self) -> Sequence[str]:
        """See `PictureSource.names`."""
        return [str(self.root / name) for name in self.files]

    @property
    def files(self) -> Sequence[str]:
        """The names of the pictures, as seen from the folder of the shards."""
        numbers = self.places[:, 0].tolist()
        return [f"{self.shards[number]}/{printable(key)}" for number, key in zip(numbers, self.keys, strict=True)]

    @property
    def digest(self) -> bytes:
        """See `PictureSource.digest`."""
        return listing_digest((*self.shards, *self.keys), self.states, self.places)

    def take(self, places: Numbers) -> ShardSource:
        """See `ListedSource.take`."""
        keys = tuple(self.keys[place] for place in places)
        return ShardSource(self.root, self.shards, self.states, keys, self.places[places])

    def part(self, start: int, stop: int) -> ShardSource:
        """See `PictureSource.part`."""
        part = slice(start, stop)
        return ShardSource(self.root, self.shards, self.states, self.keys[part], self.places[part])

    def read(self) -> Iterator[bytes]:
        """See `PictureSource.read`. What is missing is empty."""
        shard, file = -1, None
        try:
            for number, offset, size in self.places.tolist():
                try:
                    if number != shard:
                        if file is not None:
                            file.close()
                        shard, file = number, (self.root / self.shards[number]).open("rb")
                    assert file is not None
                    file.seek(offset)
                    content = file.read(size)
                except OSError:
                    shard, content = -1, b""
                yield content
        finally:
            if file is not None:
                file.close()

    def changed(self) -> Sequence[str]:
        """See `PictureSource.changed`."""
        now = file_states(self.root, self.shards)
        return [str(self.root / self.shards[place]) for place in np.flatnonzero((now != self.states).any(axis=1))]


class _Picture(NamedTuple):
    key: str
    offset: int
    size: int
    label: Label


def read_shards(section: DataSection) -> GalleryFiles:
    """Return the pictures of a shard or of a folder of shards.

    Args:
        section: The data section. Its path is a tar file, or a folder of them.

    Raises:
        InputError: A file is no such shard, or labels and splits cannot be used.
    """
    path = required_path(section)
    shards = data_files(path, SUFFIX)
    if not shards:
        raise InputError(f"{path} holds no {SUFFIX} files: a WebDataset is a folder of them")
    root = path if path.is_dir() else path.parent
    leftovers = Leftovers()
    keys: list[str] = []
    labels: list[Label] = []
    splits = []
    places: list[tuple[int, int, int]] = []
    for number, (shard, split) in enumerate(zip(shards, splits_of_files(shards, root), strict=True)):
        for picture in _pictures(shard, leftovers):
            keys.append(picture.key)
            labels.append(picture.label)
            splits.append(split)
            places.append((number, picture.offset, picture.size))
    names = tuple(str(shard.relative_to(root)) for shard in shards)
    table = np.array(places, dtype=np.int64).reshape(-1, 3)
    source = ShardSource(root, names, file_states(root, names), tuple(keys), table)
    return arrange(path, source, labels, splits, leftovers, _class_names(root))


def _pictures(shard: Path, leftovers: Leftovers) -> Iterator[_Picture]:
    """Yield the pictures of a shard with their labels."""
    images: dict[str, tuple[int, int]] = {}
    labels: dict[str, dict[str, Label]] = {}
    try:
        with _open(shard) as archive:
            while (member := archive.next()) is not None:
                archive.members.clear()  # type: ignore[attr-defined]  # tarfile keeps all of them
                if member.size < 0:
                    raise tarfile.ReadError("a size is negative")
                folder, _, name = member.name.rpartition("/")
                stem, _, suffix = name.partition(".")
                key, kind = f"{folder}/{stem}" if folder else stem, suffix.lower()
                shown = f"{shard.name}/{printable(member.name)}"
                if not member.isreg() or member.issparse():
                    if not member.isdir():
                        leftovers.add("links and special files", shown)
                elif kind in IMAGES:
                    if key in images:
                        raise InputError(f"{shard}: the sample {printable(key)} has two pictures: a sample has one")
                    images[key] = member.offset_data, member.size
                elif kind in LABELS and member.size <= MAX_LABEL_BYTES:
                    file = archive.extractfile(member)
                    assert file is not None
                    labels.setdefault(key, {})[kind] = _read_label(shard, member.name, kind, file.read())
                else:
                    leftovers.add(f".{printable(suffix)} files" if suffix else "files without a suffix", shown)
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise InputError(f"cannot read the shard {shard}: {_reason(shard, error)}") from None
    for key in labels.keys() - images.keys():
        leftovers.add("labels without a picture", f"{shard.name}/{printable(key)}")
    for key, (offset, size) in images.items():
        found = labels.get(key, {})
        yield _Picture(key, offset, size, next((found[kind] for kind in LABELS if found.get(kind) is not None), None))


def _open(shard: Path) -> tarfile.TarFile:
    return tarfile.open(shard, "r:", errors="surrogateescape")  # of no compression: places would mean nothing


def _reason(shard: Path, error: Exception) -> str:
    try:
        with shard.open("rb") as file:
            start = file.read(8)
    except OSError:
        start = b""
    for magic, name in PACKED.items():
        if start.startswith(magic):
            return f"it is compressed by {name}, so that no picture could be read alone: decompress it"
    return str(error) or type(error).__name__


def _read_label(shard: Path, name: str, kind: str, content: bytes) -> Label:
    """Return the label in a file of a shard."""
    try:
        text = content.decode("utf-8").strip()
        if kind == "cls":
            return _to_label(text)
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{shard}: cannot read the label {printable(name)}: {error}") from None
    if isinstance(value, dict):
        key = next((key for key in LABEL_KEYS if key in value), None)
        if key is None:
            return None
        value = value[key]
    if isinstance(value, bool) or not isinstance(value, int | str | None):
        raise InputError(f"{shard}: the label {printable(name)} is {str(value)[:40]!a}, and must be a number or a name")
    return _to_label(value) if isinstance(value, str) else value


def _to_label(text: str) -> Label:
    return int(text) if text.removeprefix("-").isdecimal() and text.isascii() and len(text) < 18 else text or None


def _class_names(root: Path) -> list[str] | None:
    for name in NAME_FILES:
        try:
            lines = (root / name).read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            raise InputError(f"cannot read the names of classes {root / name}: {error}") from None
        names = [line.strip() for line in lines]
        while names and not names[-1]:
            names.pop()
        if "" in names or len(set(names)) < len(names):
            raise InputError(f"{root / name} must have the name of one class in each line, and none twice")
        return names
    return None
