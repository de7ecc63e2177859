"""NSGA-II (Deb et al., IEEE Transactions on Evolutionary Computation 6(2), 2002), run by pymoo."""

from __future__ import annotations

from typing import Any

import numpy as np
from pymoo.algorithms.base.genetic import GeneticAlgorithm
from pymoo.algorithms.moo.nsga2 import NSGA2 as PymooNSGA2
from pymoo.core.evaluator import Evaluator
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.core.termination import NoTermination
from pymoo.problems.static import StaticProblem

from evomnas.algorithms.base import AskAndTell, Losses, check_whole_number
from evomnas.algorithms.mating import ArrayMating
from evomnas.algorithms.operators import make_operators
from evomnas.problem.search_space import Genomes, Space


class NSGA2(AskAndTell):
    """NSGA-II, which looks for the whole Pareto set in one run.

    It uses the operators of this package and never asks for a network twice. Its population is smaller than pymoo's
    100, because small populations reach the front in fewer evaluations. In steady state it breeds one network at a
    time, as soon as half of the first population has results.
    """

    steady = True

    def __init__(self, space: Space, seed: int, *, population: int = 20) -> None:
        """Begin a search.

        Args:
            space: The search space.
            seed: The source of all random numbers.
            population: Number of networks per generation, at least 4.

        Raises:
            InputError: The population is out of range.
        """
        super().__init__(space)
        check_whole_number("population", population, 4)
        self._population, self._seed = population, seed
        self._min_results, self._results = population // 2, 0  # results before the first child, and so far
        self._begin()

    def learn_objectives(self, count: int) -> None:
        """See `ManyObjectives.learn_objectives`."""
        self._objectives = count
        self._begin()

    def _begin(self) -> None:
        sizes = self.space.gene_sizes
        self._problem = Problem(len(sizes), self._objectives, 1, xl=np.zeros_like(sizes), xu=sizes - 1, vtype=int)
        operators = make_operators(self.space)
        self._duplicates = operators["eliminate_duplicates"]
        self._algorithm = self._genetic_algorithm(operators)
        self._algorithm.mating = ArrayMating(self._algorithm, self._duplicates.decode, self._duplicates.history)
        self._algorithm.setup(self._problem, termination=NoTermination(), seed=self._seed)

    def _genetic_algorithm(self, operators: dict[str, Any]) -> GeneticAlgorithm:
        """Return the algorithm of pymoo, which has not begun."""
        return PymooNSGA2(pop_size=self._population, **operators)

    def _waits(self) -> bool:
        return bool(self._pending) and self._results < self._min_results

    def ask_more(self) -> Genomes:
        """See `SteadyState.ask_more`."""
        self._algorithm.n_offsprings = 1
        return super().ask_more()

    def _breed(self) -> Genomes:
        offspring = self._algorithm.ask()
        if (
            _is_empty(offspring) and self._algorithm.n_offsprings == 1
        ):  # the parents are alike: try as often as for a whole generation
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
        self._results += len(genomes)


def _is_empty(offspring: Population | None) -> bool:
    return offspring is None or len(offspring) == 0
