"""Kinds of files: which are pictures, by their names or else by how they begin."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from evomnas.data.folders import IMAGE_SUFFIXES

RAW_SUFFIXES = (".raw", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".pef", ".srw")
UNREAD_SUFFIXES = (*RAW_SUFFIXES, ".heic", ".heif", ".jxl", ".svg")  # pictures that Pillow does not read by itself
LONGEST = 16  # bytes by which a kind is known
SIGNATURES = (
    b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*", b"8BPS", b"qoif", b"DDS ",
    b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51", b"\0\0\1\0",
)  # fmt: skip
MEDIA = {b"avif": "avif", b"avis": "avif", b"heic": "heic", b"heix": "heic", b"mif1": "heic", b"hevc": "heic"}


def is_picture_name(name: str) -> bool:
    """Return whether a file's name is that of a picture.

    Args:
        name: The name.
    """
    return name.lower().endswith(IMAGE_SUFFIXES)


def is_picture_file(path: Path) -> bool:
    """Return whether a file is a picture, by its name, or if that is unusual, by how it begins.

    Args:
        path: The file.
    """
    suffix = path.suffix.lower()
    return suffix in IMAGE_SUFFIXES or (suffix not in RAW_SUFFIXES and _begins_as_picture(path))


def _begins_as_picture(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            start = file.read(LONGEST)
    except OSError:
        return False
    if start[:4] == b"RIFF":
        return start[8:12] == b"WEBP"
    if start[4:8] == b"ftyp":
        return MEDIA.get(start[8:12]) == "avif"
    if start[:2] == b"BM":  # two letters, which a text may begin with as well: the next number is the file's size
        return int.from_bytes(start[2:6], "little") == path.stat().st_size
    is_portable = start[:1] == b"P" and start[1:2] in b"123456" and start[2:3] in b" \t\r\n#" and len(start) > 2
    return is_portable or start.startswith(SIGNATURES)


def other_pictures(paths: Iterable[Path]) -> str:
    """Return what to do with pictures of a kind that is not read; empty where there are none.

    Args:
        paths: Files.
    """
    for path in paths:
        suffix = path.suffix.lower()
        if suffix in UNREAD_SUFFIXES:
            return f"{suffix} files are not read: convert them to .jpg or .png"
    return ""
