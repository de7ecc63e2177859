"""The genes of a whole network, which stand behind those of its blocks.

There is one for each list of choices that is not empty, in this order: the resolution of the images, the width (the
multiplier of stem and block filters), the activation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evomnas.core.errors import InputError
from evomnas.core.resolution import Resolution, format_resolution

RESOLUTION, WIDTH, ACTIVATION = "resolution", "width", "activation"


@dataclass(frozen=True, slots=True)
class NetworkGenes:
    """The choices of a whole network.

    Attributes:
        choices: The choices of each gene by its name, in the order of the genes.
    """

    choices: Mapping[str, tuple[Any, ...]]

    @classmethod
    def of(
        cls, resolutions: tuple[Resolution, ...], widths: tuple[float, ...], activations: tuple[str, ...]
    ) -> NetworkGenes:
        """Return the genes for lists of choices, each of which may be empty.

        Args:
            resolutions: Sizes of the images in pixels.
            widths: Factors of stem and block filters.
            activations: Names of activations.
        """
        lists: dict[str, tuple[Any, ...]] = {RESOLUTION: resolutions, WIDTH: widths, ACTIVATION: activations}
        return cls({name: choices for name, choices in lists.items() if choices})

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the genes."""
        return tuple(self.choices)

    @property
    def sizes(self) -> list[int]:
        """The number of choices of each gene."""
        return [len(choices) for choices in self.choices.values()]

    def decode(self, genes: Sequence[int]) -> dict[str, Any]:
        """Return the chosen values by their names.

        Args:
            genes: The genes, each below its size.
        """
        pairs = zip(self.choices.items(), genes, strict=True)
        return {name: choices[gene] for (name, choices), gene in pairs}

    def encode(self, values: Mapping[str, Any]) -> list[int]:
        """Return the genes of a network.

        Args:
            values: The network's values by their names; those that are no genes must be None.

        Raises:
            InputError: A value is not among the choices.
        """
        for name, value in values.items():
            choices = self.choices.get(name, (None,))
            if value not in choices:
                allowed = ", ".join(format_choice(choice) for choice in choices if choice is not None) or "none"
                own = format_choice(value)
                raise InputError(f"{name} {own} is not in this search space, which has {allowed}")
        return [choices.index(values[name]) for name, choices in self.choices.items()]


def format_choice(value: Any) -> str:
    """Return a choice for people: a resolution as `64` or `64x96`, a width as `0.75`.

    Args:
        value: The choice.
    """
    if value is None or isinstance(value, str):
        return str(value)
    return f"{value:g}" if isinstance(value, float) else format_resolution(value)
