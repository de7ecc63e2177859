"""The preset search space around a donor: networks that inherit all of their weights from it.

Its blocks, strides, filters, kernels, squeeze-and-excite and traits are the donor's. What may change is what costs the
least accuracy for the time that it saves: first the resolution, then the layers, then the expansions, last the filters.
"""

from __future__ import annotations

from evomnas.core.resolution import Resolution, area, sides, to_resolution
from evomnas.problem.architecture import Architecture
from evomnas.problem.pretrained.donors import Donor
from evomnas.problem.search_space import SearchSpace

AROUND_DONOR = "around donor"  # what a problem file says in place of a section [space]
RESOLUTION_SHARES = (0.5, 0.625, 0.75, 0.875, 1.0)  # of the problem's resolution
RESOLUTION_STEP = 8  # pixels; shorter sides are multiples of it, but for the problem's own
LAYER_OFFSETS = (-2, -1, 0, 1)
FILTER_MULTIPLIERS = (0.75, 1.0)
EXPANSIONS = ("mbconv3", "mbconv6")


def space_around(donor: Donor, resolution: Resolution) -> SearchSpace:
    """Return the search space around a donor.

    Args:
        donor: The donor.
        resolution: The size in pixels of the problem's images, the largest resolution of the space. All others have
            its proportions.

    Returns:
        The space; the donor at that resolution is its reference network.
    """
    blocks = donor.architecture.blocks
    kernels = sorted({3, 5, *(block.kernel for block in blocks)})
    return SearchSpace(
        filters=tuple(block.filters for block in blocks),
        layers=tuple(block.layers for block in blocks),
        strides=tuple(block.stride for block in blocks),
        stem=donor.architecture.stem,
        stem_stride=donor.architecture.stem_stride,
        head=donor.architecture.head,
        kernels=tuple(kernels),
        se_ratios=tuple(dict.fromkeys((0.0, *(block.se for block in blocks)))),
        skips=("identity",),
        filter_multipliers=FILTER_MULTIPLIERS,
        layer_offsets=LAYER_OFFSETS,
        block_ops=tuple(_operations(block.op) for block in blocks),
        resolutions=_resolutions(donor.architecture, resolution),
        traits=donor.architecture.traits,
        base=str(donor.architecture),
    )


def _operations(op: str) -> tuple[str, ...]:
    """Return the operations that can inherit from the donor's."""
    return (op,) if op == "dconv" else tuple(dict.fromkeys((*EXPANSIONS, op)))


def _resolutions(architecture: Architecture, resolution: Resolution) -> tuple[Resolution, ...]:
    """Return the resolutions of the space, ascending, none of which is below one pixel behind the last stride."""
    height, width = sides(resolution)
    shorter = min(height, width)
    steps = (round(share * shorter / RESOLUTION_STEP) * RESOLUTION_STEP for share in RESOLUTION_SHARES)
    usable = (step for step in steps if architecture.total_stride <= step < shorter)
    sizes = {to_resolution(round(step * height / shorter), round(step * width / shorter)) for step in usable}
    return tuple(sorted({*sizes, resolution}, key=area))
