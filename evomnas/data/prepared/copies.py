"""Copies of prepared sets on other machines, in parts and checked by their records."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import numpy as np

from evomnas.data.prepared.cache import IMAGES, PARTIAL_IMAGES, Damaged, Facts, cache_folder, complete_set, open_set
from evomnas.data.prepared.chunks import Records, check_images, header_bytes, read_at, write_at, write_header
from evomnas.data.prepared.disk import reserve
from evomnas.data.prepared.places import check_disk, locked
from evomnas.data.rows import Images, MappedImages

COPIED_IMAGES = 256  # that travel together


def find_copy(key: str) -> MappedImages | None:
    """Return the images of a set that is complete in this machine's own folder; None where there is none.

    Args:
        key: The key of the set.
    """
    with suppress(Damaged):
        found = open_set(cache_folder() / key)
        return None if found is None else found.images
    return None


def receive_set(key: str, facts: Facts, records: Records, read: Callable[[int, int], Images]) -> MappedImages:
    """Copy a set into this machine's own folder; others that want the same wait.

    Args:
        key: The key of the set.
        facts: The facts of the set.
        records: What is known of its pictures.
        read: Returns the images from one row to before another one.

    Returns:
        The images in this machine's own file.

    Raises:
        InputError: They have no room here.
        OSError: The disk fails, or images are not what their records say.
    """
    folder, size = cache_folder() / key, int(np.prod(facts.shape, dtype=np.int64))
    with locked(folder, size, len(records)):
        found = find_copy(key)
        if found is not None:
            return found
        path = folder / PARTIAL_IMAGES
        if not path.exists() and (folder / IMAGES).exists():
            (folder / IMAGES).replace(path)
        check_disk(folder, facts.shape[0], size, [path])
        reserve(path, write_header(path, facts.shape))
        kept = records[records["kept"]]
        with path.open("r+b", buffering=0) as file:
            for start in range(0, len(kept), COPIED_IMAGES):
                part = kept[start : start + COPIED_IMAGES]
                pixels = np.empty((len(part), *facts.shape[1:]), dtype=np.uint8)
                offset = header_bytes(path) + start * pixels[0].nbytes
                read_at(file, offset, pixels)
                if not check_images(part, pixels).all():  # else it came before this was interrupted
                    pixels = np.ascontiguousarray(read(start, start + len(part)))
                    if not check_images(part, pixels).all():
                        raise OSError(f"the prepared images of {facts.source} are damaged where they come from")
                    write_at(file, offset, pixels)
        path.replace(folder / IMAGES)
        complete_set(folder, records, facts.model_dump(exclude={"records"}))
    return MappedImages(folder / IMAGES)
