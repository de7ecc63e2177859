"""Operators for the genomes of a space, in the form that pymoo's genetic algorithms take."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pymoo.core.crossover import Crossover
from pymoo.core.duplicate import DuplicateElimination
from pymoo.core.mutation import Mutation
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.core.sampling import Sampling

from evomnas.problem.candidate import Candidate
from evomnas.problem.search_space import Genomes, Space

MAX_DECODED_GENOMES = 10_000  # in the cache, which is emptied when it is full
MAX_REPLACEMENTS = 100  # of duplicates in a first population: a small space may have no others


class SpaceSampling(Sampling):  # type: ignore[misc]
    """A first population: the space's landmarks, and genomes that use every gene's choices equally often.

    The landmark is the reference network: MobileNetV2 or, in a table's space, the table's. A space may lack one. Around
    a donor there are several (`Space.landmarks`); they take half of the population at most.

    Attributes:
        space: The search space.
        distinct: Whether genomes of one network are replaced by others, as far as there are others.
    """

    def __init__(self, space: Space, distinct: bool = False) -> None:
        """Sample a space.

        Args:
            space: The search space.
            distinct: Replace genomes of one network by others. Some of pymoo's algorithms need a whole first
                population: C-TAEA does not end without.
        """
        super().__init__()
        self.space, self.distinct = space, distinct

    def _do(self, problem: Problem, n_samples: int, *args: Any, random_state: Any = None, **kwargs: Any) -> Genomes:
        genomes = self.space.sample(n_samples, random_state)
        landmarks = self.space.landmarks()[: max(1, n_samples // 2)]
        genomes[: len(landmarks)] = landmarks
        if self.distinct:
            self._replace_duplicates(genomes, random_state)
        return genomes

    def _replace_duplicates(self, genomes: Genomes, rng: np.random.Generator) -> None:
        for _ in range(MAX_REPLACEMENTS):
            networks: set[Candidate] = set()
            twice = []
            for row, genome in enumerate(genomes):
                network = self.space.decode(genome)
                if network in networks:
                    twice.append(row)
                networks.add(network)
            if not twice:
                return
            genomes[twice] = self.space.sample(len(twice), rng)


class BlockCrossover(Crossover):  # type: ignore[misc]
    """Uniform crossover of whole blocks: two parents have two children, and exchange each block with a chance of 0.5.

    The genes of a block belong together, since all of them describe the same layers. So blocks are exchanged, which are
    what the space factorizes into, and not single genes. At least one block is exchanged.

    Attributes:
        genes_per_block: Number of neighbouring genes that form a block.
    """

    def __init__(self, genes_per_block: int, prob: float = 0.9) -> None:
        """Set the size of a block and the chance of a crossover.

        Args:
            genes_per_block: Number of neighbouring genes that form a block.
            prob: The chance that two parents are crossed at all; else the children are copies of them.
        """
        super().__init__(n_parents=2, n_offsprings=2, prob=prob)
        self.genes_per_block = genes_per_block

    def _do(self, problem: Problem, x: Genomes, *args: Any, random_state: Any = None, **kwargs: Any) -> Genomes:
        _, matings, n_var = x.shape
        blocks = -(-n_var // self.genes_per_block)  # a gene beyond the last block is exchanged alone
        swapped = random_state.random((matings, blocks)) < 0.5
        swapped[np.arange(matings), random_state.integers(blocks, size=matings)] = True
        mask = np.repeat(swapped, self.genes_per_block, axis=1)[:, :n_var]
        return np.stack([np.where(mask, x[1], x[0]), np.where(mask, x[0], x[1])])


class GeneMutation(Mutation):  # type: ignore[misc]
    """Mutation of single genes: with probability `rate`, a gene changes to another of its choices, all equally likely.

    The default rate is 0.5 / n_var, which is half a gene per child on average. It can be that low because crossover has
    changed most children before. On two complete tables it took a fifth fewer evaluations than 1 / n_var
    (docs/search-quality.md).

    Attributes:
        rate: The probability; None stands for the default.
    """

    def __init__(self, rate: float | None = None) -> None:
        """Set the rate.

        Args:
            rate: The probability that a gene changes; None stands for 0.5 / n_var.
        """
        super().__init__(prob=1.0)
        self.rate = rate

    def _do(self, problem: Problem, x: Genomes, *args: Any, random_state: Any = None, **kwargs: Any) -> Genomes:
        sizes = np.asarray(problem.xu, dtype=np.int64) + 1
        rate = 0.5 / problem.n_var if self.rate is None else self.rate
        mutated = (random_state.random(x.shape) < rate) & (sizes > 1)
        steps = random_state.integers(1, np.maximum(sizes, 2), size=x.shape)
        return np.where(mutated, (x + steps) % sizes, x).astype(np.int64)


class NetworkDuplicates(DuplicateElimination):  # type: ignore[misc]
    """A filter for genomes whose network is in the population already, or was asked for before.

    Attributes:
        space: The search space.
        history: The networks that `remember` was told of.
    """

    def __init__(self, space: Space) -> None:
        """Begin without a history.

        Args:
            space: The search space.
        """
        super().__init__()
        self.space = space
        self.history: set[Candidate] = set()
        self._decoded: dict[bytes, Candidate] = {}  # parents are compared with again and again

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return a copy with a history of its own: pymoo copies an algorithm in every generation, if it keeps them."""
        clone = copy.copy(self)
        clone.history = set(self.history)
        memo[id(self)] = clone
        return clone

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_decoded": {}}

    def remember(self, architectures: Sequence[Candidate]) -> None:
        """Add networks to the history, so that they are never let through again.

        Args:
            architectures: The networks.
        """
        self.history.update(architectures)

    def _do(self, pop: Population, other: Population | None, is_duplicate: NDArray[np.bool_]) -> NDArray[np.bool_]:
        seen = set() if other is None else {self.decode(individual.X) for individual in other}
        for index, individual in enumerate(pop):
            network = self.decode(individual.X)
            is_duplicate[index] = network in self.history or network in seen
            if other is None:
                seen.add(network)
        return is_duplicate

    def decode(self, genome: Genomes) -> Candidate:
        """Return the network of a genome, from the cache where it is there.

        Args:
            genome: Shape (n_var,).

        Returns:
            The network.
        """
        genome = np.asarray(genome, dtype=np.int64)
        key = genome.tobytes()
        if key not in self._decoded:
            if len(self._decoded) >= MAX_DECODED_GENOMES:
                self._decoded.clear()
            self._decoded[key] = self.space.decode(genome)
        return self._decoded[key]


def make_operators(space: Space) -> dict[str, Any]:
    """Make the operators for a space's genomes.

    Args:
        space: The search space.

    Returns:
        The operators, by the names of the keyword arguments of pymoo's genetic algorithms.
    """
    return {
        "sampling": SpaceSampling(space),
        "crossover": BlockCrossover(space.genes_per_block),
        "mutation": GeneMutation(),
        "eliminate_duplicates": NetworkDuplicates(space),
    }
