"""The interface of a search space."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Genomes = NDArray[np.int64]


class Space(Protocol):
    """The interface of a search space, which is all that algorithms know of it. `n_var` is the number of genes.

    Two classes have these methods: `SearchSpace`, and `evomnas.problem.tabular_space.TabularSpace`.
    """

    @property
    def gene_sizes(self) -> NDArray[np.int64]:
        """The number of choices of every gene, shape (n_var,)."""
        ...

    @property
    def genes_per_block(self) -> int:
        """The number of neighbouring genes that describe one block together."""
        ...

    @property
    def networks(self) -> int:
        """The number of distinct networks."""
        ...

    def decode(self, genome: NDArray[np.int64]) -> Any:
        """Return the network that a genome stands for.

        Args:
            genome: Shape (n_var,), each gene an index below its `gene_sizes`.

        Returns:
            A hashable value. Genomes of the same network give equal values.

        Raises:
            InputError: The genome does not belong to this space.
        """
        ...

    def encode(self, architecture: Any) -> NDArray[np.int64]:
        """Return a genome of a network, shape (n_var,); `decode` is the inverse.

        Args:
            architecture: A network, as `decode` returns it.

        Raises:
            InputError: The network does not belong to this space.
        """
        ...

    def sample(self, count: int, rng: np.random.Generator) -> Genomes:
        """Draw genomes that use every gene's choices equally often.

        Args:
            count: Number of genomes.
            rng: Source of the random numbers.

        Returns:
            Shape (count, n_var).
        """
        ...

    def draw(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Draw one network at random; every distinct network has the same chance.

        Args:
            rng: Source of the random numbers.

        Returns:
            A genome of the network, shape (n_var,).
        """
        ...

    def reference(self) -> NDArray[np.int64] | None:
        """Return the reference network's genome, shape (n_var,); None where that network is not in the space."""
        ...

    def landmarks(self) -> Genomes:
        """Return the networks that a search should try first, the reference network before all others.

        Returns:
            Shape (n, n_var); n is 0 where the reference network is not in the space.
        """
        ...
