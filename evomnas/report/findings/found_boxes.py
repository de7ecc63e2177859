"""Average precisions of networks by class and size, and the boxes that they find, drawn on some validation images.

All networks are shown on the same images, so that they can be compared. A picture is in the page once.
"""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from evomnas.data.pictures import PNG
from evomnas.results.detection.findings import Findings, ShownImage
from evomnas.results.run import Result, Run

MAX_NETWORKS = 5  # whose boxes are drawn: of a larger front evenly chosen ones, its ends among them
MAX_CLASSES = 12  # that have a column of their own: those that are found worst come first where there are more
# of classes, in turn
COLOURS = ("#d1495b", "#2a78d6", "#2a9d6f", "#d98a1f", "#a23bd8", "#00838f", "#8d6e63", "#c2185b")
SIZES = ("ap75", "small", "medium", "large")

Table = tuple[tuple[str, ...], list[tuple[str, ...]]]


def found_boxes(run: Run, results: Sequence[Result]) -> dict[str, Any] | None:
    """Return what the page shows of boxes.

    Args:
        run: The run.
        results: Its results.

    Returns:
        The table of precisions, the pictures, their networks with the boxes, and the colours of the classes. None where
        no network finds anything, as images have classes, or nothing was kept.
    """
    known = {
        result.evaluation.architecture.id: findings
        for result in run.explained(results)
        if (findings := run.reader.findings(result.evaluation.architecture)) is not None
    }
    if not known:
        return None
    names = run.archive.class_names(run.search_images_fingerprint)
    shown = _some(list(known))
    pictures = _pictures(run, known[shown[0]].shown)
    return {
        "table": _table(known, names),
        "pictures": pictures,
        "networks": [{"name": name, "images": _images(known[name], pictures, names)} for name in shown],
        "classes": [(name, _colour(number)) for number, name in enumerate(names)],
    }


def _some(networks: list[str]) -> list[str]:
    places = np.linspace(0, len(networks) - 1, min(MAX_NETWORKS, len(networks))).round().astype(int)
    return [networks[place] for place in dict.fromkeys(places.tolist())]


def _table(known: dict[str, Findings], names: Sequence[str]) -> Table:
    """Return the precisions of all networks, in percent; `-` where there is nothing to find."""
    found = list(known.values())
    means = [_mean([one.details["by_class"][number] for one in found]) for number in range(len(names))]
    columns = sorted(range(len(names)), key=lambda number: means[number])[:MAX_CLASSES]
    columns = columns if len(names) > MAX_CLASSES else list(range(len(names)))
    header = ("network", "AP", "AP50", "AP75", *SIZES[1:], *(f"AP50 of {names[number]}" for number in columns))
    rows = []
    for name, one in known.items():
        values = [one.ap, one.ap50, *(one.details[size] for size in SIZES)]
        values += [one.details["by_class50"][number] for number in columns]
        rows.append((name, *("-" if value is None else f"{100 * value:.1f}" for value in values)))
    return header, rows


def _mean(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else 2.0  # behind all others: there is nothing to find


def _pictures(run: Run, shown: Sequence[ShownImage]) -> list[dict[str, Any]]:
    """Return the pictures that the archive has, with their sizes, as `data:` addresses."""
    found = []
    for image in shown:
        content = run.archive.picture(run.search_images_fingerprint, image.place)
        if content is not None:
            kind = "png" if content.startswith(PNG) else "jpeg"
            width, height = Image.open(io.BytesIO(content)).size
            address = f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
            found.append({"place": image.place, "width": width, "height": height, "address": address})
    return found


def _images(findings: Findings, pictures: Sequence[dict[str, Any]], names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the boxes of a network on each picture, in its pixels, with a text that says what they are."""
    by_place = {image.place: image.boxes for image in findings.shown}
    images = []
    for picture in pictures:
        width, height = picture["width"], picture["height"]
        boxes = [box for box in by_place.get(picture["place"], ()) if box.label < len(names)]
        counts = Counter(names[box.label] for box in boxes)
        words = ", ".join(f"{count} {name}" for name, count in counts.items()) or "nothing"
        drawn = [
            {
                "x": round(box.left * width, 1), "y": round(box.top * height, 1),
                "width": round((box.right - box.left) * width, 1), "height": round((box.bottom - box.top) * height, 1),
                "colour": _colour(box.label), "title": f"{names[box.label]}, {box.score:.0%} sure",
            }
            for box in boxes
        ]  # fmt: skip
        images.append({"place": picture["place"], "words": words, "boxes": drawn})
    return images


def _colour(label: int) -> str:
    return COLOURS[label % len(COLOURS)]
