"""Operators for a space's genomes, as pymoo's genetic algorithms take them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymoo.core.crossover import Crossover
from pymoo.core.duplicate import DuplicateElimination
from pymoo.core.mutation import Mutation
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.core.sampling import Sampling

from evomnas.problem.search_space import Genomes, Space
from evomnas.results.evaluation import AnyArchitecture

MOST_DECODED = 10_000  # genomes whose networks are kept at hand


class SpaceSampling(Sampling):  # type: ignore[misc]
    """The reference network (MobileNetV2's point, or a table's), then genomes that use every gene's choices evenly."""

    def __init__(self, space: Space) -> None:
        super().__init__()
        self.space = space

    def _do(self, problem: Problem, n_samples: int, *args: Any, random_state: Any = None, **kwargs: Any) -> Genomes:
        genomes = self.space.sample(n_samples, random_state)
        reference = self.space.reference()
        if reference is not None:
            genomes[:1] = reference
        return genomes


class BlockCrossover(Crossover):  # type: ignore[misc]
    """Uniform crossover of whole blocks: two parents, two children, each block from either with equal chance.

    A block's genes belong together, as all of them describe one layer; what is exchanged is what the space
    factorizes into. At least one block is exchanged.
    """

    def __init__(self, genes_per_block: int, prob: float = 0.9) -> None:
        super().__init__(n_parents=2, n_offsprings=2, prob=prob)
        self.genes_per_block = genes_per_block

    def _do(self, problem: Problem, x: Genomes, *args: Any, random_state: Any = None, **kwargs: Any) -> Genomes:
        _, matings, n_var = x.shape
        blocks = n_var // self.genes_per_block
        swapped = random_state.random((matings, blocks)) < 0.5
        swapped[np.arange(matings), random_state.integers(blocks, size=matings)] = True
        mask = np.repeat(swapped, self.genes_per_block, axis=1)
        return np.stack([np.where(mask, x[1], x[0]), np.where(mask, x[0], x[1])])


class GeneMutation(Mutation):  # type: ignore[misc]
    """Every gene changes with probability `rate` to another of its choices, each with equal chance.

    The rate is 0.5 / n_var by default, half a gene per child on average, as crossover has changed most children by
    then: on two complete tables this took a fifth fewer evaluations than 1 / n_var (docs/algorithms.md).
    """

    def __init__(self, rate: float | None = None) -> None:
        super().__init__(prob=1.0)
        self.rate = rate

    def _do(self, problem: Problem, x: Genomes, *args: Any, random_state: Any = None, **kwargs: Any) -> Genomes:
        sizes = np.asarray(problem.xu, dtype=np.int64) + 1
        rate = 0.5 / problem.n_var if self.rate is None else self.rate
        chosen = (random_state.random(x.shape) < rate) & (sizes > 1)
        steps = random_state.integers(1, np.maximum(sizes, 2), size=x.shape)
        return np.where(chosen, (x + steps) % sizes, x).astype(np.int64)


class NetworkDuplicates(DuplicateElimination):  # type: ignore[misc]
    """Removes genomes that decode to a network that is there already, or that was ever `remember`ed."""

    def __init__(self, space: Space) -> None:
        super().__init__()
        self.space = space
        self.history: set[AnyArchitecture] = set()
        self._decoded: dict[bytes, AnyArchitecture] = {}  # as parents are compared with again and again

    def remember(self, architectures: Sequence[AnyArchitecture]) -> None:
        """Never let these networks through again."""
        self.history.update(architectures)

    def _do(self, pop: Population, other: Population | None, is_duplicate: NDArray[np.bool_]) -> NDArray[np.bool_]:
        seen = set() if other is None else {self.network(one.X) for one in other}
        for index, individual in enumerate(pop):
            network = self.network(individual.X)
            is_duplicate[index] = network in self.history or network in seen
            if other is None:
                seen.add(network)
        return is_duplicate

    def network(self, genome: Genomes) -> AnyArchitecture:
        """What a genome decodes to."""
        genome = np.asarray(genome, dtype=np.int64)
        key = genome.tobytes()
        if key not in self._decoded:
            if len(self._decoded) >= MOST_DECODED:
                self._decoded.clear()
            self._decoded[key] = self.space.decode(genome)
        return self._decoded[key]


def operators(space: Space) -> dict[str, Any]:
    """The operators for a space's genomes, by the names that pymoo's genetic algorithms give them."""
    return {
        "sampling": SpaceSampling(space),
        "crossover": BlockCrossover(space.genes_per_block),
        "mutation": GeneMutation(),
        "eliminate_duplicates": NetworkDuplicates(space),
    }
