"""The peak memory of a network's activations in closed form, before anything is built.

A runtime on a microcontroller holds all values in one arena: what the current operation reads and writes, and what a
later one still needs, which is the input of a layer with a skip. The peak is the largest such sum over all operations,
for one image. Operations are those of an int8 or float file of this package: convolutions with their padding, batch
norm and activation, the parts of squeeze-and-excite, additions, pooling, the classifier. No operation writes into its
own input. Weights are not counted, nor what kernels need beside, nor the float input and output of a file in int8.

MCUNet (Lin et al. 2020) and uNAS (Liberis et al. 2021) search under limits of this quantity.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from evomnas.core.resolution import Resolution, area, divided
from evomnas.problem.architecture import Architecture, Block
from evomnas.problem.counting import best_architecture
from evomnas.problem.ops.base import (
    Concatenation,
    Convolution,
    Gate,
    Shortcut,
    Shuffle,
    Step,
)
from evomnas.problem.pretrained.traits import Traits
from evomnas.problem.search_space import SearchSpace
from evomnas.problem.sections import Precision

VALUE_BYTES: dict[Precision, int] = {"float": 4, "int8": 1}
KB = 1024  # bytes


def peak_kb(
    architecture: Architecture, precision: Precision, classes: int, channels: int, resolution: Resolution
) -> float:
    """Return the peak memory of a network's activations for one image, in units of 1,024 bytes.

    Args:
        architecture: The network.
        precision: Of the values: 4 bytes in `float`, 1 byte in `int8`.
        classes: Outputs of the classifier.
        channels: Channels of the image.
        resolution: The size of the image in pixels, for a network without a resolution of its own.
    """
    image = architecture.resolution or resolution
    size = divided(image, architecture.stem_stride)
    peaks, in_filters = [_stem_peak(architecture.stem, channels, image, size)], architecture.stem
    for block in architecture.blocks:
        peaks.append(_block_peak(block, in_filters, size))
        in_filters, size = block.filters, divided(size, block.stride)
    peaks.append(_tail_peak(in_filters, architecture.head, classes, size, architecture.traits))
    return max(peaks) * VALUE_BYTES[precision] / KB


def least_peak_architecture(space: SearchSpace, classes: int, channels: int, resolution: Resolution) -> Architecture:
    """Return the architecture of a space whose activations have the smallest peak. The result is exact.

    Args:
        space: The search space.
        classes: Outputs of the classifier.
        channels: Channels of the image.
        resolution: The size of the image in pixels, for a space that has none of its own.
    """

    def ends(scaled: SearchSpace, last_filters: int, image: Resolution, stem_size: Resolution, size: Resolution) -> int:
        stem = _stem_peak(scaled.stem_filters, channels, image, stem_size)
        return max(stem, _tail_peak(last_filters, space.head, classes, size, space.traits))

    return best_architecture(space, _block_peak, ends, max, resolution)


def _stem_peak(filters: int, channels: int, image: Resolution, size: Resolution) -> int:
    return channels * area(image) + filters * area(size)


def _tail_peak(in_filters: int, head: int, classes: int, size: Resolution, traits: Traits) -> int:
    """Return the peak of the head, the global average, and the classifier."""
    wide = head * area(size)
    if traits.head == "late":
        return max(in_filters * area(size) + in_filters, in_filters + head, head + classes)
    return max(in_filters * area(size) + wide, wide + head, head + classes)


@lru_cache(maxsize=100_000)  # a search counts thousands of networks that consist of the same blocks
def _block_peak(block: Block, in_filters: int, size: Resolution) -> int:
    sums = [in_filters * area(size), *_layer_sums(block, in_filters, block.stride, size)]  # no layer keeps its input
    if block.layers > 1:
        sums += _layer_sums(block, block.filters, 1, divided(size, block.stride))
    return max(sums)


def _layer_sums(block: Block, in_filters: int, stride: int, size: Resolution) -> Iterator[int]:
    """Yield the number of live values during each operation of a layer, as far as it may be the largest."""
    shortcut = block.shortcut(in_filters, stride)
    given = output = in_filters * area(size)
    kept, beside, now = 0 if shortcut == "none" else given, 0, size  # kept: until it is added
    for step in block.steps(in_filters, stride):
        if isinstance(step, Shuffle) and step.groups == 1:
            continue  # it computes nothing
        yield from (beside + live for live in _step_sums(step, output, now, keeps_input=bool(kept and not beside)))
        now = _size_behind(step, now)
        output, beside = step.filters * area(now), kept  # the first step reads what is kept
    if shortcut == "identity":
        yield 3 * output
    elif shortcut == "pool":
        yield from _pool_sums(given, in_filters * area(now), output, stride, in_filters == block.filters)


def _size_behind(step: Step, size: Resolution) -> Resolution:
    if isinstance(step, Concatenation):
        for convolution in step.branches[0]:
            size = divided(size, convolution.stride)
        return size
    return divided(size, step.stride) if isinstance(step, Convolution | Shortcut) else size


def _step_sums(step: Step, read: int, size: Resolution, keeps_input: bool) -> Iterator[int]:
    """Yield the live values during the operations of a step, without those that are kept beside its input."""
    output = step.filters * area(_size_behind(step, size))
    if isinstance(step, Gate):
        yield 2 * read + step.filters  # the gate, what it multiplies, and the product
    elif isinstance(step, Shortcut):
        pooled = step.in_filters * area(divided(size, step.stride))
        yield from [read + pooled] if step.stride > 1 else []
        yield from [pooled + output] if step.in_filters != step.filters else []
    elif isinstance(step, Concatenation):
        yield from _branch_sums(step, read, size, keeps_input)
    else:
        yield read + output


def _branch_sums(step: Concatenation, read: int, size: Resolution, keeps_input: bool) -> Iterator[int]:
    """Yield the live values during the convolutions of branches and the concatenation of their outputs."""
    done = 0  # outputs of branches before
    for number, branch in enumerate(step.branches, start=1):
        now, value = size, read
        for place, convolution in enumerate(branch):
            is_needed = place > 0 and (keeps_input or number < len(step.branches))  # the step's input
            now = divided(now, convolution.stride)
            before, value = value, convolution.filters * area(now)
            yield done + before + value + (read if is_needed else 0)
        done += value
    yield 2 * done + (read if keeps_input else 0)


def _pool_sums(given: int, pooled: int, output: int, stride: int, keeps_channels: bool) -> Iterator[int]:
    """Yield the live values while a pooling skip is computed and added, beside the layer's output."""
    if stride > 1:
        yield output + given + pooled
    if not keeps_channels:
        yield output + pooled + output
    yield 3 * output
