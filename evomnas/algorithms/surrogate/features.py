"""Networks as predictors see them: choices one-hot, and sizes."""

from __future__ import annotations

import itertools
from collections.abc import Container, Hashable, Iterator
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from evomnas.problem.counting import count_block, count_stem, count_tail
from evomnas.problem.search_space import GENES, Genomes, SearchSpace, Space

SIZES = 5
LAST_SIDE = 4  # pixels at a network's end when MACs are counted: their ratios hardly depend on the resolution


@dataclass(frozen=True, slots=True)
class Described:
    """Networks, row by row.

    Attributes:
        genomes: Shape (n, n_var).
        keys: Each network's own, the same for all genomes of one network.
        one_hot: Shape (n, choices), the same for genomes of one network.
        sizes: In a `SearchSpace` logarithms of MACs, parameters, layers, and 1 + layers with squeeze-and-excite and
            with a skip, shape (n, 5): whole networks', since those of blocks, which are in their genes, predicted no
            better. Nothing, shape (n, 0), elsewhere.
    """

    genomes: Genomes
    keys: tuple[Hashable, ...]
    one_hot: NDArray[np.float64]
    sizes: NDArray[np.float64]

    def __getitem__(self, rows: NDArray[np.int64]) -> Described:
        chosen = tuple(self.keys[row] for row in rows)
        return Described(self.genomes[rows], chosen, self.one_hot[rows], self.sizes[rows])

    def __len__(self) -> int:
        return len(self.keys)


@dataclass(frozen=True, slots=True)
class _Part:
    """What a block of a `SearchSpace` brings to its network: its canonical genes, as bytes of int64, and its sizes."""

    key: bytes
    filters: int
    sizes: tuple[int, ...]


class Describer:
    """Describes the networks of a space.

    Attributes:
        space: The space.
        gene: Which gene each column of `Described.one_hot` belongs to, shape (choices,).
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        # One more where a space is a `SearchSpace`: a canonical block may hold a value that is none of its choices.
        widths = [int(size) + isinstance(space, SearchSpace) for size in space.gene_sizes]
        self.gene = np.repeat(np.arange(len(widths)), widths)
        self._starts = np.cumsum([0, *widths[:-1]])
        self._parts: dict[tuple[int, ...], _Part] = {}  # as searches describe many networks of the same blocks

    def __call__(self, genomes: Genomes) -> Described:
        """Describe genomes of shape (n, n_var)."""
        if isinstance(self.space, SearchSpace):
            parts = [part for genome in genomes.tolist() for part in self._parts_of(self.space, genome)]
            count, blocks = len(genomes), self.space.blocks
            keys = tuple(
                b"".join([part.key for part in parts[row : row + blocks]]) for row in range(0, len(parts), blocks)
            )
            codes = np.frombuffer(b"".join(keys), dtype=np.int64).reshape(genomes.shape)
            sizes = np.array([part.sizes for part in parts], dtype=np.float64).reshape(count, blocks, SIZES).sum(axis=1)
            return Described(genomes, keys, self._one_hot(codes), np.log(sizes))
        keys = tuple(map(self.space.decode, genomes))
        return Described(genomes, keys, self._one_hot(genomes), np.zeros((len(genomes), 0)))

    def key(self, genome: NDArray[np.int64]) -> Hashable:
        """The key of one network."""
        return self(genome[None]).keys[0]

    def _one_hot(self, codes: NDArray[np.int64]) -> NDArray[np.float64]:
        one_hot = np.zeros((len(codes), len(self.gene)))
        np.put_along_axis(one_hot, codes + self._starts, 1.0, axis=1)
        return one_hot

    def _parts_of(self, space: SearchSpace, genome: list[int]) -> Iterator[_Part]:
        filters = space.stem_filters
        for number in range(space.blocks):
            place = number, filters, *genome[number * len(GENES) : (number + 1) * len(GENES)]
            part = self._parts.get(place)
            if part is None:
                part = self._parts[place] = _part(space, *place)
            yield part
            filters = part.filters


def _part(space: SearchSpace, number: int, in_filters: int, *genes: int) -> _Part:
    block = space.decode_block(number, genes, in_filters)
    choices = zip(GENES, space.choices(number), strict=True)
    codes = [one.index(value) if (value := getattr(block, name)) in one else len(one) for name, one in choices]
    side = LAST_SIDE * prod(space.strides[number:])
    counts = count_block(block, in_filters, side)
    layers, skips, first, last = block.layers, block.skip != "none", number == 0, number == space.blocks - 1
    if first:
        counts += count_stem(in_filters, 3, side)
    if last:
        counts += count_tail(block.filters, space.head, 1, LAST_SIDE)
    gated, skipping = (first + layers * bool(one) for one in (block.se, skips))
    return _Part(
        np.array(codes, dtype=np.int64).tobytes(), block.filters, (counts.macs, counts.params, layers, gated, skipping)
    )


def joined(*parts: Described) -> Described:
    """The networks of all parts, of which there is at least one."""
    genomes, one_hot, sizes = (
        np.concatenate([getattr(one, name) for one in parts]) for name in ("genomes", "one_hot", "sizes")
    )
    return Described(genomes, tuple(itertools.chain.from_iterable(one.keys for one in parts)), one_hot, sizes)


def distinct(described: Described, without: Container[object] = ()) -> Described:
    """Each network once, and none of those in `without`."""
    first: dict[Hashable, int] = {}
    for row, key in enumerate(described.keys):
        if key not in without:
            first.setdefault(key, row)
    return described[np.array(list(first.values()), dtype=np.int64)]
