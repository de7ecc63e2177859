"""Image files written byte by byte from their specifications, with no help of what reads them."""

from __future__ import annotations

import struct
import zlib

import numpy as np

D50 = (0.9642, 1.0, 0.8249)
SRGB = ((0.4360747, 0.3850649, 0.1430804), (0.2225045, 0.7168786, 0.0606169), (0.0139322, 0.0971045, 0.7141733))
ADOBE_RGB = ((0.6097559, 0.2052401, 0.1492240), (0.3111242, 0.6256560, 0.0632197), (0.0194811, 0.0608902, 0.7448387))
DISPLAY_P3 = ((0.5151187, 0.2919778, 0.1571035), (0.2411892, 0.6922441, 0.0665668), (-0.0010505, 0.0418791, 0.7840713))
"""To XYZ relative to D50, adapted by Bradford's method (brucelindbloom.com; Apple's profile for the last)."""


def png(pixels: np.ndarray, depth: int, kind: int, *chunks: bytes) -> bytes:
    """A PNG file of rows of bytes (h, bytes), as they are stored; `kind` is its colour type."""
    height, width = len(pixels), pixels.shape[1] * 8 // (depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[kind])
    header = chunk("IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0))
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    data = chunk("IDAT", zlib.compress(rows)) + chunk("IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + data


def chunk(name: str, content: bytes) -> bytes:
    """A chunk of a PNG file."""
    body = name.encode() + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def big_endian(values: np.ndarray) -> np.ndarray:
    """Numbers of 16 bits as the rows of a PNG file."""
    return np.ascontiguousarray(values.reshape(len(values), -1).astype(">u2")).view(np.uint8)


def tiff(width: int, height: int, bits: int, photometric: int, data: bytes, sample_format: int = 1) -> bytes:
    """A little-endian TIFF file of one strip of greys."""
    tags = (
        (256, width), (257, height), (258, bits), (259, 1), (262, photometric), (273, 8), (277, 1), (278, height),
        (279, len(data)), (339, sample_format),
    )  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, 4 if tag in (273, 279) else 3, 1, value) for tag, value in tags)
    body = data + b"\0" * (len(data) % 2)
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    return b"II*\0" + struct.pack("<I", 8 + len(body)) + body + directory


def rgb_profile(matrix: tuple[tuple[float, ...], ...], gamma: float) -> bytes:
    """An ICC profile (version 2.1) of three primaries and a gamma; `matrix` leads to XYZ relative to D50."""
    columns = {f"{name}XYZ": _xyz(*(row[place] for row in matrix)) for place, name in enumerate("rgb")}
    curves = {f"{name}TRC": _curve(gamma) for name in "rgb"}
    return _profile("RGB ", "XYZ ", {"wtpt": _xyz(*D50)} | columns | curves)


def grey_profile(gamma: float) -> bytes:
    """An ICC profile (version 2.1) of greys."""
    return _profile("GRAY", "XYZ ", {"wtpt": _xyz(*D50), "kTRC": _curve(gamma)})


def ink_profile(lab: np.ndarray) -> bytes:
    """An ICC profile (version 2.1) of CMYK. `lab`: L* a* b* of the 16 mixtures of full inks, (2, 2, 2, 2, 3)."""
    scaled = np.round(lab * (2.55, 1, 1) + (0, 128, 128)).astype(np.uint8)
    ramp = bytes(range(256))
    identity = struct.pack(">9i", *(65536 * int(place % 4 == 0) for place in range(9)))
    table = b"mft1" + bytes(4) + bytes((4, 3, 2, 0)) + identity + 4 * ramp + scaled.tobytes() + 3 * ramp
    return _profile("CMYK", "Lab ", {"wtpt": _xyz(*D50), "A2B0": table, "A2B1": table})


def _profile(colours: str, connection: str, tags: dict[str, bytes]) -> bytes:
    text = b"desc" + bytes(4) + struct.pack(">I", 5) + b"test\0" + bytes(79)
    tags = {"desc": text, "cprt": b"text" + bytes(4) + b"none\0"} | tags
    place, table, body = 128 + 4 + 12 * len(tags), b"", b""
    for name, content in tags.items():
        table += name.encode() + struct.pack(">II", place + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    header = struct.pack(">I4sI4s4s4s", place + len(body), b"none", 0x02100000,
                         b"prtr" if colours == "CMYK" else b"mntr", colours.encode(), connection.encode())  # fmt: skip
    header += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + struct.pack(">3i", *_fixed(D50))
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def _fixed(values: tuple[float, ...]) -> list[int]:
    return [round(value * 65536) for value in values]


def _xyz(*values: float) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *_fixed(values))


def _curve(gamma: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
