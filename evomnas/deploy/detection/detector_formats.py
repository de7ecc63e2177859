"""Files of detectors for devices: ONNX, LiteRT and ExecuTorch, from pixel values to decoded boxes and scores.

Each file is run on pictures as soon as it is written, and its answers are compared with PyTorch's. Suppression is no
part of the files; ONNX files may have it as a node of their own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from evomnas.core.errors import InputError, unknown
from evomnas.core.files import write_atomically
from evomnas.core.quiet import silence, silence_native_code
from evomnas.data.rows import Images
from evomnas.latency.runtimes.base import Float32Array
from evomnas.latency.runtimes.detection.detector_graph import DECODING
from evomnas.networks.detection.object_detector import ObjectDetector
from evomnas.results.evaluation import RuntimeMismatch

DETECTION = "detection"  # the task, in the texts of files
MAX_DIFFERENCE = 1e-3  # of a file's boxes and scores, all from 0 to 1, from PyTorch's
Answers = tuple[Float32Array, Float32Array]  # boxes and scores


@dataclass(frozen=True, slots=True)
class DetectorFile:
    """A file that was written and checked.

    Attributes:
        file: Its path.
        format: `onnx`, `litert` or `executorch`.
        difference: The largest difference of its boxes and scores from PyTorch's.
        bytes: Its size.
    """

    file: Path
    format: str
    difference: float
    bytes: int


@dataclass(frozen=True, slots=True)
class DetectorFormat:
    """A kind of file.

    Attributes:
        suffix: The suffix of its files.
        install: The command that installs what writing and running them needs.
        runtime: The name of the runtime that runs its files.
        write: Returns the content of a file of a detector, for an image of some shape, with texts by name.
        quantize: Returns that of its int8 file, of the detector, its float file, calibration images and texts.
        run: Returns the answers of a file to an image, shape (1, c, h, w).
    """

    suffix: str
    install: str
    runtime: str
    write: Callable[[ObjectDetector, torch.Tensor, Mapping[str, str]], bytes]
    quantize: Callable[[ObjectDetector, bytes, Float32Array, Mapping[str, str]], bytes]
    run: Callable[[bytes], Callable[[Float32Array], Answers]]


@dataclass(frozen=True, slots=True)
class ConvertedDetector:
    """The content of a file that was checked.

    Attributes:
        model: The content.
        difference: The largest difference of its boxes and scores from PyTorch's.
    """

    model: bytes
    difference: float


def write_detector(
    folder: Path, detector: ObjectDetector, name: str, pictures: Images, suppress: bool = False
) -> DetectorFile:
    """Write a detector as a file for devices, and compare its answers to pictures with PyTorch's.

    Args:
        folder: The folder of the file, which is called `detector.onnx`, for example.
        detector: The detector, in evaluation mode.
        name: The format, one of `DETECTOR_FORMATS`.
        pictures: The pictures, uint8, shape (n, c, h, w); at least one.
        suppress: Whether the file also has a node that says which boxes are left; for `onnx` alone.

    Returns:
        The file.

    Raises:
        InputError: A package is missing, or a part of the network cannot be written in this format.
        RuntimeMismatch: The file answers otherwise than PyTorch.
    """
    converted = convert_detector(detector, name, pictures, suppress)
    path = folder / f"detector{find_format(name).suffix}"
    write_atomically(path, converted.model)
    return DetectorFile(path, name, converted.difference, len(converted.model))


def convert_detector(
    detector: ObjectDetector, name: str, pictures: Images, suppress: bool = False
) -> ConvertedDetector:
    """Return a detector as the content of a file for devices, once its answers to pictures are those of PyTorch.

    Args:
        detector: See `write_detector`.
        name: See `write_detector`.
        pictures: See `write_detector`.
        suppress: See `write_detector`.

    Raises:
        InputError: A package is missing, or a part of the network cannot be written in this format.
        RuntimeMismatch: The file answers otherwise than PyTorch.
    """
    kind = find_format(name, suppress)
    image = torch.zeros(1, *pictures.shape[1:])
    write = _write_suppressing_onnx if suppress else kind.write
    try:
        model = write(detector, image, _texts(detector))
        run = kind.run(model)
    except ImportError as error:
        raise InputError(f"{name} files need {error.name}: {kind.install}") from None
    difference = max(_difference(detector, run, picture[None].astype(np.float32)) for picture in pictures)
    if not difference <= MAX_DIFFERENCE:
        raise RuntimeMismatch(f"the {name} file answers otherwise than PyTorch: by {difference:.3g}")
    return ConvertedDetector(model, difference)


def quantize_detector(detector: ObjectDetector, name: str, model: bytes, calibration: Float32Array) -> bytes:
    """Return the content of a detector's int8 file. The decoding of boxes and scores stays in float.

    Args:
        detector: The detector, in evaluation mode.
        name: The format.
        model: The content of its float file.
        calibration: Images by which the ranges of activations are chosen, pixel values from 0 to 255, shape
            (n, c, h, w).

    Raises:
        InputError: A package is missing.
    """
    kind = find_format(name)
    try:
        return kind.quantize(detector, model, calibration, _texts(detector))
    except ImportError as error:
        raise InputError(f"int8 files for {name} need {error.name}: {kind.install}") from None


def _texts(detector: ObjectDetector) -> dict[str, str]:
    """Return what a file says about itself."""
    return {
        "task": DETECTION,
        "classes": json.dumps(detector.classes),
        "network": str(detector.detector.plan.architecture),
        "preprocessing": detector.preprocessing.model_dump_json(),
    }


def find_format(name: str, suppress: bool = False) -> DetectorFormat:
    """Return a format by its name.

    Args:
        name: The name.
        suppress: Whether its files are to have a node of suppression.

    Raises:
        InputError: There is no such format, or it has no such node.
    """
    if name not in DETECTOR_FORMATS:
        raise unknown("format", name, DETECTOR_FORMATS)
    if suppress and name != "onnx":
        raise InputError(
            f"suppression can be a part of onnx files alone, not of {name}: drop --suppress or --to {name}"
        )
    return DETECTOR_FORMATS[name]


@torch.inference_mode()
def _difference(detector: ObjectDetector, run: Callable[[Float32Array], Answers], picture: Float32Array) -> float:
    """Return the largest difference of a file's answers to a picture from PyTorch's."""
    expected = detector(torch.from_numpy(picture))
    pairs = zip(run(picture), expected, strict=True)
    return max(float(np.abs(answer - right.numpy()).max()) for answer, right in pairs)


def _write_onnx(
    detector: ObjectDetector, image: torch.Tensor, texts: Mapping[str, str], suppress: bool = False
) -> bytes:
    import onnx

    from evomnas.latency.runtimes.detection.onnx_detector import detector_to_onnx

    model = onnx.load_from_string(detector_to_onnx(detector, image, suppress))
    onnx.helper.set_model_props(model, dict(texts))
    return bytes(model.SerializeToString())


def _quantize_onnx(
    detector: ObjectDetector, model: bytes, calibration: Float32Array, texts: Mapping[str, str]
) -> bytes:
    import onnx

    from evomnas.latency.quantization.onnx_int8 import quantize_onnx

    images = np.split(calibration, len(calibration))
    quantized = onnx.load_from_string(quantize_onnx(model, images, kept=DECODING))
    onnx.helper.set_model_props(quantized, dict(texts))
    return bytes(quantized.SerializeToString())


def _write_suppressing_onnx(detector: ObjectDetector, image: torch.Tensor, texts: Mapping[str, str]) -> bytes:
    return _write_onnx(detector, image, texts, suppress=True)


def _run_onnx(model: bytes) -> Callable[[Float32Array], Answers]:
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])

    def run(picture: Float32Array) -> Answers:
        boxes, scores = session.run(["boxes", "scores"], {"image": picture})
        return boxes, scores

    return run


def _write_litert(detector: ObjectDetector, image: torch.Tensor, texts: Mapping[str, str]) -> bytes:
    from evomnas.latency.runtimes.detection.litert_detector import detector_to_litert

    return detector_to_litert(detector, image, texts)


def _quantize_litert(
    detector: ObjectDetector, model: bytes, calibration: Float32Array, texts: Mapping[str, str]
) -> bytes:
    from evomnas.latency.quantization.litert_int8 import quantize_litert

    return quantize_litert(model, np.split(calibration, len(calibration)), kept=DECODING)


def _run_litert(model: bytes) -> Callable[[Float32Array], Answers]:
    with silence(), silence_native_code():
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(model_content=model)
        interpreter.allocate_tensors()  # which says what it does
        runner = interpreter.get_signature_runner()

    def run(picture: Float32Array) -> Answers:
        found = runner(image=np.ascontiguousarray(picture.transpose(0, 2, 3, 1)))
        return found["boxes"], found["scores"]

    return run


def _write_executorch(detector: ObjectDetector, image: torch.Tensor, texts: Mapping[str, str]) -> bytes:
    from evomnas.latency.runtimes.executorch_xnnpack import lower

    return lower(detector, image, texts)


def _quantize_executorch(
    detector: ObjectDetector, model: bytes, calibration: Float32Array, texts: Mapping[str, str]
) -> bytes:
    from evomnas.latency.quantization.executorch_int8 import quantize_graph
    from evomnas.latency.runtimes.executorch_xnnpack import lower

    return lower(quantize_graph(detector, calibration, "decoder"), torch.from_numpy(calibration[:1]), texts)


def _run_executorch(model: bytes) -> Callable[[Float32Array], Answers]:
    from evomnas.latency.runtimes.executorch_xnnpack import load_program

    program = load_program(model)
    method = program.load_method("forward")

    def run(picture: Float32Array) -> Answers:
        boxes, scores = method.execute([torch.from_numpy(picture)])
        return boxes.numpy(), scores.numpy()

    return run


DETECTOR_FORMATS = {
    "onnx": DetectorFormat(
        ".onnx", "pip install onnx onnxruntime", "onnxruntime", _write_onnx, _quantize_onnx, _run_onnx
    ),
    "litert": DetectorFormat(
        ".tflite", "pip install 'evomnas[litert]'", "litert", _write_litert, _quantize_litert, _run_litert
    ),
    "executorch": DetectorFormat(
        ".pte",
        "pip install 'evomnas[executorch]'",
        "executorch",
        _write_executorch,
        _quantize_executorch,
        _run_executorch,
    ),
}
