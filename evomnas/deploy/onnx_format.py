"""ONNX files for ONNX Runtime: normalisation in the graph, class names in the file's metadata, float or int8.

int8 is ONNX Runtime's own static quantization of the QDQ kind: weights by output channel and symmetric, activations by
the smallest and largest value that the calibration images bring about.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from evomnas.core.quiet import silence
from evomnas.latency.runtimes.base import Float32Array
from evomnas.latency.runtimes.onnx_graph import to_onnx
from evomnas.networks.classifier import Classifier


class OnnxFormat:
    """Files that ONNX Runtime runs."""

    name, suffix, runtime = "onnx", ".onnx", "onnxruntime"
    needs: tuple[str, ...] = ("onnx", "onnxruntime")
    quantizer, install = "onnxruntime.quantization", "pip install onnx onnxruntime"

    def convert(self, classifier: Classifier, facts: Mapping[str, str]) -> bytes:
        """A classifier for one image of float pixel values, (1, c, h, w), with `facts` as its metadata."""
        return _with_facts(onnx.load_from_string(to_onnx(classifier, _image(classifier))), facts)

    def quantize(
        self, classifier: Classifier, facts: Mapping[str, str], calibration: Float32Array
    ) -> tuple[bytes, list[NDArray[np.int8]]]:
        """The same in int8, and its int8 weights; `calibration` are images (n, c, h, w)."""
        from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

        class Images(CalibrationDataReader):  # type: ignore[misc]
            def __init__(self) -> None:
                self.rest: Iterator[Float32Array] = iter(np.split(calibration, len(calibration)))

            def get_next(self) -> dict[str, Float32Array] | None:
                image = next(self.rest, None)
                return None if image is None else {"image": image}

        with silence(), tempfile.TemporaryDirectory(prefix="evomnas-") as folder:
            path = Path(folder) / "int8.onnx"
            quantize_static(
                onnx.load_from_string(to_onnx(classifier, _image(classifier))), path, Images(),
                quant_format=QuantFormat.QDQ, per_channel=True, activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
            )  # fmt: skip
            model = onnx.load(path)
        constants = map(onnx.numpy_helper.to_array, model.graph.initializer)
        return _with_facts(model, facts), [one for one in constants if one.dtype == np.int8 and one.ndim > 1]


def _image(classifier: Classifier) -> torch.Tensor:
    return torch.zeros(1, classifier.channels, classifier.resolution, classifier.resolution)


def _with_facts(model: onnx.ModelProto, facts: Mapping[str, str]) -> bytes:
    onnx.helper.set_model_props(model, dict(facts))
    return bytes(model.SerializeToString())
