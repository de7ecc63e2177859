"""Random search: distinct networks, each with the same chance, without replacement."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evomnas.algorithms.base import AskAndTell, Losses
from evomnas.problem.search_space import Genomes, Space

BATCH = 20  # as many as a generation of the others


def draw_new(
    space: Space,
    seen: set[Any],
    rng: np.random.Generator,
    key: Callable[[NDArray[np.int64]], Hashable] | None = None,
) -> NDArray[np.int64] | None:
    """A genome of a network that is not in `seen`, each with the same chance, and adds it there; None if all are.

    `seen` holds networks, or what `key` makes of their genomes.
    """
    while len(seen) < space.networks:
        genome = space.draw(rng)
        network = (key or space.decode)(genome)
        if network not in seen:
            seen.add(network)
            return genome
    return None


class RandomSearch(AskAndTell):
    """Distinct networks at random, each with the same chance: what the others must beat."""

    steady = True

    def __init__(self, space: Space, seed: int) -> None:
        super().__init__(space)
        self._rng = np.random.default_rng(seed)
        self._seen: set[Any] = set()

    def _breed(self) -> Genomes:
        drawn = (draw_new(self.space, self._seen, self._rng) for _ in range(BATCH))
        genomes = [genome for genome in drawn if genome is not None]
        return np.array(genomes, dtype=np.int64)

    def _learn(self, genomes: Genomes, losses: Losses, violations: Losses) -> None:
        pass
