"""NSGA-II's mating on whole arrays: late in a search nearly all children are known, and hundreds are made for a few."""

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

ROUNDS = 100  # of mating, after which a generation remains as small as it is


class ArrayMating(Mating):  # type: ignore[misc]
    """What pymoo's `Mating` does, child by child the same, with individuals for none but the new children.

    It takes over selection, crossover and mutation of an algorithm of pymoo with two parents and two children.

    Args:
        algorithm: Whose mating it takes the place of.
        identify: Makes of a genome what children are told apart by.
        known: Identities that no child may have, beside those of the population.
    """

    def __init__(
        self,
        algorithm: GeneticAlgorithm,
        identify: Callable[[Genomes], Hashable],
        known: Set[Hashable] = frozenset(),
    ) -> None:
        before = algorithm.mating
        super().__init__(before.selection, before.crossover, before.mutation)
        self._identify, self._known = identify, known

    def do(
        self, problem: Problem, pop: Population, n_offsprings: int, random_state: Any = None, **kwargs: Any
    ) -> Population:
        """Up to as many new children as are wanted."""
        genomes: Genomes = pop.get("X").astype(np.int64)
        seen = {self._identify(genome) for genome in genomes}
        children: list[Genomes] = []
        for _ in range(ROUNDS):
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
        """Children of pairs of genomes, shape (matings, 2, n_var), those of one kind after those of the other."""
        bred: Genomes = parents.swapaxes(0, 1)
        crossed = random_state.random(len(parents)) < get(self.crossover.prob, size=len(parents))
        if crossed.any():
            bred = np.where(crossed[:, None], self.crossover._do(problem, bred, random_state=random_state), bred)
        bred = bred.reshape(-1, problem.n_var)
        mutants = self.mutation._do(problem, bred, random_state=random_state)
        mutated = random_state.random(len(bred)) <= get(self.mutation.prob, size=len(bred))
        return np.where(mutated[:, None], mutants, bred)
