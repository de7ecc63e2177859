"""The headers of the arrays in an npz file, read without the arrays."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # numpy takes a moment, and most commands need none of this
    import numpy as np


def array_headers(path: Path) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
    """Return the shapes and types of the arrays in an npz file.

    Args:
        path: The file.

    Returns:
        (shape, type) by name; none where the file cannot be read.
    """
    from numpy.lib import format as npy

    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    headers = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                with archive.open(name) as file:
                    shape, _, dtype = readers[npy.read_magic(file)](file)
                headers[name.removesuffix(".npy")] = shape, dtype
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, NotImplementedError, RuntimeError):
        return {}
    return headers
