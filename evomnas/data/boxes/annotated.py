"""Pictures with boxes as a file describes them, before anything of it is believed, and the faults of such files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from evomnas.core.errors import InputError
from evomnas.data.gallery.layout import Split

NO_NUMBER = float("nan")
MAX_NAMED = 20  # places of each kind of fault that a message names


class Outline(NamedTuple):
    """A box as a file has it.

    Attributes:
        label: The name of its class.
        corners: Its left, upper, right and lower edge; not a number where the file has none.
        where: Its place in the file, for messages.
        crowd: Whether it is around a crowd.
        area: The area of the thing in it, in pixels; None for that of the box.
    """

    label: str
    corners: tuple[float, float, float, float]
    where: str
    crowd: bool = False
    area: float | None = None


@dataclass(frozen=True, slots=True)
class Annotated:
    """A picture with its boxes.

    Attributes:
        where: The file that describes it, for messages.
        picture: The file of the picture.
        split: The split that the file that describes it is of; None where its name means none.
        size: Width and height of the picture that was annotated, as the file says; None where it does not.
        outlines: The boxes.
        is_relative: Whether the corners are shares of the picture's sides instead of pixels.
    """

    where: str
    picture: Path
    split: Split | None
    size: tuple[int, int] | None
    outlines: tuple[Outline, ...]
    is_relative: bool = False


class Annotations(NamedTuple):
    """All that the files of a set describe.

    Attributes:
        pictures: The pictures with their boxes.
        classes: The names of the classes in the order of their numbers; those that no box has may be among them.
    """

    pictures: Sequence[Annotated]
    classes: Sequence[str]


@dataclass
class Faults:
    """Wrong things in files, by what is wrong, so that one message can name all of them."""

    places: dict[str, list[str]] = field(default_factory=dict)

    def add(self, what: str, where: str) -> None:
        """Note one.

        Args:
            what: What is wrong, in words that follow a number and a colon.
            where: The file, and the place in it.
        """
        self.places.setdefault(what, []).append(where)

    def check(self, root: Path, remedy: str) -> None:
        """Raise an error with all that is wrong.

        Args:
            root: The folder or file that was given.
            remedy: What to do, to end the message.

        Raises:
            InputError: Something is.
        """
        count = sum(map(len, self.places.values()))
        if count:
            listed = "; ".join(f"{what}: {_listed(places)}" for what, places in self.places.items())
            raise InputError(f"{root} has {count:,} fault{'s' * (count > 1)} in its boxes: {listed}. {remedy}")


def _listed(places: Sequence[str]) -> str:
    more = len(places) - MAX_NAMED
    return ", ".join(places[:MAX_NAMED]) + (f" and {more:,} more" if more > 0 else "")


def to_number(value: object) -> float:
    """Return a number of a file.

    Args:
        value: A number or a text, as the file has it.

    Returns:
        The number; not a number where it is none, or is too large for one.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return NO_NUMBER
    try:
        return float(value)
    except (ValueError, OverflowError):
        return NO_NUMBER


def to_size(width: object, height: object) -> tuple[int, int] | None:
    """Return the size of a picture as a file has it.

    Args:
        width: Its width in pixels.
        height: Its height in pixels.

    Returns:
        The size; None where the file does not say it: 0, as some tools write, or no whole numbers.
    """
    sides = (to_number(width), to_number(height))
    if not all(math.isfinite(side) and side >= 1 and side == int(side) for side in sides):
        return None
    return int(sides[0]), int(sides[1])
