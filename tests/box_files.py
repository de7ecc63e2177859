"""Drawn pictures with boxes, in the three formats in which people keep them; all forms of the same pictures.

The writers know nothing of the readers: they follow the descriptions of the formats.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

CLASSES = ("ball", "car", "tree")
COLOURS = ((250, 30, 30), (30, 250, 30), (40, 40, 250))
CATEGORY_IDS = (3, 17, 90)  # COCO's numbers have gaps
SPLITS = {"train": 6, "valid": 2, "test": 2}


class Drawn(NamedTuple):
    """A picture: its pixels, uint8 (h, w, 3), its things as (class, left, top, right, bottom), and its split."""

    pixels: np.ndarray
    things: list[tuple[int, int, int, int, int]]
    split: str


def draw(count: int | None = None, size: tuple[int, int] = (48, 64), seed: int = 0) -> list[Drawn]:
    """Pictures of one to three filled rectangles on dark noise, which do not overlap; by default in three splits.

    Every class is in every third picture at least. `size` is height and width.
    """
    rng, drawn = np.random.default_rng(seed), []
    splits = [split for split, number in SPLITS.items() for _ in range(number)] if count is None else [""] * count
    height, width = size
    for number, split in enumerate(splits):
        pixels = rng.integers(0, 60, (height, width, 3), dtype=np.uint8)
        things = []
        for place in range(1 + number % 3):  # in strips beside each other
            strip = width // 3
            left = place * strip + int(rng.integers(1, strip // 4))
            right = left + int(rng.integers(strip // 2, strip - strip // 4))
            top = int(rng.integers(1, height // 2))
            bottom = int(rng.integers(top + height // 4, height))
            label = (number + place) % len(CLASSES)
            pixels[top:bottom, left:right] = COLOURS[label]
            things.append((label, left, top, right, bottom))
        drawn.append(Drawn(pixels, things, split))
    return drawn


def save(path: Path, pixels: np.ndarray, **options: object) -> Path:
    """A picture in a file, whose folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def voc_xml(name: str, drawn: Drawn, size: tuple[int, int] | None = None) -> str:
    """The XML of a picture, which was annotated on another computer. `size` is width and height."""
    height, width = drawn.pixels.shape[:2]
    width, height = size or (width, height)
    objects = "".join(
        f"<object><name>{CLASSES[label]}</name><difficult>0</difficult><bndbox><xmin>{left}</xmin><ymin>{top}</ymin>"
        f"<xmax>{right}</xmax><ymax>{bottom}</ymax></bndbox></object>"
        for label, left, top, right, bottom in drawn.things
    )
    return (
        f"<annotation><folder>x</folder><filename>{name}</filename><path>C:\\Users\\somebody\\x\\{name}</path>"
        f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>{objects}</annotation>"
    )


def write_voc(root: Path, pictures: Sequence[Drawn]) -> Path:
    """Pascal VOC's folders, with lists of the splits where there are any."""
    lists: dict[str, list[str]] = {}
    for number, drawn in enumerate(pictures):
        save(root / "JPEGImages" / f"{number:03}.png", drawn.pixels)
        (root / "Annotations").mkdir(exist_ok=True)
        (root / "Annotations" / f"{number:03}.xml").write_text(voc_xml(f"{number:03}.png", drawn))
        lists.setdefault(drawn.split, []).append(f"{number:03}")
    for split, names in lists.items():
        if split:
            (root / "ImageSets" / "Main").mkdir(parents=True, exist_ok=True)
            name = {"valid": "val"}.get(split, split)
            (root / "ImageSets" / "Main" / f"{name}.txt").write_text("\n".join(names) + "\n")
    return root


def coco(pictures: Mapping[str, Drawn], first: int = 1) -> dict[str, list[dict[str, object]]]:
    """The content of a COCO file of pictures by the names of their files."""
    images, annotations = [], []
    for number, (name, drawn) in enumerate(pictures.items(), first):
        height, width = drawn.pixels.shape[:2]
        images.append({"id": number, "file_name": name, "width": width, "height": height})
        for label, left, top, right, bottom in drawn.things:
            box = [left, top, right - left, bottom - top]
            annotations.append({
                "id": len(annotations) + 1, "image_id": number, "category_id": CATEGORY_IDS[label], "bbox": box,
                "area": box[2] * box[3], "iscrowd": 0, "segmentation": [[left, top, right, top, right, bottom]],
            })  # fmt: skip
    categories = [{"id": number, "name": name} for number, name in zip(CATEGORY_IDS, CLASSES, strict=True)]
    return {"images": images, "annotations": annotations, "categories": categories}


def write_coco(root: Path, pictures: Sequence[Drawn]) -> Path:
    """COCO's folders: `annotations/instances_SPLIT.json`, and a folder of pictures for each split."""
    by_split: dict[str, dict[str, Drawn]] = {}
    for number, drawn in enumerate(pictures):
        save(root / (drawn.split or "pictures") / f"{number:03}.png", drawn.pixels)
        by_split.setdefault(drawn.split, {})[f"{number:03}.png"] = drawn
    (root / "annotations").mkdir()
    for split, chosen in by_split.items():
        (root / "annotations" / f"instances_{split or 'all'}.json").write_text(json.dumps(coco(chosen)))
        (root / "annotations" / f"captions_{split or 'all'}.json").write_text('{"images": [], "annotations": []}')
    return root


def write_yolo(root: Path, pictures: Sequence[Drawn]) -> Path:
    """YOLO's folders: `images/SPLIT`, `labels/SPLIT` and `data.yaml`."""
    for number, drawn in enumerate(pictures):
        height, width = drawn.pixels.shape[:2]
        save(root / "images" / drawn.split / f"{number:03}.png", drawn.pixels)
        lines = [
            f"{label} {(left + right) / 2 / width:.6f} {(top + bottom) / 2 / height:.6f} "
            f"{(right - left) / width:.6f} {(bottom - top) / height:.6f}"
            for label, left, top, right, bottom in drawn.things
        ]
        text = root / "labels" / drawn.split / f"{number:03}.txt"
        text.parent.mkdir(parents=True, exist_ok=True)
        text.write_text("\n".join(lines) + "\n" * bool(lines))
    names = "\n".join(f"  {number}: {name}" for number, name in enumerate(CLASSES))
    (root / "data.yaml").write_text(f"path: /home/somebody/x\ntrain: images/train\nnc: 3\nnames:\n{names}\n")
    return root


FORMATS = {"coco": write_coco, "voc": write_voc, "yolo": write_yolo}
