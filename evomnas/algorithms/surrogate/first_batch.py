"""The first batch, which covers the space's range of costs before anything is known of errors."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from evomnas.algorithms.surrogate.features import EncodedNetworks, NetworkEncoder, drop_duplicates
from evomnas.problem.search_space import Genomes

RANDOM_CANDIDATES = 400  # random networks to choose from; where sizes are known, there are as many mixes
MAX_COMPARED_PER_BAND = 64  # random candidates of each band of costs that are compared with the batch so far


def first_candidates(encode: NetworkEncoder, rng: np.random.Generator) -> EncodedNetworks:
    """Draw the candidates for the first batch: random networks and, where sizes are known, mixes.

    A mix takes some genes from a random network and the others from the network of the smallest choices, or of the
    largest. It is needed because random networks are of medium size: a few hundred of them leave out most of a space's
    range of costs.

    Args:
        encode: Encodes the networks of the space.
        rng: Source of the random numbers.

    Returns:
        Distinct networks, among them the space's landmarks.
    """
    space = encode.space
    genomes = np.array([space.draw(rng) for _ in range(RANDOM_CANDIDATES)], dtype=np.int64)
    landmarks = space.landmarks()
    genomes[: len(landmarks)] = landmarks
    candidates = encode(genomes)
    if candidates.sizes.shape[1]:
        log_macs = candidates.sizes[:, 0]
        effects = np.asarray(np.linalg.lstsq(candidates.one_hot, log_macs, rcond=None)[0], dtype=np.float64)
        extremes = _extreme_genomes(effects, encode, space.gene_sizes)
        shares = rng.random((RANDOM_CANDIDATES, 1))
        mixes = np.where(rng.random(genomes.shape) < shares, extremes[rng.integers(2, size=RANDOM_CANDIDATES)], genomes)
        mixes[:2] = extremes
        candidates = encode(np.concatenate([genomes, mixes]))
    return drop_duplicates(candidates)


def _extreme_genomes(effects: NDArray[np.float64], encode: NetworkEncoder, sizes: NDArray[np.int64]) -> Genomes:
    """Return the genomes whose choices have the least and the largest effects, shape (2, n_var)."""
    by_gene = [effects[encode.gene == gene][:size] for gene, size in enumerate(sizes)]
    return np.array(
        [
            [int(gene_effects.argmin()) for gene_effects in by_gene],
            [int(gene_effects.argmax()) for gene_effects in by_gene],
        ],
        dtype=np.int64,
    )


def first_batch(
    candidates: EncodedNetworks,
    costs: NDArray[np.float64] | None,
    count: int,
    rng: np.random.Generator,
    landmarks: Sequence[Hashable] = (),
) -> NDArray[np.int64]:
    """Choose the first batch: landmarks, the cheapest candidate, the dearest one, and one of each band of costs.

    Of a random few of its band, each is the candidate that differs most from those chosen before. Without costs, the
    bands are random.

    Args:
        candidates: n distinct networks.
        costs: Their costs, shape (n,); None where nothing is known of them.
        count: Number of candidates to choose.
        rng: Source of the random numbers.
        landmarks: Keys of networks that are wanted if they are candidates. The first of them, the reference network,
            comes first, since people compare with it.

    Returns:
        Rows, shape (count,), or (n,) where there are fewer. Behind the reference network they are in random order, so
        that the range of costs is covered, too, where a budget cuts the batch short.
    """
    order = rng.permutation(len(candidates)) if costs is None else np.argsort(costs, kind="stable")
    rows = {key: row for row, key in enumerate(candidates.keys)}
    wanted = [rows[key] for key in landmarks if key in rows]
    cost_ends = [] if costs is None else (int(order[0]), int(order[-1]))
    batch = list(dict.fromkeys([*wanted, *cost_ends]))
    bands = len(order) if len(order) <= count else max(count - len(batch), 1)
    for band in np.array_split(order, bands):
        compared = rng.permutation(np.setdiff1d(band, batch))[:MAX_COMPARED_PER_BAND]
        similarity = np.ones(len(compared))
        if batch:
            shared_choices = candidates.one_hot[compared] @ candidates.one_hot[batch].T
            similarity = shared_choices.max(axis=1)  # with the member of the batch that is most alike
        if len(compared):
            batch.append(int(compared[int(np.argmin(similarity))]))
    others = rng.permutation(batch[min(len(wanted), 1) : count])
    return np.array([*wanted[:1], *others], dtype=np.int64)


def promising_networks(
    candidates: EncodedNetworks, costs: NDArray[np.float64], expected: NDArray[np.float64], count: int
) -> list[Hashable]:
    """Return networks of the front that is expected before anything is known from here.

    Args:
        candidates: n distinct networks.
        costs: Their costs, shape (n,).
        expected: Their expected errors, in any unit, shape (n,).
        count: How many networks are wanted.

    Returns:
        The keys of at most `count` networks of the front of costs and expected errors, evenly spread along it.
    """
    order = np.lexsort((expected, costs))
    best = np.minimum.accumulate(expected[order])
    front = order[np.append(True, best[1:] < best[:-1])]
    places = np.unique(np.linspace(0, len(front) - 1, count).round().astype(np.int64))
    return [candidates.keys[row] for row in front[places]]
