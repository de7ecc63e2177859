"""How an image file becomes the input of a network: its colours, its shape, its size.

This is the one place for it. Searches and trainings read image folders with these functions, test scores and `evomnas
predict` as well, and a model card shows the source of `evomnas.data.colours` in the code that it gives to users.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError
from pydantic import BaseModel, ConfigDict, Field

from evomnas.core.errors import InputError
from evomnas.core.resolution import Resolution, describe_resolution, sides
from evomnas.data.colours import read_colours, read_picture, read_whole_picture, to_picture
from evomnas.data.prepared.source import Content
from evomnas.data.rows import Images
from evomnas.problem.sections import Fit, ResolutionField

FAULT, REMEDY = "cannot read the image ", "; remove or replace it"  # how the message begins and ends


class Preprocessing(BaseModel):
    """The way from an image file to the input of a network. Normalisation is part of the network.

    Exported files hold it as JSON.

    Attributes:
        channels: 1 for grey, 3 for RGB.
        resolution: The size of the network's input in pixels: one number for a square, or height and width.
        fit: `crop` for the middle of the image, `pad` for all of it on black, `stretch` for all of it, whatever its
            sides.
    """

    model_config = ConfigDict(strict=True, frozen=True)

    channels: Annotated[int, Field(ge=1, le=4096)]
    resolution: ResolutionField
    fit: Fit

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the network's input in pixels."""
        return sides(self.resolution)

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of an image: (channels, height, width)."""
        return self.channels, *self.size

    def read(self, path: Path | str) -> Images:
        """Read an image file as a network takes it.

        Args:
            path: The file, in any format that Pillow reads.

        Returns:
            Pixel values from 0 to 255, uint8, shape (channels, h, w).

        Raises:
            InputError: The file cannot be read, or its pixels have no known range.
        """
        pixels = read_photograph(path, self)
        return np.array(np.atleast_3d(pixels).transpose(2, 0, 1), order="C")  # one's own, which may be written to

    def read_whole(self, path: Path | str) -> Images:
        """Read an image file at its own size, for a file that resizes its images itself.

        Args:
            path: The file, in any format that Pillow reads.

        Returns:
            Pixel values from 0 to 255, uint8, shape (channels, h, w).

        Raises:
            InputError: The file cannot be read, or its pixels have no known range.
        """
        try:
            with Image.open(path) as opened:
                pixels = np.asarray(read_whole_picture(opened, self.channels), dtype=np.uint8)
        except Exception as error:  # every format raises errors of its own
            raise unreadable(str(path), read_reason(error)) from None
        return np.array(np.atleast_3d(pixels).transpose(2, 0, 1), order="C")

    def describe(self) -> str:
        """Return the network's input in words, such as `RGB images of 96x96 pixels, ...`."""
        part = describe_fit(self.fit, self.resolution)
        return f"{describe_images(self.channels, self.resolution)}: {part}, resized (bilinear, antialiased)"


def describe_fit(fit: Fit, resolution: Resolution) -> str:
    """Return in words which part of a picture a network gets.

    Args:
        fit: How a picture of other proportions gets them.
        resolution: The size of the network's input in pixels.
    """
    if fit == "crop":
        is_square = isinstance(resolution, int)
        return "the middle square of a picture" if is_square else "the middle of a picture in these proportions"
    return "a whole picture, on black" if fit == "pad" else "a whole picture, whatever its sides"


def describe_images(channels: int, resolution: Resolution) -> str:
    """Return in words which images a network takes.

    Args:
        channels: Their channels.
        resolution: Their size in pixels.

    Returns:
        Words such as "RGB images of 32x32 pixels".
    """
    return f"{'grey' if channels == 1 else 'RGB'} images of {describe_resolution(resolution)}"


class Photograph(NamedTuple):
    """An image file that was read.

    Attributes:
        pixels: As `read_photograph` returns them.
        key: A number of 64 bits, equal for equal pictures, whatever their format, name or resolution of the network.
        size: Width and height of the upright picture in pixels.
    """

    pixels: Images
    key: int
    size: tuple[int, int]


def open_photograph(content: Content | str, preprocessing: Preprocessing, name: str = "") -> Photograph:
    """Read an image file, and tell what it shows from what others show.

    Args:
        content: The file, or what is in it, in any format that Pillow reads; or a picture that was opened.
        preprocessing: What is done with it.
        name: What messages call it; its path if empty.

    Returns:
        The pixels, uint8, with what is known of the picture.

    Raises:
        InputError: The file cannot be read, or its pixels have no known range.
    """
    channels = preprocessing.channels
    try:
        with open_content(content) as opened:
            transform, colours = read_colours(opened, channels)
            profile = b"" if transform is None else opened.info["icc_profile"]
            picture = to_picture(colours, transform, channels, preprocessing.size, preprocessing.fit)
    except Exception as error:  # every format raises errors of its own
        raise unreadable(name or str(content), read_reason(error)) from None
    digest = hashlib.blake2b(repr((colours.mode, colours.size)).encode() + profile, digest_size=8)
    digest.update(colours.tobytes())
    return Photograph(np.asarray(picture, dtype=np.uint8), int.from_bytes(digest.digest(), "big"), colours.size)


def read_photograph(path: Path | str, preprocessing: Preprocessing) -> Images:
    """Read an image file, in the layout in which Pillow has it.

    Args:
        path: The file, in any format that Pillow reads.
        preprocessing: What is done with it.

    Returns:
        The pixels, uint8, shape (h, w), or (h, w, 3) for RGB.

    Raises:
        InputError: The file cannot be read, or its pixels have no known range.
    """
    try:
        with Image.open(path) as opened:
            image = read_picture(opened, preprocessing.channels, preprocessing.size, preprocessing.fit)
    except Exception as error:  # every format raises errors of its own
        raise unreadable(str(path), read_reason(error)) from None
    return np.asarray(image, dtype=np.uint8)


def unreadable(name: str, reason: str) -> InputError:
    """Return the error for a picture that cannot be read.

    Args:
        name: What it is called.
        reason: Why.
    """
    return InputError(f"{FAULT}{name}: {reason}{REMEDY}")


def open_content(content: Content | str) -> Image.Image:
    """Return a picture whose header was read, and nothing else yet.

    Args:
        content: Its file, what a file would hold, or the opened picture itself.

    Raises:
        OSError: It is missing, or no picture.
    """
    if isinstance(content, Image.Image):
        return content
    return Image.open(io.BytesIO(content) if isinstance(content, bytes) else content)


def read_reason(error: Exception) -> str:
    """Return in words why a picture could not be read.

    Args:
        error: What reading it raised.

    Returns:
        The words, without the picture's name.
    """
    if isinstance(error, UnidentifiedImageError):
        return "it is damaged, or a kind of file that is no picture"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
