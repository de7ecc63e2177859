"""PyTorch itself, module by module. Most of its time is the overhead of the calls, so it says little about a device."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING

from evomnas.core.quiet import silence
from evomnas.problem.architecture import Architecture

if TYPE_CHECKING:
    import torch
    from torch import nn

    from evomnas.latency.runtimes.base import Float32Array


class TorchRuntime:
    """PyTorch's eager execution in inference mode, with separate batch norm and the default memory layout.

    Attributes:
        provider: `cpu`, or `cuda` for a GPU.
        in_caller: See `Runtime`.
    """

    name = package = "torch"
    install = "pip install torch"

    def __init__(self, provider: str = "cpu") -> None:
        """Choose what runs the networks.

        Args:
            provider: `cpu` or `cuda`.
        """
        self.provider = provider
        self.in_caller = provider == "cpu"

    @staticmethod
    def providers() -> list[str]:
        """Return `cpu`, and `cuda` if there is a GPU that PyTorch can use."""
        import torch

        return ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]

    def convert(self, network: nn.Module, images: torch.Tensor) -> bytes:
        """Save a network's architecture and weights; see `Runtime.convert`.

        Args:
            network: A whole network of `build_network`.
            images: Not used.

        Returns:
            The architecture's notation, the number of classes and the state dict, in PyTorch's file format.

        Raises:
            TypeError: The module is a part of a network, or a network of another library.
        """
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

    def load(self, model: bytes, images: Float32Array, threads: int) -> Callable[[], Float32Array]:
        """Build the network again; see `Runtime.load`. The number of threads holds for the whole process."""
        import torch

        from evomnas.networks.network import build_network

        content = torch.load(io.BytesIO(model), weights_only=True)
        architecture = Architecture.parse(content["architecture"])
        network = build_network(architecture, content["classes"], images.shape[1]).eval()
        network.load_state_dict(content["state"])
        with silence():  # it warns of arrays that cannot be written to, which it does not do
            inputs = torch.from_numpy(images)
        network.to(self.provider)
        in_float32 = partial(torch.backends.cudnn.flags, enabled=True, allow_tf32=False)  # of a GPU, as asked
        precision = in_float32 if self.provider == "cuda" else nullcontext

        def run() -> Float32Array:
            if torch.get_num_threads() != threads:
                torch.set_num_threads(threads)
            with torch.inference_mode(), precision():
                output: Float32Array = network(inputs.to(self.provider)).cpu().numpy()
            return output

        return run
