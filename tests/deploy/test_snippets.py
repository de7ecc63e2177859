"""The code on model cards runs as it is printed, on pictures of users, and gives the answers of `evomnas predict`."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from picture_files import DISPLAY_P3, rgb_profile
from PIL import Image
from printed_code import code_blocks, run_all

from evomnas.data.photographs import Preprocessing, read_photograph
from evomnas.deploy.cards.snippets import PICTURE, file_snippet, pytorch_snippet, usage_section
from evomnas.deploy.export import export_network
from evomnas.deploy.formats import FORMATS
from evomnas.deploy.formats.request import Request
from evomnas.deploy.prediction import open_network, predict

SHIPPING = Path(__file__).parents[2] / "docs" / "shipping.md"
TOLERANCE = 2e-4  # of a probability that is printed with two decimals of a percentage


def answer(network: Path, picture: Path) -> dict[str, float]:
    """The answer of `evomnas predict`."""
    [one] = predict(open_network(network), [picture])
    assert one.error is None
    return dict(one.classes)


@pytest.fixture
def digits(trained, exports, tmp_path) -> Path:
    """The folder of a network of digits with its files, and a grey picture in it that is not square."""
    folder = shutil.copytree(trained.folder, tmp_path / "digits")
    pixels = np.random.default_rng(5).integers(0, 256, (30, 21), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / PICTURE, quality=95)
    return folder


@pytest.fixture
def photos(photograph_exports, photographs, tmp_path) -> Path:
    """The folder of a network of photographs with its files, and a photograph in it that is not square."""
    folder = shutil.copytree(photograph_exports[1].folder, tmp_path / "photos")
    with Image.open(next((photographs / "val").rglob("*.jpeg"))) as photograph:
        photograph.resize((90, 61)).save(folder / PICTURE)
    return folder


def test_the_code_of_cards_and_pages_runs_as_printed_and_answers_as_predict_does(digits, photos):
    """In PyTorch, and in ONNX Runtime where there is no evomnas, by the float and the int8 file."""
    with_evomnas, without = [], []
    for folder in (digits, photos):
        pytorch, onnx_runtime, *_ = code_blocks((folder / "README.md").read_text())  # others may have exported more
        assert 'model, picture = "model-int8.onnx", "photo.jpg"' in onnx_runtime
        with_evomnas.append((folder, pytorch, answer(folder, folder / PICTURE)))
        for file in ("model-int8.onnx", "model-float.onnx"):
            code = onnx_runtime.replace("model-int8.onnx", file)
            without.append((folder, code, answer(folder / file, folder / PICTURE)))
        assert without[-1][2] == pytest.approx(with_evomnas[-1][2], abs=TOLERANCE)  # float in ONNX Runtime and PyTorch
    in_pytorch, in_onnx_runtime, _ = code_blocks(SHIPPING.read_text())
    with_evomnas.append((photos, re.sub(r'"runs/.*?"', '"."', in_pytorch), with_evomnas[-1][2]))
    without.append((photos, in_onnx_runtime.replace("96", "32"), without[-2][2]))
    for scripts, has_evomnas in ((with_evomnas, True), (without, False)):
        found = run_all([(folder, code) for folder, code, _ in scripts], has_evomnas=has_evomnas)
        for one, (_, _, expected) in zip(found, scripts, strict=True):
            assert one == pytest.approx(expected, abs=TOLERANCE)
            assert len(one) in (2, 3)


def test_a_card_has_a_table_of_all_files_and_the_code_for_one_of_each_format(digits):
    """The plain int8 file is the first choice, then the plain float one."""
    card = (digits / "README.md").read_text()
    files = [line.split("`")[1] for line in card.splitlines() if line.startswith("| `")]
    assert set(files) == {path.name for path in digits.glob("model-*")}
    assert card.index("## Use") < card.index("model-int8.onnx") < card.index("## Limits")
    assert "Huffman" not in card
    without = usage_section([], Preprocessing(channels=1, resolution=8, fit="crop"))
    assert len(code_blocks(without)) == 1


def test_the_documented_code_is_that_of_cards():
    in_pytorch, in_onnx_runtime, _ = code_blocks(SHIPPING.read_text())
    on_card = pytorch_snippet().replace("a torch module: the network of this folder", "a torch module")
    assert re.sub(r'"runs/.*?"', '"."', in_pytorch) == on_card
    rgb = Preprocessing(channels=3, resolution=96, fit="crop")
    assert in_onnx_runtime == file_snippet(FORMATS["onnx"], "model-int8.onnx", rgb)


def test_every_format_has_code_that_could_be_its_own():
    for kind in FORMATS.values():
        code = file_snippet(kind, f"model{kind.suffix}", Preprocessing(channels=3, resolution=96, fit="stretch"))
        compile(code, "card", "exec")
        assert 'read_picture(opened, 3, (96, 96), "stretch")' in code
        assert "Args:" not in code


@pytest.mark.thorough
@pytest.mark.parametrize("quantize", [False, True])
@pytest.mark.parametrize("name", [name for name in FORMATS if name != "onnx"])
def test_code_of_cards_for_other_formats_runs_as_printed(name, quantize, photograph_exports, photos):
    kind = FORMATS[name]
    pytest.importorskip(kind.needs[0])
    run, trained, _ = photograph_exports
    export_network(run, trained.network, Request((name,), quantize=quantize), device="cpu")
    file = f"model-{'int8' if quantize else 'float'}{kind.suffix}"
    shutil.copy(trained.folder / file, photos)
    [code] = [block for block in code_blocks((trained.folder / "README.md").read_text()) if f'"{file}"' in block]
    [found] = run_all([(photos, code)], has_evomnas=False)
    assert found == pytest.approx(answer(photos / file, photos / PICTURE), abs=TOLERANCE)


def pictures() -> dict[str, Image.Image]:
    """Pictures of the kinds that files have."""
    rng = np.random.default_rng(9)
    colours = Image.fromarray(rng.integers(0, 256, (37, 50, 3), dtype=np.uint8))
    transparent = colours.convert("RGBA")
    transparent.putalpha(Image.fromarray(rng.integers(0, 256, (37, 50), dtype=np.uint8)))
    lying, wide, wide_transparent = colours.copy(), colours.copy(), transparent.copy()
    lying.info["exif"] = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    for picture in (wide, wide_transparent):
        picture.info["icc_profile"] = rgb_profile(DISPLAY_P3, 2.2)
    return {
        "grey.png": colours.convert("L"),
        "colours.jpg": colours,
        "cmyk.jpg": colours.convert("CMYK"),
        "transparent.png": transparent,
        "grey-transparent.png": transparent.convert("LA"),
        "palette.gif": colours.quantize(16),
        "palette.png": colours.convert("P"),
        "two.png": colours.convert("1"),
        "deep.png": Image.fromarray(rng.integers(0, 65536, (37, 50), dtype=np.uint16)),
        "tall.bmp": colours.rotate(90, expand=True),
        "dot.png": colours.crop((0, 0, 1, 1)),
        "lying.jpg": lying,
        "wide-gamut.jpg": wide,
        "wide-gamut-transparent.png": wide_transparent,
    }


@pytest.mark.parametrize(
    "preprocessing",
    [
        Preprocessing(channels=channels, resolution=resolution, fit=fit)
        for channels, resolution, fit in (
            (1, 8, "crop"),
            (3, 32, "crop"),
            (3, 96, "stretch"),
            (1, 37, "stretch"),
            (3, 32, "pad"),
            (1, 37, "pad"),
            (3, (24, 40), "crop"),
            (3, (40, 24), "pad"),
            (1, (40, 24), "stretch"),
        )
    ],
    ids=str,
)
def test_the_code_of_a_card_sees_the_pixels_that_evomnas_sees(preprocessing, tmp_path):
    code = file_snippet(FORMATS["onnx"], "model.onnx", preprocessing)
    reading = code[: code.index("session =")].replace("import onnxruntime\n", "")
    for name, picture in pictures().items():
        picture.save(tmp_path / name, **picture.info)
        seen: dict[str, np.ndarray] = {}
        exec(reading.replace('"photo.jpg"', repr(str(tmp_path / name))), seen)
        assert np.array_equal(seen["pixels"][0], preprocessing.read(tmp_path / name)), name
        assert seen["pixels"].flags["C_CONTIGUOUS"]


def test_a_folder_s_photograph_and_a_user_s_are_read_alike(photographs):
    """What a search trains on is what `read` gives, in the other layout."""
    rgb = Preprocessing(channels=3, resolution=16, fit="crop")
    path = next(photographs.rglob("*.jpeg"))
    assert np.array_equal(read_photograph(path, rgb), rgb.read(path).transpose(1, 2, 0))
