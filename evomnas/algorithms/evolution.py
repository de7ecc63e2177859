"""Aging evolution towards one network: the paper's reward or its hard formulation, through DEAP's toolbox.

A population of the youngest networks; the best of a random few is the parent of the next network, a mutant of it, and
the oldest leaves, whether it is good or not (Real et al., "Regularized Evolution for Image Classifier
Architecture Search", AAAI 2019). MnasNet's authors expect that evolution works as well as their reinforcement
learning (Tan et al., CVPR 2019, section 4.2).
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from deap import base, tools

from evomnas.algorithms.base import AskAndTell, Losses, check_whole
from evomnas.algorithms.goals import EXPONENTS, Constrained, Goal, WeightedProduct
from evomnas.algorithms.random_search import draw_new
from evomnas.core.errors import InputError
from evomnas.problem.search_space import Genomes, Space

BROOD = 5  # networks that are bred, and trained, at a time
TRIES = 50  # mutants of one parent before a network is drawn at random


class Score(base.Fitness):  # type: ignore[misc]
    """The excess over the problem's limits, to minimise before all else, and the goal, to maximise."""

    weights = (-1.0, 1.0)


class Individual(list[int]):
    """A genome with its fitness, as DEAP's operators want it."""

    def __init__(self, genes: Any) -> None:
        super().__init__(int(gene) for gene in genes)
        self.fitness = Score()


class _AgingEvolution(AskAndTell):
    """Aging evolution on any goal; no network is asked for twice, and failures leave no offspring."""

    steady = True

    def __init__(self, space: Space, seed: int, goal: Goal, population: int, tournament: int) -> None:
        super().__init__(space)
        self.goals: tuple[Goal, ...] = (goal,)
        self._size = check_whole("population", population, 2)
        if check_whole("tournament", tournament, 1) > population:
            raise InputError(f"tournament may be at most the population, {population}, got {tournament}")
        first, second = np.random.SeedSequence(seed).spawn(2)
        self._rng = np.random.default_rng(first)
        self._random = random.Random(int(second.generate_state(1)[0])).getstate()
        self._seen: set[Any] = set()
        self._population: deque[Individual] = deque(maxlen=population)
        self._toolbox = base.Toolbox()
        self._toolbox.register("select", tools.selTournament, k=1, tournsize=tournament)
        highest = [int(size) - 1 for size in space.gene_sizes]
        self._toolbox.register("mutate", tools.mutUniformInt, low=0, up=highest, indpb=1 / len(highest))

    @contextmanager
    def _own_random(self) -> Iterator[None]:
        """DEAP draws from Python's global generator: lend it a state of our own, and put the old one back."""
        before = random.getstate()
        random.setstate(self._random)
        try:
            yield
        finally:
            self._random = random.getstate()
            random.setstate(before)

    def _breed(self) -> Genomes:
        if not self._seen:  # the first population
            genomes = self._first()
        else:
            with self._own_random():
                bred = [self._child() for _ in range(BROOD)]
            genomes = [genome for genome in bred if genome is not None]
        return np.array(genomes, dtype=np.int64)

    def _first(self) -> list[Any]:
        reference = self.space.reference()
        genomes = [] if reference is None else [reference]
        self._seen.update(self.space.decode(genome) for genome in genomes)
        drawn = (draw_new(self.space, self._seen, self._rng) for _ in range(self._size - len(genomes)))
        return [*genomes, *(genome for genome in drawn if genome is not None)]

    def _child(self) -> Any:
        """A mutant that was not asked for yet, or else any such network."""
        for _ in range(TRIES if self._population else 0):
            [parent] = self._toolbox.select(list(self._population))
            (mutant,) = self._toolbox.mutate(list(parent))
            network = self.space.decode(np.array(mutant))
            if network not in self._seen:
                self._seen.add(network)
                return mutant
        return draw_new(self.space, self._seen, self._rng)

    def _learn(self, genomes: Genomes, losses: Losses, violations: Losses) -> None:
        scores = np.where(violations > 0, 0.0, self.goals[0](losses))
        for genome, violation, score in zip(genomes, violations, scores, strict=True):
            if np.isfinite(violation) and np.isfinite(score):
                individual = Individual(genome)
                individual.fitness.values = float(violation), float(score)
                self._population.append(individual)


class EvoWeighted(_AgingEvolution):
    """Aging evolution on the paper's reward, the weighted product."""

    def __init__(
        self,
        space: Space,
        seed: int,
        *,
        target_ms: float,
        alpha: float = EXPONENTS["soft"][0],
        beta: float = EXPONENTS["soft"][1],
        population: int = 20,
        tournament: int = 5,
    ) -> None:
        super().__init__(space, seed, WeightedProduct(target_ms, alpha, beta), population, tournament)


class EvoConstrained(_AgingEvolution):
    """Aging evolution for the highest accuracy at a latency within the target, the paper's hard formulation."""

    def __init__(self, space: Space, seed: int, *, target_ms: float, population: int = 20, tournament: int = 5) -> None:
        super().__init__(space, seed, Constrained(target_ms), population, tournament)
