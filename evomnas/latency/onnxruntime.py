"""ONNX Runtime on this machine's CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import onnxruntime

from evomnas.latency.runtimes import Floats

if TYPE_CHECKING:
    import torch

    from evomnas.network import Network


class OnnxRuntime:
    """The CPU provider with a fixed number of threads that do not spin between runs."""

    name = "onnxruntime"

    def version(self) -> str:
        """Version of the onnxruntime package."""
        return str(onnxruntime.__version__)

    def convert(self, network: Network, images: torch.Tensor) -> bytes:
        """The network as an ONNX file, batch norm folded into the convolutions."""
        from evomnas.latency.onnx_graph import to_onnx

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
        feed = {"image": images}

        def run() -> Floats:
            logits: Floats = session.run(["logits"], feed)[0]
            return logits

        return run
