"""Which networks can inherit all of their weights from a donor.

A plain convolution has nothing to inherit, and neither has any other operation but the inverted bottleneck, an
expansion where the donor has none, or a block of a number that the donor lacks.
"""

from __future__ import annotations

from dataclasses import replace

from evomnas.core.errors import InputError
from evomnas.problem.architecture import Architecture
from evomnas.problem.ops.catalogue import operation
from evomnas.problem.search_space import SearchSpace

RULES = 1  # the version of the rules of a transplant: part of what a training depends on


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
    for number, (given, block) in enumerate(zip(donor.blocks, architecture.blocks, strict=True), start=1):
        if not operation(block.op).inherits or (block.expansion > 1) != (given.expansion > 1):
            raise InputError(f"block {number} ({block}) has nothing to inherit from the donor's ({given})")


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
