"""ONNX files for ONNX Runtime, in float or int8. The normalisation of the images is part of the graph.

The int8 files are made by ONNX Runtime's static quantization, in its QDQ format. Weights are quantized symmetrically by
output channel, and activations by the smallest and largest value that they have on calibration images. The names of the
classes are in the metadata of the file.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evomnas.core.quiet import silence
from evomnas.latency.runtimes.base import Float32Array

if TYPE_CHECKING:  # reading a file needs the runtime alone
    import onnx

    from evomnas.networks.classifier import Classifier


class OnnxFormat:
    """Files that ONNX Runtime runs; see `ExportFormat` for the attributes."""

    name, suffix, runtime = "onnx", ".onnx", "onnxruntime"
    needs: tuple[str, ...] = ("onnx", "onnxruntime")
    quantizer, install = "onnxruntime.quantization", "pip install onnx onnxruntime"
    seconds = (0.5, 2.0)
    packages = "onnxruntime numpy pillow"
    imports: tuple[str, ...] = ("import onnxruntime",)
    code = """\
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
classes = json.loads(session.get_modelmeta().custom_metadata_map["classes"])
logits = session.run(None, {"image": pixels})[0][0]
"""

    def convert(self, classifier: Classifier, metadata: Mapping[str, str]) -> bytes:
        """See `ExportFormat.convert`."""
        return _with_metadata(_to_model(classifier), metadata)

    def quantize(
        self, classifier: Classifier, metadata: Mapping[str, str], calibration: Float32Array
    ) -> tuple[bytes, list[NDArray[np.int8]]]:
        """See `ExportFormat.quantize`."""
        import onnx
        from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

        class ImageReader(CalibrationDataReader):  # type: ignore[misc]
            def __init__(self) -> None:
                self._images: Iterator[Float32Array] = iter(np.split(calibration, len(calibration)))

            def get_next(self) -> dict[str, Float32Array] | None:
                image = next(self._images, None)
                return None if image is None else {"image": image}

        with silence(), tempfile.TemporaryDirectory(prefix="evomnas-") as folder:
            source, path = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
            onnx.save(_to_model(classifier), source)  # ONNX Runtime before 1.21 loses the weights of a model in memory
            quantize_static(
                source, path, ImageReader(), quant_format=QuantFormat.QDQ, per_channel=True,
                activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
            )  # fmt: skip
            model = onnx.load(path)
        constants = map(onnx.numpy_helper.to_array, model.graph.initializer)
        weights = [constant for constant in constants if constant.dtype == np.int8 and constant.ndim > 1]
        return _with_metadata(model, metadata), weights

    def metadata(self, model: bytes) -> dict[str, str]:
        """See `ExportFormat.metadata`."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        return dict(session.get_modelmeta().custom_metadata_map)


def _to_model(classifier: Classifier) -> onnx.ModelProto:
    import onnx
    import torch

    from evomnas.latency.runtimes.onnx_graph import to_onnx

    image = torch.zeros(1, classifier.channels, *classifier.preprocessing.size)
    return onnx.load_from_string(to_onnx(classifier, image))


def _with_metadata(model: onnx.ModelProto, metadata: Mapping[str, str]) -> bytes:
    import onnx

    onnx.helper.set_model_props(model, dict(metadata))
    return bytes(model.SerializeToString())
