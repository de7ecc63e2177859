"""The folder of prepared images: where it is, and the sets in it, which are found by their keys only.

A set is a folder that may be deleted at any time. Then its images are prepared anew when they are needed.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evomnas.core.files import write_atomically
from evomnas.core.system.machine import user_folder
from evomnas.data.photographs import Preprocessing
from evomnas.data.prepared.chunks import RECORD, Records, checksum, header_bytes
from evomnas.data.prepared.disk import flush, taken_bytes
from evomnas.data.prepared.source import PictureSource
from evomnas.data.rows import MappedImages

VARIABLE = "EVOMNAS_IMAGE_CACHE"  # of the environment: another folder
PIXEL_RULES = 1  # by which a picture becomes pixels and a key; a change of `evomnas.data.colours` raises it
SAMPLED_IMAGES = 16  # that are compared with their checksums when a set is opened
IMAGES, RECORDS, FACTS, LOCK = "images.npy", "pictures.npy", "facts.json", "lock"
PARTIAL_IMAGES, PARTIAL_RECORDS = "images.partial", "pictures.partial"  # of a set that is being written


class Facts(BaseModel):
    """The facts of a set; its file is written last, so that it is there where the set is complete.

    Attributes:
        pictures: How many pictures the set has, those whose pixels are not kept included.
        shape: The shape of the images that are kept.
        records: A hash of the records.
        source: Where the pictures were, for people.
        seconds: How long it took to prepare them.
        pillow: The version of Pillow that decoded them.
    """

    model_config = ConfigDict(frozen=True)

    pictures: int = Field(ge=0)
    shape: tuple[int, int, int, int]
    records: str
    source: str
    seconds: float
    pillow: str


@dataclass(frozen=True)
class PreparedSet:
    """A complete set.

    Attributes:
        images: The images that are kept.
        records: What is known of all pictures.
    """

    images: MappedImages
    records: Records


class Damaged(Exception):
    """A set is not as it was written."""


def cache_folder() -> Path:
    """Return the folder of prepared images: the variable `EVOMNAS_IMAGE_CACHE`, or one in the user's own folder."""
    named = os.environ.get(VARIABLE)
    return Path(named).expanduser().absolute() if named else user_folder() / "images"


def set_key(source: PictureSource, keep: NDArray[np.bool_], preprocessing: Preprocessing) -> str:
    """Return the key of a set, for which no picture is opened.

    Args:
        source: The pictures.
        keep: Whether the pixels of each are kept, shape (n,).
        preprocessing: What is done with them.
    """
    digest = hashlib.blake2b(f"{PIXEL_RULES} {preprocessing.model_dump_json()}".encode(), digest_size=12)
    digest.update(source.digest)
    digest.update(np.packbits(keep).tobytes())
    return digest.hexdigest()


def open_set(folder: Path) -> PreparedSet | None:
    """Open a set, after what a look can find was compared.

    Args:
        folder: The folder of the set.

    Returns:
        The set; None where there is none, or not all of one.

    Raises:
        Damaged: It is not as it was written.
    """
    try:
        facts = Facts.model_validate_json((folder / FACTS).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError):
        raise Damaged from None
    images = MappedImages(folder / IMAGES)
    try:
        records = np.load(folder / RECORDS)
        size = header_bytes(images.path) + int(np.prod(facts.shape, dtype=np.int64))
        is_whole = (
            records.dtype == RECORD
            and len(records) == facts.pictures
            and _hash(records) == facts.records
            and images.path.stat().st_size == size
            and images.array.shape == facts.shape
            and images.array.dtype == np.uint8
        )
    except (OSError, ValueError, EOFError):
        is_whole = False
    if not is_whole:
        raise Damaged
    _check_sample(images, records)
    return PreparedSet(images, records)


def _check_sample(images: MappedImages, records: Records) -> None:
    """Compare some images with their checksums, others each time."""
    kept = np.flatnonzero(records["kept"])
    rows = np.unique(np.random.default_rng().integers(0, len(kept), SAMPLED_IMAGES)) if len(kept) else kept
    for row in rows:
        record = records[kept[row]]
        if checksum(record, np.ascontiguousarray(images.array[row])) != record["check"]:
            raise Damaged


def read_facts(folder: Path) -> tuple[Facts, Records]:
    """Return what another machine must know to have a copy of a set.

    Args:
        folder: The folder of the set, which is complete.

    Returns:
        The facts, and what is known of all pictures.
    """
    return Facts.model_validate_json((folder / FACTS).read_bytes()), np.load(folder / RECORDS)


class KeptSet(NamedTuple):
    """A set, complete or not, as it takes room on the disk.

    Attributes:
        folder: Its folder.
        bytes: What it takes.
        source: Where its pictures were; empty where it is not complete.
        images: How many images it has; 0 where it is not complete.
    """

    folder: Path
    bytes: int
    source: str = ""
    images: int = 0


def list_sets() -> list[KeptSet]:
    """Return the sets in the folder of prepared images, the largest first."""
    sets = []
    with suppress(OSError):  # there is no such folder
        for folder in (path for path in cache_folder().iterdir() if (path / LOCK).exists()):
            size = sum(map(taken_bytes, folder.iterdir()))
            try:
                facts = Facts.model_validate_json((folder / FACTS).read_bytes())
                sets.append(KeptSet(folder, size, facts.source, facts.shape[0]))
            except (OSError, ValidationError):
                sets.append(KeptSet(folder, size))
    return sorted(sets, key=lambda one: one.bytes, reverse=True)


def complete_set(folder: Path, records: Records, facts: dict[str, Any]) -> None:
    """Write what makes a set complete; its images are there.

    Args:
        folder: The folder of the set.
        records: What is known of all pictures.
        facts: The facts but the hash of the records.

    Raises:
        OSError: The disk is full, or fails.
    """
    flush(folder / IMAGES)
    with (folder / RECORDS).open("wb") as file:
        npy.write_array(file, records)
    flush(folder / RECORDS)
    whole = Facts(records=_hash(records), **facts)
    write_atomically(folder / FACTS, json.dumps(whole.model_dump(mode="json"), indent=2))
    flush(folder / FACTS)
    flush(folder)


def _hash(records: Records) -> str:
    return hashlib.blake2b(records.tobytes(), digest_size=8).hexdigest()
