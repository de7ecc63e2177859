"""COCO's JSON: one file for each split, with left and upper edge, width and height of boxes in pixels.

Categories have numbers with gaps; their names are what counts here (Lin et al. 2014, "Microsoft COCO: Common Objects in
Context", and cocodataset.org, "Data format").
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evomnas.data.boxes.annotated import Annotated, Annotations, Faults, Outline, to_number, to_size
from evomnas.data.boxes.picture_index import PictureIndex
from evomnas.data.catalogues.entries import Leftovers, printable
from evomnas.data.gallery.layout import Split

SUFFIX = ".json"
INSTANCES = "instances"  # begins the names of COCO's own files of boxes; there are others beside them
LISTS = ("images", "annotations", "categories")
Id = int | str


def load_coco(
    files: Sequence[Path], pictures: PictureIndex, faults: Faults, leftovers: Leftovers
) -> dict[Path, dict[str, Any]]:
    """Return the content of those JSON files that are in COCO's format.

    Args:
        files: JSON files. Of COCO's own, only those of boxes count.
        pictures: The pictures that there are, for the names of files.
        faults: Takes what is wrong.
        leftovers: Takes the files that are in another format, with the reason.

    Returns:
        The parsed content by file, without outlines of things.
    """
    instances = [file for file in files if file.name.startswith(INSTANCES)]
    found = {}
    for file in instances or files:
        try:
            content = json.loads(file.read_bytes(), object_hook=_without_outline)
        except (OSError, ValueError, RecursionError):
            faults.add("files that cannot be read (no JSON)", pictures.name(file))
            continue
        reason = _other_format(content)
        if reason:
            leftovers.add(f"files that are not in COCO's format ({reason})", pictures.name(file))
        else:
            found[file] = content
    return found


def _other_format(content: object) -> str:
    """Return why the content of a JSON file is not in COCO's format; empty if it is."""
    if not isinstance(content, dict):
        kind = "a list" if isinstance(content, list) else "a single value"
        return f"{kind} and not an object with {', '.join(LISTS)}"
    missing = [name for name in LISTS if not isinstance(content.get(name), list)]
    return f"without a list of {' and '.join(missing)}" if missing else ""


def _without_outline(values: dict[str, Any]) -> dict[str, Any]:
    """Drop the polygons of an annotation: they take most of the memory."""
    values.pop("segmentation", None)
    return values


def read_coco(
    contents: Mapping[Path, dict[str, Any]], splits: Sequence[Split | None], pictures: PictureIndex, faults: Faults
) -> Annotations:
    """Read the boxes of pictures from files in COCO's format.

    Args:
        contents: The content of each file, see `load_coco`.
        splits: The split of each file; None where its name means none.
        pictures: The pictures that there are.
        faults: Takes what is wrong.

    Returns:
        The pictures that the files list; the classes are in the order of their numbers.
    """
    annotated: list[Annotated] = []
    names: dict[str, None] = {}
    for (file, content), split in zip(contents.items(), splits, strict=True):
        where = pictures.name(file)
        categories = _categories(content["categories"], where, faults)
        names |= dict.fromkeys(categories[number] for number in sorted(categories, key=_order))
        outlines = _outlines(content, categories, where, faults)
        for image in _dicts(content["images"], "images", where, faults):
            listed = str(image.get("file_name"))
            place = f"{where}: {printable(listed)}"
            picture = pictures.find([listed], file, faults, place)
            boxes = outlines.get(_id(image.get("id")), [])
            if picture is not None:
                size = to_size(image.get("width"), image.get("height"))
                annotated.append(Annotated(place, picture, split, size, tuple(boxes)))
    return Annotations(annotated, list(names))


def _dicts(values: list[Any], what: str, where: str, faults: Faults) -> list[dict[str, Any]]:
    for place, value in enumerate(values):
        if not isinstance(value, dict) or (what != "annotations" and _id(value.get("id")) is None):
            faults.add(f"entries of {what} without an id", f"{where} {what}[{place}]")
    return [value for value in values if isinstance(value, dict)]


def _id(value: object) -> Id | None:
    """Return a number or a text by which things are found; None of what is neither."""
    return value if isinstance(value, int | str) and not isinstance(value, bool) else None


def _order(number: Id) -> tuple[bool, float, str]:
    return isinstance(number, str), 0.0 if isinstance(number, str) else float(number), str(number)


def _categories(values: list[Any], where: str, faults: Faults) -> dict[Id, str]:
    """Return the names of the categories by their numbers."""
    found: dict[Id, str] = {}
    for value in _dicts(values, "categories", where, faults):
        number, name = _id(value.get("id")), value.get("name")
        if number is None:
            continue
        if number in found or not isinstance(name, str) or name in found.values():
            faults.add("categories that are there twice, or have no name", f"{where} category {number}")
        found[number] = printable(str(name))
    return found


def _outlines(
    content: Mapping[str, Any], categories: Mapping[Id, str], where: str, faults: Faults
) -> dict[Id | None, list[Outline]]:
    """Return the boxes by the number of their picture."""
    found: dict[Id | None, list[Outline]] = {}
    for value in _dicts(content["images"], "images", where, Faults()):
        if _id(value.get("id")) in found:
            faults.add("pictures that are listed twice", f"{where} image {value.get('id')}")
        found[_id(value.get("id"))] = []
    for place, value in enumerate(_dicts(content["annotations"], "annotations", where, faults)):
        here = f"{where} annotation {printable(str(value.get('id', place)))}"
        image, category = _id(value.get("image_id")), _id(value.get("category_id"))
        if image not in found or image is None:
            faults.add("boxes of no listed picture", here)
        elif category is None or category not in categories:
            faults.add("boxes of unknown classes", f"{here} (category {printable(str(value.get('category_id')))})")
        else:
            found[image].append(_outline(value, categories[category], here))
    return found


def _outline(value: Mapping[str, Any], label: str, where: str) -> Outline:
    numbers = value.get("bbox")
    sides = [to_number(number) for number in numbers] if isinstance(numbers, list) else []
    left, top, width, height = sides if len(sides) == 4 else [float("nan")] * 4
    area = to_number(value.get("area"))
    return Outline(
        label, (left, top, left + width, top + height), where, value.get("iscrowd") == 1, area if area > 0 else None
    )
