"""Candidates that are worth a prediction: all of a small space; else what NSGA-II visits on the predictions."""

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
from evomnas.algorithms.operators import operators
from evomnas.problem.search_space import Genomes, Space

POPULATION, GENERATIONS = 100, 10  # on predictions: some 1,000 candidates

Predict = Callable[[Genomes], NDArray[np.float64]]


def visit(space: Space, start: Genomes, predict: Predict, seed: int) -> None:
    """Let NSGA-II, with the operators of `nsga2`, search predictions; `predict` sees all that it visits.

    Args:
        space: Where it searches.
        start: The first population, shape (k, n_var).
        predict: Predicted losses of genomes, shape (n, 2).
        seed: Of NSGA-II.
    """
    sizes = space.gene_sizes
    problem = Problem(len(sizes), 2, 0, xl=np.zeros_like(sizes), xu=sizes - 1, vtype=int)
    chosen = operators(space) | {"sampling": start, "eliminate_duplicates": True}
    algorithm = NSGA2(pop_size=POPULATION, **chosen)
    algorithm.mating = ArrayMating(algorithm, bytes)
    algorithm.setup(problem, termination=NoTermination(), seed=seed)
    for _ in range(GENERATIONS):
        offspring: Population | None = algorithm.ask()
        if offspring is None or len(offspring) == 0:
            return
        genomes = offspring.get("X").astype(np.int64)
        Evaluator().eval(StaticProblem(problem, F=predict(genomes)), offspring)
        algorithm.tell(infills=offspring)
