"""Aging evolution towards one network, with DEAP's toolbox. The goal is the paper's reward or its hard formulation.

The population consists of the youngest networks. The best of a few networks drawn at random is the parent, and the next
network is a mutant of it. The oldest network leaves the population, whether it is good or not (Real et al.,
"Regularized Evolution for Image Classifier Architecture Search", AAAI 2019). MnasNet's authors expect that evolution
works as well as their reinforcement learning (Tan et al., CVPR 2019, section 4.2).
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from deap import base, tools

from evomnas.algorithms.base import AskAndTell, Losses, check_whole_number
from evomnas.algorithms.goals import REWARD_EXPONENTS, Constrained, Goal, WeightedProduct
from evomnas.algorithms.random_search import draw_new_genome
from evomnas.core.errors import InputError
from evomnas.problem.search_space import Genomes, Space

BROOD_SIZE = 5  # networks per ask, which may be trained side by side
MAX_MUTANTS = 50  # known mutants in a row, after which a network is drawn at random instead


class EvolutionFitness(base.Fitness):  # type: ignore[misc]
    """The fitness of a network: its excess over the problem's limits, and the value of the goal.

    The excess is minimised. The goal is maximised among networks of the same excess.
    """

    weights = (-1.0, 1.0)


class Individual(list[int]):
    """A genome with its fitness, in the form that DEAP's operators need.

    Attributes:
        fitness: The network's fitness.
    """

    def __init__(self, genes: Any) -> None:
        """Take the genes of a genome, shape (n_var,); the fitness has no values yet.

        Args:
            genes: The genes.
        """
        super().__init__(int(gene) for gene in genes)
        self.fitness = EvolutionFitness()


class _AgingEvolution(AskAndTell):
    """Aging evolution towards any goal. It never asks for a network twice, and failed networks have no children.

    Attributes:
        goals: The goal, alone.
    """

    steady = True

    def __init__(self, space: Space, seed: int, goal: Goal, population: int, tournament: int) -> None:
        super().__init__(space)
        self.goals: tuple[Goal, ...] = (goal,)
        self._size = check_whole_number("population", population, 2)
        if check_whole_number("tournament", tournament, 1) > population:
            raise InputError(f"tournament may be at most the population, {population}, got {tournament}")
        numpy_seed, python_seed = np.random.SeedSequence(seed).spawn(2)
        self._rng = np.random.default_rng(numpy_seed)
        self._random_state = random.Random(int(python_seed.generate_state(1)[0])).getstate()
        self._seen: set[Any] = set()
        self._population: deque[Individual] = deque(maxlen=population)
        self._toolbox = base.Toolbox()
        self._toolbox.register("select", tools.selTournament, k=1, tournsize=tournament)
        highest = [int(size) - 1 for size in space.gene_sizes]
        self._toolbox.register("mutate", tools.mutUniformInt, low=0, up=highest, indpb=1 / len(highest))

    @contextmanager
    def _own_random(self) -> Iterator[None]:
        """Give Python's global generator, from which DEAP draws, this search's own state, and put the old one back."""
        global_state = random.getstate()
        random.setstate(self._random_state)
        try:
            yield
        finally:
            self._random_state = random.getstate()
            random.setstate(global_state)

    def _breed(self) -> Genomes:
        if not self._seen:
            genomes = self._first_population()
        else:
            with self._own_random():
                children = [self._new_child() for _ in range(BROOD_SIZE)]
            genomes = [genome for genome in children if genome is not None]
        return np.array(genomes, dtype=np.int64)

    def _first_population(self) -> list[Any]:
        """Return the space's landmarks, half of the population at most, and genomes drawn at random."""
        genomes = list(self.space.landmarks()[: self._size // 2])
        self._seen.update(self.space.decode(genome) for genome in genomes)
        draws = (draw_new_genome(self.space, self._seen, self._rng) for _ in range(self._size - len(genomes)))
        return [*genomes, *(genome for genome in draws if genome is not None)]

    def _new_child(self) -> Any:
        """Return a mutant that was not asked for yet; else any such network, or None where there is none."""
        for _ in range(MAX_MUTANTS if self._population else 0):
            [parent] = self._toolbox.select(list(self._population))
            (mutant,) = self._toolbox.mutate(list(parent))
            network = self.space.decode(np.array(mutant))
            if network not in self._seen:
                self._seen.add(network)
                return mutant
        return draw_new_genome(self.space, self._seen, self._rng)

    def _learn(self, genomes: Genomes, losses: Losses, violations: Losses) -> None:
        scores = np.where(violations > 0, 0.0, self.goals[0](losses))
        for genome, violation, score in zip(genomes, violations, scores, strict=True):
            if np.isfinite(violation) and np.isfinite(score):
                individual = Individual(genome)
                individual.fitness.values = float(violation), float(score)
                self._population.append(individual)


class EvoWeighted(_AgingEvolution):
    """Aging evolution towards the paper's reward, the weighted product."""

    def __init__(
        self,
        space: Space,
        seed: int,
        *,
        target_ms: float,
        alpha: float = REWARD_EXPONENTS["soft"][0],
        beta: float = REWARD_EXPONENTS["soft"][1],
        population: int = 20,
        tournament: int = 5,
    ) -> None:
        """Begin a search.

        Args:
            space: The search space.
            seed: The source of all random numbers.
            target_ms: The wanted latency in milliseconds.
            alpha: The reward's exponent within the target.
            beta: The reward's exponent beyond the target.
            population: Number of networks in the population, at least 2.
            tournament: Number of networks from which each parent is chosen, at most the population.

        Raises:
            InputError: An option is out of range.
        """
        super().__init__(space, seed, WeightedProduct(target_ms, alpha, beta), population, tournament)


class EvoConstrained(_AgingEvolution):
    """Aging evolution towards the highest accuracy within a latency, the paper's hard formulation."""

    def __init__(self, space: Space, seed: int, *, target_ms: float, population: int = 20, tournament: int = 5) -> None:
        """Begin a search.

        Args:
            space: The search space.
            seed: The source of all random numbers.
            target_ms: The largest latency in milliseconds.
            population: Number of networks in the population, at least 2.
            tournament: Number of networks from which each parent is chosen, at most the population.

        Raises:
            InputError: An option is out of range.
        """
        super().__init__(space, seed, Constrained(target_ms), population, tournament)
