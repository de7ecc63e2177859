"""ONNX files for ONNX Runtime, in float or int8. The normalisation of the images is part of the graph.

The names of the classes are in the metadata of the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evomnas.data.photographs import Preprocessing
from evomnas.latency.runtimes.base import Float32Array

if TYPE_CHECKING:  # reading a file needs the runtime alone
    import onnx

    from evomnas.networks.classifier import Classifier


class OnnxFormat:
    """Files that ONNX Runtime runs; see `ExportFormat` for the attributes."""

    name, suffix, runtime = "onnx", ".onnx", "onnxruntime"
    needs: tuple[str, ...] = ("onnx", "onnxruntime")
    quantizer, install = "onnxruntime.quantization", "pip install onnx onnxruntime"
    seconds, image_s, calibration = (0.3, 0.5), 0.006, 5.5
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

        from evomnas.latency.quantization.onnx_int8 import quantize_onnx

        content = _to_model(classifier).SerializeToString()
        model = onnx.load_from_string(quantize_onnx(content, np.split(calibration, len(calibration))))
        constants = map(onnx.numpy_helper.to_array, model.graph.initializer)
        weights = [constant for constant in constants if constant.dtype == np.int8 and constant.ndim > 1]
        return _with_metadata(model, metadata), weights

    def take_any(self, model: bytes, preprocessing: Preprocessing, size: bool, batch: bool) -> bytes:
        """See `FlexibleFormat.take_any`."""
        import onnx

        from evomnas.deploy.formats.any_size import onnx_sizes

        content = onnx.load_from_string(model)
        if size:
            onnx_sizes.any_size(content, preprocessing)
        if batch:
            onnx_sizes.any_batch(content)
        return bytes(content.SerializeToString())

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
