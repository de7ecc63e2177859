"""NSGA-II on predictions: it proposes candidates in spaces that are too large to predict every network."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.evaluator import Evaluator
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.core.termination import NoTermination
from pymoo.problems.static import StaticProblem

from evomnas.algorithms.mating import ArrayMating
from evomnas.algorithms.operators import make_operators
from evomnas.problem.search_space import Genomes, Space

PROPOSAL_POPULATION, PROPOSAL_GENERATIONS = 100, 10  # some 1,000 candidates

Predict = Callable[[Genomes], NDArray[np.float64]]


def search_predictions(space: Space, start: Genomes, predict: Predict, seed: int, objectives: int = 2) -> None:
    """Let NSGA-II search predicted losses. It has the operators of `nsga2`, but may come back to a network.

    There is no result: all genomes that it visits pass through `predict`, where the caller can collect them.

    Args:
        space: The search space.
        start: The first population, shape (k, n_var).
        predict: Returns the predicted losses, shape (n, m), of genomes of shape (n, n_var).
        seed: The source of NSGA-II's random numbers.
        objectives: The number m of losses.
    """
    sizes = space.gene_sizes
    problem = Problem(len(sizes), objectives, 0, xl=np.zeros_like(sizes), xu=sizes - 1, vtype=int)
    operators = make_operators(space) | {"sampling": start, "eliminate_duplicates": True}
    algorithm = NSGA2(pop_size=PROPOSAL_POPULATION, **operators)
    algorithm.mating = ArrayMating(algorithm, bytes)
    algorithm.setup(problem, termination=NoTermination(), seed=seed)
    for _ in range(PROPOSAL_GENERATIONS):
        offspring: Population | None = algorithm.ask()
        if offspring is None or len(offspring) == 0:
            return
        genomes = offspring.get("X").astype(np.int64)
        Evaluator().eval(StaticProblem(problem, F=predict(genomes)), offspring)
        algorithm.tell(infills=offspring)
