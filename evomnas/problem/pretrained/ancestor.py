"""A trained network from which others inherit, as it travels to the process that trains them."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256

from evomnas.problem.architecture import Architecture


@dataclass(frozen=True, slots=True)
class Ancestor:
    """A trained network with its weights.

    Attributes:
        architecture: Its architecture.
        weights: The content of a safetensors file: its weights and statistics after each of its trainings, of which
            there are several with folds (`evomnas.networks.pretrained.descent`).
    """

    architecture: Architecture
    weights: bytes = field(repr=False)

    @property
    def sha256(self) -> str:
        """The hash of its weights."""
        return sha256(self.weights).hexdigest()
