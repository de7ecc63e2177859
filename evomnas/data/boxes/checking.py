"""From what files describe to boxes that are right; what is wrong with the others is noted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evomnas.data.boxes.annotated import Annotated, Faults, Outline
from evomnas.data.boxes.boxes import Boxes, Corners, Mask, all_in_row
from evomnas.data.boxes.headers import TURNED, Header, turn_corners
from evomnas.data.catalogues.entries import Leftovers

TOLERANCE = 1.0  # pixels by which a box may leave its picture: tools count from 0 or 1, and round


def check_pictures(annotated: Sequence[Annotated], headers: Sequence[Header], faults: Faults) -> Mask:
    """Note the pictures that cannot be read, are there twice, or are not those that were annotated.

    Args:
        annotated: The pictures, n of them.
        headers: Their headers.
        faults: Takes what is wrong.

    Returns:
        Whether each can be used, shape (n,).
    """
    usable, seen = np.ones(len(annotated), np.bool_), set()
    for place, (one, header) in enumerate(zip(annotated, headers, strict=True)):
        usable[place] = not header.fault and one.picture not in seen and one.size in _sizes(header)
        if header.fault:
            faults.add(f"pictures that cannot be read ({header.fault})", f"{one.where} ({one.picture.name})")
        elif one.picture in seen:
            faults.add("pictures with boxes in two places", f"{one.where} ({one.picture.name})")
        elif not usable[place]:
            sides = "{}x{} and not {}x{} pixels".format(*header.upright, *(one.size or ()))
            faults.add("pictures that have another size than their boxes say", f"{one.where} ({sides})")
        seen.add(one.picture)
    return usable


def _sizes(header: Header) -> tuple[tuple[int, int] | None, ...]:
    """Return the sizes that a file of boxes may name: that of the upright picture, that of its file, or none."""
    return (None, header.upright, header.stored)


def to_boxes(
    annotated: Sequence[Annotated],
    headers: Sequence[Header],
    classes: Sequence[str],
    faults: Faults,
    leftovers: Leftovers,
) -> Boxes:
    """Return the boxes of pictures in pixels of the upright ones.

    Boxes of a picture that was annotated before it was turned are turned with it. Boxes without an area are left out.

    Args:
        annotated: The pictures, n of them, all of which can be used.
        headers: Their headers.
        classes: The names of the classes.
        faults: Takes what is wrong.
        leftovers: Takes what is left out.

    Returns:
        The boxes, which end at the borders of their pictures; wrong ones are not among them.
    """
    outlines = [outline for one in annotated for outline in one.outlines]
    counts = [len(one.outlines) for one in annotated]
    corners = np.array([outline.corners for outline in outlines], dtype=np.float64).reshape(-1, 4)
    images = np.repeat(np.arange(len(annotated)), counts)
    sizes = np.array([header.upright for header in headers], dtype=np.float64).reshape(-1, 2)
    relative = np.array([one.is_relative for one in annotated], dtype=np.bool_)[images]
    corners[relative] *= np.tile(sizes[images[relative]], 2)
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    for place, (one, header) in enumerate(zip(annotated, headers, strict=True)):
        if header.orientation in TURNED and one.size == header.stored != header.upright:
            part = slice(starts[place], starts[place + 1])
            corners[part] = turn_corners(corners[part], header.stored, header.orientation)
    numbers = {name: number for number, name in enumerate(classes)}
    labels = np.array([numbers.get(outline.label, -1) for outline in outlines], dtype=np.int64)
    wanted = _check(corners, np.tile(sizes[images], 2), outlines, faults, leftovers)
    corners = np.clip(corners, 0, np.tile(sizes[images], 2))
    areas = (corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1])
    known = np.array([outline.area or np.nan for outline in outlines], dtype=np.float64)
    areas = np.where(np.isfinite(known), known, areas)
    crowd = np.array([outline.crowd for outline in outlines], dtype=np.bool_)
    return Boxes.of(counts, corners, labels, crowd, areas).keep(wanted)


def _check(
    corners: Corners, borders: Corners, outlines: Sequence[Outline], faults: Faults, leftovers: Leftovers
) -> Mask:
    """Note wrong boxes, and return which have an area."""
    whole = all_in_row(np.isfinite(corners))
    named = np.array([bool(outline.label) for outline in outlines], dtype=np.bool_)
    swapped = whole & ~all_in_row(corners[:, 2:] >= corners[:, :2])
    inside = all_in_row((corners >= -TOLERANCE) & (corners <= borders + TOLERANCE))
    shown = np.clip(corners, 0, borders)
    empty = ~all_in_row(shown[:, 2:] > shown[:, :2])
    wrong = {
        "boxes that are not four numbers": ~whole,
        "boxes without a class": ~named,
        "boxes whose right or lower edge comes before the other": swapped,
        "boxes that leave their picture": whole & ~swapped & ~inside,
    }
    for what, mask in wrong.items():
        for place in np.flatnonzero(mask).tolist():
            faults.add(what, f"{outlines[place].where}{_shown(corners[place], borders[place])}")
    right = whole & named & ~swapped & inside
    for place in np.flatnonzero(right & empty).tolist():
        leftovers.add("boxes without an area", outlines[place].where)
    return right & ~empty


def _shown(corners: Corners, borders: Corners) -> str:
    """Return edges of a box as a message has them."""
    left, top, right, bottom = corners
    return f" ({left:g},{top:g} to {right:g},{bottom:g} of {borders[2]:g}x{borders[3]:g})"
