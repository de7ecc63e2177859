"""Stages of a network, the parts that an image passes one after another: what each is, before it is built."""

from __future__ import annotations

from dataclasses import dataclass

from evomnas.problem.architecture import Architecture, Block

COPIES = 4  # of a stage in the surroundings that it is timed in, see `evomnas.latency.layers.surroundings`


@dataclass(frozen=True, slots=True)
class Stage:
    """The stem, a layer, the head or the classifier.

    Attributes:
        key: In a table of layers: equal keys take equal time. It holds the operation, input and output channels,
            stride, SE, skip and the input's resolution.
        around: The key of its surroundings alone; None for the stem, which has none.
        weights: Of its convolutions or its matrix.
        gates: 1 with SE.
        identities: 1 with an identity skip.
    """

    key: str
    around: str | None
    weights: int
    gates: int = 0
    identities: int = 0


def stages(architecture: Architecture, channels: int, resolution: int, classes: int) -> list[Stage]:
    """The stages of a network for images of that size, from stem to classifier."""
    side, stem, head, last = resolution, architecture.stem, architecture.head, architecture.blocks[-1].filters
    key = f"stem_i{channels}_f{stem}_s{architecture.stem_stride}_r{side}"
    found = [Stage(_key(key), None, 9 * channels * stem)]
    side = -(-side // architecture.stem_stride)
    for _, _, block, inputs, stride in architecture.layers():
        found.append(_layer(block, inputs, stride, side))
        side = -(-side // stride)
    found.append(Stage(_key(f"head_i{last}_f{head}_r{side}"), _around(last, side), last * head))
    found.append(Stage(_key(f"classifier_i{head}_o{classes}_r{side}"), _around(head, side), head * classes))
    return found


def _layer(block: Block, inputs: int, stride: int, side: int) -> Stage:
    skip, squeeze = block.shortcut(inputs, stride), block.squeeze(inputs) if block.se else 0
    key = f"{block.op}_k{block.kernel}_i{inputs}_f{block.filters}_s{stride}_q{squeeze}_{skip}_r{side}"
    if block.op == "conv":
        wide, weights = block.filters, inputs * block.filters * block.kernel**2
    else:
        wide = inputs * block.expansion
        weights = wide * (inputs * (block.expansion > 1) + block.kernel**2 + block.filters)
    weights += 2 * squeeze * wide
    return Stage(_key(key), _around(inputs, side), weights, int(squeeze > 0), int(skip == "identity"))


def _around(inputs: int, side: int) -> str:
    return _key(f"around_i{inputs}_r{side}")


def _key(name: str) -> str:
    return f"{COPIES}x_{name}"


@dataclass(frozen=True, slots=True)
class Parts:
    """What is to be made ready of an architecture's network.

    Attributes:
        architecture: Whose network.
        wanted: Places of stages, ascending, each with True for the stage in its surroundings, then False for
            the surroundings without it.
    """

    architecture: Architecture
    wanted: tuple[tuple[int, bool], ...]
