"""Pretrained baselines: the published networks that one would fine-tune instead of searching, at every resolution.

A person can lower the resolution, too. So a search has to beat these networks at every resolution of its space.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from evomnas.core.resolution import Resolution, area, format_resolution
from evomnas.problem.definition import ProblemDefinition
from evomnas.problem.pretrained.donors import PUBLISHED_WEIGHTS, Donor, find_published_weights
from evomnas.problem.published import fit_to_resolution


@dataclass(frozen=True, slots=True)
class PretrainedBaseline:
    """A published network that is fine-tuned at one resolution.

    Attributes:
        name: The name of the network and its weights, one of `PUBLISHED_WEIGHTS`.
        resolution: The size of its images in pixels.
        notation: The network's notation.
    """

    name: str
    resolution: Resolution
    notation: str

    @property
    def id(self) -> str:
        """Eight hexadecimal digits that stand for the network; those of `Architecture.id` where it is one."""
        return hashlib.blake2b(self.notation.encode(), digest_size=4).hexdigest()

    @property
    def label(self) -> str:
        """Its name for people."""
        return f"{self.name} at {format_resolution(self.resolution)} px"

    def __str__(self) -> str:
        """The network's notation, by which archives know it."""
        return self.notation


def pretrained_baselines(
    definition: ProblemDefinition, names: Iterable[str] = PUBLISHED_WEIGHTS
) -> list[PretrainedBaseline]:
    """Return the pretrained baselines of a problem, whether or not their weights are on this machine.

    Args:
        definition: The problem.
        names: Names of networks with pretrained weights.

    Returns:
        The networks in the order of their names, each at all resolutions of the problem's space, the largest first; at
        the images' resolution where the space has none.

    Raises:
        InputError: No pretrained weights of a name are known.
    """
    ordered = sorted(definition.space.resolutions, key=area, reverse=True)
    own: Sequence[Resolution | None] = ordered or [None]
    return [_baseline(definition, name, resolution) for name in dict.fromkeys(names) for resolution in own]


def _baseline(definition: ProblemDefinition, name: str, resolution: Resolution | None) -> PretrainedBaseline:
    weights, side = find_published_weights(name), resolution or definition.data.resolution
    if isinstance(weights, Donor):
        notation = str(replace(fit_to_resolution(weights.architecture, side), resolution=resolution))
    else:
        notation = (
            f"torchvision:{name}" if resolution is None else f"{format_resolution(resolution)}px-torchvision:{name}"
        )
    return PretrainedBaseline(name, side, notation)
