"""OpenVINO on the CPU, or on one of Intel's GPUs. It reads the ONNX files that are written for ONNX Runtime."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from evomnas.core.quiet import silence, silence_native_code

if TYPE_CHECKING:
    import torch
    from torch import nn

    from evomnas.latency.runtimes.base import Float32Array

TELEMETRY = "openvino_telemetry"


class OpenVinoRuntime:
    """OpenVINO with one stream of inferences, in float32 as asked: new processors would compute in bfloat16.

    Attributes:
        provider: `cpu`, or one of Intel's GPUs by OpenVINO's name of it, such as `gpu` or `gpu.1`.
        in_caller: See `Runtime`.
    """

    name = package = "openvino"
    install = "pip install 'evomnas[openvino]'"
    reads_onnx = True

    def __init__(self, provider: str = "cpu") -> None:
        """Choose what runs the networks.

        Args:
            provider: `cpu`, or one of the others that `providers` returns.
        """
        self.provider = provider
        self.in_caller = provider == "cpu"

    @staticmethod
    def providers() -> list[str]:
        """Return `cpu`, and the GPUs that OpenVINO finds."""
        devices = [device.lower() for device in _core().available_devices]
        return [device for device in devices if device.partition(".")[0] in ("cpu", "gpu")]

    def convert(self, network: nn.Module, images: torch.Tensor) -> bytes:
        """Convert a network to an ONNX file, with batch norm folded into the convolutions; see `Runtime.convert`."""
        from evomnas.latency.runtimes.detection.onnx_detector import to_measured_onnx

        return to_measured_onnx(network, images)

    def load(self, model: bytes, images: Float32Array, threads: int) -> Callable[[], Float32Array]:
        """Compile a model; see `Runtime.load`.

        Images that can be written to are read where they are.
        """
        with silence(), silence_native_code():
            core = _core()
            properties = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": 1}
            if self.provider == "cpu":
                properties |= {"INFERENCE_NUM_THREADS": threads, "ENABLE_CPU_PINNING": False}
            compiled = core.compile_model(core.read_model(model=model), self.provider.upper(), properties)
            from openvino import Tensor

            request = compiled.create_infer_request()
            image = Tensor(
                images, shared_memory=images.flags.writeable
            )  # it keeps the array, the request keeps neither

        def run() -> Float32Array:
            request.set_input_tensor(image)
            request.infer()
            output: Float32Array = request.get_output_tensor().data
            return output

        return run


@lru_cache(maxsize=1)
def _core() -> Any:
    """Return OpenVINO's core. Its package would report over the network that it is imported, and leave a file at home.

    It does without its own telemetry where that cannot be imported.
    """
    sys.modules.setdefault(TELEMETRY, None)  # type: ignore[arg-type]
    from openvino import Core

    return Core()
