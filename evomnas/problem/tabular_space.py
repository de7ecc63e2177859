"""The search space of a table: its rows."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evomnas.core.errors import InputError
from evomnas.problem.sampling.hypercube import sample_evenly
from evomnas.problem.search_space import Genomes


@dataclass(frozen=True, slots=True)
class TabularArchitecture:
    """A network of a table, called by its genes' values: `02012100`, or `3-5-dense` where they are longer."""

    name: str

    @property
    def id(self) -> str:
        """Eight hexadecimal digits that stand for this network."""
        return hashlib.blake2b(self.name.encode(), digest_size=4).hexdigest()

    def __str__(self) -> str:
        return self.name


class TabularSpace:
    """The space of a table: an independent choice per gene.

    Attributes:
        choices: Per gene its values, in order.
        genes_per_block: So many neighbouring genes describe one block together.
        rows: The genomes that the table holds, shape (n, n_var); all others have no result.
        reference_row: Which of them is the reference network's.
    """

    def __init__(
        self,
        choices: Sequence[Sequence[str]],
        rows: Genomes,
        reference_row: int,
        genes_per_block: int = 1,
        separator: str = "-",
    ) -> None:
        self.choices = tuple(tuple(values) for values in choices)
        self.rows, self.reference_row, self.genes_per_block = rows, reference_row, genes_per_block
        self._separator = separator  # between the values in a network's name
        self.gene_sizes: NDArray[np.int64] = np.array([len(values) for values in self.choices], dtype=np.int64)

    def __deepcopy__(self, memo: dict[int, Any]) -> TabularSpace:
        """Return the space itself, which never changes."""
        return self

    @property
    def genomes(self) -> int:
        """Number of genomes."""
        return math.prod(int(size) for size in self.gene_sizes)

    @property
    def networks(self) -> int:
        """Number of networks that the table holds."""
        return len(self.rows)

    def decode(self, genome: Sequence[int] | NDArray[np.integer]) -> TabularArchitecture:
        """Return the network of a genome, whether the table holds it or not.

        Args:
            genome: Whole numbers, shape (n_var,).

        Raises:
            InputError: The genome does not belong to this space.
        """
        genes = np.asarray(genome)
        if genes.shape == self.gene_sizes.shape:
            pairs = list(zip(self.choices, genes.tolist(), strict=True))
            if all(0 <= gene < len(values) and gene == int(gene) for values, gene in pairs):
                return TabularArchitecture(self._separator.join([values[int(gene)] for values, gene in pairs]))
        raise InputError(f"a genome of this table has {len(self.choices)} whole numbers below {self.gene_sizes}")

    def encode(self, architecture: TabularArchitecture) -> NDArray[np.int64]:
        """Return the genome of a network, shape (n_var,).

        Args:
            architecture: The network, which the table need not hold.

        Raises:
            InputError: It does not belong to this space.
        """
        name = str(architecture)
        genes = name.split(self._separator) if self._separator else list(name)
        if len(genes) != len(self.choices) or any(
            gene not in values for gene, values in zip(genes, self.choices, strict=True)
        ):
            raise InputError(f"{architecture} is no network of this table's space")
        return np.array([values.index(gene) for gene, values in zip(genes, self.choices, strict=True)], dtype=np.int64)

    def sample(self, count: int, rng: np.random.Generator) -> Genomes:
        """`count` genomes of shape (count, n_var); see `evomnas.problem.sampling.hypercube.sample_evenly`."""
        return sample_evenly(self.gene_sizes, count, rng)

    def draw(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return the genome of one of the table's networks, all with the same chance, shape (n_var,).

        Args:
            rng: Draws it.
        """
        row: NDArray[np.int64] = self.rows[rng.integers(len(self.rows))]
        return row

    def reference(self) -> NDArray[np.int64]:
        """Return the genome of the reference network, shape (n_var,)."""
        row: NDArray[np.int64] = self.rows[self.reference_row]
        return row

    def landmarks(self) -> Genomes:
        """Return the reference network alone; see `Space.landmarks`."""
        return self.reference()[None]
