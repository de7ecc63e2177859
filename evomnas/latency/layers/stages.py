"""The stages of a network, the parts that an image passes one after another, described before the network is built."""

from __future__ import annotations

from dataclasses import dataclass, replace

from evomnas.core.resolution import Resolution, divided, format_resolution
from evomnas.problem.architecture import Architecture, Block
from evomnas.problem.ops.base import Gate, sized_convolutions
from evomnas.problem.pretrained.traits import PLAIN, Traits

STAGE_COPIES = 4  # copies of a stage that are timed side by side, see `evomnas.latency.layers.surroundings`


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage: the stem, a layer, the head or the classifier.

    Attributes:
        key: Its key in a layer table. Stages with equal keys take equal time. The key contains the operation, the
            input and output channels, the stride, SE, the skip, the resolution of the input, and the traits that are
            not the default.
        surroundings_key: The key of its surroundings alone; None for the stem, which has none.
        weights: The number of weights in its convolutions, or in its matrix.
        gates: 1 if it has squeeze-and-excite, else 0.
        identities: 1 if it has an identity skip, else 0.
    """

    key: str
    surroundings_key: str | None
    weights: int
    gates: int = 0
    identities: int = 0


def describe_stages(architecture: Architecture, channels: int, resolution: Resolution, classes: int) -> list[Stage]:
    """Describe the stages of an architecture's network.

    Args:
        architecture: The architecture.
        channels: The channels of the images.
        resolution: The size of the images in pixels, for a network without a resolution of its own.
        classes: The number of logits.

    Returns:
        The stages from the stem to the classifier, as `Network.stages` has them.
    """
    size = architecture.resolution or resolution
    stem, head, last = architecture.stem, architecture.head, architecture.blocks[-1].filters
    traits = _describe_traits(architecture.traits)
    key = f"stem_i{channels}_f{stem}_s{architecture.stem_stride}_r{format_resolution(size)}{traits}"
    stages = [Stage(_key(key), None, 9 * channels * stem)]
    size = divided(size, architecture.stem_stride)  # of the next stage's input
    for _, _, block, in_filters, stride in architecture.layers():
        stages.append(_describe_layer(block, in_filters, stride, size, traits))
        size = divided(size, stride)
    shown = format_resolution(size)
    stages.append(Stage(_key(f"head_i{last}_f{head}_r{shown}{traits}"), _surroundings_key(last, size), last * head))
    size = architecture.traits.head_size(size)
    key = f"classifier_i{head}_o{classes}_r{format_resolution(size)}"
    stages.append(Stage(_key(key), _surroundings_key(head, size), head * classes))
    return stages


def _describe_traits(traits: Traits) -> str:
    """Return the end of a stage's key; batch norm's epsilon takes no time, as it is folded into the weights."""
    words = str(replace(traits, epsilon=PLAIN.epsilon))
    return words and f"_{words}"


def _describe_layer(block: Block, in_filters: int, stride: int, size: Resolution, traits: str) -> Stage:
    skip, squeeze = block.shortcut(in_filters, stride), block.squeeze(in_filters) if block.se else 0
    shown = f"{format_resolution(size)}{traits}"
    key = f"{block.op}_k{block.kernel}_i{in_filters}_f{block.filters}_s{stride}_q{squeeze}_{skip}_r{shown}"
    steps = block.steps(in_filters, stride)
    weights = sum(2 * squeeze * step.filters for step in steps if isinstance(step, Gate))
    for step, _ in sized_convolutions(steps, size):
        weights += step.in_filters // step.groups * step.filters * step.kernel**2
    return Stage(_key(key), _surroundings_key(in_filters, size), weights, int(squeeze > 0), int(skip == "identity"))


def _surroundings_key(in_filters: int, size: Resolution) -> str:
    return _key(f"around_i{in_filters}_r{format_resolution(size)}")


def _key(name: str) -> str:
    return f"{STAGE_COPIES}x_{name}"


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of an architecture's network that are to be converted for a runtime.

    Attributes:
        architecture: The architecture.
        selection: Pairs of a stage's index and True for the stage in its surroundings, or False for the surroundings
            without it. They ascend by index, and True comes before False.
    """

    architecture: Architecture
    selection: tuple[tuple[int, bool], ...]
