"""ONNX Runtime on the CPU, here or, since this file is also sent there, on another machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import onnxruntime

if TYPE_CHECKING:
    import torch
    from torch import nn

    from evomnas.latency.runtimes.base import Floats


onnxruntime.disable_telemetry_events()  # some builds would report that they are used


class OnnxRuntime:
    """The CPU provider with a fixed number of threads that do not spin between runs."""

    name = package = "onnxruntime"
    install = "pip install onnxruntime"
    in_caller = True

    def convert(self, network: nn.Module, images: torch.Tensor) -> bytes:
        """The network as an ONNX file, batch norm folded into the convolutions."""
        from evomnas.latency.runtimes.onnx_graph import to_onnx

        return to_onnx(network, images)

    def load(self, model: bytes, images: Floats, threads: int) -> Callable[[], Floats]:
        """A session on the CPU, bound to the images."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.set_denormal_as_zero", "1")
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        names, feed = [session.get_outputs()[0].name], {session.get_inputs()[0].name: images}

        def run() -> Floats:
            output: Floats = session.run(names, feed)[0]
            return output

        return run
