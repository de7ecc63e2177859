"""The size of a network's file in closed form, before anything is built.

A file holds the weights, with batch norm folded into the convolutions, and describes the operations. Weights take 4
bytes in float and 1 byte in int8. The bytes of everything else were fitted, once, to files that evomnas wrote: a share
for each output channel (its bias and, in int8, its scales), for each channel that is put in another place (its index),
and for each operation by its kind, since a format has more nodes for some than for others. ONNX files in int8 have two
more nodes for each operation, which is most of a small network's file.

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
from evomnas.problem.ops.base import (
    ChannelIndex,
    Concatenation,
    Convolution,
    Gate,
    Shortcut,
    Shuffle,
    Step,
    sized_convolutions,
)
from evomnas.problem.search_space import SearchSpace
from evomnas.problem.sections import Precision


class FileRule(NamedTuple):
    """The bytes of a file's parts, in tenths, so that sums are exact.

    Attributes:
        weight: Of a weight.
        channel: Of a channel that a convolution or the classifier returns.
        place: Of a channel that is put in another place.
        frame: Of the file itself, with global pooling and classifier.
        convolution: Of a convolution.
        activation: Of an activation behind one; LiteRT's float convolutions have it inside.
        padding: Of the padding before a convolution with a stride, which is an operation of its own in LiteRT.
        addition: Of the addition of a skip.
        pooling: Of the rest of a pooling skip.
        gate: Of squeeze-and-excite.
        shuffle: Of a shuffle.
        selection: Of a stored order of channels.
        concatenation: Of branches put side by side.
        shortcut: Of a shortcut without weights in place of a layer.
    """

    weight: int = 0
    channel: int = 0
    place: int = 0
    frame: int = 0
    convolution: int = 0
    activation: int = 0
    padding: int = 0
    addition: int = 0
    pooling: int = 0
    gate: int = 0
    shuffle: int = 0
    selection: int = 0
    concatenation: int = 0
    shortcut: int = 0


_ONNX: dict[Precision, FileRule] = {
    "float": FileRule(40, 40, 81, 1920, 1349, 188, 0, 227, 1819, 3605, 489, 515, 361, 916),
    "int8": FileRule(10, 171, 84, 17124, 8513, 380, 20, 3626, 7371, 27857, 3208, 3266, 3757, 3680),
}
RULES: dict[str, dict[Precision, FileRule]] = {  # by runtime, as fitted to 38 networks of 4 to 3,026 kB
    "onnxruntime": _ONNX,
    "openvino": _ONNX,  # it reads these files
    "litert": {
        "float": FileRule(40, 39, 23, 10426, 2397, 0, 2252, 756, 3466, 8221, 5290, 1538, 768, 1454),
        "int8": FileRule(10, 279, 16, 14770, 3535, 88, 2750, 940, 4455, 11599, 6713, 1862, 876, 1847),
    },
}


def file_kb(architecture: Architecture, rule: FileRule, classes: int, channels: int, resolution: Resolution) -> float:
    """Return the size of a network's file in units of 1,024 bytes.

    Args:
        architecture: The network.
        rule: The bytes of a file's parts, of `RULES`.
        classes: Outputs of the classifier.
        channels: Channels of the image.
        resolution: The size of the image in pixels, on which the size of the file does not depend.
    """
    stem = Convolution(channels, architecture.stem, 3, architecture.stem_stride)
    tenths, in_filters = _convolution_size(stem, rule), architecture.stem
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
        stem = Convolution(channels, scaled.stem_filters, 3, scaled.stem_stride)
        return _convolution_size(stem, rule) + _tail_size(last_filters, space.head, classes, rule)

    return best_architecture(space, block_size, ends_size, operator.add, resolution)


def _tail_size(in_filters: int, head: int, classes: int, rule: FileRule) -> int:
    classifier = head * classes * rule.weight + classes * rule.channel
    return _convolution_size(Convolution(in_filters, head, 1), rule) + classifier + rule.frame


def _block_size(block: Block, in_filters: int, rule: FileRule) -> int:
    first = _layer_size(block, in_filters, block.stride, rule)
    return first + (block.layers - 1) * _layer_size(block, block.filters, 1, rule)


def _layer_size(block: Block, in_filters: int, stride: int, rule: FileRule) -> int:
    steps, shortcut = block.steps(in_filters, stride), block.shortcut(in_filters, stride)
    skip = rule.addition * (shortcut != "none") + rule.pooling * (shortcut == "pool")
    convolutions = sum(_convolution_size(convolution, rule) for convolution, _ in sized_convolutions(steps, 1))
    return skip + convolutions + sum(_step_size(step, block.squeeze(in_filters), rule) for step in steps)


def _convolution_size(convolution: Convolution, rule: FileRule) -> int:
    weights = convolution.in_filters // convolution.groups * convolution.filters * convolution.kernel**2
    has_padding = convolution.stride > 1 and convolution.kernel > 1
    operations = rule.convolution + rule.activation * convolution.active + rule.padding * has_padding
    return weights * rule.weight + convolution.filters * rule.channel + operations


def _step_size(step: Step, squeezed: int, rule: FileRule) -> int:
    """Return the size of a step without its convolutions."""
    if isinstance(step, Gate):
        return 2 * squeezed * step.filters * rule.weight + (squeezed + step.filters) * rule.channel + rule.gate
    if isinstance(step, Shuffle):
        return (step.filters * rule.place + rule.shuffle) * (step.groups > 1)
    if isinstance(step, ChannelIndex):
        return step.filters * rule.place + rule.selection
    if isinstance(step, Concatenation):
        return rule.concatenation
    changes_shape = isinstance(step, Shortcut) and (step.stride > 1 or step.in_filters != step.filters)
    return rule.shortcut * changes_shape
