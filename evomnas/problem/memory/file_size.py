"""The size of a network's file in closed form, before anything is built.

A file holds the weights, with batch norm folded into the convolutions, and describes the operations. Weights take 4
bytes in float and 1 byte in int8. The bytes of everything else were fitted, once, to files that evomnas wrote: they are
a share for each output channel (its bias and, in int8, its scales) and one for each operation. ONNX files in int8 have
two more nodes for each operation, which is most of a small network's file.

uNAS (Liberis et al. 2021) and MCUNet (Lin et al. 2020) search under limits of this quantity, since the flash memory of
a microcontroller is small.
"""

from __future__ import annotations

import operator
from typing import NamedTuple

from evomnas.core.resolution import Resolution
from evomnas.problem.architecture import Architecture, Block
from evomnas.problem.counting import best_architecture
from evomnas.problem.memory.peak import KB
from evomnas.problem.ops.base import ChannelIndex, Concatenation, Gate, Shortcut, Shuffle, Step, sized_convolutions
from evomnas.problem.search_space import SearchSpace
from evomnas.problem.sections import Precision


class FileRule(NamedTuple):
    """The bytes of a file's parts, in tenths, so that sums are exact.

    Attributes:
        weight: Of a weight.
        channel: Of a channel that a convolution or the classifier returns.
        operation: Of an operation.
    """

    weight: int
    channel: int
    operation: int


_ONNX: dict[Precision, FileRule] = {"float": FileRule(40, 46, 910), "int8": FileRule(10, 188, 6290)}
RULES: dict[str, dict[Precision, FileRule]] = {  # by runtime, as fitted to ten networks of 19 to 3,775 kB
    "onnxruntime": _ONNX,
    "openvino": _ONNX,  # it reads these files
    "litert": {"float": FileRule(40, 42, 2150), "int8": FileRule(10, 283, 3040)},
}
_TAIL_OPERATIONS = 4  # of the head, the pooling and the classifier
_STEP_OPERATIONS: dict[type[Step], int] = {Gate: 5, Shuffle: 3, ChannelIndex: 1, Concatenation: 1, Shortcut: 3}
_SHORTCUT_OPERATIONS = {"none": 0, "identity": 1, "pool": 3}


def file_kb(architecture: Architecture, rule: FileRule, classes: int, channels: int, resolution: Resolution) -> float:
    """Return the size of a network's file in units of 1,024 bytes.

    Args:
        architecture: The network.
        rule: The bytes of a file's parts, of `RULES`.
        classes: Outputs of the classifier.
        channels: Channels of the image.
        resolution: The size of the image in pixels, on which the size of the file does not depend.
    """
    tenths, in_filters = _stem_size(architecture.stem, channels, rule), architecture.stem
    for block in architecture.blocks:
        tenths += _block_size(block, in_filters, rule)
        in_filters = block.filters
    return (tenths + _tail_size(in_filters, architecture.head, classes, rule)) / 10 / KB


def smallest_file_architecture(
    space: SearchSpace, rule: FileRule, classes: int, channels: int, resolution: Resolution
) -> Architecture:
    """Return the architecture of a space that has the smallest file. The result is exact.

    Args:
        space: The search space.
        rule: See `file_kb`.
        classes: Outputs of the classifier.
        channels: Channels of the image.
        resolution: The size of the image in pixels, for a space that has none of its own.
    """

    def block_size(block: Block, in_filters: int, size: Resolution) -> int:
        return _block_size(block, in_filters, rule)

    def ends_size(
        scaled: SearchSpace, last_filters: int, image: Resolution, stem_size: Resolution, size: Resolution
    ) -> int:
        stem = _stem_size(scaled.stem_filters, channels, rule)
        return stem + _tail_size(last_filters, space.head, classes, rule)

    return best_architecture(space, block_size, ends_size, operator.add, resolution)


def _stem_size(filters: int, channels: int, rule: FileRule) -> int:
    return channels * filters * 9 * rule.weight + filters * rule.channel + rule.operation


def _tail_size(in_filters: int, head: int, classes: int, rule: FileRule) -> int:
    weights = in_filters * head + head * classes
    return weights * rule.weight + (head + classes) * rule.channel + _TAIL_OPERATIONS * rule.operation


def _block_size(block: Block, in_filters: int, rule: FileRule) -> int:
    first = _layer_size(block, in_filters, block.stride, rule)
    return first + (block.layers - 1) * _layer_size(block, block.filters, 1, rule)


def _layer_size(block: Block, in_filters: int, stride: int, rule: FileRule) -> int:
    weights = channels = 0
    operations = _SHORTCUT_OPERATIONS[block.shortcut(in_filters, stride)]
    steps = block.steps(in_filters, stride)
    for convolution, _ in sized_convolutions(steps, 1):
        weights += convolution.in_filters // convolution.groups * convolution.filters * convolution.kernel**2
        channels += convolution.filters
        operations += 1
    for step in steps:
        operations += next((count for kind, count in _STEP_OPERATIONS.items() if isinstance(step, kind)), 0)
        if isinstance(step, Gate):
            squeezed = block.squeeze(in_filters)
            weights += 2 * squeezed * step.filters
            channels += squeezed + step.filters
    return weights * rule.weight + channels * rule.channel + operations * rule.operation
