"""Parameters and MACs of an architecture in closed form: what must be known before anything is built.

The same figures as `evomnas.networks.layer_costs` counts on built networks with ptflops (tested on any architecture),
in microseconds and without torch, so that limits can be checked before any work goes into a candidate, and against the
whole space before a search.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from evomnas.problem.architecture import Architecture, Block
from evomnas.problem.search_space import SearchSpace


@dataclass(frozen=True, slots=True)
class Counts:
    """Trainable parameters, and MACs without squeeze-and-excite, for one image; `depthwise` are some of them."""

    params: int
    macs: int
    depthwise: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.params + other.params, self.macs + other.macs, self.depthwise + other.depthwise)


def _convolution(inputs: int, filters: int, kernel: int, side: int, groups: int = 1) -> Counts:
    """A convolution without bias whose output has `side` pixels, and its batch norm."""
    weights = inputs // groups * filters * kernel * kernel
    macs = weights * side * side
    return Counts(weights + 2 * filters, macs, macs if groups > 1 else 0)


def _layer(block: Block, inputs: int, side: int, after: int) -> Counts:
    """A layer that brings `side` pixels to `after`."""
    wide = block.filters if block.op == "conv" else inputs * block.expansion
    squeeze = block.squeeze(inputs)
    gate = Counts(2 * wide * squeeze + squeeze + wide if block.se else 0, 0)
    if block.op == "conv":
        return gate + _convolution(inputs, block.filters, block.kernel, after)
    expand = _convolution(inputs, wide, 1, side) if block.expansion > 1 else Counts(0, 0)
    depthwise = _convolution(wide, wide, block.kernel, after, groups=wide)
    return gate + expand + depthwise + _convolution(wide, block.filters, 1, after)


def count_stem(filters: int, channels: int, side: int) -> Counts:
    """The stem, whose output has `side` pixels."""
    return _convolution(channels, filters, 3, side)


@lru_cache(maxsize=100_000)  # a search counts thousands of networks of the same blocks
def count_block(block: Block, inputs: int, side: int) -> Counts:
    """All layers of a block that is given `side` pixels."""
    after = -(-side // block.stride)
    total = _layer(block, inputs, side, after)
    for _ in range(block.layers - 1):
        total += _layer(block, block.filters, after, after)
    return total


def count_tail(last: int, head: int, classes: int, side: int) -> Counts:
    """Head and classifier behind `last` filters and `side` pixels."""
    return _convolution(last, head, 1, side) + Counts(head * classes + classes, head * classes)


def count_parts(architecture: Architecture, classes: int, channels: int, resolution: int) -> list[Counts]:
    """What each part of a network has: the stem, each block, head and classifier together."""
    side = -(-resolution // architecture.stem_stride)
    inputs, parts = architecture.stem, [count_stem(architecture.stem, channels, side)]
    for block in architecture.blocks:
        parts.append(count_block(block, inputs, side))
        inputs, side = block.filters, -(-side // block.stride)
    return [*parts, count_tail(inputs, architecture.head, classes, side)]


def count(architecture: Architecture, classes: int, channels: int, resolution: int) -> Counts:
    """Parameters and MACs for one image of `resolution` pixels squared."""
    return sum(count_parts(architecture, classes, channels, resolution), Counts(0, 0))


def smallest(
    space: SearchSpace, quantity: Callable[[Counts], int], classes: int, channels: int, resolution: int
) -> Architecture:
    """The space's architecture with the least of a quantity of `Counts`, exactly.

    Counts add up over the blocks, and a block's depend on those before it through their filters alone: the best way
    to each width is kept, block by block.
    """
    stem = space.mobilenet_v2().stem
    side = first = -(-resolution // space.stem_stride)
    best: dict[int, tuple[int, list[int]]] = {stem: (0, [])}  # by filters: least so far, and its genes
    for number, stride in enumerate(space.strides):
        after: dict[int, tuple[int, list[int]]] = {}
        for inputs, (least, genes) in best.items():
            for block, block_genes in space.blocks_behind(number, inputs):
                total = least + quantity(count_block(block, inputs, side))
                if block.filters not in after or total < after[block.filters][0]:
                    after[block.filters] = total, [*genes, *block_genes]
        best, side = after, -(-side // stride)

    def whole(last: int) -> int:
        ends = count_stem(stem, channels, first) + count_tail(last, space.head, classes, side)
        return best[last][0] + quantity(ends)

    return space.decode(np.array(best[min(best, key=whole)][1]))
