"""Networks with fewer channels: structured pruning.

The result is an architecture like any other, with fewer filters and the same operations, and the weights of the
channels that matter most. So it has costs, files for every runtime and a notation, and can be trained on.

A channel matters by how much it moves what reads it: the root mean square of its values times the absolute weights that
read it [1, 2]. Channels that are added to each other are kept or dropped together. A pooling skip adds the first
channels of its input to the first ones of its output, so these are kept in one order.

[1] Sun et al., "A Simple and Effective Pruning Approach for Large Language Models", ICLR 2024: the score.
[2] Li et al., "Pruning Filters for Efficient ConvNets", ICLR 2017: whole channels, and fine-tuning afterwards.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor, nn

from evomnas.core.errors import InputError
from evomnas.networks.network import Layer, Network, SqueezeExcite, build_network
from evomnas.problem.architecture import Architecture, Block
from evomnas.problem.ops.base import Convolution, Gate, Shortcut

COARSE_FROM, COARSE_STEP = 8, 4  # from so many filters on, kept ones are a multiple of the step: others are slow


def narrow_architecture(architecture: Architecture, share: float) -> Architecture:
    """Return an architecture with fewer filters everywhere; expansions and ratios of squeeze-and-excite stay.

    Args:
        architecture: The architecture.
        share: The share of the filters that are dropped, between 0 and 1. At least one filter of each kind is kept.

    Raises:
        InputError: Its channels cannot be dropped, since it shuffles, concatenates or groups them.
    """
    for number, _, block, in_filters, stride in architecture.layers():
        for step in block.steps(in_filters, stride):
            is_grouped = isinstance(step, Convolution) and step.groups not in (1, step.in_filters)
            if is_grouped or not isinstance(step, Convolution | Gate | Shortcut):
                raise InputError(
                    f"--prune-channels cannot drop channels of {block.op} in block {number}: it groups them"
                )
    filters, blocks = _kept(architecture.stem, share), []
    stem, before = filters, architecture.stem
    for block in architecture.blocks:
        kept = filters if block.filters == before else _kept(block.filters, share)
        if kept == filters and block.filters != before and block.stride == 1:
            more = COARSE_STEP if block.filters >= COARSE_FROM else 1  # or its first layer could get a skip
            kept = kept + more if kept + more <= block.filters else max(1, kept - more)
        blocks.append(replace(block, filters=kept))
        filters, before = kept, block.filters
    return replace(architecture, stem=stem, blocks=tuple(blocks), head=_kept(architecture.head, share))


def _kept(filters: int, share: float) -> int:
    kept = filters * (1 - share)
    if filters >= COARSE_FROM:
        return max(COARSE_STEP, COARSE_STEP * round(kept / COARSE_STEP))
    return max(1, round(kept))


@torch.no_grad()
def narrow_network(network: Network, share: float, images: Iterable[Tensor]) -> Network:
    """Return a network with fewer channels that has the weights of those that matter most.

    Args:
        network: The trained network, in evaluation mode; it is not changed.
        share: See `narrow_architecture`.
        images: Normalised images on which channels are compared, in parts of shape (n, c, h, w).

    Returns:
        The new network, on the CPU and in evaluation mode. Without training it computes what the old one would compute
        if the dropped channels were 0.

    Raises:
        InputError: See `narrow_architecture`.
    """
    old, new = network.architecture, narrow_architecture(network.architecture, share)
    conv = next(one for one in network.stem if isinstance(one, nn.Conv2d))
    norm = next(one for one in network.modules() if isinstance(one, nn.BatchNorm2d))
    classes, momentum = network.classifier.out_features, norm.momentum or 0.1
    smaller = build_network(new, classes, conv.in_channels, dropout=network.dropout.p, bn_momentum=momentum)
    sizes = _input_sizes(network, images)
    streams = _streams(network, new, sizes)
    _copy(network.stem, smaller.stem, torch.arange(conv.in_channels), streams[0], sizes)
    layers = zip(old.layers(), _layers(network), _layers(smaller), strict=True)
    for (number, place, *_), ours, theirs in layers:
        inputs = streams[number if place > 1 else number - 1]
        _copy(ours.body, theirs.body, inputs, streams[number], sizes)
    head = _first(sizes.reading(network.classifier), new.head)
    _copy(network.head, smaller.head, streams[-1], head, sizes)
    smaller.classifier.weight.copy_(network.classifier.weight[:, head])
    smaller.classifier.bias.copy_(network.classifier.bias)
    return smaller.eval()


@dataclass(frozen=True, slots=True)
class _Sizes:
    """How large the input channels of every convolution and of the classifier are, root mean squares by module."""

    by_module: Mapping[nn.Module, Tensor]

    def reading(self, module: nn.Conv2d | nn.Linear) -> Tensor:
        """Return how much each input channel moves the module's output, relative to all of them."""
        moved = self.by_module[module] * _over_channels(module.weight.abs())
        return moved / moved.sum().clamp(min=torch.finfo(moved.dtype).tiny)


def _input_sizes(network: Network, images: Iterable[Tensor]) -> _Sizes:
    squares: dict[nn.Module, Tensor] = {}

    def look(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        total = _over_channels(inputs[0].square()) / inputs[0][0, 0].numel()
        squares[module] = squares[module] + total if module in squares else total

    readers = [one for one in network.modules() if isinstance(one, nn.Conv2d | nn.Linear)]
    handles = [one.register_forward_pre_hook(look) for one in readers]
    try:
        for part in images:
            network(part)
    finally:
        for handle in handles:
            handle.remove()
    return _Sizes({module: total.sqrt() for module, total in squares.items()})


def _over_channels(values: Tensor) -> Tensor:
    """Return the sum over all dimensions but the second one."""
    return values.sum([place for place in range(values.dim()) if place != 1])


def _layers(network: Network) -> Iterator[Layer]:
    return (cast(Layer, layer) for block in network.blocks for layer in cast(nn.Sequential, block))


def _first(scores: Tensor, count: int) -> Tensor:
    return torch.argsort(scores, descending=True, stable=True)[:count]


def _streams(network: Network, new: Architecture, sizes: _Sizes) -> list[Tensor]:
    """Return the channels that are kept behind the stem and behind every block, in their new order."""
    old = network.architecture
    filters = [old.stem, *(block.filters for block in old.blocks)]
    kept = [new.stem, *(block.filters for block in new.blocks)]
    scores = [torch.zeros(count) for count in filters]
    for (number, place, *_), layer in zip(old.layers(), _layers(network), strict=True):
        reader = _reader(layer.body)
        if reader is not None:
            scores[number if place > 1 else number - 1] += sizes.reading(reader).cpu()
    scores[-1] += sizes.reading(_reader(network.head)).cpu()  # type: ignore[arg-type]
    links = ["none", *(_link(block, before) for block, before in zip(old.blocks, filters, strict=False))]
    for place in reversed(range(1, len(filters))):  # a channel that a skip passes on is kept behind it, too
        if links[place] != "none":
            shared = min(filters[place - 1], filters[place])
            scores[place - 1][:shared] += scores[place][:shared]
    streams: list[Tensor] = []
    for place, count in enumerate(filters):
        if links[place] == "identity":
            streams.append(streams[-1])
            continue
        before = streams[-1][streams[-1] < count] if links[place] == "pool" else torch.empty(0, dtype=torch.int64)
        behind = torch.full((count,), -math.inf)  # how much channels matter where a skip passes them on
        later = next((one for one in range(place + 1, len(filters)) if links[one] != "identity"), None)
        if later is not None and links[later] == "pool":
            passed = min(count, filters[later])
            behind[:passed] = scores[later][:passed]
            scores[place][passed:] -= scores[place].sum() + 1  # a skip that cuts channels passes on the first ones
        order = _first(scores[place], count)
        others = order[~torch.isin(order, before)][: max(0, kept[place] - len(before))]
        others = others[torch.argsort(behind[others], descending=True, stable=True)]
        streams.append(torch.cat([before, others])[: kept[place]])
    return streams


def _link(block: Block, before: int) -> str:
    """Return how the channels before a block belong to those behind it: `identity` if they are the same ones."""
    has_layers = any(isinstance(step, Convolution) for step in block.steps(before, block.stride))
    if has_layers:
        return block.shortcut(before, block.stride)
    return "identity" if block.stride == 1 and block.filters == before else "pool"


def _reader(body: nn.Module) -> nn.Conv2d | None:
    """Return the first convolution that mixes channels; what stands before it computes each channel by itself."""
    return next((one for one in body.children() if isinstance(one, nn.Conv2d) and one.groups == 1), None)


def _copy(old: nn.Module, new: nn.Module, inputs: Tensor, outputs: Tensor, sizes: _Sizes) -> None:
    """Give a sequence of modules the weights of another one, for some of its channels.

    Args:
        old: The other one.
        new: The sequence, with the same modules for fewer channels.
        inputs: The input channels that are kept, shape (k,).
        outputs: The output channels that are kept, shape (m,).
        sizes: Of the inputs of the other one's convolutions.
    """
    modules, kept = list(old.children()), inputs
    mixing = [place for place, one in enumerate(modules) if isinstance(one, nn.Conv2d) and one.groups == 1]
    for place, (ours, theirs) in enumerate(zip(modules, new.children(), strict=True)):
        if isinstance(ours, nn.Conv2d) and isinstance(theirs, nn.Conv2d):
            if ours.groups == 1:
                later = [one for one in mixing if one > place]
                next_reader = cast(nn.Conv2d, modules[later[0]]) if later else None
                before, kept = (
                    kept,
                    outputs if next_reader is None else _first(sizes.reading(next_reader).cpu(), theirs.out_channels),
                )
                theirs.weight.copy_(ours.weight[kept][:, before])
            else:
                theirs.weight.copy_(ours.weight[kept])
        elif isinstance(ours, nn.BatchNorm2d) and isinstance(theirs, nn.BatchNorm2d):
            for name in ("weight", "bias", "running_mean", "running_var"):
                getattr(theirs, name).copy_(getattr(ours, name)[kept])
        elif isinstance(ours, SqueezeExcite) and isinstance(theirs, SqueezeExcite):
            squeezed = _first(sizes.reading(ours.expand), theirs.reduce.out_channels)
            theirs.reduce.weight.copy_(ours.reduce.weight[squeezed][:, kept])
            theirs.reduce.bias.copy_(ours.reduce.bias[squeezed])  # type: ignore[union-attr, index]
            theirs.expand.weight.copy_(ours.expand.weight[kept][:, squeezed])
            theirs.expand.bias.copy_(ours.expand.bias[kept])  # type: ignore[union-attr, index]
