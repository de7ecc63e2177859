"""Which networks can inherit all of their weights from a donor.

A layer inherits from one whose steps are alike: the same sequence of convolutions, depthwise ones and shuffles. Kernels
may differ, and so may the channels of plain and depthwise convolutions. Convolutions in groups and branches inherit
from those of their own size alone: other channels would meet in other groups.

So an inverted bottleneck inherits from an inverted bottleneck of any expansion, and `fmbconvN` from `ffnN`. A plain
convolution has nothing to inherit from an inverted bottleneck, nor has a block of a number that the donor lacks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from evomnas.core.errors import InputError
from evomnas.problem.architecture import Architecture
from evomnas.problem.ops.base import Concatenation, Convolution, Gate, Step
from evomnas.problem.search_space import SearchSpace

RULES = 1  # the version of the rules of a transplant: part of what a training depends on


def is_alike(donor: Sequence[Step], steps: Sequence[Step]) -> bool:
    """Return whether a layer can inherit from another one.

    Args:
        donor: The steps of that one.
        steps: The steps of the layer. Squeeze-and-excite counts for nothing.
    """
    theirs, ours = ([step for step in one if not isinstance(step, Gate)] for one in (donor, steps))
    return len(theirs) == len(ours) and all(map(_is_step_alike, theirs, ours))


def _is_step_alike(donor: Step, step: Step) -> bool:
    if isinstance(donor, Convolution) and isinstance(step, Convolution):
        kinds = {kind_of(donor), kind_of(step)}
        are_equal = _sizes(donor) == _sizes(step)
        return donor.active == step.active and len(kinds) == 1 and (kinds != {"grouped"} or are_equal)
    if isinstance(donor, Concatenation) and isinstance(step, Concatenation):
        ends = zip(donor.branches, step.branches, strict=False)
        return len(donor.branches) == len(step.branches) and all(
            is_alike(theirs, ours) and theirs[-1].filters == ours[-1].filters for theirs, ours in ends
        )
    if isinstance(donor, Convolution | Concatenation) or isinstance(step, Convolution | Concatenation):
        return False
    return donor == step  # channels in another order


def kind_of(convolution: Convolution) -> str:
    """Return how a convolution reads its input: `dense`, `depthwise`, or else `grouped`.

    Args:
        convolution: The convolution.
    """
    if convolution.groups == 1:
        return "dense"
    return "depthwise" if convolution.groups == convolution.in_filters == convolution.filters else "grouped"


def _sizes(convolution: Convolution) -> tuple[int, int, int]:
    return convolution.in_filters, convolution.filters, convolution.groups


def check_heritage(donor: Architecture, architecture: Architecture) -> None:
    """Check that every part of an architecture has something to inherit.

    Args:
        donor: The donor's architecture.
        architecture: The architecture.

    Raises:
        InputError: A part has not; the message names it.
    """
    if architecture.traits != donor.traits:
        theirs, ours = (str(one.traits) or "the default ones" for one in (donor, architecture))
        raise InputError(f"the donor's weights work with the traits {theirs}, and the network has {ours}")
    if len(architecture.blocks) != len(donor.blocks):
        raise InputError(f"the donor has {len(donor.blocks)} blocks, and the network {len(architecture.blocks)}")
    given = {(number, layer): block.steps(filters, stride) for number, layer, block, filters, stride in donor.layers()}
    for number, layer, block, filters, stride in architecture.layers():
        given_block = donor.blocks[number - 1]
        if not is_alike(given[number, min(layer, given_block.layers)], block.steps(filters, stride)):
            raise InputError(f"block {number} ({block}) has nothing to inherit from the donor's ({given_block})")


def check_space(donor: Architecture, space: SearchSpace) -> None:
    """Check that every network of a space has something to inherit in every part.

    Args:
        donor: The donor's architecture.
        space: The space.

    Raises:
        InputError: One has not; the message names the block, or says what differs.
    """
    if space.blocks != len(donor.blocks):
        raise InputError(f"the donor has {len(donor.blocks)} blocks, and the space {space.blocks}")
    check_heritage(donor, replace(donor, traits=space.traits))
    if space.activations:
        raise InputError("the donor's weights work with one activation: leave space.activations out")
    if "pool" in {skip for number in range(space.blocks) for skip in space.skip_choices(number)}:
        raise InputError("a pooling skip adds what the donor's weights do not expect: leave pool out of space.skips")
    for number, block in enumerate(donor.blocks):
        for op in space.op_choices(number):
            blocks = list(donor.blocks)
            blocks[number] = replace(block, op=op)
            check_heritage(donor, replace(donor, blocks=tuple(blocks)))
