"""Searches of a small space that are played by hand, for all that test algorithms."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np

from evomnas.algorithms.base import make_algorithm, option_names
from evomnas.problem.search_space import SearchSpace

SPACE = SearchSpace(filters=(8, 8, 16), layers=(1, 2, 1), strides=(1, 2, 1), stem=8, head=16)


def make(name: str, space: SearchSpace, seed: int):
    return make_algorithm(name, space, seed, {"target_ms": 1.5} if "target_ms" in option_names(name) else {})


def losses_of(genomes: np.ndarray) -> np.ndarray:
    """Two objectives in conflict, any smooth function of the genes."""
    shares = genomes / np.maximum(SPACE.gene_sizes - 1, 1)
    return np.stack([1 - shares.mean(axis=1), 1 + shares[:, ::2].sum(axis=1)], axis=1)


def play(searcher, rounds: int, losses=losses_of, violations=lambda genomes: np.zeros(len(genomes))) -> np.ndarray:
    asked = []
    for _ in range(rounds):
        genomes = searcher.ask()
        searcher.tell(genomes, losses(genomes), violations(genomes))
        asked.append(genomes)
    return np.concatenate(asked)


def play_ties(names: Iterable[str]) -> dict[str, str]:
    """Return by name what algorithms ask for where an objective is constant and every choice a tie, as a hash."""
    genomes = {name: play(make(name, SPACE, 5), 2, lambda asked: np.ones((len(asked), 2))) for name in names}
    return {name: hashlib.sha256(asked.tobytes()).hexdigest() for name, asked in genomes.items()}
