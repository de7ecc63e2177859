"""A network's channels in the order of their importance; what it computes stays the same up to rounding.

A channel is as important as the sum of the absolute weights that read it. Once they are sorted, a smaller network takes
the first channels of a larger one.

Channels that are added to each other must have one order: those of all layers of a block, because of their skips, and
those of a block and of its input where its first layer has an identity skip. They are called a stream here.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from evomnas.networks.pretrained.parts import LayerNames, NetworkNames, name_parts
from evomnas.problem.architecture import Architecture

NORM_PARTS = ("weight", "bias", "running_mean", "running_var")


def sort_channels(architecture: Architecture, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of a network with its channels sorted, the most important ones first.

    Args:
        architecture: The network's architecture, without plain convolutions and pooling skips.
        state: Its weights by their names in a `Network`.

    Returns:
        The weights of the sorted network, which computes the same logits.
    """
    names, result = name_parts(architecture), dict(state)
    streams = _streams(names)
    for stream in sorted(set(streams)):
        _sort_stream(result, names, streams, stream)
    for layer in names.layers:
        if layer.expand is not None:
            order = _order(result[f"{layer.project[0]}.weight"])
            _permute_output(result, *layer.expand, order)
            _permute_inside(result, layer, order)
    order = _order(result["classifier.weight"][:, :, None, None])
    _permute_output(result, *names.head, order)
    result["classifier.weight"] = result["classifier.weight"][:, order]
    return result


def _streams(names: NetworkNames) -> list[int]:
    """Return the stream behind the stem and behind every block, by the number of the first place that has it."""
    streams = [0]
    for layer in names.layers:
        if layer.number == 0:
            streams.append(streams[-1] if layer.shortcut == "identity" else layer.block_number + 1)
    return streams


def _sort_stream(state: dict[str, Tensor], names: NetworkNames, streams: list[int], stream: int) -> None:
    readers = [layer for layer in names.layers if streams[_input_place(layer)] == stream]
    weights = [state[f"{(layer.expand or layer.project)[0]}.weight"] for layer in readers]
    if streams[-1] == stream:
        weights.append(state[f"{names.head[0]}.weight"])
    order = _order(*weights)
    if stream == 0:
        _permute_output(state, *names.stem, order)
    for layer in names.layers:
        if streams[layer.block_number + 1] == stream:
            _permute_output(state, *layer.project, order)
    for layer in readers:
        if layer.expand is not None:
            _permute_input(state, layer.expand[0], order)
        else:  # its depthwise channels are those of its input
            _permute_inside(state, layer, order)
    if streams[-1] == stream:
        _permute_input(state, names.head[0], order)


def _input_place(layer: LayerNames) -> int:
    """Return the place whose stream a layer reads: 0 behind the stem, 1 behind the first block and so on."""
    return layer.block_number + (layer.number > 0)


def _order(*weights: Tensor) -> Tensor:
    """Return the input channels of some convolutions, the most important ones first."""
    importance = torch.stack([weight.abs().sum((0, 2, 3)) for weight in weights]).sum(0)
    return torch.argsort(importance, descending=True, stable=True)


def _permute_output(state: dict[str, Tensor], convolution: str, norm: str, order: Tensor) -> None:
    for name in (f"{convolution}.weight", *(f"{norm}.{part}" for part in NORM_PARTS)):
        state[name] = state[name][order]


def _permute_input(state: dict[str, Tensor], convolution: str, order: Tensor) -> None:
    state[f"{convolution}.weight"] = state[f"{convolution}.weight"][:, order]


def _permute_inside(state: dict[str, Tensor], layer: LayerNames, order: Tensor) -> None:
    """Give the channels of a layer's depthwise convolution another order, up to the projection that reads them."""
    _permute_output(state, *layer.depthwise, order)
    _permute_input(state, layer.project[0], order)
    if layer.gate is not None:
        _permute_input(state, f"{layer.gate}.reduce", order)
        for part in ("weight", "bias"):
            state[f"{layer.gate}.expand.{part}"] = state[f"{layer.gate}.expand.{part}"][order]
