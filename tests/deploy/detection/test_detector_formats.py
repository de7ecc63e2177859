"""Files of detectors: checked against PyTorch when they are written, with all that their user needs."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
import torch

from evomnas.core.errors import InputError
from evomnas.deploy.detection import detector_formats
from evomnas.deploy.detection.detector_formats import (
    DETECTOR_FORMATS,
    convert_detector,
    find_format,
    quantize_detector,
    write_detector,
)
from evomnas.networks.detection.detector import build_detector
from evomnas.networks.detection.object_detector import ObjectDetector
from evomnas.problem.architecture import Architecture
from evomnas.results.evaluation import RuntimeMismatch

TINY = Architecture.parse("stem8_s2-mbconv3_k3_s2_f8_n2_id-mbconv3_k5_s2_f16_n1-head24")
PICTURES = np.random.default_rng(1).integers(0, 256, (2, 3, 96, 96), dtype=np.uint8)


@pytest.fixture(scope="module")
def detector() -> ObjectDetector:
    """A detector with the statistics of the pictures, so that its answers vary."""
    made = ObjectDetector(build_detector(TINY, 2, 96, bn_momentum=1.0), [127.0] * 3, [60.0] * 3, ("cat", "dog"))
    with torch.inference_mode():
        made.train()(torch.from_numpy(PICTURES))
    return made.eval()


@pytest.mark.parametrize("name", ["onnx", "litert", pytest.param("executorch", marks=pytest.mark.thorough)])
def test_a_file_is_written_and_answers_as_pytorch(detector, tmp_path, name):
    if name != "onnx":
        pytest.importorskip({"litert": "ai_edge_litert", "executorch": "executorch"}[name])
    written = write_detector(tmp_path, detector, name, PICTURES)
    assert written.file == tmp_path / f"detector{DETECTOR_FORMATS[name].suffix}"
    assert written.bytes == written.file.stat().st_size
    assert 0 < written.difference < 1e-3


@pytest.mark.parametrize("name", ["onnx", "litert", pytest.param("executorch", marks=pytest.mark.thorough)])
def test_an_int8_file_is_smaller_and_answers_nearly_as_pytorch(detector, name):
    if name != "onnx":
        pytest.importorskip({"litert": "ai_edge_litert", "executorch": "executorch"}[name])
    plain, images = convert_detector(detector, name, PICTURES).model, PICTURES.astype(np.float32)
    quantized = quantize_detector(detector, name, plain, images)
    assert len(quantized) < len(plain)
    run = DETECTOR_FORMATS[name].run(quantized)
    with torch.inference_mode():
        expected = detector(torch.from_numpy(images))
    for number, image in enumerate(images):
        for answer, right in zip(run(image[None]), expected, strict=True):
            assert 0 < np.abs(answer[0] - right[number].numpy()).max() < 0.1


def test_int8_files_whose_packages_are_missing_are_one_line(detector, monkeypatch):
    def quantize(*arguments):
        raise ModuleNotFoundError(name="torchao")

    monkeypatch.setitem(DETECTOR_FORMATS, "onnx", replace(DETECTOR_FORMATS["onnx"], quantize=quantize))
    with pytest.raises(InputError, match="int8 files for onnx need torchao: pip install"):
        quantize_detector(detector, "onnx", b"", PICTURES.astype(np.float32))


def test_an_onnx_file_names_classes_and_what_is_done_with_a_picture(detector, tmp_path):
    session = onnxruntime.InferenceSession(write_detector(tmp_path, detector, "onnx", PICTURES, suppress=True).file)
    texts = session.get_modelmeta().custom_metadata_map
    assert json.loads(texts["classes"]) == ["cat", "dog"]
    assert json.loads(texts["preprocessing"])["resolution"] == 96
    assert [output.name for output in session.get_outputs()] == ["boxes", "scores", "kept"]


def test_a_file_that_answers_otherwise_is_not_written(detector, tmp_path, monkeypatch):
    monkeypatch.setattr(detector_formats, "MAX_DIFFERENCE", 0.0)
    with pytest.raises(RuntimeMismatch, match="the onnx file answers otherwise than PyTorch: by "):
        write_detector(tmp_path, detector, "onnx", PICTURES)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "suppress", "message"),
    [("tflite", False, "unknown format 'tflite'"), ("litert", True, "drop --suppress or --to litert")],
)
def test_formats_that_there_are_not_are_refused(name, suppress, message):
    with pytest.raises(InputError, match=message):
        find_format(name, suppress)
