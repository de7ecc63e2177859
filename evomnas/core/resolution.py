"""The size of images: one number of pixels for a square, or height and width.

A square is always one number, so that equal sizes are equal values, and so that settings, archives and networks that
know squares alone stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from numbers import Integral
from typing import Annotated, Any

from evomnas.core.errors import InputError

MAX_PIXELS = 4096  # of a side

Resolution = int | tuple[int, int]  # in pixels; (height, width) where they differ


class PixelsRule:
    """The rule for a size of images as an argument; see `evomnas.core.arguments`."""

    def holds(self, value: Any) -> bool:
        """Return whether a value is a size.

        Args:
            value: A whole number, or whole numbers.
        """
        if isinstance(value, Integral):
            return bool(value >= 1)  # type: ignore[operator]
        return len(value) == 2 and all(side >= 1 for side in value)

    def __str__(self) -> str:
        return "(height, width) of at least 1 pixel"


Pixels = Annotated[int | tuple[int, int], PixelsRule()]  # as people give it to functions


def to_resolution(height: int, width: int) -> Resolution:
    """Return a size as it is stored.

    Args:
        height: The height in pixels.
        width: The width in pixels.

    Returns:
        One number if both are equal.
    """
    return int(height) if height == width else (int(height), int(width))


def sides(resolution: Resolution | Sequence[int]) -> tuple[int, int]:
    """Return height and width of a size.

    Args:
        resolution: One number, or height and width in any sequence, as JSON has them.

    Returns:
        Height and width in pixels.

    Raises:
        InputError: There are not two numbers.
    """
    if isinstance(resolution, int):
        return resolution, resolution
    if len(resolution) != 2:
        raise InputError(f"a size of images is one number of pixels, or [height, width], not {list(resolution)}")
    height, width = resolution
    return int(height), int(width)


def normalised(resolution: Resolution | Sequence[int]) -> Resolution:
    """Return a size as it is stored, whichever way it is given.

    Args:
        resolution: See `sides`.

    Raises:
        InputError: See `sides`.
    """
    return to_resolution(*sides(resolution))


def area(resolution: Resolution) -> int:
    """Return the number of pixels of images.

    Args:
        resolution: Their size.
    """
    height, width = sides(resolution)
    return height * width


def divided(resolution: Resolution, stride: int) -> Resolution:
    """Return the size of what a layer returns.

    Args:
        resolution: The size of its input.
        stride: Its stride.

    Returns:
        Both sides divided, rounded up.
    """
    if isinstance(resolution, int):
        return -(-resolution // stride)
    height, width = resolution
    return to_resolution(-(-height // stride), -(-width // stride))


def format_resolution(resolution: Resolution) -> str:
    """Return a size as short as it is written, such as `96`, or `96x128` for height x width.

    Args:
        resolution: The size.
    """
    return str(resolution) if isinstance(resolution, int) else "x".join(map(str, resolution))


def describe_resolution(resolution: Resolution) -> str:
    """Return a size in words, such as `96x96 pixels` or `96x128 pixels (height x width)`.

    Args:
        resolution: The size.
    """
    height, width = sides(resolution)
    return f"{height}x{width} pixels{'' if height == width else ' (height x width)'}"


def parse_resolution(text: str) -> Resolution:
    """Read a size as people type it.

    Args:
        text: One number, or `96x128` for height x width.

    Returns:
        The size; it may be 0 or too large.

    Raises:
        InputError: It is something else.
    """
    match = re.fullmatch(r"(\d{1,9})(?:x(\d{1,9}))?", text.strip(), re.ASCII)
    if match is None:
        raise InputError(f"cannot read the size {text[:40]!r}: write pixels as 224, or as 96x128 for height x width")
    return to_resolution(int(match[1]), int(match[2] or match[1]))
