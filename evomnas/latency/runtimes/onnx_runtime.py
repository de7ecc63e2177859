"""ONNX Runtime on the CPU or with another provider.

This module is also sent to other machines: it needs onnxruntime and Python 3.9 only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from evomnas.core.quiet import quiet_libraries

quiet_libraries()
# NumPy imports it late, and warns of tiny numbers that are zero: older versions of ONNX Runtime leave them so.
import numpy.ma  # noqa: E402, F401
import onnxruntime  # noqa: E402

if TYPE_CHECKING:
    import torch
    from torch import nn

    from evomnas.latency.runtimes.base import Float32Array


# ONNX Runtime's names of the providers, and their options: float32 is computed in float32, as asked
PROVIDERS: dict[str, tuple[str, dict[str, str]]] = {
    "cpu": ("CPUExecutionProvider", {}),
    "cuda": ("CUDAExecutionProvider", {"use_tf32": "0"}),
    "tensorrt": ("TensorrtExecutionProvider", {}),
    "openvino": ("OpenVINOExecutionProvider", {}),
    "coreml": ("CoreMLExecutionProvider", {}),
    "directml": ("DmlExecutionProvider", {}),
    "migraphx": ("MIGraphXExecutionProvider", {}),
    "nnapi": ("NnapiExecutionProvider", {}),
    "qnn": ("QNNExecutionProvider", {}),
    "xnnpack": ("XnnpackExecutionProvider", {}),
}


class OnnxRuntime:
    """ONNX Runtime with one of its execution providers, and a fixed number of threads that do not spin in between.

    A network runs on the provider as a whole, or not at all: ONNX Runtime's own habit is to run on the CPU what the
    provider cannot, without a word.

    Attributes:
        provider: One of `PROVIDERS`.
        in_caller: See `Runtime`.
    """

    name = package = "onnxruntime"
    install = "pip install onnxruntime"
    installs = {
        "cuda": "pip install onnxruntime-gpu",
        "tensorrt": "pip install onnxruntime-gpu tensorrt",
        "openvino": "pip install onnxruntime-openvino",
        "directml": "pip install onnxruntime-directml",
        "qnn": "pip install onnxruntime-qnn",
    }
    reads_onnx = True
    quantizer = "onnx"

    def __init__(self, provider: str = "cpu") -> None:
        """Choose what runs the networks.

        Args:
            provider: One of `PROVIDERS`.
        """
        self.provider = provider
        self.in_caller = provider == "cpu"

    @staticmethod
    def providers() -> list[str]:
        """Return the providers that the installed package has."""
        has = onnxruntime.get_available_providers()
        return [name for name, (known_as, _) in PROVIDERS.items() if known_as in has]

    def convert(self, network: nn.Module, images: torch.Tensor) -> bytes:
        """Convert a network to an ONNX file, with batch norm folded into the convolutions; see `Runtime.convert`."""
        from evomnas.latency.runtimes.detection.onnx_detector import to_measured_onnx

        return to_measured_onnx(network, images)

    def quantize(self, model: bytes, calibration: Iterable[Float32Array]) -> bytes:
        """Make an int8 file of a float one; see `QuantizingRuntime.quantize`."""
        from evomnas.latency.quantization.onnx_int8 import quantize_onnx

        return quantize_onnx(model, calibration)

    def load(self, model: bytes, images: Float32Array, threads: int) -> Callable[[], Float32Array]:
        """Create a session on the provider; see `Runtime.load`.

        Raises:
            RuntimeError: The provider cannot be used, or not for all operations of the network.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.set_denormal_as_zero", "1")
        if self.provider != "cpu":
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        wanted = PROVIDERS[self.provider]
        try:
            session = onnxruntime.InferenceSession(model, options, providers=[wanted])
        except Exception as error:
            if self.provider == "cpu":
                raise
            reason = str(error).strip().splitlines()[0]
            raise RuntimeError(f"ONNX Runtime cannot run this network on {self.provider} alone: {reason}") from error
        if session.get_providers()[0] != wanted[0]:
            raise RuntimeError(f"ONNX Runtime cannot use {self.provider} here and would run on the CPU")
        names, feed = [session.get_outputs()[0].name], {session.get_inputs()[0].name: images}

        def run() -> Float32Array:
            output: Float32Array = session.run(names, feed)[0]
            return output

        return run
