"""NSGA-II (Deb et al., IEEE Transactions on Evolutionary Computation 6(2), 2002), run by pymoo."""

from __future__ import annotations

import numpy as np
from pymoo.algorithms.moo.nsga2 import NSGA2 as PymooNSGA2
from pymoo.core.evaluator import Evaluator
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.core.termination import NoTermination
from pymoo.problems.static import StaticProblem

from evomnas.algorithms.base import AskAndTell, Losses, check_whole
from evomnas.algorithms.mating import ArrayMating
from evomnas.algorithms.operators import operators
from evomnas.problem.search_space import Genomes, Space


class NSGA2(AskAndTell):
    """NSGA-II finds the whole Pareto set in one run.

    It has the space's operators, and no network is asked for twice. Small populations reach the front in fewer
    evaluations than pymoo's 100. In steady state a network is bred at a time, as soon as half of the first population
    is known.
    """

    steady = True

    def __init__(self, space: Space, seed: int, *, population: int = 20) -> None:
        super().__init__(space)
        check_whole("population", population, 4)
        sizes = space.gene_sizes
        self._problem = Problem(len(sizes), 2, 1, xl=np.zeros_like(sizes), xu=sizes - 1, vtype=int)
        chosen = operators(space)
        self._duplicates = chosen["eliminate_duplicates"]
        self._algorithm = PymooNSGA2(pop_size=population, **chosen)
        self._algorithm.mating = ArrayMating(self._algorithm, self._duplicates.network, self._duplicates.history)
        self._algorithm.setup(self._problem, termination=NoTermination(), seed=seed)
        self._enough, self._told = population // 2, 0

    def _waits(self) -> bool:
        return bool(self._pending) and self._told < self._enough

    def ask_more(self) -> Genomes:
        """See `SteadyState`."""
        self._algorithm.n_offsprings = 1
        return super().ask_more()

    def _breed(self) -> Genomes:
        offspring = self._algorithm.ask()
        if _is_empty(offspring) and self._algorithm.n_offsprings == 1:  # parents are alike: try as for a generation
            self._algorithm.n_offsprings = self._algorithm.pop_size
            offspring = self._algorithm.ask()
        if _is_empty(offspring):
            return np.zeros((0, self._problem.n_var), dtype=np.int64)
        genomes: Genomes = offspring.get("X").astype(np.int64)
        self._duplicates.remember([self.space.decode(genome) for genome in genomes])
        return genomes

    def _learn(self, genomes: Genomes, losses: Losses, violations: Losses) -> None:
        offspring = Population.new(X=genomes)
        Evaluator().eval(StaticProblem(self._problem, F=losses, G=violations[:, None]), offspring)
        self._algorithm.tell(infills=offspring)
        self._told += len(genomes)


def _is_empty(offspring: Population | None) -> bool:
    return offspring is None or len(offspring) == 0
