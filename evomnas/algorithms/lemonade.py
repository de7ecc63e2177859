"""LEMONADE's search: a Pareto population whose cheap objectives decide where expensive ones are evaluated.

[1] Elsken, Metzen and Hutter, "Efficient Multi-Objective Neural Architecture Search via Lamarckian Evolution",
    ICLR 2019, algorithm 1.

Published are the two samplings against a kernel density of the cheap objectives, and that the population is the Pareto
front. Kernel, bandwidth, numbers and the mutation, which changes genes of this package's spaces, are ours. The other
half of [1] is an option: children inherit the weights of their parents, see `evomnas.evaluation.inheritance`. Without
it an evaluation depends on its network alone.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pymoo.core.problem import Problem

from evomnas.algorithms.base import AskAndTell, Losses, check_whole_number
from evomnas.algorithms.operators import GeneMutation
from evomnas.algorithms.random_search import draw_new_genome
from evomnas.algorithms.surrogate.features import EncodedNetworks, NetworkEncoder, concatenate, drop_duplicates
from evomnas.core.errors import InputError
from evomnas.problem.pareto import non_dominated
from evomnas.problem.search_space import Genomes, Space

CLOSED_FORM_SIZES = 2  # MACs and parameters, the first columns of `EncodedNetworks.sizes`
MAX_MUTATION_ROUNDS = 20  # for proposals that were not asked for before
LEAST_DENSITY = 1e-3  # of the largest; else a single outlier would have all of the chance


class Member(NamedTuple):
    """A network of the population.

    Attributes:
        genome: Its genome, shape (n_var,).
        losses: (error, latency).
        violation: How far it is beyond the limits; 0 within them.
    """

    genome: NDArray[np.int64]
    losses: NDArray[np.float64]
    violation: float


class Lemonade(AskAndTell):
    """Evolution of a Pareto population, as LEMONADE does it; see `Inheriting` for its children.

    Cheap are the objectives that follow from a network without training: its MACs and parameters, and its cost where
    that takes no time to know. Many proposals are mutants of parents from sparse regions of the front, by their cheap
    objectives. A few of them, again from sparse regions, become children and are evaluated.
    """

    steady = True

    def __init__(
        self, space: Space, seed: int, *, children: int = 8, proposals: int = 64, inherit: bool = False
    ) -> None:
        """Begin a search.

        Args:
            space: The search space.
            seed: The source of all random numbers.
            children: Number of networks per ask, at least 2.
            proposals: Number of mutants from which the children are chosen, at least as many.
            inherit: Whether children inherit the weights of their parents.

        Raises:
            InputError: An option is out of range.
        """
        super().__init__(space)
        self._count = check_whole_number("children", children, 2)
        self._proposal_count = check_whole_number("proposals", proposals, 2)
        if proposals < children:
            raise InputError(f"proposals must be at least the children, {children}, got {proposals}")
        if not isinstance(inherit, bool):
            raise InputError(f"inherit must be true or false, got {inherit}")
        self.inherits = inherit
        self._rng = np.random.default_rng(seed)
        self._encode = NetworkEncoder(space)
        sizes = space.gene_sizes
        self._problem = Problem(len(sizes), 2, 0, xl=np.zeros_like(sizes), xu=sizes - 1, vtype=int)
        self._mutation = GeneMutation(rate=1 / len(sizes))
        self._seen: set[Hashable] = set()  # keys of all networks asked for
        self._costs: dict[Hashable, float] = {}  # by keys
        self._population: list[Member] = []
        self._proposals: Genomes | None = None  # what `consider` returned for the next ask
        self._parents: dict[Hashable, NDArray[np.int64]] = {}  # of the proposals, by their keys

    def _waits(self) -> bool:
        return bool(self._pending) and not self._population

    def consider(self, price: float) -> Genomes:
        """See `Weighing.consider`: all proposals, where costs are free; a latency that takes time is not cheap."""
        if price > 0 or not self._population:
            return np.zeros((0, len(self.space.gene_sizes)), dtype=np.int64)
        self._proposals = self._propose()
        return self._proposals

    def weigh(self, genomes: Genomes, costs: NDArray[np.float64]) -> None:
        """See `Weighing.weigh`."""
        self._costs.update(zip(self._encode(genomes).keys, costs.tolist(), strict=True))

    def parents(self, genomes: Genomes) -> list[NDArray[np.int64] | None]:
        """See `Inheriting.parents`."""
        return [self._parents.get(key) for key in self._encode(genomes).keys]

    def fertile(self) -> Genomes:
        """See `Inheriting.fertile`: the population."""
        genomes = np.array([member.genome for member in self._population], dtype=np.int64)
        return genomes.reshape(-1, len(self.space.gene_sizes))

    def _breed(self) -> Genomes:
        if not self._population:
            return self._first_networks()
        proposals = self._propose() if self._proposals is None else self._proposals
        self._proposals = None
        proposals = proposals[~np.isinf(self._known_costs(self._encode(proposals)))]  # others fail or exceed a limit
        rows = self._sample_sparse(proposals, min(self._count, len(proposals)))
        self._seen.update(self._encode(proposals[rows]).keys)
        return self._with_drawn(list(proposals[rows]))

    def _first_networks(self) -> Genomes:
        """Return the space's landmarks, half of the networks at most, and networks drawn at random."""
        landmarks = [] if self._seen else list(self.space.landmarks()[: self._count // 2])
        self._seen.update(map(self._encode.key, landmarks))
        return self._with_drawn(landmarks)

    def _with_drawn(self, genomes: list[NDArray[np.int64]]) -> Genomes:
        """Return genomes and as many random ones of new networks as the next children lack."""
        missing = self._count - len(genomes)
        draws = (draw_new_genome(self.space, self._seen, self._rng, self._encode.key) for _ in range(missing))
        genomes = [*genomes, *(genome for genome in draws if genome is not None)]
        return np.array(genomes, dtype=np.int64).reshape(-1, len(self.space.gene_sizes))

    def _propose(self) -> Genomes:
        """Return mutants of the population that were not asked for, each network once."""
        population = np.array([member.genome for member in self._population])
        chances = self._sparse_chances(population)
        proposals = self._encode(population[:0])
        self._parents = {}
        for _ in range(MAX_MUTATION_ROUNDS):
            parents = self._rng.choice(len(population), size=self._proposal_count, p=chances)
            mutants = self._mutation._do(self._problem, population[parents], random_state=self._rng)
            encoded = self._encode(mutants)
            for key, parent in zip(encoded.keys, parents, strict=True):
                self._parents.setdefault(key, population[parent])
            proposals = drop_duplicates(concatenate(proposals, encoded), self._seen)
            if len(proposals) >= self._proposal_count:
                break
        return proposals.genomes[: self._proposal_count]

    def _sample_sparse(self, genomes: Genomes, count: int) -> NDArray[np.int64]:
        """Return `count` distinct rows of genomes, drawn by `_sparse_chances`."""
        if count == 0:
            return np.zeros(0, dtype=np.int64)
        return self._rng.choice(len(genomes), size=count, replace=False, p=self._sparse_chances(genomes))

    def _sparse_chances(self, genomes: Genomes) -> NDArray[np.float64]:
        """Return chances inverse to the density of the population at networks' cheap objectives, shape (n,)."""
        population = np.array([member.genome for member in self._population])
        objectives = self._cheap_objectives(np.concatenate([population, genomes]))
        densities = kernel_density(objectives[: len(population)], objectives[len(population) :])
        chances = 1 / np.maximum(densities, LEAST_DENSITY * densities.max())
        return np.asarray(chances / chances.sum(), dtype=np.float64)

    def _cheap_objectives(self, genomes: Genomes) -> NDArray[np.float64]:
        """Return the logarithms of what is known of networks without training, shape (n, objectives)."""
        networks = self._encode(genomes)
        sizes, costs = networks.sizes[:, :CLOSED_FORM_SIZES], self._known_costs(networks)
        if not np.isfinite(costs).all() or not (costs > 0).all():
            return sizes
        return np.column_stack([sizes, np.log(costs)])

    def _known_costs(self, networks: EncodedNetworks) -> NDArray[np.float64]:
        """Return the costs of networks, shape (n,): NaN where they are not known, infinite where there are none."""
        return np.array([self._costs.get(key, np.nan) for key in networks.keys])

    def _learn(self, genomes: Genomes, losses: Losses, violations: Losses) -> None:
        self.weigh(genomes, losses[:, 1])
        told = map(Member, genomes, losses, violations.tolist())
        members = [*self._population, *(member for member in told if np.isfinite(member.violation))]
        least = min((member.violation for member in members), default=0.0)
        members = [member for member in members if member.violation == least]
        if members and least == 0:
            on_front = non_dominated([member.losses for member in members])
            members = [member for member, is_member in zip(members, on_front, strict=True) if is_member]
        self._population = members


def kernel_density(points: NDArray[np.float64], at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the density of points, by Gaussian kernels with Scott's bandwidth in every objective.

    Args:
        points: Shape (m, k), m > 0. Objectives in which they do not differ count for nothing.
        at: Where the density is wanted, shape (n, k).

    Returns:
        Shape (n,), up to a constant factor. All are equal where no objective counts.
    """
    spread = points.std(axis=0)
    counts = spread > 0
    bandwidth = spread[counts] * len(points) ** (-1 / (counts.sum() + 4))
    distances = (at[:, None, counts] - points[None, :, counts]) / bandwidth
    densities: NDArray[np.float64] = np.exp(-0.5 * (distances**2).sum(axis=2)).mean(axis=1)
    return densities
