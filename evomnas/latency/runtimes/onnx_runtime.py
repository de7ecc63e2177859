"""ONNX Runtime on the CPU. This module is also sent to other machines: it needs onnxruntime and Python 3.9 only."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from evomnas.core.quiet import quiet_libraries

quiet_libraries()
import onnxruntime  # noqa: E402

if TYPE_CHECKING:
    import torch
    from torch import nn

    from evomnas.latency.runtimes.base import Float32Array


class OnnxRuntime:
    """ONNX Runtime's CPU provider, with a fixed number of threads that do not spin between inferences."""

    name = package = "onnxruntime"
    install = "pip install onnxruntime"
    in_caller = True
    reads_onnx = True

    def convert(self, network: nn.Module, images: torch.Tensor) -> bytes:
        """Convert a network to an ONNX file, with batch norm folded into the convolutions; see `Runtime.convert`."""
        from evomnas.latency.runtimes.onnx_graph import to_onnx

        return to_onnx(network, images)

    def load(self, model: bytes, images: Float32Array, threads: int) -> Callable[[], Float32Array]:
        """Create a session on the CPU; see `Runtime.load`."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.set_denormal_as_zero", "1")
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        names, feed = [session.get_outputs()[0].name], {session.get_inputs()[0].name: images}

        def run() -> Float32Array:
            output: Float32Array = session.run(names, feed)[0]
            return output

        return run
