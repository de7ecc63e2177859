"""PyTorch itself, module by module: mostly the cost of dispatching, and no stand-in for a device."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING

from evomnas.problem.architecture import Architecture

if TYPE_CHECKING:
    import torch
    from torch import nn

    from evomnas.latency.runtimes.base import Floats


class TorchRuntime:
    """Eager execution in inference mode, as it is: batch norm not folded, default memory layout."""

    name = package = "torch"
    install = "pip install torch"
    in_caller = True

    def convert(self, network: nn.Module, images: torch.Tensor) -> bytes:
        """The architecture's notation and the weights."""
        import torch

        from evomnas.networks.network import Network

        if not isinstance(network, Network):
            raise TypeError("the runtime torch runs whole networks alone")
        content = {
            "architecture": str(network.architecture),
            "classes": network.classifier.out_features,
            "state": network.state_dict(),
        }
        buffer = io.BytesIO()
        torch.save(content, buffer)
        return buffer.getvalue()

    def load(self, model: bytes, images: Floats, threads: int) -> Callable[[], Floats]:
        """The network again; threads are a setting of the whole process."""
        import torch

        from evomnas.networks.network import build_network

        content = torch.load(io.BytesIO(model), weights_only=True)
        architecture = Architecture.parse(content["architecture"])
        network = build_network(architecture, content["classes"], images.shape[1]).eval()
        network.load_state_dict(content["state"])
        inputs = torch.from_numpy(images)

        def run() -> Floats:
            if torch.get_num_threads() != threads:
                torch.set_num_threads(threads)
            with torch.inference_mode():
                output: Floats = network(inputs).numpy()
            return output

        return run
