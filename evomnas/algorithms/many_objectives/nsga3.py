"""NSGA-III (Deb and Jain, IEEE Transactions on Evolutionary Computation 18(4), 2014), run by pymoo."""

from __future__ import annotations

from math import comb
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymoo.algorithms.base.genetic import GeneticAlgorithm
from pymoo.algorithms.moo.nsga3 import NSGA3 as PymooNSGA3
from pymoo.core.population import Population
from pymoo.operators.selection.tournament import TournamentSelection
from pymoo.util.ref_dirs import get_reference_directions

from evomnas.algorithms.base import check_whole_number
from evomnas.algorithms.nsga2 import NSGA2


class NSGA3(NSGA2):
    """NSGA-III, for three objectives and more.

    It keeps networks that are spread over directions from the best corner of what was found. NSGA-II keeps those that
    are far from their neighbours, and of three objectives or more nearly all networks of a population are that.
    Everything else is as in `NSGA2`. The directions are the most that are evenly spread (Das and Dennis 1998) and no
    more than the population.
    """

    def _genetic_algorithm(self, operators: dict[str, Any]) -> GeneticAlgorithm:
        check_whole_number("population", self._population, max(4, self._objectives))
        partitions = most_partitions(self._objectives, self._population)
        directions = get_reference_directions("das-dennis", self._objectives, n_partitions=partitions)
        # pymoo's own tournament draws lots between networks beyond limits from no seed
        selection = TournamentSelection(func_comp=_least_violation)
        return PymooNSGA3(directions, pop_size=self._population, selection=selection, **operators)


def most_partitions(objectives: int, population: int) -> int:
    """Return into how many parts each axis is divided, so that there are at most so many directions as networks.

    Args:
        objectives: The number of losses m, two or more.
        population: The number of networks in the population.

    Returns:
        The largest p, at least 1, for which the number of directions, p + m - 1 over m - 1, is no more than that.
    """
    partitions = 1
    while comb(partitions + objectives, objectives - 1) <= population:
        partitions += 1
    return partitions


def _least_violation(
    pop: Population, pairs: NDArray[np.int64], random_state: np.random.Generator, **kwargs: Any
) -> NDArray[np.int64]:
    """Return the winner of each pair, shape (pairs, 1): the one of the smaller violation, or either by lot."""
    violations = pop.get("CV")[:, 0]
    firsts, seconds = violations[pairs].T
    lots = random_state.integers(2, size=len(pairs))
    places = np.where(firsts == seconds, lots, (seconds < firsts).astype(np.int64))
    winners: NDArray[np.int64] = np.take_along_axis(pairs, places[:, None], axis=1)
    return winners
