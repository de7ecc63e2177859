"""NSGA-II's mating on whole arrays, which is faster than pymoo's.

Speed matters late in a search: nearly all children are known by then, and hundreds are bred to get a few new ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Set
from typing import Any

import numpy as np
from pymoo.algorithms.base.genetic import GeneticAlgorithm
from pymoo.core.mating import Mating
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.core.variable import get

from evomnas.problem.search_space import Genomes

MAX_MATING_ROUNDS = 100  # a generation that still lacks children after these stays as small as it is


class ArrayMating(Mating):  # type: ignore[misc]
    """A mating that breeds the same children as pymoo's `Mating`, but makes individuals only of the new ones.

    It takes over the selection, the crossover and the mutation of an algorithm of pymoo. The crossover must have two
    parents and two children.
    """

    def __init__(
        self,
        algorithm: GeneticAlgorithm,
        identify: Callable[[Genomes], Hashable],
        known: Set[Hashable] = frozenset(),
    ) -> None:
        """Take over the operators of an algorithm.

        Args:
            algorithm: The algorithm whose mating this one replaces.
            identify: Returns an identity from a genome of shape (n_var,). Children of the same identity are duplicates.
            known: Identities that no child may have, besides those of the population. The set may grow later.
        """
        replaced = algorithm.mating
        super().__init__(replaced.selection, replaced.crossover, replaced.mutation)
        self._identify, self._known = identify, known

    def do(
        self, problem: Problem, pop: Population, n_offsprings: int, random_state: Any = None, **kwargs: Any
    ) -> Population:
        """Breed new children.

        Args:
            problem: The problem of pymoo, whose `n_var` is the number of genes.
            pop: The population to choose parents from.
            n_offsprings: The wanted number of children.
            random_state: Source of the random numbers.
            **kwargs: Handed on to the selection.

        Returns:
            Up to `n_offsprings` children, which are not evaluated yet.
        """
        genomes: Genomes = pop.get("X").astype(np.int64)
        seen = {self._identify(genome) for genome in genomes}
        children: list[Genomes] = []
        for _ in range(MAX_MATING_ROUNDS):
            if len(children) >= n_offsprings:
                break
            matings = math.ceil((n_offsprings - len(children)) / 2)
            parents = self.selection(
                problem, pop, matings, n_parents=2, to_pop=False, random_state=random_state, **kwargs
            )
            for child in self._breed(problem, genomes[parents.astype(np.int64)], random_state):
                identity = self._identify(child)
                if identity not in self._known and identity not in seen:
                    seen.add(identity)
                    children.append(child)
        return Population.new(X=np.array(children[:n_offsprings])) if children else Population.empty()

    def _breed(self, problem: Problem, parents: Genomes, random_state: Any) -> Genomes:
        """Return the children of pairs of genomes: all first children, and then all second ones.

        Args:
            problem: The problem of pymoo.
            parents: Shape (matings, 2, n_var).
            random_state: Source of the random numbers.

        Returns:
            Shape (2 * matings, n_var).
        """
        children: Genomes = parents.swapaxes(0, 1)
        crossed = random_state.random(len(parents)) < get(self.crossover.prob, size=len(parents))
        if crossed.any():
            children = np.where(
                crossed[:, None], self.crossover._do(problem, children, random_state=random_state), children
            )
        children = children.reshape(-1, problem.n_var)
        mutants = self.mutation._do(problem, children, random_state=random_state)
        mutated = random_state.random(len(children)) <= get(self.mutation.prob, size=len(children))
        return np.where(mutated[:, None], mutants, children)
