"""ExecuTorch programs with XNNPACK, in float or int8. The normalisation of the images is part of the program.

The int8 programs are made by PyTorch's post-training quantization for XNNPACK (pt2e). Weights are quantized
symmetrically by output channel, and activations by the values that they have on calibration images. The metadata are
methods of the program that take no arguments: `classes()` returns the names of the classes as JSON.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from evomnas.core.quiet import silence
from evomnas.latency.runtimes.base import Float32Array
from evomnas.latency.runtimes.executorch_xnnpack import fold_batch_norm, lower
from evomnas.networks.classifier import Classifier


class ExecuTorchFormat:
    """Programs that ExecuTorch runs; see `ExportFormat` for the attributes."""

    name, suffix, runtime = "executorch", ".pte", "executorch"
    needs: tuple[str, ...] = (
        "executorch.exir",
        "executorch.runtime",
        "executorch.backends.xnnpack.partition.xnnpack_partitioner",
    )
    quantizer, install = "torchao.quantization.pt2e.quantize_pt2e", "pip install --force-reinstall executorch"

    def convert(self, classifier: Classifier, metadata: Mapping[str, str]) -> bytes:
        """See `ExportFormat.convert`."""
        return lower(classifier, _example_image(classifier), metadata)

    def quantize(
        self, classifier: Classifier, metadata: Mapping[str, str], calibration: Float32Array
    ) -> tuple[bytes, list[NDArray[np.int8]]]:
        """See `ExportFormat.quantize`."""
        with silence(), torch.no_grad():
            from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
                XNNPACKQuantizer,
                get_symmetric_quantization_config,
            )
            from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

            image = _example_image(classifier)
            graph = torch.export.export(fold_batch_norm(classifier), (image,)).module(check_guards=False)
            quantizer = XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))
            prepared = prepare_pt2e(graph, quantizer)
            for calibration_image in torch.from_numpy(calibration).unsqueeze(1):
                prepared(calibration_image)
            converted = convert_pt2e(prepared)
            constants = [value for value in converted.state_dict().values() if value.dtype == torch.int8]
            return lower(converted, image, metadata), [constant.numpy() for constant in constants]


def _example_image(classifier: Classifier) -> torch.Tensor:
    return torch.zeros(1, classifier.channels, classifier.resolution, classifier.resolution)
