"""Samples of genomes in which every choice of every gene occurs equally often."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def sample_evenly(sizes: NDArray[np.int64], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw genomes that use every gene's choices equally often.

    Each column is a shuffled repetition of all choices of its gene (a Latin hypercube over categories). So even a small
    first population holds every choice of every gene. A single genome is uniformly distributed.

    Args:
        sizes: Number of choices of every gene, shape (n_var,).
        count: Number of genomes.
        rng: Source of the random numbers.

    Returns:
        Shape (count, n_var).
    """
    columns = []
    for size in sizes:
        repeats = -(-count // int(size))
        values = np.concatenate([rng.permutation(size) for _ in range(repeats)])[:count]
        columns.append(rng.permutation(values))
    return np.stack(columns, axis=1).astype(np.int64)
