"""ExecuTorch programs with XNNPACK, in float or int8. The normalisation of the images is part of the program.

The int8 programs are made by PyTorch's post-training quantization for XNNPACK (pt2e). Weights are quantized
symmetrically by output channel, and activations by the values that they have on calibration images. The metadata are
methods of the program that take no arguments: `classes()` returns the names of the classes as JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evomnas.core.quiet import silence
from evomnas.latency.runtimes.base import Float32Array
from evomnas.latency.runtimes.executorch_xnnpack import fold_batch_norm, load_program, lower

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
    seconds, calibration = (11.0, 20.0), 25.0
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

    def metadata(self, model: bytes) -> dict[str, str]:
        """See `ExportFormat.metadata`."""
        program = load_program(model)
        texts = {name: program.load_method(name).execute([])[0] for name in program.method_names - {"forward"}}
        return {name: text for name, text in texts.items() if isinstance(text, str)}


def _example_image(classifier: Classifier) -> torch.Tensor:
    import torch

    return torch.zeros(1, classifier.channels, *classifier.preprocessing.size)
