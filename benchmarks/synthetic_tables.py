"""Complete tables that nobody has looked at, for choosing a search's constants without choosing them for the real ones.

Up to eight thousand networks of seven genes with two to four choices each. A network's capacity is a weighted sum of
its genes' choices, most of which are in order, and of random effects of seven pairs; its error falls with capacity by
an exponential law and carries no, some or much noise, as single trainings do; its cost is a sum of exponentials.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

GENES, PAIRS = 7, 7
MOST_NETWORKS = 8000


def synthetic_table(seed: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Numbers of choices, shape (genes,), and (error, cost) of all networks in the genomes' order, shape (n, 2)."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(2, 5, size=GENES)
    while np.prod(sizes) > MOST_NETWORKS:
        sizes = rng.integers(2, 5, size=GENES)
    genomes = np.array(list(np.ndindex(*sizes)))
    levels = [np.sort(rng.random(size)) if rng.random() < 0.8 else rng.random(size) for size in sizes]
    capacity = _standard(_sum(genomes, levels, rng.dirichlet(np.full(GENES, 0.8))))
    together = np.zeros(len(genomes))
    for _ in range(PAIRS):
        first, second = rng.choice(GENES, 2, replace=False)
        together += rng.normal(size=(sizes[first], sizes[second]))[genomes[:, first], genomes[:, second]]
    capacity += 0.25 * _standard(together)
    error = 0.1 + 0.5 * np.exp(-(capacity - capacity.min()) * rng.uniform(0.3, 1.2))
    error += rng.normal(size=len(error)) * error.std() * 0.01 * rng.integers(0, 8)
    costs = [np.exp(3 * np.sort(rng.random(size))) for size in sizes]
    return sizes, np.column_stack([error, _sum(genomes, costs, rng.dirichlet(np.ones(GENES)))])


def _sum(
    genomes: NDArray[np.int64], values: list[NDArray[np.float64]], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Weighted sum over the genes of the values of their choices."""
    parts = [weight * value[column] for weight, value, column in zip(weights, values, genomes.T, strict=True)]
    total: NDArray[np.float64] = np.sum(parts, axis=0)
    return total


def _standard(values: NDArray[np.float64]) -> NDArray[np.float64]:
    standard: NDArray[np.float64] = (values - values.mean()) / values.std()
    return standard
