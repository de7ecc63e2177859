"""Int8 graphs for ExecuTorch by PyTorch's post-training quantization for XNNPACK (pt2e).

Weights are quantized symmetrically by output channel, and activations by the values that they have on calibration
images.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from evomnas.core.quiet import silence
from evomnas.latency.runtimes.base import Float32Array
from evomnas.latency.runtimes.executorch_xnnpack import fold_batch_norm

if TYPE_CHECKING:  # workers that never quantize do not wait for it
    import torch
    from torch import nn

BATCH = 32  # images whose activations are looked at together: what looks at them costs as much for one image


def quantize_graph(network: nn.Module, calibration: Float32Array, kept: str | None = None) -> nn.Module:
    """Return the quantized graph of a network, to be lowered by `evomnas.latency.runtimes.executorch_xnnpack.lower`.

    Args:
        network: The network in evaluation mode.
        calibration: Images as the network takes them, shape (n, c, h, w), at least one.
        kept: The name of a module that stays in float; None quantizes everything.

    Raises:
        ImportError: A package is missing.
    """
    import torch

    with silence(), torch.no_grad():
        from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
            XNNPACKQuantizer,
            get_symmetric_quantization_config,
        )
        from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

        images = torch.from_numpy(calibration)
        example, number = images[:1].repeat(2, 1, 1, 1), torch.export.Dim("number", min=1, max=BATCH)
        exported = torch.export.export(fold_batch_norm(network), (example,), dynamic_shapes=({0: number},))
        graph = exported.module(check_guards=False)
        quantizer = XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))
        # its own choice of modules by name leaves the weights of many convolutions in float
        quantizer.set_filter_function(lambda node: kept not in _modules_around(node))
        prepared = prepare_pt2e(graph, quantizer)
        for batch in torch.split(images, BATCH):
            prepared(batch)
        quantized: nn.Module = convert_pt2e(prepared)
        return quantized


def _modules_around(node: torch.fx.Node) -> set[str]:
    """Return the names of the modules of the network in which an operation of its graph is."""
    return {name for name, _ in node.meta.get("nn_module_stack", {}).values()}
