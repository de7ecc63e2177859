"""The pixels of image files are those that a viewer shows: by specifications, and by what Chromium shows."""

from __future__ import annotations

import base64
import io
import struct

import numpy as np
import pytest
from picture_files import (
    ADOBE_RGB,
    D50,
    DISPLAY_P3,
    SRGB,
    big_endian,
    chunk,
    grey_profile,
    ink_profile,
    png,
    rgb_profile,
)
from picture_files import tiff as tiff_file
from PIL import Image, ImageCms, ImageOps, features
from PIL.PngImagePlugin import PngInfo

from evomnas.core.errors import InputError
from evomnas.data.colours import read_colours
from evomnas.data.photographs import Preprocessing

UPRIGHT = np.array([[[250, 10, 10], [10, 250, 10]], [[10, 10, 250], [200, 150, 90]], [[0, 0, 0], [255, 255, 255]]])
STORED = {  # what a camera stores for each EXIF orientation: where the picture's first row and column lie in the file
    1: lambda shown: shown,
    2: lambda shown: shown[:, ::-1],
    3: lambda shown: shown[::-1, ::-1],
    4: lambda shown: shown[::-1],
    5: lambda shown: shown.transpose(1, 0, 2),
    6: lambda shown: shown.transpose(1, 0, 2)[::-1],
    7: lambda shown: shown.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda shown: shown.transpose(1, 0, 2)[:, ::-1],
}
KINDS = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "AVIF": "image/avif", "GIF": "image/gif"}


def read(content: bytes, channels: int = 3) -> np.ndarray:
    """What evomnas reads, as signed numbers."""
    with Image.open(io.BytesIO(content)) as image:
        transform, colours = read_colours(image, channels)
        shown = colours if transform is None else ImageCms.applyTransform(colours, transform)
        return np.asarray(shown.convert("L" if channels == 1 else "RGB")).astype(int)


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def enlarge(pixels: np.ndarray, factor: int = 16) -> np.ndarray:
    """Squares of one colour, which survive the losses of JPEG."""
    return np.repeat(np.repeat(pixels, factor, 0), factor, 1).astype(np.uint8)


@pytest.fixture(scope="module")
def shown(browser):
    """What Chromium shows of a file on white, as signed numbers (h, w, 3)."""
    page = browser.new_page()

    def show(content: bytes, kind: str) -> np.ndarray:
        url = f"data:{KINDS[kind]};base64,{base64.b64encode(content).decode()}"
        width, height, values = page.evaluate(
            """async url => {
                const image = new Image(); image.src = url; await image.decode();
                const canvas = document.createElement("canvas");
                canvas.width = image.naturalWidth; canvas.height = image.naturalHeight;
                const context = canvas.getContext("2d", {colorSpace: "srgb"});
                context.fillStyle = "white"; context.fillRect(0, 0, canvas.width, canvas.height);
                context.drawImage(image, 0, 0);
                const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
                return [canvas.width, canvas.height, Array.from(pixels.data)];
            }""",
            url,
        )
        return np.array(values).reshape(height, width, 4)[:, :, :3]

    yield show
    page.close()


def exif(orientation: int) -> bytes:
    data = Image.Exif()
    data[274] = orientation
    return data.tobytes()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "MPO"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_upright_whichever_way_the_camera_was_held(kind, orientation):
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow reads no AVIF")
    stored = Image.fromarray(enlarge(STORED[orientation](UPRIGHT)))
    found = read(encode(stored, kind, exif=exif(orientation), **({} if kind == "TIFF" else {"quality": 95})))
    expected = enlarge(UPRIGHT)
    assert found.shape == expected.shape
    assert np.abs(found[8::16, 8::16] - expected[8::16, 8::16]).max() <= 12
    grey = read(encode(stored, kind, exif=exif(orientation)), channels=1)
    assert grey.shape == expected.shape[:2]


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_chromium_turns_pictures_alike(kind, orientation, shown):
    content = encode(Image.fromarray(enlarge(UPRIGHT, 8)), kind, exif=exif(orientation))
    assert np.abs(read(content) - shown(content, kind)).max() <= 3


def xmp(orientation: int) -> bytes:
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:tiff="http://ns.adobe.com/tiff/1.0/" '
        f'tiff:Orientation="{orientation}"/></rdf:RDF></x:xmpmeta>'
    ).encode()


def with_xmp(pixels: np.ndarray, kind: str, orientation: int, **options: object) -> bytes:
    """A file whose XMP data have an orientation."""
    if kind == "PNG":
        options["pnginfo"] = PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", xmp(orientation).decode())
    else:
        options["xmp"] = xmp(orientation)
    return encode(Image.fromarray(pixels), kind, **options)


@pytest.mark.parametrize("options", [{}, {"exif": exif(1)}, {"exif": Image.Exif().tobytes()}])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_chromium_and_evomnas_regard_no_orientation_of_xmp_data(kind, options, shown):
    content = with_xmp(enlarge(UPRIGHT, 8), kind, 8, **options)
    assert read(content).shape == shown(content, kind).shape
    assert np.abs(read(content) - shown(content, kind)).max() <= 12


def test_a_webp_file_is_turned_by_its_exif_data_although_chromium_leaves_it(shown):
    content = encode(Image.fromarray(enlarge(UPRIGHT)), "WEBP", exif=exif(6), lossless=True)
    assert shown(content, "WEBP").shape == (48, 32, 3)
    assert (read(content) == np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(content))))).all()


def test_a_tiff_file_is_turned_by_its_own_orientation_alone():
    pixels = enlarge(UPRIGHT)
    assert (read(with_xmp(pixels, "TIFF", 6)) == pixels).all()
    stored = Image.fromarray(enlarge(STORED[6](UPRIGHT)))
    assert (read(encode(stored, "TIFF", tiffinfo={274: 6, 700: xmp(3)})) == pixels).all()


@pytest.mark.parametrize(
    "data", [b"Exif\0\0", b"Exif\0\0MM\0*\xff\xff\xff\xff", b"Exif\0\0II*\0\x08\0\0\0\x05\0", b"Exif\0\0?"]
)
def test_damaged_exif_data_leave_the_picture_as_it_is(data):
    pixels = enlarge(UPRIGHT)
    found = read(encode(Image.fromarray(pixels), "JPEG", exif=data, quality=95))
    assert np.abs(found[8::16, 8::16] - pixels[8::16, 8::16]).max() <= 12


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_is_none_leaves_the_picture_as_it_is(orientation):
    assert (read(encode(Image.fromarray(enlarge(UPRIGHT)), "PNG", exif=exif(orientation))) == enlarge(UPRIGHT)).all()


def test_a_drawing_on_a_transparent_ground_is_seen_on_white():
    opacity = np.array([[0, 255], [128, 255]], dtype=np.uint8)
    for mode, black in (("LA", 0), ("RGBA", (0, 0, 0))):
        image = Image.new(mode[:-1], (2, 2), black)
        image.putalpha(Image.fromarray(opacity))
        for kind in ("PNG", "TIFF"):
            assert np.abs(read(encode(image, kind))[:, :, 0] - (255 - opacity.astype(int))).max() <= 1
            assert np.abs(read(encode(image, kind), channels=1) - (255 - opacity.astype(int))).max() <= 1


def files_of_png() -> dict[str, bytes]:
    """One PNG file for each colour type, depth and kind of transparency; seeds make them the same each time."""
    rng = np.random.default_rng(3)
    random = lambda *shape: rng.integers(0, 256, shape, dtype=np.uint8)  # noqa: E731
    deep = rng.integers(0, 65536, (8, 8), dtype=np.uint16)
    palette, opacity = chunk("PLTE", random(16, 3).tobytes()), chunk("tRNS", random(9).tobytes())
    files = {
        "palette": png(random(8, 4), 4, 3, palette),
        "palette with opacity": png(random(8, 4), 4, 3, palette, opacity),
        "grey with opacity": png(random(8, 16), 8, 4),
        "colours with opacity": png(random(8, 32), 8, 6),
        "deep greys": png(big_endian(deep), 16, 0),
        "deep greys, one clear": png(big_endian(deep), 16, 0, chunk("tRNS", struct.pack(">H", int(deep[2, 3])))),
        "deep greys with opacity": png(random(8, 32), 16, 4),
        "deep colours": png(random(8, 48), 16, 2),
        "deep colours with opacity": png(random(8, 64), 16, 6),
        "linear light": png(random(8, 8), 8, 0, chunk("gAMA", struct.pack(">I", 100000))),
        "the gamma of sRGB": png(random(8, 8), 8, 0, chunk("gAMA", struct.pack(">I", 45455))),
        "old Macintosh": png(random(8, 24), 8, 2, chunk("gAMA", struct.pack(">I", 55556))),
    }
    for depth in (1, 2, 4, 8):
        greys = random(8, depth)
        files[f"greys of {depth} bits"] = png(greys, depth, 0)
        files[f"greys of {depth} bits, one clear"] = png(greys, depth, 0, chunk("tRNS", b"\0\0"))
        clear = greys[0, 0] >> (8 - depth)
        files[f"greys of {depth} bits, another clear"] = png(greys, depth, 0, chunk("tRNS", bytes((0, clear))))
    colours = random(8, 24)
    files["colours, one clear"] = png(colours, 8, 2, chunk("tRNS", struct.pack(">3H", *colours[1, 3:6])))
    colours = random(8, 48)
    files["deep colours, one clear"] = png(colours, 16, 2, chunk("tRNS", colours[1, 6:12].tobytes()))
    return files


@pytest.mark.parametrize("name", files_of_png())
def test_chromium_shows_every_kind_of_png_alike(name, shown):
    content = files_of_png()[name]
    assert np.abs(read(content) - shown(content, "PNG")).max() <= 2


def test_chromium_shows_other_kinds_alike(shown):
    rng = np.random.default_rng(4)
    colours = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1))
    palette = colours.quantize(7)
    moving = [Image.new("RGB", (9, 9), colour) for colour in ("red", "blue")]
    cases = {
        "CMYK": (encode(colours.convert("CMYK"), "JPEG", quality=95), "JPEG", 3),
        "GIF": (encode(palette, "GIF"), "GIF", 0),
        "GIF with a clear colour": (encode(palette, "GIF", transparency=3), "GIF", 0),
        "GIF that moves": (encode(moving[0], "GIF", save_all=True, append_images=moving[1:]), "GIF", 0),
        "WebP that moves": (
            encode(moving[0], "WEBP", save_all=True, append_images=moving[1:], lossless=True), "WEBP", 0
        ),
        "PNG that moves": (encode(moving[0], "PNG", save_all=True, append_images=moving[1:]), "PNG", 0),
        "JPEG of greys": (encode(colours.convert("L"), "JPEG", quality=95), "JPEG", 2),
    }  # fmt: skip
    for name, (content, kind, tolerance) in cases.items():
        assert np.abs(read(content) - shown(content, kind)).max() <= tolerance, name


def to_srgb(xyz: np.ndarray) -> np.ndarray:
    """XYZ relative to D50 in sRGB from 0 to 255 (IEC 61966-2-1); colours outside of it are cut off."""
    light = np.clip(np.linalg.solve(np.array(SRGB), xyz.reshape(-1, 3).T).T, 0, 1).reshape(xyz.shape)
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize(("matrix", "gamma"), [(ADOBE_RGB, 2.2), (DISPLAY_P3, 2.2), (SRGB, 1.0), (SRGB, 1.8)])
def test_colours_of_another_profile_become_those_of_srgb(matrix, gamma, shown):
    pixels = np.random.default_rng(1).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    content = encode(Image.fromarray(pixels), "PNG", icc_profile=rgb_profile(matrix, gamma))
    found = read(content)
    assert np.abs(found - to_srgb((pixels / 255) ** gamma @ np.array(matrix).T)).max() <= 3
    assert np.abs(found - pixels).max() > 10
    assert np.abs(found - shown(content, "PNG")).max() <= 3


def test_a_profile_counts_below_transparency_and_in_palettes(shown):
    rng = np.random.default_rng(2)
    clear = Image.fromarray(rng.integers(0, 256, (8, 8, 4), dtype=np.uint8))
    for image in (clear, clear.convert("RGB").quantize(9)):
        content = encode(image, "PNG", icc_profile=rgb_profile(ADOBE_RGB, 1.8))
        assert np.abs(read(content) - shown(content, "PNG")).max() <= 3
        assert np.abs(read(content) - read(encode(image, "PNG"))).max() > 10


def test_greys_of_another_profile_become_those_of_srgb(shown):
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    xyz = ((pixels / 255) ** 1.0)[..., None] * np.array(D50)
    for channels in (1, 3):
        content = encode(Image.fromarray(pixels), "PNG", icc_profile=grey_profile(1.0))
        found = read(content, channels).reshape(16, 16, channels)
        assert np.abs(found - to_srgb(xyz)[:, :, :channels]).max() <= 2
    assert np.abs(found - shown(content, "PNG")).max() <= 2
    content = encode(Image.fromarray(pixels), "JPEG", quality=100, icc_profile=rgb_profile(SRGB, 1.0))
    assert np.abs(read(content) - shown(content, "JPEG")).max() <= 3


def test_inks_of_a_profile_become_what_they_look_like_in_print():
    """The corners of the profile's table are exact; each is one mixture of full inks."""
    rng = np.random.default_rng(6)
    lab = np.stack([rng.integers(25, 90, (2, 2, 2, 2)), *rng.integers(-20, 20, (2, 2, 2, 2, 2)).T], axis=-1).astype(
        float
    )
    lab[0, 0, 0, 0] = 100, 0, 0  # paper
    profile = ink_profile(lab)
    for corner in np.ndindex(2, 2, 2, 2):
        inks = Image.new("CMYK", (2, 2), tuple(255 * ink for ink in corner))
        lightness, a, b = lab[corner]
        middle = (lightness + 16) / 116
        roots = np.array([middle + a / 500, middle, middle - b / 200])
        xyz = np.where(roots > 6 / 29, roots**3, 3 * (6 / 29) ** 2 * (roots - 4 / 29)) * D50  # CIE 1976
        found = read(encode(inks, "TIFF", icc_profile=profile))[0, 0]
        assert np.abs(found - to_srgb(xyz[None])[0]).max() <= 3


@pytest.mark.parametrize("profile", [b"no profile", b"", grey_profile(1.0), ink_profile(np.zeros((2, 2, 2, 2, 3)))])
def test_a_profile_that_is_damaged_or_of_other_colours_is_ignored(profile):
    pixels = np.random.default_rng(1).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    assert (read(encode(Image.fromarray(pixels), "PNG", icc_profile=profile)) == pixels).all()


def test_pixels_that_are_srgb_already_stay_as_they_are_to_the_last_bit():
    pixels = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert (read(encode(Image.fromarray(pixels), "PNG", icc_profile=profile)) == pixels).all()
    opaque = Image.fromarray(pixels).convert("RGBA")
    assert (read(encode(opaque, "PNG")) == pixels).all()
    greys = np.asarray(Image.fromarray(pixels).convert("L"))
    assert (read(encode(Image.fromarray(greys), "PNG"), 1) == greys).all()
    assert (read(encode(Image.fromarray(pixels), "PNG"), 1) == greys).all()


def test_greys_of_tiff_files_have_the_depth_and_the_white_that_they_say():
    values = np.array([[0, 4095, 2048, 291]], dtype=np.uint16)
    packed = bytes.fromhex("000fff800123")
    assert read(tiff_file(4, 1, 12, 1, packed), 1).tolist() == [[0, 255, 127, 18]]
    deep = (16 * values).astype("<u2").tobytes()
    assert read(tiff_file(4, 1, 16, 1, deep), 1).tolist() == [[0, 254, 127, 18]]
    assert read(tiff_file(4, 1, 16, 0, deep), 1).tolist() == [[255, 1, 128, 237]]
    assert read(tiff_file(4, 1, 8, 0, bytes((0, 100, 255, 7))), 1).tolist() == [[255, 155, 0, 248]]
    fractions = np.array([[0, 1, 0.5, 0.25]], dtype="<f4").tobytes()
    assert read(tiff_file(4, 1, 32, 1, fractions, 3), 1).tolist() == [[0, 255, 127, 63]]


@pytest.mark.parametrize(
    ("values", "kind", "message"),
    [
        ([0, 2], "<f4", "its values go from 0 to 2, where white is 1"),
        ([0, np.nan], "<f4", "its values go from nan to nan, where white is 1"),
        ([-1, 1], "<f4", "its values go from -1 to 1"),
        ([0, 70000], "<u4", "its values go from 0 to 70000, where white is 65535"),
    ],
)
def test_greys_without_a_known_white_are_refused(values, kind, message, tmp_path):
    array = np.array(values, dtype=kind)
    (tmp_path / "deep.tif").write_bytes(tiff_file(2, 1, 32, 1, array.tobytes(), 3 if kind == "<f4" else 1))
    with pytest.raises(InputError, match=f"cannot read the image .*deep.tif: {message}"):
        Preprocessing(channels=3, resolution=8, fit="crop").read(tmp_path / "deep.tif")
