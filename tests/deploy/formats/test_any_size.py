"""Files that take images of any size or number: Pillow's pixels, and the answers of the plain files."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from ai_edge_litert.interpreter import Interpreter
from PIL import Image
from printed_code import code_blocks, run_all

from evomnas.core.errors import InputError
from evomnas.data.colours import pad_picture, scale_picture
from evomnas.data.photographs import Preprocessing
from evomnas.deploy.cards.snippets import PICTURE, usage_section
from evomnas.deploy.export import _File
from evomnas.deploy.formats import FORMATS
from evomnas.deploy.formats.any_size.sampling import Calculator, Side, sampling_matrices
from evomnas.deploy.formats.exported_files import ANY_SIZE, Export
from evomnas.deploy.formats.request import Request
from evomnas.deploy.prediction import open_network, predict
from evomnas.networks.classifier import Classifier
from evomnas.networks.network import build_network
from evomnas.problem.architecture import Architecture
from evomnas.problem.search_space import SearchSpace

OPERATIONS = {
    "add": np.add, "subtract": np.subtract, "multiply": np.multiply, "divide": np.divide, "minimum": np.minimum,
    "maximum": np.maximum, "floor": np.floor, "rint": np.rint, "absolute": np.abs,
    "sum": lambda values: values.sum(-1, keepdims=True, dtype=np.float32),
}  # fmt: skip
NUMPY = Calculator(lambda value: value, lambda name, *values: OPERATIONS[name](*values))
SIZES = [(1, 1), (7, 9), (31, 12), (12, 40), (130, 97), (401, 30), (50, 333)]


def by_pillow(pixels: np.ndarray, size: tuple[int, int], fit: str) -> np.ndarray:
    return np.asarray(pad_picture(scale_picture(Image.fromarray(pixels), size, fit), size)).astype(np.float32)


def side(length: int) -> Side[np.ndarray]:
    return Side(np.array([length], np.float32), np.arange(length, dtype=np.float32))


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_the_matrices_give_the_pixels_of_a_search_within_one_grey_level(fit):
    rng = np.random.default_rng(0)
    for shape in [*SIZES, *rng.integers(1, 300, (20, 2)).tolist()]:
        for resolution in (12, (9, 20)):
            preprocessing = Preprocessing(channels=1, resolution=resolution, fit=fit)
            pixels = rng.integers(0, 256, shape, dtype=np.uint8)
            rows, columns = sampling_matrices(NUMPY, *map(side, shape), preprocessing)
            expected = by_pillow(pixels, preprocessing.size, fit)
            assert np.abs(np.rint(rows @ pixels.astype(np.float32) @ columns.T) - expected).max() <= 1


def classifier(architecture: Architecture, resolution, fit="crop", channels=3) -> Classifier:
    torch.manual_seed(0)
    network = build_network(architecture, 4, channels).eval()
    return Classifier(network, [120.0] * channels, [60.0] * channels, list("abcd"), resolution, fit).eval()


@pytest.fixture(scope="module")
def small() -> Architecture:
    """A network with a pooling skip that drops channels, and one that adds some."""
    space = SearchSpace(filters=(16, 8, 12), layers=(1, 1, 1), strides=(1, 2, 1), width=1.0, head=16, divisor=4)
    genomes = space.sample(200, np.random.default_rng(0))
    decoded = map(space.decode, genomes)
    return next(one for one in decoded if sum(block.shortcut(16, 2) == "pool" for block in one.blocks) > 1)


def run_onnx(model: bytes, images: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return session.run(None, {"image": images})[0]


def run_litert(model: bytes, images: np.ndarray) -> np.ndarray:
    return Interpreter(model_content=model).get_signature_runner()(image=images.transpose(0, 2, 3, 1))["logits"]


@pytest.mark.parametrize(("name", "run"), [("onnx", run_onnx), ("litert", run_litert)])
@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_files_take_any_size_and_any_number_in_float_and_int8(small, name, run, fit):
    network, kind, rng = classifier(small, (12, 16), fit), FORMATS[name], np.random.default_rng(1)
    calibration = rng.integers(0, 256, (4, 3, 12, 16)).astype(np.float32)
    metadata = {"classes": '["a"]'}
    for plain in (kind.convert(network, metadata), kind.quantize(network, metadata, calibration)[0]):
        both = kind.take_any(plain, network.preprocessing, True, True)
        batched = kind.take_any(plain, network.preprocessing, False, True)
        if name == "onnx":
            onnx.checker.check_model(onnx.load_from_string(both), full_check=True)
        assert kind.metadata(both) == metadata
        for shape in ((12, 16), (5, 3), (100, 61)):
            pixels = rng.integers(0, 256, (2, 3, *shape), dtype=np.uint8)
            resized = [[by_pillow(plane, (12, 16), fit) for plane in image] for image in pixels]
            expected = np.concatenate([run(plain, np.array([image])) for image in resized])
            found = run(both, pixels.astype(np.float32))
            assert found.shape == (2, 4)
            scale = np.abs(expected).max()
            assert np.abs(found - expected).max() <= 0.08 * scale  # single grey levels differ
            if shape == (12, 16):  # nothing is resized: the same logits
                np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * scale)
                np.testing.assert_allclose(
                    run(batched, pixels.astype(np.float32)), expected, rtol=1e-4, atol=1e-4 * scale
                )


def test_the_code_of_the_card_gives_a_picture_as_it_is(small, tmp_path):
    """And predict too, by both formats."""
    network = classifier(small, 12)
    rng = np.random.default_rng(2)
    Image.fromarray(rng.integers(0, 256, (70, 45, 3), dtype=np.uint8)).save(tmp_path / PICTURE, quality=95)
    metadata = {
        "classes": '["a", "b", "c", "d"]',
        "preprocessing": network.preprocessing.model_dump_json(),
    }
    exports, answers = [], []
    for name in ("onnx", "litert"):
        kind = FORMATS[name]
        plain = kind.convert(network, metadata | {ANY_SIZE: "yes"})
        file = _File(kind, ANY_SIZE, kind.take_any(plain, network.preprocessing, True, False), [], network)
        assert file.name == f"model-any-size{kind.suffix}"
        (tmp_path / file.name).write_bytes(file.model)
        exports.append(Export(file.name, name, ANY_SIZE, 1, 1, 1.0, None, None, None, 1, 1))
        [answer] = predict(open_network(tmp_path / file.name), [tmp_path / PICTURE])
        answers.append(dict(answer.classes))
        (tmp_path / f"plain{kind.suffix}").write_bytes(kind.convert(network, metadata))
        [answer] = predict(open_network(tmp_path / f"plain{kind.suffix}"), [tmp_path / PICTURE])
        assert answers[-1] == pytest.approx(dict(answer.classes), abs=0.02)
    card = usage_section(exports, network.preprocessing)
    assert card.count("takes pictures of any size and resizes them itself") == 2
    scripts = [(tmp_path, code) for code in code_blocks(card)[1:]]
    printed = run_all(scripts, has_evomnas=False)
    for one, answer in zip(printed, answers, strict=True):
        assert one == pytest.approx(answer, abs=2e-4)


def test_executorch_programs_are_refused():
    with pytest.raises(InputError, match="-batch are for onnx and litert files, not for executorch"):
        Request(("executorch",), any_batch=True).check()


def test_names_of_files_say_what_they_take():
    assert Request().variant("float") == "float"
    assert Request(any_size=True).variant("float") == "any size"
    assert Request(any_size=True, any_batch=True).variant("pruned 50 %") == "pruned 50 %, any size, any batch"
