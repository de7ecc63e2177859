"""Sizes and orientations of pictures, which the headers of their files tell without their pixels."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from evomnas.core.quiet import silence
from evomnas.core.system.machine import usable_cores
from evomnas.data.boxes.boxes import Corners
from evomnas.data.colours import read_orientation
from evomnas.data.photographs import read_reason

TURNED = range(5, 9)  # orientations of pictures whose width is the height of what the file has


class Header(NamedTuple):
    """The beginning of a picture's file.

    Attributes:
        stored: Width and height in pixels as the file has them.
        orientation: The EXIF orientation, from 1 to 8.
        fault: What is wrong with the file; empty if its beginning is right.
    """

    stored: tuple[int, int]
    orientation: int = 1
    fault: str = ""

    @property
    def upright(self) -> tuple[int, int]:
        """Width and height in pixels of the upright picture."""
        return self.stored[::-1] if self.orientation in TURNED else self.stored


def read_headers(paths: Sequence[Path]) -> list[Header]:
    """Read the headers of pictures.

    Args:
        paths: Their files.

    Returns:
        The header of each; one with a fault where the file cannot be read.
    """
    with silence(), ThreadPoolExecutor(usable_cores()) as threads:
        return list(threads.map(_read_header, paths))


def _read_header(path: Path) -> Header:
    try:
        with Image.open(path) as image:
            # Pillow would read all pixels of a PNG file to find EXIF data behind them, where nobody puts them
            has_exif = image.format != "PNG" or "exif" in image.info
            return Header(image.size, read_orientation(image) if has_exif else 1)
    except Exception as error:  # every format raises errors of its own
        return Header((0, 0), 1, read_reason(error))


def turn_corners(corners: Corners, stored: tuple[int, int], orientation: int) -> Corners:
    """Return boxes of a picture as its file has it, in the upright picture.

    Args:
        corners: Left, upper, right and lower edges in pixels, shape (m, 4).
        stored: Width and height as the file has them.
        orientation: The EXIF orientation (CIPA DC-008-2019, 4.6.5.1), from 1 to 8.

    Returns:
        The edges in the upright picture, shape (m, 4).
    """
    width, height = stored
    left, top, right, bottom = corners.T
    if orientation in (2, 3, 7, 8):  # mirrored from left to right, before all else
        left, right = width - right, width - left
    if orientation in (3, 4, 6, 7):  # and from top to bottom
        top, bottom = height - bottom, height - top
    edges = (top, left, bottom, right) if orientation in TURNED else (left, top, right, bottom)
    return np.stack(edges, axis=1)
