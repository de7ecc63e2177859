"""Small pictures of images, for people to look at."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from evomnas.data.rows import Images

MIN_SIDE, MAX_SIDE = 48, 64  # pixels
PNG = b"\x89PNG"  # begins such a file
MAX_BYTES = 32 * 1024


def is_picture(content: bytes) -> bool:
    """Return whether the content of a file could be that of a picture that `encode_picture` made.

    Args:
        content: The content of the file.
    """
    return len(content) <= MAX_BYTES and content.startswith((PNG, b"\xff\xd8\xff"))


def encode_picture(image: Images, max_side: int = MAX_SIDE) -> bytes:
    """Return an image as a small file: PNG, or JPEG where that is smaller.

    Args:
        image: Pixel values from 0 to 255, uint8, shape (channels, h, w) with 1 or 3 channels.
        max_side: Pixels of a side at most; with 192 the file has still fewer than `MAX_BYTES`.

    Returns:
        The content of the file. Images with more than `max_side` pixels a side are reduced to that; those with less
        than half of `MIN_SIDE` are enlarged by a whole number, so that each pixel is seen.
    """
    pixels = np.ascontiguousarray(image.transpose(1, 2, 0))
    picture = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    picture.thumbnail((max_side, max_side))
    factor = max(1, MIN_SIDE // max(picture.size))
    picture = picture.resize((factor * picture.width, factor * picture.height), Image.Resampling.NEAREST)
    return min((_encode(picture, "PNG", optimize=True), _encode(picture, "JPEG", quality=80)), key=len)


def _encode(picture: Image.Image, kind: str, **options: object) -> bytes:
    content = io.BytesIO()
    picture.save(content, kind, **options)
    return content.getvalue()
