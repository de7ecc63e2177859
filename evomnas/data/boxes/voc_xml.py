"""Pascal VOC's XML: one file for each picture, with the corners of its boxes in pixels.

The corners are taken as they are. Pascal VOC counts pixels from 1, most tools that write its format from 0, and no file
says which (Everingham et al. 2010, "The Pascal Visual Object Classes (VOC) Challenge").

A file that declares a document type is refused, as entities could grow without limit, or read other files.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from evomnas.data.boxes.annotated import Annotated, Annotations, Faults, Outline, to_number, to_size
from evomnas.data.boxes.picture_index import PictureIndex
from evomnas.data.catalogues.entries import printable

SUFFIX = ".xml"
MAX_BYTES = 16 * 2**20  # of a file; one of 1,000 boxes has 0.4 MB
CORNERS = ("xmin", "ymin", "xmax", "ymax")


def read_voc(files: Sequence[Path], pictures: PictureIndex, faults: Faults) -> Annotations:
    """Read the boxes of pictures from files in Pascal VOC's format.

    Args:
        files: XML files; those of other kinds are left aside.
        pictures: The pictures that there are.
        faults: Takes what is wrong.

    Returns:
        The pictures that the files describe; the classes are in the order of their names.
    """
    found = []
    for file in files:
        try:
            root = parse_xml(file)
        except (OSError, ValueError, expat.ExpatError) as error:
            faults.add(f"files that cannot be read ({_reason(error)})", pictures.name(file))
            continue
        if root.tag == "annotation":
            found.append(_read(root, file, pictures, faults))
    annotated = [one for one in found if one is not None]
    return Annotations(annotated, sorted({outline.label for one in annotated for outline in one.outlines}))


def parse_xml(file: Path) -> Element:
    """Return the content of an XML file that declares no document type, and so no entities of its own.

    Args:
        file: The file.

    Raises:
        OSError: It cannot be read.
        ValueError: It is too large, or declares a document type.
        xml.parsers.expat.ExpatError: It is no XML.
    """
    if file.stat().st_size > MAX_BYTES:
        raise ValueError(f"larger than {MAX_BYTES // 2**20} MiB")
    builder, parser = TreeBuilder(), expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = _refuse
    parser.Parse(file.read_bytes(), True)
    return builder.close()


def _refuse(*_: object) -> NoReturn:
    raise ValueError("it declares a document type")


def _reason(error: Exception) -> str:
    if isinstance(error, expat.ExpatError):
        return "no XML"
    return (error.strerror if isinstance(error, OSError) else "") or str(error)


def _read(root: Element, file: Path, pictures: PictureIndex, faults: Faults) -> Annotated | None:
    """Return the picture that a file describes; None where it is not there."""
    where = pictures.name(file)
    picture = pictures.find([root.findtext("filename") or "", file.stem], file, faults, where)
    outlines = tuple(_outline(thing, number, where) for number, thing in enumerate(root.findall("object"), 1))
    if picture is None:
        return None
    size = to_size(root.findtext("size/width"), root.findtext("size/height"))
    return Annotated(where, picture, pictures.split(file), size, outlines)


def _outline(thing: Element, number: int, where: str) -> Outline:
    left, top, right, bottom = (to_number(thing.findtext(f"bndbox/{name}")) for name in CORNERS)
    label = printable((thing.findtext("name") or "").strip())
    return Outline(label, (left, top, right, bottom), f"{where} object {number}")
