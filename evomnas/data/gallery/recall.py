"""The findings in a folder of images whose pixels are prepared, kept for the next time if nothing in it has changed.

To see that, all names, sizes and times below the folder are looked at. It takes a tenth of the time of finding out anew
what is of which class and split.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from array import array
from contextlib import suppress
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from evomnas.data.gallery.found import Found
from evomnas.data.images import FileOrigin, TrainingImages
from evomnas.data.prepared.cache import IMAGES, PIXEL_RULES, Damaged, cache_folder, open_set
from evomnas.data.rows import ImageRows
from evomnas.problem.sections import DataSection

READINGS = "readings"  # within the folder of prepared images
READING_RULES = 1  # by which files become images of a search; whoever changes this room raises it


def folder_digest(root: Path, section: DataSection) -> str | None:
    """Return a hash of all names, sizes and times below a folder, and of the settings by which it is read.

    Args:
        root: The folder.
        section: The data section.

    Returns:
        The hash; None where linked folders, or those that cannot be read, could hide a change.
    """
    settings = [
        PIXEL_RULES,
        READING_RULES,
        str(root),
        section.resolution,
        section.fit,
        section.rules,
        section.duplicates,
    ]
    digest = hashlib.blake2b(json.dumps(settings).encode(), digest_size=12)
    folders = [str(root)]
    while folders:
        folder, names, facts = folders.pop(), [], array("q")
        try:
            with os.scandir(folder) as found:
                entries = sorted(found, key=lambda entry: entry.name)
            for entry in entries:
                if entry.is_dir():
                    if entry.is_symlink():
                        return None
                    folders.append(entry.path)
                    continue
                state = entry.stat()
                names.append(entry.name)
                facts.extend((state.st_size, state.st_mtime_ns))
        except OSError:
            return None
        digest.update("\0".join((folder, *names)).encode(errors="surrogateescape"))
        digest.update(facts.tobytes())
    return digest.hexdigest()


def recall(digest: str) -> TrainingImages | None:
    """Return the images to train on that were found in a folder before.

    Args:
        digest: See `folder_digest`.

    Returns:
        The images; None where they are not known, or not prepared any more.
    """
    try:
        with np.load(cache_folder() / READINGS / f"{digest}.npz", allow_pickle=False) as kept:
            words = json.loads(kept["words"].tobytes())
            names = kept["names"].tobytes().decode(errors="surrogateescape").split("\0")
            prepared = open_set(cache_folder() / words["set"])
            if prepared is None:
                return None
            found = Found.model_validate(words["found"])
            validates = kept["validates"] if words["validates"] else None
            origin = FileOrigin(kept["keys"], tuple(names), validates, found)
            images = ImageRows(prepared.images, kept["rows"])
            fit, reshaped = words["fit"], words["reshaped"]
            return TrainingImages(images, kept["labels"], tuple(words["classes"]), fit, origin, reshaped)
    except (
        OSError,
        ValueError,
        KeyError,
        EOFError,
        TypeError,
        BadZipFile,
        zlib.error,
        Damaged,
    ):  # whatever is wrong, it is found anew
        return None


def remember(digest: str, images: TrainingImages) -> None:
    """Keep what was found in a folder, if its images are prepared.

    Args:
        digest: See `folder_digest`.
        images: The images to train on.
    """
    rows, origin = images.images, images.origin
    if not isinstance(rows, ImageRows) or rows.path is None or rows.path.name != IMAGES or origin is None:
        return
    validates = origin.validates
    words = {
        "set": rows.path.parent.name,
        "classes": images.classes,
        "fit": images.fit,
        "reshaped": images.reshaped,
        "found": origin.found.model_dump(mode="json"),
        "validates": validates is not None,
    }
    path = cache_folder() / READINGS / f"{digest}.npz"
    partial = path.with_name(f".{path.name}.{os.getpid()}.npz")
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(
            partial,
            words=np.frombuffer(json.dumps(words).encode(), np.uint8),
            names=np.frombuffer("\0".join(origin.files).encode(errors="surrogateescape"), np.uint8),
            keys=origin.keys,
            rows=rows.rows,
            labels=images.labels,
            validates=np.zeros(0, np.bool_) if validates is None else validates,
        )
        partial.replace(path)
