"""LiteRT with XNNPACK on this machine's CPU. It is the paper's runtime, which was called TensorFlow Lite then."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import numpy as np

from evomnas.core.quiet import silence, silence_native_code

if TYPE_CHECKING:
    import torch
    from torch import nn

    from evomnas.latency.runtimes.base import Float32Array


class LiteRTRuntime:
    """LiteRT's interpreter, which gives to XNNPACK what that can run."""

    name, package = "litert", "ai-edge-litert"
    install = "pip install 'evomnas[litert]'"
    in_caller = True
    quantizer = "ai_edge_quantizer"

    def convert(self, network: nn.Module, images: torch.Tensor) -> bytes:
        """Convert a network to a LiteRT file, with batch norm folded into the convolutions; see `Runtime.convert`."""
        from evomnas.networks.detection.object_detector import JoinedAnswers

        if isinstance(network, JoinedAnswers):
            from evomnas.latency.runtimes.detection.litert_detector import detector_to_litert

            return detector_to_litert(network, images)
        from evomnas.latency.runtimes.litert_graph import to_litert

        return to_litert(network, images)

    def quantize(self, model: bytes, calibration: Iterable[Float32Array]) -> bytes:
        """Make an int8 file of a float one; see `QuantizingRuntime.quantize`."""
        from evomnas.latency.quantization.litert_int8 import quantize_litert

        return quantize_litert(model, calibration)

    def load(self, model: bytes, images: Float32Array, threads: int) -> Callable[[], Float32Array]:
        """Create an interpreter; see `Runtime.load`.

        Its input is channels-last. Images that nobody can write to are brought into that order once, others before
        every inference.
        """
        channels_last = images.transpose(0, 2, 3, 1)
        with silence(), silence_native_code():
            from ai_edge_litert.interpreter import Interpreter

            interpreter = Interpreter(model_content=model, num_threads=threads)
            [taken], [returned] = interpreter.get_input_details(), interpreter.get_output_details()
            image, logits = taken["index"], returned["index"]
            if channels_last.shape != tuple(taken["shape"]):  # the file takes images of any size, or any number of them
                interpreter.resize_tensor_input(image, channels_last.shape, strict=True)
            interpreter.allocate_tensors()
        changes = images.flags.writeable
        interpreter.set_tensor(image, np.ascontiguousarray(channels_last))

        def run() -> Float32Array:
            if changes:
                interpreter.set_tensor(image, np.ascontiguousarray(channels_last))
            interpreter.invoke()
            output: Float32Array = interpreter.get_tensor(logits)
            return output.transpose(0, 3, 1, 2) if output.ndim == 4 else output

        return run
