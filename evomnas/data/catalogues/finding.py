"""From a data section to the pictures that are listed at its path."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from evomnas.core.errors import InputError
from evomnas.data.catalogues import parquet_files, tar_shards
from evomnas.data.catalogues.csv_file import read_csv
from evomnas.data.catalogues.entries import data_files
from evomnas.data.catalogues.npz_pictures import read_npz_pictures
from evomnas.data.catalogues.parquet_files import read_parquet
from evomnas.data.catalogues.tar_shards import read_shards
from evomnas.data.check import required_path
from evomnas.data.gallery.files import GalleryFiles
from evomnas.data.prepared.source import file_states
from evomnas.problem.sections import DataSection

READERS: dict[str, Callable[[DataSection], GalleryFiles]] = {
    "csv": read_csv,
    "parquet": read_parquet,
    "webdataset": read_shards,
    "npz": read_npz_pictures,
}
_SUFFIXES = {"parquet": parquet_files.SUFFIX, "webdataset": tar_shards.SUFFIX}  # of files that say all by themselves
_known: dict[tuple[object, ...], GalleryFiles] = {}  # the last one, since a search looks twice


def list_pictures(section: DataSection) -> GalleryFiles:
    """Return the pictures that a list, a table or an archive names. None of them is opened.

    Args:
        section: The data section, whose data set is one of `READERS`.

    Returns:
        The pictures with their labels and splits.

    Raises:
        InputError: The path is missing, or what is there cannot be used.
    """
    path, read = required_path(section), READERS.get(section.dataset)
    if read is None:
        raise InputError(f"the data set {section.dataset} is no list of pictures: there are {', '.join(READERS)}")
    if section.dataset not in _SUFFIXES:
        return read(section)
    files = [str(file) for file in data_files(path, _SUFFIXES[section.dataset])]
    states = file_states(Path(), [*files, *(str(path / name) for name in tar_shards.NAME_FILES)]).tobytes()
    key = (section.dataset, path, section.image_column, section.label_column, *files, states)
    if key not in _known:
        found = read(section)
        _known.clear()
        _known[key] = found
    return _known[key]
