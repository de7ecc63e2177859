"""ExecuTorch programs with XNNPACK: normalisation in the program, class names in a method of it, float or int8.

int8 is PyTorch's post-training quantization for XNNPACK (pt2e): weights by output channel and symmetric, activations by
the values that the calibration images bring about. What is known of the network are the program's methods that take
nothing: `classes()` returns the names as JSON.
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
    """Programs that ExecuTorch runs."""

    name, suffix, runtime = "executorch", ".pte", "executorch"
    needs: tuple[str, ...] = (
        "executorch.exir",
        "executorch.runtime",
        "executorch.backends.xnnpack.partition.xnnpack_partitioner",
    )
    quantizer, install = "torchao.quantization.pt2e.quantize_pt2e", "pip install --force-reinstall executorch"

    def convert(self, classifier: Classifier, facts: Mapping[str, str]) -> bytes:
        """A classifier for one image of float pixel values, (1, c, h, w), with `facts` as methods."""
        return lower(classifier, _image(classifier), facts)

    def quantize(
        self, classifier: Classifier, facts: Mapping[str, str], calibration: Float32Array
    ) -> tuple[bytes, list[NDArray[np.int8]]]:
        """The same in int8, and its int8 weights; `calibration` are images (n, c, h, w)."""
        with silence(), torch.no_grad():
            from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
                XNNPACKQuantizer,
                get_symmetric_quantization_config,
            )
            from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

            image = _image(classifier)
            graph = torch.export.export(fold_batch_norm(classifier), (image,)).module(check_guards=False)
            quantizer = XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))
            prepared = prepare_pt2e(graph, quantizer)
            for one in torch.from_numpy(calibration).unsqueeze(1):
                prepared(one)
            converted = convert_pt2e(prepared)
            constants = [value for value in converted.state_dict().values() if value.dtype == torch.int8]
            return lower(converted, image, facts), [one.numpy() for one in constants]


def _image(classifier: Classifier) -> torch.Tensor:
    return torch.zeros(1, classifier.channels, classifier.resolution, classifier.resolution)
