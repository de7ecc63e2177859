"""Random search: distinct networks are drawn without replacement, each with the same chance."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evomnas.algorithms.base import AskAndTell, Losses
from evomnas.problem.search_space import Genomes, Space

BATCH_SIZE = 20  # networks per ask, as many as in a generation of NSGA-II


def draw_new_genome(
    space: Space,
    seen: set[Any],
    rng: np.random.Generator,
    key: Callable[[NDArray[np.int64]], Hashable] | None = None,
) -> NDArray[np.int64] | None:
    """Draw a network that was not seen before; each such network has the same chance.

    Args:
        space: The search space.
        seen: The keys of the networks seen before. The key of the new one is added.
        rng: Source of the random numbers.
        key: Returns the key of a genome of shape (n_var,). None stands for `space.decode`: the networks are the keys.

    Returns:
        A genome of the network, shape (n_var,); None where all networks of the space were seen.
    """
    while len(seen) < space.networks:
        genome = space.draw(rng)
        network_key = (key or space.decode)(genome)
        if network_key not in seen:
            seen.add(network_key)
            return genome
    return None


class RandomSearch(AskAndTell):
    """Random search, the baseline that all other algorithms must beat."""

    steady = True

    def __init__(self, space: Space, seed: int) -> None:
        """Begin a search.

        Args:
            space: The search space.
            seed: The source of all random numbers.
        """
        super().__init__(space)
        self._rng = np.random.default_rng(seed)
        self._seen: set[Any] = set()

    def learn_objectives(self, count: int) -> None:
        """See `ManyObjectives.learn_objectives`."""
        self._objectives = count

    def _breed(self) -> Genomes:
        draws = (draw_new_genome(self.space, self._seen, self._rng) for _ in range(BATCH_SIZE))
        genomes = [genome for genome in draws if genome is not None]
        return np.array(genomes, dtype=np.int64)

    def _learn(self, genomes: Genomes, losses: Losses, violations: Losses) -> None:
        pass
