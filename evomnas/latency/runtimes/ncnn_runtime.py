"""ncnn on this machine's CPU, the library that many Android apps have."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evomnas.core.quiet import silence_native_code

if TYPE_CHECKING:
    import torch
    from torch import nn

    from evomnas.latency.runtimes.base import Float32Array

REDUCED_PRECISION = ("use_fp16_", "use_bf16_")  # how the names of the options for it begin


class NcnnRuntime:
    """ncnn in float32. It runs the images of a batch one after another."""

    name = package = "ncnn"
    install = "pip install 'evomnas[ncnn]'"
    in_caller = True

    def convert(self, network: nn.Module, images: torch.Tensor) -> bytes:
        """Convert a network to ncnn's two files in one, with batch norm folded; see `Runtime.convert`."""
        from evomnas.latency.runtimes.ncnn_graph import to_ncnn

        return to_ncnn(network, images)

    def load(self, model: bytes, images: Float32Array, threads: int) -> Callable[[], Float32Array]:
        """Load a network; see `Runtime.load`.

        Raises:
            RuntimeError: ncnn cannot read or run the network.
        """
        import ncnn

        network = _network(model, threads)

        def run() -> Float32Array:
            outputs = []
            for image in images:
                extractor = network.create_extractor()
                # A copy, whose channels are aligned as ncnn's layers expect. Those of an array's memory follow without
                # gaps: a layer that takes a part of them would read the wrong places.
                extractor.input("image", ncnn.Mat(image).clone())
                code, output = extractor.extract("logits")
                if code != 0:
                    raise RuntimeError(f"ncnn cannot run this network: error {code}")
                outputs.append(np.array(output))
            return np.stack(outputs)

        return run


def _network(model: bytes, threads: int) -> Any:
    """Return ncnn's network of a model. Its weights are read from a file, as ncnn does not copy them from memory."""
    import ncnn

    network = ncnn.Net()
    network.opt.num_threads = threads
    network.opt.openmp_blocktime = 0  # threads that wait do not spin
    network.opt.use_vulkan_compute = False
    for option in dir(network.opt):
        if option.startswith(REDUCED_PRECISION):
            setattr(network.opt, option, False)
    size, _, content = model.partition(b"\n")
    layers, weights = content[: int(size)], content[int(size) :]
    with tempfile.TemporaryDirectory() as folder, silence_native_code():
        param, bin_ = Path(folder) / "model.param", Path(folder) / "model.bin"
        param.write_bytes(layers)
        bin_.write_bytes(weights)
        codes = network.load_param(str(param)), network.load_model(str(bin_))
    if any(codes):
        raise RuntimeError(f"ncnn cannot load this network: errors {codes}")
    return network
