"""NSGA-II (Deb et al., IEEE Transactions on Evolutionary Computation 6(2), 2002), run by pymoo."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pymoo.algorithms.moo.nsga2 import NSGA2 as PymooNSGA2
from pymoo.core.evaluator import Evaluator
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.core.termination import NoTermination
from pymoo.problems.static import StaticProblem

from evomnas.problem import operators
from evomnas.space import Genomes, SearchSpace

POPULATION = 20  # small populations reach the front in fewer evaluations than pymoo's 100


class NSGA2:
    """NSGA-II with the space's operators; no network is asked for twice."""

    def __init__(self, space: SearchSpace, seed: int) -> None:
        self._space = space
        sizes = space.gene_sizes
        self._problem = Problem(len(sizes), 2, 1, xl=np.zeros_like(sizes), xu=sizes - 1, vtype=int)
        chosen = operators(space)
        self._duplicates = chosen["eliminate_duplicates"]
        self._algorithm = PymooNSGA2(pop_size=POPULATION, **chosen)
        self._algorithm.setup(self._problem, termination=NoTermination(), seed=seed)
        self._asked: Population | None = None

    def ask(self) -> Genomes:
        """The next generation, shape (n, n_var); empty when no new network can be bred."""
        if self._asked is not None:
            raise RuntimeError("ask was called twice: tell the losses of the genomes asked before")
        asked = self._algorithm.ask()
        if asked is None or len(asked) == 0:
            return np.zeros((0, self._problem.n_var), dtype=np.int64)
        self._asked = asked
        genomes: Genomes = asked.get("X").astype(np.int64)
        self._duplicates.remember([self._space.decode(genome) for genome in genomes])
        return genomes

    def tell(self, genomes: Genomes, losses: NDArray[np.float64], violations: NDArray[np.float64]) -> None:
        """What came of the generation asked last; see `evomnas.algorithms.Algorithm`."""
        if self._asked is None:
            raise RuntimeError("tell was called before ask")
        if not np.array_equal(genomes, self._asked.get("X")):
            raise ValueError("tell needs the genomes that were asked for last, in their order")
        if losses.shape != (len(genomes), 2) or violations.shape != (len(genomes),):
            raise ValueError(
                f"tell needs losses of shape ({len(genomes)}, 2) and violations of shape ({len(genomes)},), "
                f"got {losses.shape} and {violations.shape}"
            )
        if np.isnan(losses).any() or np.isnan(violations).any():
            raise ValueError("losses and violations must not be NaN: a failure is infinite and violated")
        static = StaticProblem(self._problem, F=losses, G=violations[:, None])
        Evaluator().eval(static, self._asked)
        asked, self._asked = self._asked, None
        self._algorithm.tell(infills=asked)
