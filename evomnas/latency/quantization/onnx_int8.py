"""ONNX files in int8, by ONNX Runtime's static quantization, in its QDQ format.

Weights are quantized symmetrically by output channel, and activations by the smallest and largest value that they have
on calibration images.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from evomnas.core.quiet import silence

if TYPE_CHECKING:
    from evomnas.latency.runtimes.base import Float32Array


def quantize_onnx(model: bytes, calibration: Iterable[Float32Array], kept: str | None = None) -> bytes:
    """Return an ONNX file in int8.

    Args:
        model: The content of a float file with an input `image`.
        calibration: Inputs that show the range of the activations, each of the shape that the file takes.
        kept: The beginning of the names of nodes that stay in float; None to quantize all.

    Returns:
        The content of the file, which takes and returns float values as before.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class ImageReader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._images: Iterator[Float32Array] = iter(calibration)

        def get_next(self) -> dict[str, Float32Array] | None:
            image = next(self._images, None)
            return None if image is None else {"image": image}

    with silence(), tempfile.TemporaryDirectory(prefix="evomnas-") as folder:
        source, path = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        excluded = [] if kept is None else [name for name in _node_names(model) if name.startswith(kept)]
        source.write_bytes(model)  # ONNX Runtime before 1.21 loses the weights of a model in memory
        quantize_static(
            source, path, ImageReader(), quant_format=QuantFormat.QDQ, per_channel=True,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, nodes_to_exclude=excluded,
        )  # fmt: skip
        return path.read_bytes()


def _node_names(model: bytes) -> list[str]:
    import onnx

    return [node.name for node in onnx.load_from_string(model).graph.node]
