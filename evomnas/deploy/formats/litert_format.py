"""LiteRT files (`.tflite`), in float or int8. The normalisation of the images is part of the graph.

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
    from evomnas.networks.classifier import Classifier


class LiteRTFormat:
    """Files that LiteRT runs, on phones and elsewhere; see `ExportFormat` for the attributes."""

    name, suffix, runtime = "litert", ".tflite", "litert"
    needs: tuple[str, ...] = ("ai_edge_litert.schema_py_generated", "flatbuffers")
    quantizer, install = "ai_edge_quantizer", "pip install 'evomnas[litert]'"
    seconds, image_s, calibration = (0.1, 2.6), 0.011, 3.0
    packages = "ai-edge-litert numpy pillow"
    imports: tuple[str, ...] = (
        "from ai_edge_litert import schema_py_generated as schema",
        "from ai_edge_litert.interpreter import Interpreter",
    )
    code = """\
content = schema.Model.GetRootAs(open(model, "rb").read())
texts = [content.Metadata(place) for place in range(content.MetadataLength())]
buffers = {text.Name(): content.Buffers(text.Buffer()) for text in texts}
classes = json.loads(buffers[b"classes"].DataAsNumpy().tobytes())
run = Interpreter(model).get_signature_runner()
logits = run(image=pixels.transpose(0, 2, 3, 1))["logits"][0]
"""

    def convert(self, classifier: Classifier, metadata: Mapping[str, str]) -> bytes:
        """See `ExportFormat.convert`."""
        import torch

        from evomnas.latency.runtimes.litert_graph import to_litert

        image = torch.zeros(1, classifier.channels, *classifier.preprocessing.size)
        return to_litert(classifier, image, metadata)

    def quantize(
        self, classifier: Classifier, metadata: Mapping[str, str], calibration: Float32Array
    ) -> tuple[bytes, list[NDArray[np.int8]]]:
        """See `ExportFormat.quantize`."""
        from evomnas.latency.quantization.litert_int8 import quantize_litert

        quantized = quantize_litert(self.convert(classifier, metadata), np.split(calibration, len(calibration)))
        return quantized, _int8_weights(quantized)

    def take_any(self, model: bytes, preprocessing: Preprocessing, size: bool, batch: bool) -> bytes:
        """See `FlexibleFormat.take_any`."""
        from evomnas.deploy.formats.any_size.litert_sizes import take_any

        return take_any(model, preprocessing, size, batch)

    def metadata(self, model: bytes) -> dict[str, str]:
        """See `ExportFormat.metadata`."""
        from evomnas.latency.runtimes.litert_graph import read_metadata

        return read_metadata(model)


def _int8_weights(model: bytes) -> list[NDArray[np.int8]]:
    from ai_edge_litert import schema_py_generated as schema

    content = schema.Model.GetRootAs(model)
    graph = content.Subgraphs(0)
    tensors = [graph.Tensors(place) for place in range(graph.TensorsLength())]
    constants = [
        (tensor.ShapeAsNumpy(), content.Buffers(tensor.Buffer()).DataAsNumpy())
        for tensor in tensors
        if tensor.Type() == schema.TensorType.INT8 and content.Buffers(tensor.Buffer()).DataLength()
    ]
    return [data.view(np.int8).reshape(shape) for shape, data in constants if len(shape) > 1]
