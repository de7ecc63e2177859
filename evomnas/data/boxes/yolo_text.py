"""YOLO's texts: a file for each picture, and in each line the number of a class and a box in shares of the picture.

The classes are named by a file such as `data.yaml`, of whose language only `names` is read, or by a list in a text.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from evomnas.core.errors import InputError
from evomnas.data.boxes.annotated import Annotated, Annotations, Faults, Outline, to_number
from evomnas.data.boxes.picture_index import PictureIndex
from evomnas.data.catalogues.entries import printable

SUFFIX = ".txt"
YAML_SUFFIXES = (".yaml", ".yml")
NAME_FILES = ("classes.txt", "obj.names", "names.txt", "labels.txt")
COLUMNS = 5
FOLDERS = ("images", "labels")  # usual names of the folders of pictures and of texts
MAX_BYTES = 2**20  # of a file


def find_names(files: Sequence[Path]) -> tuple[str, ...] | None:
    """Return the names of the classes in the order of their numbers; None where no file has them.

    Args:
        files: All files of the set; the one with the shortest path counts.
    """
    for file in sorted(files, key=lambda file: (len(file.parts), file)):
        names: tuple[str, ...] = ()
        if file.suffix.lower() in YAML_SUFFIXES:
            names = yaml_names(_text(file))
        elif file.name.lower() in NAME_FILES or file.suffix.lower() == ".names":
            names = tuple(line.strip() for line in _text(file).splitlines() if line.strip())
        if names:
            return tuple(map(printable, names))
    return None


def yaml_names(text: str) -> tuple[str, ...]:
    """Return the list under `names` of a YAML file: in brackets or braces, or with a line for each.

    Args:
        text: The content of the file.

    Returns:
        The names; none where there is no such list.
    """
    match = re.search(r"^names[ \t]*:[ \t]*", text, re.MULTILINE)
    if match is None:
        return ()
    rest = text[match.end() :]
    if rest[:1] in ("[", "{"):
        inside = rest[1:].partition("]" if rest[0] == "[" else "}")[0]
        entries = re.findall(r"""(?:[^,'"]|'[^']*'|"[^"]*")+""", inside)
    else:
        lines = (line.split(" #")[0].rstrip() for line in rest.splitlines())
        entries = [line for line in _listed(lines) if line]
    return tuple(filter(None, (_name(entry) for entry in entries)))


def _listed(lines: Iterator[str]) -> Iterator[str]:
    """Yield the entries of a list with a line for each, to its end."""
    for line in lines:
        if line.strip() and not re.match(r"\s+\S|-\s", line):
            return
        yield re.sub(r"^\s*-\s+", "", line).strip()


def _name(entry: str) -> str:
    """Return the name in an entry such as `'a cat'` or `0: cat`."""
    entry = re.sub(r"^\d+\s*:\s*", "", entry.strip())
    return entry[1:-1] if len(entry) > 1 and entry[0] == entry[-1] and entry[0] in "'\"" else entry


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig", errors="replace") if file.stat().st_size <= MAX_BYTES else ""
    except OSError:
        return ""


def is_label_file(file: Path) -> bool:
    """Return whether a text holds boxes: its first line has five numbers.

    Args:
        file: The file.
    """
    first = next((line.split() for line in _text(file).splitlines() if line.strip()), [])
    return len(first) == COLUMNS and all(to_number(cell) == to_number(cell) for cell in first)


def read_yolo(
    files: Sequence[Path], names: Sequence[str] | None, pictures: PictureIndex, faults: Faults
) -> Annotations:
    """Read the boxes of pictures from files in YOLO's format.

    Args:
        files: Texts; those that belong to no picture and hold no boxes are left aside.
        names: The names of the classes; None where no file has them.
        pictures: The pictures that there are. Those without a text have no boxes.
        faults: Takes what is wrong.

    Returns:
        All pictures; the classes are in the order of their numbers.

    Raises:
        InputError: There are no names.
    """
    if names is None:
        raise InputError(
            f"{pictures.root} has boxes as YOLO's texts, and no names of their classes: put them into its data.yaml, "
            "as names: [cat, dog]"
        )
    texts, used, annotated = set(files), set(), []
    for picture in pictures.paths:
        text = next((path for path in _text_files(picture) if path in texts), None)
        outlines = () if text is None else tuple(_outlines(text, names, pictures.name(text), faults))
        used.add(text)
        annotated.append(
            Annotated(pictures.name(text or picture), picture, pictures.split(picture), None, outlines, True)
        )
    for text in files:
        if text not in used and ("labels" in text.parts or is_label_file(text)):
            faults.add("pictures that are missing", pictures.name(text))
    return Annotations(annotated, names)


def _text_files(picture: Path) -> Iterator[Path]:
    """Yield where the text of a picture may be: beside it, or in the folder `labels` in place of `images`."""
    yield picture.with_suffix(SUFFIX)
    parts = picture.parts
    for place in range(len(parts) - 2, -1, -1):
        if parts[place] == FOLDERS[0]:
            yield Path(*parts[:place], FOLDERS[1], *parts[place + 1 :]).with_suffix(SUFFIX)
    yield picture.parent.parent / FOLDERS[1] / f"{picture.stem}{SUFFIX}"


def _outlines(file: Path, names: Sequence[str], where: str, faults: Faults) -> Iterator[Outline]:
    if not os.access(file, os.R_OK) or file.stat().st_size > MAX_BYTES:
        faults.add("files that cannot be read (no permission, or too large)", where)
    for number, line in enumerate(_text(file).splitlines(), 1):
        cells, here = line.split(), f"{where} line {number}"
        if not cells:
            continue
        if len(cells) != COLUMNS:
            faults.add(f"lines that have not {COLUMNS} columns", here)
        elif not re.fullmatch(r"\d{1,9}", cells[0], re.ASCII) or int(cells[0]) >= len(names):
            faults.add("boxes of unknown classes", f"{here} (class {printable(cells[0])})")
        else:
            x, y, width, height = map(to_number, cells[1:])
            corners = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
            yield Outline(names[int(cells[0])], corners, here)
