"""Networks as predictors see them: choices one-hot, and sizes."""

from __future__ import annotations

import itertools
from collections.abc import Container, Sequence
from dataclasses import dataclass
from math import log, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evomnas.architecture import Architecture
from evomnas.counting import count
from evomnas.space import GENES, Genomes, SearchSpace, Space

SIZES = 5
LAST_SIDE = 4  # pixels at a network's end when MACs are counted: their ratios hardly depend on the resolution


@dataclass(frozen=True, slots=True)
class Described:
    """Networks, row by row.

    Attributes:
        genomes: Shape (n, n_var).
        networks: What they decode to.
        one_hot: Shape (n, choices), the same for genomes of one network.
        sizes: In a `SearchSpace` logarithms of MACs, parameters, layers, and 1 + layers with squeeze-and-excite and
            with a skip, shape (n, 5): whole networks', since those of blocks, which are in their genes, predicted no
            better. Nothing, shape (n, 0), elsewhere.
    """

    genomes: Genomes
    networks: tuple[Any, ...]
    one_hot: NDArray[np.float64]
    sizes: NDArray[np.float64]

    def __getitem__(self, rows: NDArray[np.int64]) -> Described:
        chosen = tuple(self.networks[row] for row in rows)
        return Described(self.genomes[rows], chosen, self.one_hot[rows], self.sizes[rows])

    def __len__(self) -> int:
        return len(self.networks)


class Describer:
    """Describes the networks of a space.

    Attributes:
        space: The space.
        gene: Which gene each column of `Described.one_hot` belongs to, shape (choices,).
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        self._choices = _choices(space) if isinstance(space, SearchSpace) else None
        # One more where a space is a `SearchSpace`: a canonical block may hold a value that is none of its choices.
        widths = [int(size) + (self._choices is not None) for size in space.gene_sizes]
        self.gene = np.repeat(np.arange(len(widths)), widths)
        self._starts = np.cumsum([0, *widths[:-1]])

    def __call__(self, genomes: Genomes, networks: Sequence[Any] | None = None) -> Described:
        """Describe genomes of shape (n, n_var); `networks` are what they decode to, where that is known."""
        decoded = tuple(map(self.space.decode, genomes)) if networks is None else tuple(networks)
        codes, sizes = genomes, np.zeros((len(genomes), 0))
        if isinstance(self.space, SearchSpace):
            codes = np.array([self._codes(one) for one in decoded], dtype=np.int64).reshape(genomes.shape)
            sizes = np.array([_sizes(self.space, one) for one in decoded], dtype=np.float64).reshape(-1, SIZES)
        one_hot = np.zeros((len(genomes), len(self.gene)))
        np.put_along_axis(one_hot, codes + self._starts, 1.0, axis=1)
        return Described(genomes, decoded, one_hot, sizes)

    def _codes(self, architecture: Architecture) -> list[int]:
        assert self._choices is not None
        values = [getattr(block, name) for block in architecture.blocks for name in GENES]
        return [known.get(value, len(known)) for known, value in zip(self._choices, values, strict=True)]


def joined(*parts: Described) -> Described:
    """The networks of all parts, of which there is at least one."""
    genomes, one_hot, sizes = (
        np.concatenate([getattr(one, name) for one in parts]) for name in ("genomes", "one_hot", "sizes")
    )
    return Described(genomes, tuple(itertools.chain.from_iterable(one.networks for one in parts)), one_hot, sizes)


def distinct(described: Described, without: Container[object] = ()) -> Described:
    """Each network once, and none of those in `without`."""
    first: dict[object, int] = {}
    for row, network in enumerate(described.networks):
        if network not in without:
            first.setdefault(network, row)
    return described[np.array(list(first.values()), dtype=np.int64)]


def _choices(space: SearchSpace) -> list[dict[object, int]]:
    """Per gene its values and the first choice that stands for each."""
    genes = [choices for block in range(space.blocks) for choices in space.choices(block)]
    return [{value: place for place, value in reversed(list(enumerate(choices)))} for choices in genes]


def _sizes(space: SearchSpace, architecture: Architecture) -> list[float]:
    side = prod(space.strides) * space.stem_stride * LAST_SIDE
    counts = count(architecture, classes=1, channels=3, resolution=side)
    layers = sum(block.layers for block in architecture.blocks)
    gated = sum(block.layers for block in architecture.blocks if block.se)
    skipping = sum(block.layers for block in architecture.blocks if block.skip != "none")
    return [log(value) for value in (counts.macs, counts.params, layers, 1 + gated, 1 + skipping)]
