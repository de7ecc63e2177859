"""A first batch that covers the space's range of costs, before anything is known of errors."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
from numpy.typing import NDArray

from evomnas.algorithms.surrogate.features import Described, Describer, distinct
from evomnas.problem.search_space import Genomes

DRAWN = 400  # random networks that it is chosen from, and as many mixes of them with the smallest and the largest
TRIED = 64  # of a band of costs


def first_candidates(describe: Describer, rng: np.random.Generator) -> Described:
    """Random networks; where sizes are known, also mixes of these with the smallest and largest choices.

    Random networks are of medium size: most of a space's range of costs is beyond what a few hundred of them span.
    """
    space = describe.space
    genomes = np.array([space.draw(rng) for _ in range(DRAWN)], dtype=np.int64)
    reference = space.reference()
    if reference is not None:
        genomes[0] = reference
    drawn = describe(genomes)
    if drawn.sizes.shape[1]:
        effects = np.asarray(np.linalg.lstsq(drawn.one_hot, drawn.sizes[:, 0], rcond=None)[0], dtype=np.float64)
        ends = _ends(effects, describe, space.gene_sizes)
        shares = rng.random((DRAWN, 1))
        mixed = np.where(rng.random(genomes.shape) < shares, ends[rng.integers(2, size=DRAWN)], genomes)
        mixed[:2] = ends
        drawn = describe(np.concatenate([genomes, mixed]))
    return distinct(drawn)


def _ends(effects: NDArray[np.float64], describe: Describer, sizes: NDArray[np.int64]) -> Genomes:
    """The genomes whose choices have the least and the largest effects, shape (2, n_var)."""
    genes = [effects[describe.gene == gene][:size] for gene, size in enumerate(sizes)]
    return np.array([[int(one.argmin()) for one in genes], [int(one.argmax()) for one in genes]], dtype=np.int64)


def first_batch(
    candidates: Described,
    costs: NDArray[np.float64] | None,
    count: int,
    rng: np.random.Generator,
    reference: Hashable = None,
) -> NDArray[np.int64]:
    """Rows of `count` candidates (or all): the cheapest, the dearest, and one of each band of costs between them.

    Each is as different as possible from those before, of a random few of its band; without `costs`, shape (n,), of
    any random few. The one of the key `reference`, where it is a candidate, comes first, since people compare with it;
    the others in any order, so that those which a budget leaves cover the range as well.
    """
    order = rng.permutation(len(candidates)) if costs is None else np.argsort(costs, kind="stable")
    first = [row for row, key in enumerate(candidates.keys) if key == reference]
    chosen = list(dict.fromkeys([*first, *([] if costs is None else (int(order[0]), int(order[-1])))]))
    bands = len(order) if len(order) <= count else max(count - len(chosen), 1)
    for band in np.array_split(order, bands):
        few = rng.permutation(np.setdiff1d(band, chosen))[:TRIED]
        nearest = np.ones(len(few))
        if chosen:
            shared = candidates.one_hot[few] @ candidates.one_hot[chosen].T
            nearest = shared.max(axis=1)  # of the one it shares most choices with
        if len(few):
            chosen.append(int(few[int(np.argmin(nearest))]))
    rest = rng.permutation(chosen[len(first) : count])
    return np.array([*first, *rest], dtype=np.int64)
