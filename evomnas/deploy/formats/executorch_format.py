"""ExecuTorch programs with XNNPACK, in float or int8. The normalisation of the images is part of the program.

The metadata are methods of the program that take no arguments: `classes()` returns the names of the classes as JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evomnas.latency.quantization.executorch_int8 import quantize_graph
from evomnas.latency.runtimes.base import Float32Array
from evomnas.latency.runtimes.executorch_xnnpack import load_program, lower

if TYPE_CHECKING:  # so that the list of formats does not wait for it
    import torch

    from evomnas.networks.classifier import Classifier


class ExecuTorchFormat:
    """Programs that ExecuTorch runs; see `ExportFormat` for the attributes."""

    name, suffix, runtime = "executorch", ".pte", "executorch"
    needs: tuple[str, ...] = (
        "executorch.exir",
        "executorch.runtime",
        "executorch.backends.xnnpack.partition.xnnpack_partitioner",
    )
    seconds, image_s, calibration = (13.0, 33.0), 0.03, 5.0
    packages = "executorch numpy pillow"
    imports: tuple[str, ...] = ("import torch", "from executorch.runtime import Runtime")
    code = """\
program = Runtime.get().load_program(model)
classes = json.loads(program.load_method("classes").execute([])[0])
logits = program.load_method("forward").execute([torch.from_numpy(pixels)])[0][0].numpy()
"""
    quantizer, install = "torchao.quantization.pt2e.quantize_pt2e", "pip install --force-reinstall executorch"

    def convert(self, classifier: Classifier, metadata: Mapping[str, str]) -> bytes:
        """See `ExportFormat.convert`."""
        return lower(classifier, _example_image(classifier), metadata)

    def quantize(
        self, classifier: Classifier, metadata: Mapping[str, str], calibration: Float32Array
    ) -> tuple[bytes, list[NDArray[np.int8]]]:
        """See `ExportFormat.quantize`."""
        import torch

        quantized = quantize_graph(classifier, calibration)
        constants = [value for value in quantized.state_dict().values() if value.dtype == torch.int8]
        program = lower(quantized, _example_image(classifier), metadata)
        return program, [constant.numpy() for constant in constants]

    def metadata(self, model: bytes) -> dict[str, str]:
        """See `ExportFormat.metadata`."""
        program = load_program(model)
        texts = {name: program.load_method(name).execute([])[0] for name in program.method_names - {"forward"}}
        return {name: text for name, text in texts.items() if isinstance(text, str)}


def _example_image(classifier: Classifier) -> torch.Tensor:
    import torch

    return torch.zeros(1, classifier.channels, *classifier.preprocessing.size)
