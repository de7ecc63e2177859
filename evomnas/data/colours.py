"""The pixels of a picture as a viewer shows them, whatever a file says about how they are to be read.

A model card prints the source of these functions, so they need Pillow and NumPy alone, and nothing else of this module
than each other. Orientations are EXIF's (CIPA DC-008-2019, 4.6.5.1), `gAMA` and `tRNS` PNG's (W3C Portable Network
Graphics 3, 11.3), numbers of tags TIFF's (Adobe TIFF 6.0, section 8).
"""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms


def read_picture(image: Image.Image, channels: int, size: tuple[int, int], fit: str) -> Image.Image:
    """Return an opened file as a picture of a given size, in 8 bits, grey or RGB, as a viewer shows it on white.

    Args:
        image: The opened file, of which nothing was read; of several pictures the first counts.
        channels: 1 for grey, 3 for RGB.
        size: The height and width of the result in pixels.
        fit: `crop` for the middle of the picture, `pad` for all of it on black, `stretch` for all of it in the
            proportions of the result.

    Returns:
        The picture in mode `L` or `RGB`, upright, in sRGB.

    Raises:
        ValueError: The pixels have no known range.
    """
    transform, colours = read_colours(image, channels)
    return to_picture(colours, transform, channels, size, fit)


def read_whole_picture(image: Image.Image, channels: int) -> Image.Image:
    """Return an opened file as a picture of its own size, in 8 bits, grey or RGB, as a viewer shows it on white.

    Args:
        image: The opened file, of which nothing was read; of several pictures the first counts.
        channels: 1 for grey, 3 for RGB.

    Returns:
        The picture in mode `L` or `RGB`, upright, in sRGB.

    Raises:
        ValueError: The pixels have no known range.
    """
    transform, colours = read_colours(image, channels)
    return colours if transform is None else transform.apply(colours).convert("L" if channels == 1 else "RGB")


def to_picture(
    colours: Image.Image, transform: ImageCms.ImageCmsTransform | None, channels: int, size: tuple[int, int], fit: str
) -> Image.Image:
    """Return colours as a picture of a size in sRGB, grey or RGB. A profile is applied to what is small already.

    Args:
        colours: See `read_colours`.
        transform: See `read_colours`.
        channels: 1 for grey, 3 for RGB.
        size: See `read_picture`.
        fit: See `read_picture`.
    """
    scaled = scale_picture(colours, size, fit)
    if transform is not None:
        scaled = transform.apply(scaled).convert("L" if channels == 1 else "RGB")
    return pad_picture(scaled, size)


def read_colours(image: Image.Image, channels: int) -> tuple[ImageCms.ImageCmsTransform | None, Image.Image]:
    """Return the colours of an opened file, upright and on white, and what is left to do to have them in sRGB.

    Args:
        image: The opened file, of which nothing was read.
        channels: 1 for grey, 3 for RGB.

    Returns:
        The transform from the file's colour profile, and the picture in mode `L`, `RGB` or `CMYK` before it. Where
        there is no transform, its mode is `L` or `RGB`, by the channels.

    Raises:
        ValueError: The pixels have no known range.
    """
    tile = getattr(image, "tile", ())  # how the file has its pixels, until they are read
    depth = str(tile[0][3]) if tile else ""
    image.info.pop("xmp", None)  # Pillow would turn a TIFF file by it
    image.load()
    colours, opacity = read_layers(image, depth)
    profile = image.info.get("icc_profile", b"")
    if colours.mode == "L" and profile[16:20] == b"RGB ":
        colours = colours.convert("RGB")
    transform = srgb_transform(profile, colours.mode)
    if opacity is not None:
        colours = colours if transform is None else transform.apply(colours)
        colours = Image.composite(colours, Image.new(colours.mode, colours.size, "white"), opacity)
        transform = None
    mode = "L" if channels == 1 else "RGB"
    if transform is None:
        colours = apply_gamma(colours, image)
        colours = colours if colours.mode == mode else colours.convert(mode)
    return transform, turn_upright(colours, image)


def turn_upright(colours: Image.Image, image: Image.Image) -> Image.Image:
    """Return a picture turned or mirrored by the EXIF orientation of its file, from 1 to 8.

    Args:
        colours: The picture.
        image: Its file, which was read.
    """
    orientation = read_orientation(image)
    turns = ("FLIP_LEFT_RIGHT", "ROTATE_180", "FLIP_TOP_BOTTOM", "TRANSPOSE", "ROTATE_270", "TRANSVERSE", "ROTATE_90")
    return colours.transpose(Image.Transpose[turns[orientation - 2]]) if orientation > 1 else colours


def read_orientation(image: Image.Image) -> int:
    """Return the EXIF orientation of a file, from 1 to 8. Browsers regard none of XMP data.

    Args:
        image: The opened file.

    Returns:
        The orientation; 1 where the file has none, or its EXIF data are damaged.
    """
    try:
        image.info.pop("XML:com.adobe.xmp", None)
        exif = Image.Exif() if "exif" in image.info else image.getexif()
        if "exif" in image.info:
            exif.load(image.info["exif"])
        orientation = exif.get(274, 1)
    except Exception:  # of many kinds
        return 1
    return int(orientation) if orientation in range(2, 9) else 1


def read_layers(image: Image.Image, depth: str) -> tuple[Image.Image, Image.Image | None]:
    """Return the colours of a picture and its opacity, in 8 bits each.

    Args:
        image: The picture.
        depth: Pillow's name for the layout of the file's pixels, such as `L;4` for greys of 4 bits.

    Returns:
        The colours in mode `L`, `RGB` or `CMYK`, and the opacity in mode `L`; None if all is opaque.

    Raises:
        ValueError: The pixels have no known range.
    """
    clear = image.info.get("transparency")  # the colour that is transparent, or the opacity of a palette's colours
    if image.mode.startswith(("I", "F")):
        opaque = Image.fromarray((np.asarray(image) != clear).astype(np.uint8) * 255)
        return read_deep(image), None if clear is None else opaque
    if image.mode == "1":
        image = image.convert("L")
    elif image.mode in ("P", "PA"):
        image = image.convert("RGBA")
    elif image.mode == "RGB" and isinstance(clear, tuple):  # of 16 bits Pillow keeps the first 8
        image.info["transparency"] = tuple(value >> 8 for value in clear) if ";16" in depth else clear
    elif image.mode == "L" and clear is not None:
        image.info["transparency"] = clear * {"L;2": 85, "L;4": 17}.get(depth, 1)
    if image.mode in ("L", "RGB") and clear is not None:
        image = image.convert("LA" if image.mode == "L" else "RGBA")
    if image.mode in ("LA", "RGBA"):
        opacity = image.getchannel("A")
        return image.convert(image.mode[:-1]), None if opacity.getextrema() == (255, 255) else opacity
    return image if image.mode in ("L", "RGB", "CMYK") else image.convert("RGB"), None


def read_deep(image: Image.Image) -> Image.Image:
    """Return greys of more than 8 bits in 8 bits. White is the largest number of 16 bits, or 1 of fractions.

    Args:
        image: The picture, in a mode that begins with `I` or is `F`.

    Raises:
        ValueError: A value lies outside of that range.
    """
    tags = getattr(image, "tag_v2", {})  # of a TIFF file: 258 is the number of bits, 262 is 0 where 0 is white
    bits = min(16, *tags.get(258, (16,)))
    white = 1.0 if image.mode == "F" else 2.0**bits - 1
    values = np.asarray(image, dtype=np.float64)
    if not (values.min() >= 0 and values.max() <= white):
        raise ValueError(f"its values go from {values.min():g} to {values.max():g}, where white is {white:g}")
    greys = np.floor(values / (white / 255) + 1e-9).astype(np.uint8)
    return Image.fromarray(255 - greys if tags.get(262) == 0 else greys)


def apply_gamma(colours: Image.Image, image: Image.Image) -> Image.Image:
    """Convert colours into sRGB by the gamma of a PNG file.

    Args:
        colours: In mode `L`, `RGB` or `CMYK`.
        image: Their file.

    Returns:
        The colours, as they are where the file says nothing, has a colour profile, or says that they are in sRGB.
    """
    gamma = image.info.get("gamma", 1 / 2.2)
    if {"icc_profile", "srgb"} & image.info.keys() or abs(gamma - 1 / 2.2) < 0.02:
        return colours
    light = np.linspace(0, 1, 256) ** (1 / gamma)
    shown = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)  # IEC 61966-2-1
    return colours.point(np.rint(255 * shown).astype(int).tolist() * len(colours.getbands()))


@lru_cache(maxsize=16)
def srgb_transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Return the way from a colour profile to sRGB.

    Args:
        profile: The ICC profile of a file; may be empty.
        mode: The mode of its colours.

    Returns:
        None where there is nothing to do: the profile is sRGB's, or viewers ignore it, as it is damaged or of another
        mode.
    """
    try:
        source, srgb = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
        intent, exactly = ImageCms.Intent.RELATIVE_COLORIMETRIC, ImageCms.Flags.NOOPTIMIZE
        transform = ImageCms.buildTransform(source, srgb, mode, "RGB", intent, exactly)
    except (ImageCms.PyCMSError, OSError):
        return None
    steps = np.arange(0, 256, 17, dtype=np.uint8)
    cube = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, 3)
    colours = Image.fromarray(cube).convert(mode)
    shown = transform.apply(colours)
    changes = np.asarray(shown, dtype=int) - np.asarray(colours.convert("RGB"), dtype=int)
    return None if np.abs(changes).max() <= 2 else transform


def scale_picture(image: Image.Image, size: tuple[int, int], fit: str) -> Image.Image:
    """Return an image at a size, bilinear with antialiasing; where it is to be padded, at the largest that fits in.

    Args:
        image: The image, of any shape.
        size: The height and width in pixels.
        fit: See `read_picture`.
    """
    box = crop_box(image.width, image.height, size) if fit == "crop" else (0, 0, image.width, image.height)
    height, width = inner_size(image.width, image.height, size) if fit == "pad" else size
    return image.resize((width, height), Image.Resampling.BILINEAR, box, reducing_gap=2.0)


def crop_box(width: int, height: int, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the middle part of a picture that has the proportions of a size.

    Args:
        width: The width of the picture in pixels.
        height: The height of the picture in pixels.
        size: The height and width whose proportions are wanted.

    Returns:
        Its left, upper, right and lower border in pixels.
    """
    part_width = min(width, max(1, round(height * size[1] / size[0])))
    part_height = min(height, max(1, round(width * size[0] / size[1])))
    left, top = (width - part_width) // 2, (height - part_height) // 2
    return left, top, left + part_width, top + part_height


def inner_size(width: int, height: int, size: tuple[int, int]) -> tuple[int, int]:
    """Return the largest height and width, in the proportions of a picture, that fit into a size.

    Args:
        width: The width of the picture in pixels.
        height: The height of the picture in pixels.
        size: The height and width into which it must fit.
    """
    inner_height = min(size[0], max(1, round(size[1] * height / width)))
    inner_width = min(size[1], max(1, round(size[0] * width / height)))
    return inner_height, inner_width


def pad_picture(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Return an image in the middle of black of a size.

    Args:
        image: The image, no larger than that.
        size: The height and width in pixels.
    """
    if (image.height, image.width) == size:
        return image
    padded = Image.new(image.mode, (size[1], size[0]))
    padded.paste(image, ((size[1] - image.width) // 2, (size[0] - image.height) // 2))
    return padded
