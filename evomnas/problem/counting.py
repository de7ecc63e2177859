"""Parameters, MACs and outputs of an architecture in closed form, counted before anything is built.

The figures equal those that `evomnas.networks.layer_costs` counts on built networks with ptflops; a test compares the
two on arbitrary architectures. Counting here takes microseconds and needs no torch. So limits can be checked before any
work goes into a candidate, and they can be checked against the whole space before a search.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TypedDict

import numpy as np

from evomnas.core.resolution import Resolution, area, divided
from evomnas.problem.architecture import Architecture, Block
from evomnas.problem.genes.network_genes import RESOLUTION, WIDTH
from evomnas.problem.ops.base import Gate, sized_convolutions
from evomnas.problem.search_space import SearchSpace


class NetworkShape(TypedDict):
    """The numbers on which the sizes of a network's parts depend beside its architecture.

    Attributes:
        classes: Outputs of the classifier.
        channels: Channels of the image.
        resolution: The size of the image in pixels.
    """

    classes: int
    channels: int
    resolution: Resolution


@dataclass(frozen=True, slots=True)
class Counts:
    """Parameters and MACs of a network or of a part of it, for one image.

    Attributes:
        params: Trainable parameters.
        macs: Multiply-accumulate operations, without those of squeeze-and-excite.
        depthwise_macs: The part of `macs` that depthwise convolutions take.
    """

    params: int
    macs: int
    depthwise_macs: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.params + other.params, self.macs + other.macs, self.depthwise_macs + other.depthwise_macs)


def count_convolution(in_filters: int, filters: int, kernel: int, out_size: Resolution, groups: int = 1) -> Counts:
    """Count a convolution without bias and its batch norm.

    Args:
        in_filters: Channels of its input.
        filters: Channels of its output.
        kernel: Kernel size in pixels.
        out_size: The size of its output in pixels.
        groups: Groups of channels; as many as there are channels make it depthwise.

    Returns:
        Their counts.
    """
    weights = in_filters // groups * filters * kernel * kernel
    macs = weights * area(out_size)
    return Counts(weights + 2 * filters, macs, macs if groups == in_filters > 1 else 0)


def _gate_weights(block: Block, in_filters: int, stride: int) -> tuple[int, int]:
    """Return the weights and the biases of a layer's squeeze-and-excite."""
    squeezed = block.squeeze(in_filters)
    filters = [step.filters for step in block.steps(in_filters, stride) if isinstance(step, Gate)]
    return 2 * squeezed * sum(filters), sum(squeezed + wide for wide in filters)


def _count_layer(block: Block, in_filters: int, size: Resolution, stride: int) -> Counts:
    """Count one layer of a block whose input has `size` pixels."""
    total = Counts(sum(_gate_weights(block, in_filters, stride)), 0)
    for step, out_size in sized_convolutions(block.steps(in_filters, stride), size):
        total += count_convolution(step.in_filters, step.filters, step.kernel, out_size, step.groups)
    return total


def count_stem(filters: int, channels: int, out_size: Resolution) -> Counts:
    """Count the stem, a 3x3 convolution with batch norm.

    Args:
        filters: Filters of the stem.
        channels: Channels of the image.
        out_size: The size of the stem's output in pixels.

    Returns:
        The stem's counts.
    """
    return count_convolution(channels, filters, 3, out_size)


@lru_cache(maxsize=100_000)  # a search counts thousands of networks that consist of the same blocks
def count_block(block: Block, in_filters: int, size: Resolution) -> Counts:
    """Count all layers of a block.

    Args:
        block: The block.
        in_filters: Input channels of its first layer.
        size: The size of its input in pixels.

    Returns:
        The block's counts.
    """
    out_size = divided(size, block.stride)
    total = _count_layer(block, in_filters, size, block.stride)
    for _ in range(block.layers - 1):
        total += _count_layer(block, block.filters, out_size, 1)
    return total


def count_tail(in_filters: int, head: int, classes: int, size: Resolution) -> Counts:
    """Count the head and the classifier together.

    Args:
        in_filters: Filters of the last block.
        head: Filters of the head's 1x1 convolution.
        classes: Outputs of the classifier.
        size: The size of the head's output in pixels.

    Returns:
        Their counts.
    """
    return count_convolution(in_filters, head, 1, size) + Counts(head * classes + classes, head * classes)


def count_parts(architecture: Architecture, classes: int, channels: int, resolution: Resolution) -> list[Counts]:
    """Count each part of a network.

    Args:
        architecture: The network.
        classes: Outputs of the classifier.
        channels: Channels of the image.
        resolution: The size of the image in pixels, for a network without a resolution of its own.

    Returns:
        The counts of the stem, of each block, and of head and classifier together: `len(architecture.blocks) + 2`
        values, from input to output.
    """
    size = divided(architecture.resolution or resolution, architecture.stem_stride)
    in_filters, parts = architecture.stem, [count_stem(architecture.stem, channels, size)]
    for block in architecture.blocks:
        parts.append(count_block(block, in_filters, size))
        in_filters, size = block.filters, divided(size, block.stride)
    return [*parts, count_tail(in_filters, architecture.head, classes, architecture.traits.head_size(size))]


def count_architecture(architecture: Architecture, classes: int, channels: int, resolution: Resolution) -> Counts:
    """Count the parameters and MACs of a whole network.

    Args:
        architecture: The network.
        classes: Outputs of the classifier.
        channels: Channels of the image.
        resolution: The size of the image in pixels, for a network without a resolution of its own.

    Returns:
        The network's counts, for one image.
    """
    return sum(count_parts(architecture, classes, channels, resolution), Counts(0, 0))


def count_gate_macs(architecture: Architecture) -> int:
    """Count the MACs of all squeeze-and-excite modules, which `Counts` leaves out.

    Args:
        architecture: The network.

    Returns:
        Their MACs for one image; they do not depend on its size.
    """
    return sum(_gate_weights(block, in_filters, stride)[0] for _, _, block, in_filters, stride in architecture.layers())


def count_outputs(architecture: Architecture, resolution: Resolution) -> int:
    """Count the numbers that all convolutions of a network compute for one image.

    Args:
        architecture: The network.
        resolution: The size of the image in pixels, for a network without a resolution of its own.

    Returns:
        The sum of channels times pixels over the outputs of all convolutions, those of squeeze-and-excite left out.
    """
    size = divided(architecture.resolution or resolution, architecture.stem_stride)
    total = architecture.stem * area(size)
    for _, _, block, in_filters, stride in architecture.layers():
        for step, out_size in sized_convolutions(block.steps(in_filters, stride), size):
            total += step.filters * area(out_size)
        size = divided(size, stride)
    return total + architecture.head * area(architecture.traits.head_size(size))


def smallest_architecture(
    space: SearchSpace, quantity: Callable[[Counts], int], classes: int, channels: int, resolution: Resolution
) -> Architecture:
    """Return the architecture of a space that has the least of some quantity. The result is exact.

    Args:
        space: The search space.
        quantity: Returns the number to minimise from `Counts`, such as the parameters.
        classes: Outputs of the classifier.
        channels: Channels of the image.
        resolution: The size of the image in pixels, for a space that has none of its own.

    Returns:
        An architecture of the space; no other has less of the quantity.
    """

    def block_cost(block: Block, in_filters: int, size: Resolution) -> int:
        return quantity(count_block(block, in_filters, size))

    def ends_cost(
        scaled: SearchSpace, last_filters: int, image: Resolution, stem_size: Resolution, size: Resolution
    ) -> int:
        stem = count_stem(scaled.stem_filters, channels, stem_size)
        return quantity(stem + count_tail(last_filters, space.head, classes, space.traits.head_size(size)))

    return best_architecture(space, block_cost, ends_cost, operator.add, resolution)


def best_architecture(
    space: SearchSpace,
    block_cost: Callable[[Block, int, Resolution], int],
    ends_cost: Callable[[SearchSpace, int, Resolution, Resolution, Resolution], int],
    combine: Callable[[int, int], int],
    resolution: Resolution,
) -> Architecture:
    """Return the architecture of a space with the least cost that its parts' costs make. The result is exact.

    A block's cost depends on the blocks before it only through their filters. So it is enough to go from block to block
    and to keep, for each number of filters, the best way to reach it.

    Args:
        space: The search space.
        block_cost: Returns the cost of a block, from its input's channels and size.
        ends_cost: Returns the cost of stem, head and classifier together, from the space at one width, the last
            block's filters, the sizes of the image and of the stem's output, and that of the last block's.
        combine: Returns the cost of two parts together; it never falls where one of them rises.
        resolution: The size of the image in pixels, for a space that has none of its own.

    Returns:
        An architecture of the space; no other costs less.
    """
    resolution = min(space.resolutions, key=area, default=resolution)
    ways = (_best_way(scaled, block_cost, ends_cost, combine, resolution) for scaled in space.by_width)
    _, genes, scaled = min(ways, key=operator.itemgetter(0))
    last = {WIDTH: space.by_width.index(scaled), RESOLUTION: (*space.resolutions, resolution).index(resolution)}
    return space.decode(np.array([*genes, *(last.get(name, 0) for name in space.network_genes.names)]))


def _best_way(
    space: SearchSpace,
    block_cost: Callable[[Block, int, Resolution], int],
    ends_cost: Callable[[SearchSpace, int, Resolution, Resolution, Resolution], int],
    combine: Callable[[int, int], int],
    resolution: Resolution,
) -> tuple[int, list[int], SearchSpace]:
    """Return the least cost of a space of one width, the genes of the blocks that have it, and the space."""
    size = stem_size = divided(resolution, space.stem_stride)
    best: dict[int, tuple[int, list[int]]] = {space.stem_filters: (0, [])}  # by filters: the least cost, its genes
    for number, stride in enumerate(space.strides):
        best_after: dict[int, tuple[int, list[int]]] = {}
        for in_filters, (least, genes) in best.items():
            for block, block_genes in space.distinct_blocks(number, in_filters):
                total = combine(least, block_cost(block, in_filters, size))
                if block.filters not in best_after or total < best_after[block.filters][0]:
                    best_after[block.filters] = total, [*genes, *block_genes]
        best, size = best_after, divided(size, stride)
    return min(
        (
            (combine(least, ends_cost(space, filters, resolution, stem_size, size)), genes, space)
            for filters, (least, genes) in best.items()
        ),
        key=operator.itemgetter(0),
    )
