"""Families of made-up tables, so that a search is not tuned to the few real tables that there are.

A family is a recipe; every seed gives another table of it. Families differ in what real tables differ in:

- **Structure.** A *cell* is like NAS-Bench-201's [1]: nodes in a row, an operation (none, skip, 1x1, 3x3, pooling) on
  every edge. A network's error depends on the operations that lie on some path from the first to the last node. Without
  such a path the network guesses (error 0.9); without a convolution on one it is poor; the others saturate. A *chain*
  has one gene per layer. Its error falls with the sum of what its choices bring, by themselves and beside their
  neighbours, as in NAS-Bench-Macro.
- **The range of costs**: the dearest network costs 2 to 10,000 times what the cheapest one costs. Measured latencies of
  cells come near nothing where operations are left out.
- **The shape of errors**: smooth, with plateaus (errors are the same within a step), or with a cliff (beyond a
  threshold errors jump down). Every network of a small space has an irregularity of its own, too, that follows from
  nothing.
- **Noise**: a search sees the error on so many validation images; what it found is judged by the true errors.
- **Costs that nothing predicts**: the costs of all networks, shuffled.

Half of the families, `LOOKED_AT`, were looked at while `nsga2-surrogate` was built. The others, `KEPT_ASIDE`, were
looked at once, when its rules 2 were done: whoever tunes anything further makes new ones for that. `family_quality.py`
plays them.

[1] Dong and Yang, "NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture Search", ICLR 2020.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from evomnas.problem.pareto import non_dominated
from evomnas.problem.search_space import Genomes, sample_evenly

Floats = NDArray[np.float64]
Shape = Literal["smooth", "plateaus", "cliff"]

MOST_LISTED = 100_000  # networks of a space that are all listed; larger spaces are chains, whose fronts are computed
FRONT_BINS = 4000  # costs that the front of a larger space is computed at
IRREGULARITY = 0.03  # share of its error by which a network deviates from what its structure says, one deviation
MEASUREMENT_NOISE = 0.03  # the same, of costs
DECAY, SATURATION = 3.5, 6.0  # how fast errors fall with the merit of a chain, and of a cell, whose errors saturate
GUESSING = 0.9  # error of a network that is no network
NONE, SKIP, SMALL, LARGE = range(4)  # operations of a cell; pooling is the fifth


@dataclass(frozen=True)
class Family:
    """A recipe for tables.

    Attributes:
        name: What it is called.
        genes: Numbers of choices of all genes: of a chain's layers, or of a cell's edges.
        cost_range: Cost of the dearest network, relative to the cheapest one.
        nodes: Of a cell; 0 for a chain.
        shape: Of the errors.
        images: Validation images behind an error that a search sees; 0 for the true error.
        shuffled: Whether the costs follow from nothing.
    """

    name: str
    genes: tuple[int, ...]
    cost_range: float
    nodes: int = 0
    shape: Shape = "smooth"
    images: int = 0
    shuffled: bool = False


def cell(name: str, cost_range: float, nodes: int = 4, choices: int = 5, **more: object) -> Family:
    """Return a family of cells."""
    return Family(name, (choices,) * (nodes * (nodes - 1) // 2), cost_range, nodes, **more)  # type: ignore[arg-type]


def chain(name: str, cost_range: float, genes: int, choices: int, **more: object) -> Family:
    """Return a family of chains."""
    return Family(name, (choices,) * genes, cost_range, **more)  # type: ignore[arg-type]


LOOKED_AT = (
    cell("cells, costs 1 to 10,000", 10_000),
    cell("cells, costs 1 to 30, 10,000 images", 30, images=10_000),
    cell("cells, cliff, costs 1 to 300, 500 images", 300, shape="cliff", images=500),
    cell("cells, costs 1 to 100 that nothing predicts", 100, shuffled=True),
    chain("4 genes, plateaus, costs 1 to 1,000", 1000, 4, 8, shape="plateaus"),
    chain("8 genes, costs 1 to 2", 2, 8, 3),
    chain("20 genes, costs 1 to 100, 50 images", 100, 20, 4, images=50),
    chain("40 genes, costs 1 to 10,000", 10_000, 40, 3),
)
KEPT_ASIDE = (
    cell("cells, costs 1 to 5,000, 50 images", 5000, images=50),
    cell("cells of 5 nodes, costs 1 to 10,000", 10_000, nodes=5, choices=3),
    cell("cells, plateaus, costs 1 to 2", 2, shape="plateaus"),
    cell("cells of 5 nodes, costs 1 to 100, 2,000 images", 100, nodes=5, choices=3, images=2000),
    chain("7 genes, costs 1 to 10,000 that nothing predicts", 10_000, 7, 4, shuffled=True),
    chain("12 genes, cliff, costs 1 to 3,000", 3000, 12, 2, shape="cliff"),
    chain("30 genes, plateaus, costs 1 to 10, 500 images", 10, 30, 3, shape="plateaus", images=500),
    chain("40 genes, costs 1 to 3, 50 images", 3, 40, 5, images=50),
)


class Choices:
    """A space of independent choices, all of which are networks."""

    genes_per_block = 1

    def __init__(self, sizes: tuple[int, ...]) -> None:
        self.gene_sizes: NDArray[np.int64] = np.array(sizes, dtype=np.int64)

    @property
    def networks(self) -> int:
        """Number of networks, one per genome."""
        return int(np.prod(self.gene_sizes.astype(object)))

    def decode(self, genome: NDArray[np.int64]) -> tuple[int, ...]:
        """Return the choices."""
        return tuple(genome.tolist())

    def sample(self, count: int, rng: np.random.Generator) -> Genomes:
        """Draw genomes that use all choices of a gene equally often."""
        return sample_evenly(self.gene_sizes, count, rng)

    def draw(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Draw one genome."""
        return rng.integers(self.gene_sizes)

    def reference(self) -> None:
        """Return nothing: no network is the reference."""

    def landmarks(self) -> Genomes:
        """Return nothing either, shape (0, n_var)."""
        return np.zeros((0, len(self.gene_sizes)), dtype=np.int64)


class MadeUpTable:
    """A table of a family.

    Attributes:
        space: Its space.
        images: Validation images behind an error that a search sees; 0 for the true error.
        is_listed: Whether all networks are listed, and so all of the true front.
        front: (error, cost) of the networks on its true front, shape (k, 2). In a space that is not listed, the best
            network of each of `FRONT_BINS` intervals of cost.
    """

    def __init__(self, family: Family, seed: int) -> None:
        self._family, self._seed = family, seed
        self.space = Choices(family.genes)
        self.images = family.images
        rng = np.random.default_rng(seed)
        self.is_listed = self.space.networks <= MOST_LISTED
        self._structure = _Cell(family.nodes, family.genes, rng) if family.nodes else _Chain(family.genes, rng)
        self._cliff = rng.uniform(0.3, 0.6)
        if self.is_listed:
            genomes = np.array(list(np.ndindex(*family.genes)), dtype=np.int64)
            self._listed = self._list(genomes, rng)
            self.front = self._listed[non_dominated(self._listed)]
        else:
            merit, burden = self._structure.best()  # of a chain: spaces of cells are small enough to be listed
            front = np.column_stack([self._errors(merit), self._costs(burden)])
            self.front = front[non_dominated(front)]

    def true(self, genomes: Genomes) -> Floats:
        """Return the true (error, cost) of genomes of shape (n, n_var), shape (n, 2)."""
        if self.is_listed:
            rows = np.ravel_multi_index(tuple(genomes.T), self._family.genes)
            listed: Floats = self._listed[rows]
            return listed
        merit, burden = self._structure(genomes)
        return np.column_stack([self._errors(merit), self._costs(burden)])

    def seen(self, genomes: Genomes) -> Floats:
        """Return what a search sees of genomes: the same for the same genome."""
        losses = self.true(genomes)
        if self._family.images:
            for row, genome in enumerate(genomes):
                rng = np.random.default_rng([self._seed, *genome.tolist()])
                losses[row, 0] = rng.binomial(self._family.images, losses[row, 0]) / self._family.images
        return losses

    def _list(self, genomes: Genomes, rng: np.random.Generator) -> Floats:
        """Return (error, cost) of all networks, with their irregularities."""
        merit, burden = self._structure(genomes)
        errors, costs = self._errors(merit), self._costs(burden)
        if self._family.shape == "smooth":
            errors = errors * np.exp(IRREGULARITY * rng.normal(size=len(errors)))
        costs = costs * np.exp(MEASUREMENT_NOISE * rng.normal(size=len(costs)))
        if self._family.shuffled:
            costs = rng.permutation(costs)
        return np.column_stack([np.minimum(errors, GUESSING), costs])

    def _errors(self, merit: Floats) -> Floats:
        """Return the errors of merits from 0 to 1; a negative merit guesses."""
        if self._family.shape == "plateaus":
            merit = np.where(merit < 0, merit, np.floor(merit * 12) / 12)
        errors = 0.055 + 0.45 * np.exp(-(SATURATION if self._family.nodes else DECAY) * merit)
        if self._family.shape == "cliff":
            errors = np.where(merit < self._cliff, errors + 0.3, errors)
        return np.where(merit < 0, GUESSING, errors)

    def _costs(self, burden: Floats) -> Floats:
        """Return the costs of burdens from 0 to 1."""
        return 1.0 + (self._family.cost_range - 1.0) * burden


class _Cell:
    """The merit and the burden of cells."""

    def __init__(self, nodes: int, sizes: tuple[int, ...], rng: np.random.Generator) -> None:
        self._edges = list(combinations(range(nodes), 2))
        self._paths = [
            [(first, second) for first, second in zip((0, *inner), (*inner, nodes - 1), strict=True)]
            for count in range(nodes - 1)
            for inner in combinations(range(1, nodes - 1), count)
        ]
        usual = np.array([0.0, 0.1, 0.55, 1.0, 0.02])  # what an operation brings on a path
        effort = np.array([0.0, 0.002, 0.25, 1.0, 0.08]) * np.exp(0.2 * rng.normal(size=5))
        kept = [NONE, SKIP, LARGE] if sizes[0] == 3 else list(range(5))  # a space of three operations has these
        self._brings = usual[kept] * np.exp(0.15 * rng.normal(size=(len(self._edges), len(kept))))
        self._effort = effort[kept] * np.exp(0.1 * rng.normal(size=(len(self._edges), len(kept))))
        self._convolves = np.isin(kept, (SMALL, LARGE))
        self._shortcut = rng.uniform(0.05, 0.25)

    def __call__(self, genomes: Genomes) -> tuple[Floats, Floats]:
        """Return merits and burdens of n genomes, both of shape (n,), about from 0 to 1."""
        edge = {ends: number for number, ends in enumerate(self._edges)}
        rows = np.arange(len(self._edges))
        brings = self._brings[rows, genomes]
        alive = np.zeros(genomes.shape, dtype=bool)  # edges on a path of which no operation is none
        longest = np.zeros(len(genomes))
        for path in self._paths:
            columns = [edge[ends] for ends in path]
            whole = (genomes[:, columns] != NONE).all(axis=1)
            alive[:, columns] |= whole[:, None]
            longest = np.maximum(longest, np.where(whole, self._convolves[genomes[:, columns]].sum(axis=1), 0))
        total = np.where(alive, brings, 0.0).sum(axis=1) / self._brings.max(axis=1).sum()
        direct = genomes[:, edge[0, self._edges[-1][1]]] == SKIP
        merit = 0.55 * np.sqrt(total) + 0.3 * np.minimum(longest, 3) / 3 + self._shortcut * (direct & (longest > 0))
        merit = np.where(longest > 0, 0.1 + 0.9 * merit, 0.1 * merit)
        burden = self._effort[rows, genomes].sum(axis=1) / self._effort.max(axis=1).sum()
        return np.where(alive.any(axis=1), np.minimum(merit, 1.0), -1.0), burden


class _Chain:
    """The merit and the burden of chains, sums over layers and neighbouring layers."""

    def __init__(self, sizes: tuple[int, ...], rng: np.random.Generator) -> None:
        layers = len(sizes)
        weights, prices = (rng.dirichlet(np.full(layers, 2.0)) for _ in range(2))
        self._brings = [w * _rising(rng, size, 0.75) for w, size in zip(weights, sizes, strict=True)]
        self._effort = [w * _rising(rng, size, 1.0) ** 2 for w, size in zip(prices, sizes, strict=True)]
        self._pairs = [0.2 * w * rng.normal(size=pair) for w, pair in zip(weights, pairwise(sizes), strict=False)]
        low, high = self._extreme(-1), self._extreme(1)
        self._low, self._span = low, high - low

    def __call__(self, genomes: Genomes) -> tuple[Floats, Floats]:
        """Return merits and burdens of n genomes, both of shape (n,), from 0 to 1."""
        merit = np.sum([brings[genes] for brings, genes in zip(self._brings, genomes.T, strict=True)], axis=0)
        for layer, pair in enumerate(self._pairs):
            merit = merit + pair[genomes[:, layer], genomes[:, layer + 1]]
        burden = np.sum([effort[genes] for effort, genes in zip(self._effort, genomes.T, strict=True)], axis=0)
        return (merit - self._low) / self._span, burden

    def best(self) -> tuple[Floats, Floats]:
        """Return merits and burdens of networks such that hardly any is better, by dynamic programming over the layers.

        Of all beginnings with the same last choice and about the same burden, the one of the largest merit is kept.
        """
        states = [
            (np.array([one]), np.array([effort])) for one, effort in zip(self._brings[0], self._effort[0], strict=True)
        ]
        for brings, efforts, pair in zip(self._brings[1:], self._effort[1:], self._pairs, strict=True):
            states = [
                _thinned(
                    np.concatenate([merit + brings[new] + pair[old, new] for old, (merit, _) in enumerate(states)]),
                    np.concatenate([burden + efforts[new] for _, burden in states]),
                )
                for new in range(len(brings))
            ]
        merit, burden = (np.concatenate(parts) for parts in zip(*states, strict=True))
        return (merit - self._low) / self._span, burden

    def _extreme(self, sign: int) -> float:
        """Return the largest merit (sign 1) or the smallest one (-1) before it is scaled."""
        state = sign * self._brings[0]
        for brings, pair in zip(self._brings[1:], self._pairs, strict=True):
            state = (state[:, None] + sign * (pair + brings[None])).max(axis=0)
        return sign * float(state.max())


def _rising(rng: np.random.Generator, size: int, order: float) -> Floats:
    """Return numbers from 0 to 1, one per choice: 0 and 1 among them, and in order with the chance `order`."""
    inner = np.sort(rng.random(size - 2))
    numbers = np.concatenate([[0.0], inner, [1.0]])
    return numbers if rng.random() < order else rng.permutation(numbers)


def _thinned(merit: Floats, burden: Floats) -> tuple[Floats, Floats]:
    """Keep the largest merit of each of `FRONT_BINS` intervals of burdens, narrow ones where burdens are small."""
    bins = np.floor(FRONT_BINS * np.cbrt(burden)).astype(np.int64)
    order = np.lexsort((-merit, bins))
    _, first = np.unique(bins[order], return_index=True)
    rows = order[first]
    return merit[rows], burden[rows]
