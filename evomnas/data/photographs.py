"""How an image file becomes the input of a network: its colours, its shape, its size.

This is the one place for it. Searches and trainings read image folders with these functions, test scores and `evomnas
predict` as well, and a model card shows the source of `read_colours` and `fit_square` in the code that it gives to
users. So these two need Pillow and NumPy alone, and nothing else of this module.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from evomnas.core.errors import InputError
from evomnas.data.images import Fit, Images


class Preprocessing(BaseModel):
    """The way from an image file to the input of a network. Normalisation is part of the network.

    Exported files hold it as JSON.

    Attributes:
        channels: 1 for grey, 3 for RGB.
        resolution: The height and width of the network's input in pixels.
        fit: `crop` for the middle square of the image, `stretch` for all of it, whatever its sides.
    """

    model_config = ConfigDict(strict=True, frozen=True)

    channels: Annotated[int, Field(ge=1, le=4096)]
    resolution: Annotated[int, Field(ge=1, le=4096)]
    fit: Fit

    def read(self, path: Path | str) -> Images:
        """Read an image file as a network takes it.

        Args:
            path: The file, in any format that Pillow reads.

        Returns:
            Pixel values from 0 to 255, uint8, shape (channels, resolution, resolution).

        Raises:
            InputError: The file cannot be read, or its pixels are floating-point numbers.
        """
        pixels = read_photograph(path, self)
        return np.array(np.atleast_3d(pixels).transpose(2, 0, 1), order="C")  # one's own, which may be written to

    def describe(self) -> str:
        """Return the network's input in words, such as `RGB images of 96x96 pixels, ...`."""
        part = "the middle square of a picture" if self.fit == "crop" else "a whole picture, whatever its sides"
        return f"{describe_images(self.channels, self.resolution)}: {part}, resized (bilinear, antialiased)"


def describe_images(channels: int, resolution: int) -> str:
    """Return in words which images a network takes.

    Args:
        channels: Their channels.
        resolution: Their height and width in pixels.

    Returns:
        Words such as "RGB images of 32x32 pixels".
    """
    return f"{'grey' if channels == 1 else 'RGB'} images of {resolution}x{resolution} pixels"


def read_photograph(path: Path | str, preprocessing: Preprocessing) -> Images:
    """Read an image file, in the layout in which Pillow has it.

    Args:
        path: The file, in any format that Pillow reads.
        preprocessing: What is done with it.

    Returns:
        The pixels, uint8, shape (resolution, resolution), or (resolution, resolution, 3) for RGB.

    Raises:
        InputError: The file cannot be read, or its pixels are floating-point numbers.
    """
    try:
        with Image.open(path) as opened:
            image = read_colours(opened, preprocessing.channels)
    except Exception as error:  # every format raises errors of its own
        raise InputError(f"cannot read the image {path}: {error}; remove or replace it") from None
    return np.asarray(fit_square(image, preprocessing.resolution, preprocessing.fit), dtype=np.uint8)


def read_colours(image: Image.Image, channels: int) -> Image.Image:
    """Return the pixels of an opened file in 8 bits, grey or RGB.

    Everything that a file says about the meaning of its pixels is read here. Values of 16 bits become 8 bits.

    Args:
        image: The opened file.
        channels: 1 for grey, 3 for RGB.

    Returns:
        The image in mode `L` or `RGB`.

    Raises:
        ValueError: The pixels are floating-point numbers.
    """
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers of an unknown range")
    if image.mode.startswith("I"):  # 16 bits, which Pillow's own conversion would cut off at 255
        values = np.asarray(image, dtype=np.float64) / 257
        image = Image.fromarray(values.clip(0, 255).astype(np.uint8))
    if image.mode == "P":
        image = image.convert("RGBA")  # a palette may contain a transparent colour
    return image.convert("L" if channels == 1 else "RGB")


def fit_square(image: Image.Image, resolution: int, fit: str) -> Image.Image:
    """Return an image as a square of a given size, bilinear with antialiasing.

    Args:
        image: The image, of any shape.
        resolution: The height and width of the result in pixels.
        fit: `crop` for its middle square, `stretch` for all of it.

    Returns:
        The square.
    """
    box = (0, 0, image.width, image.height)
    if fit == "crop":
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        box = (left, top, left + side, top + side)
    return image.resize((resolution, resolution), Image.Resampling.BILINEAR, box, reducing_gap=2.0)
