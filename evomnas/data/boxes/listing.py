"""From a folder or a file to pictures with boxes, whichever format they are in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import compress
from pathlib import Path

import numpy as np

from evomnas.core.errors import InputError
from evomnas.data.boxes.annotated import Annotated, Annotations, Faults
from evomnas.data.boxes.boxes import Boxes
from evomnas.data.boxes.checking import check_pictures, to_boxes
from evomnas.data.boxes.coco_json import SUFFIX as JSON
from evomnas.data.boxes.coco_json import load_coco, read_coco
from evomnas.data.boxes.headers import read_headers
from evomnas.data.boxes.picture_index import PictureIndex
from evomnas.data.boxes.targets import BoxTargets
from evomnas.data.boxes.voc_xml import SUFFIX as XML
from evomnas.data.boxes.voc_xml import read_voc
from evomnas.data.boxes.yolo_text import SUFFIX as TEXT
from evomnas.data.boxes.yolo_text import find_names, is_label_file, read_yolo
from evomnas.data.catalogues.entries import ORDER, Leftovers, splits_of_files
from evomnas.data.check import required_path
from evomnas.data.gallery.files import GalleryFiles
from evomnas.data.gallery.found import Group
from evomnas.data.gallery.layout import Split, check_class_names, complete_splits, walk_files
from evomnas.data.images import Labels
from evomnas.data.prepared.source import FileSource, file_states
from evomnas.problem.sections import DataSection

REMEDY = "Mend or remove them, then start again"
LAYOUT = (
    "expected are COCO's annotations (a .json file), Pascal VOC's (an .xml file for each picture) or YOLO's (a .txt "
    "file for each picture, and a data.yaml)"
)
MIN_PICTURES = 3  # two to train and to validate on, and one that is kept aside for the test
_known: dict[tuple[object, ...], GalleryFiles] = {}  # the last one, since a search looks twice


def list_boxes(section: DataSection) -> GalleryFiles:
    """Return the pictures of a set of boxes. Only the beginnings of their files are read.

    Args:
        section: The data section; `path` is the folder, or a file in COCO's format.

    Returns:
        The pictures with their boxes and splits. The label of a picture is that of its rarest class, and by it splits
        have all classes; pictures without boxes have the number after the last.

    Raises:
        InputError: There are none, or something is wrong with them; the message names all of it.
    """
    path = required_path(section)
    root = path if path.is_dir() else _root(path)
    files = [*walk_files(root)]
    names = [str(file) for file in files]
    key = (path, section.resolution, section.fit, *names, file_states(Path(), names).tobytes())
    if key not in _known:
        found = _read(path, root, files, section)
        _known.clear()
        _known[key] = found
    return _known[key]


def _root(file: Path) -> Path:
    """Return the folder that holds the pictures of a file: COCO has the file in a folder beside theirs."""
    if file.suffix.lower() != JSON:
        raise InputError(f"{file} is not in COCO's format, a .json file: name the folder of the pictures instead")
    return file.parent.parent if file.parent.name.lower() == "annotations" else file.parent


def _read(path: Path, root: Path, files: Sequence[Path], section: DataSection) -> GalleryFiles:
    pictures, faults, leftovers = PictureIndex(root, files), Faults(), Leftovers()
    annotations = _annotations(path, files, pictures, faults, leftovers)
    annotated = [*annotations.pictures]
    headers = read_headers([one.picture for one in annotated])
    usable = check_pictures(annotated, headers, faults)
    annotated, headers = [*compress(annotated, usable)], [*compress(headers, usable)]
    boxes = to_boxes(annotated, headers, annotations.classes, faults, leftovers)
    faults.check(path, REMEDY)
    sizes = np.array([header.upright for header in headers], dtype=np.int64).reshape(-1, 2)
    targets = BoxTargets(boxes, sizes, section.resolution, section.fit or "stretch")
    return _arrange(path, root, annotated, targets, annotations.classes, pictures, leftovers)


def _annotations(
    path: Path, files: Sequence[Path], pictures: PictureIndex, faults: Faults, leftovers: Leftovers
) -> Annotations:
    """Read what the files of a set describe, in the one format that is there."""
    by_suffix: dict[str, list[Path]] = {}
    for file in [path] if path.is_file() else files:
        by_suffix.setdefault(file.suffix.lower(), []).append(file)
    found: dict[str, Callable[[], Annotations]] = {}
    contents = load_coco(by_suffix.get(JSON, []), pictures, faults, leftovers)
    if contents:
        splits = [None if split == "all" else split for split in splits_of_files([*contents], pictures.root)]
        found["COCO"] = lambda: read_coco(contents, splits, pictures, faults)
    if by_suffix.get(XML):
        found["Pascal VOC"] = lambda: read_voc(by_suffix[XML], pictures, faults)
    names = find_names(files)
    if any(map(is_label_file, by_suffix.get(TEXT, []))) or (names is not None and not found):
        found["YOLO"] = lambda: read_yolo(by_suffix.get(TEXT, []), names, pictures, faults)
    if not found:
        faults.check(path, REMEDY)
        others = "; ".join(f"{group.what}: {', '.join(group.examples)}" for group in leftovers.groups())
        raise InputError(f"{path} has no boxes{' (' * bool(others)}{others}{')' * bool(others)}: {LAYOUT}")
    if len(found) > 1:
        raise InputError(
            f"{path} has boxes in two formats, {' and '.join(found)}: give the .json file, or move one elsewhere"
        )
    annotations = next(iter(found.values()))()
    if not annotations.pictures:
        faults.check(path, REMEDY)
        raise InputError(f"{path} has no pictures with boxes: {LAYOUT}")
    return annotations


def _arrange(
    path: Path,
    root: Path,
    annotated: Sequence[Annotated],
    targets: BoxTargets,
    names: Sequence[str],
    pictures: PictureIndex,
    leftovers: Leftovers,
) -> GalleryFiles:
    """Return pictures in the order of their splits, with the numbers of those classes that are there."""
    splits = [one.split or pictures.split(one.picture) for one in annotated]
    is_split = any(splits)
    for one, split in zip(annotated, splits, strict=True):
        if is_split and split is None:
            leftovers.add("pictures of no split", pictures.name(one.picture))
    used = [place for place, split in enumerate(splits) if split is not None or not is_split]
    found = complete_splits(path, [splits[place] or "all" for place in used])
    order = np.argsort([ORDER.index(split) for split in found], kind="stable")
    targets, found = targets.select(np.array(used, dtype=np.int64)[order]), [found[place] for place in order]
    classes, boxes = _classes(path, targets.boxes, names, found)
    labels = rarest_classes(boxes, len(classes))
    chosen = [annotated[used[place]].picture for place in order]
    _check_enough(path, boxes, found)
    return GalleryFiles(
        root=path, source=FileSource.of(root, chosen), splits=tuple(found), labels=labels, classes=classes,
        unread=lambda: _unread(leftovers, pictures, annotated), fit=targets.fit,
        targets=BoxTargets(boxes, targets.sizes, targets.resolution, targets.fit),
    )  # fmt: skip


def _classes(path: Path, boxes: Boxes, names: Sequence[str], splits: Sequence[Split]) -> tuple[tuple[str, ...], Boxes]:
    """Return the names of the classes that boxes to train on have, and the boxes with their numbers."""
    trains = np.array([split in ("all", "train") for split in splits], dtype=np.bool_)[boxes.images]
    known = np.unique(boxes.labels[trains])
    unknown = np.setdiff1d(boxes.labels, known)
    if len(unknown):
        raise InputError(f"{path} has a class that no picture to train on has, {names[unknown[0]]!a}: leave it out")
    check_class_names([names[number] for number in known])
    labels = np.searchsorted(known, boxes.labels)
    chosen = tuple(names[number] for number in known)
    return chosen, Boxes(boxes.corners, labels, boxes.crowd, boxes.areas, boxes.starts)


def rarest_classes(boxes: Boxes, classes: int) -> Labels:
    """Return for each picture the class of its boxes that is the rarest of all, by the number of boxes.

    Args:
        boxes: The boxes of n pictures.
        classes: The number of classes.

    Returns:
        The classes, shape (n,); of pictures without boxes the number after the last class.
    """
    order = np.argsort(-np.bincount(boxes.labels, minlength=classes), kind="stable")
    ranks = np.argsort(order)
    rarest = np.full(len(boxes), classes, dtype=np.int64)
    np.minimum.at(rarest, boxes.images, classes - 1 - ranks[boxes.labels])
    return np.append(order[::-1], classes)[rarest]


def _check_enough(path: Path, boxes: Boxes, splits: Sequence[Split]) -> None:
    """Raise InputError where there are too few pictures with boxes to train on."""
    kept_aside = "all" in splits
    trains = np.array([split in ("all", "train") for split in splits], dtype=np.bool_)
    count = int((boxes.counts[trains] > 0).sum())
    needed = MIN_PICTURES if kept_aside else MIN_PICTURES - 1
    if count < needed:
        kept = ", one of which is kept aside for the test" if kept_aside else ""
        raise InputError(f"{path} has {count} pictures with boxes to train on: it needs {needed} or more{kept}")


def _unread(leftovers: Leftovers, pictures: PictureIndex, annotated: Sequence[Annotated]) -> list[Group]:
    """Return what is not used, by reason."""
    read = {one.picture for one in annotated}
    others = [pictures.name(path) for path in pictures.paths if path not in read]
    return [*leftovers.groups(), *([Group.of("pictures without a file of boxes", others)] if others else [])]
