"""Networks as the predictors see them: the choices of their genes one-hot, and their sizes as numbers."""

from __future__ import annotations

import itertools
from collections.abc import Container, Hashable, Iterator
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from evomnas.core.resolution import area
from evomnas.problem.counting import count_block, count_stem, count_tail
from evomnas.problem.genes.block_genes import GENES
from evomnas.problem.genes.network_genes import RESOLUTION, WIDTH
from evomnas.problem.ops.catalogue import operation
from evomnas.problem.search_space import Genomes, SearchSpace, Space

SIZE_COUNT = 5  # sizes per network: MACs, parameters, layers, layers with squeeze-and-excite, layers with a skip
FINAL_SIDE = 4  # height and width in pixels of a network's output, for its MACs: their ratios hardly depend on it


@dataclass(frozen=True, slots=True)
class EncodedNetworks:
    """Networks in the form that predictors need, one per row.

    Attributes:
        genomes: Shape (n, n_var).
        keys: One key per network. All genomes of one network have the same key, and different networks different keys.
        one_hot: The choices, shape (n, choices). All genomes of one network have the same row.
        sizes: In a `SearchSpace`, the logarithms of the MACs, the parameters, the layers, 1 + the layers with
            squeeze-and-excite, and 1 + the layers with a skip, shape (n, 5). They are those of whole networks: sizes of
            single blocks, which follow from the genes, predicted no better. In other spaces, nothing: shape (n, 0).
    """

    genomes: Genomes
    keys: tuple[Hashable, ...]
    one_hot: NDArray[np.float64]
    sizes: NDArray[np.float64]

    def __getitem__(self, rows: NDArray[np.int64]) -> EncodedNetworks:
        keys = tuple(self.keys[row] for row in rows)
        return EncodedNetworks(self.genomes[rows], keys, self.one_hot[rows], self.sizes[rows])

    def __len__(self) -> int:
        return len(self.keys)


@dataclass(frozen=True, slots=True)
class _EncodedBlock:
    """A block of a `SearchSpace` and what it adds to its network.

    Attributes:
        key: Its canonical genes, as bytes of int64.
        filters: Its output channels.
        sizes: Its sizes, `SIZE_COUNT` of them. Those of the first block include the stem, and those of the last block
            include head and classifier.
    """

    key: bytes
    filters: int
    sizes: tuple[int, ...]


class NetworkEncoder:
    """Encodes the networks of a space.

    Attributes:
        space: The space.
        gene: The gene that each column of `EncodedNetworks.one_hot` belongs to, shape (choices,).
    """

    def __init__(self, space: Space) -> None:
        """Prepare the columns.

        Args:
            space: The space.
        """
        self.space = space
        # One column more per gene of a `SearchSpace`: a canonical block may have a value that is none of its choices.
        widths = [int(size) + isinstance(space, SearchSpace) for size in space.gene_sizes]
        self.gene = np.repeat(np.arange(len(widths)), widths)
        self._starts = np.cumsum([0, *widths[:-1]])
        self._block_cache: dict[tuple[int, ...], _EncodedBlock] = {}  # many networks consist of the same blocks

    def __call__(self, genomes: Genomes) -> EncodedNetworks:
        """Encode genomes.

        Args:
            genomes: Shape (n, n_var); n may be 0.

        Returns:
            The networks, in the order of the genomes.
        """
        if isinstance(self.space, SearchSpace):
            blocks = [block for genome in genomes.tolist() for block in self._encode_blocks(self.space, genome)]
            count, depth = len(genomes), self.space.blocks
            keys = tuple(
                b"".join([block.key for block in blocks[row : row + depth]]) for row in range(0, len(blocks), depth)
            )
            last = genomes[:, depth * len(GENES) :]  # the genes of whole networks
            keys = tuple(key + gene.tobytes() for key, gene in zip(keys, last, strict=True))
            codes = np.frombuffer(b"".join(keys), dtype=np.int64).reshape(genomes.shape)
            block_sizes = np.array([block.sizes for block in blocks], dtype=np.float64)
            sizes = block_sizes.reshape(count, depth, SIZE_COUNT).sum(axis=1)
            if self.space.resolutions:
                roots = np.sqrt(np.array([*map(area, self.space.resolutions)], dtype=np.float64))
                chosen = last[:, self.space.network_genes.names.index(RESOLUTION)]
                sizes[:, 0] *= (roots[chosen] / roots.max()) ** 2
            return EncodedNetworks(genomes, keys, self._one_hot(codes), np.log(sizes))
        keys = tuple(map(self.space.decode, genomes))
        return EncodedNetworks(genomes, keys, self._one_hot(genomes), np.zeros((len(genomes), 0)))

    def key(self, genome: NDArray[np.int64]) -> Hashable:
        """Return the key of one network.

        Args:
            genome: Shape (n_var,).

        Returns:
            The key, as in `EncodedNetworks.keys`.
        """
        return self(genome[None]).keys[0]

    def _one_hot(self, codes: NDArray[np.int64]) -> NDArray[np.float64]:
        one_hot = np.zeros((len(codes), len(self.gene)))
        np.put_along_axis(one_hot, codes + self._starts, 1.0, axis=1)
        return one_hot

    def _encode_blocks(self, space: SearchSpace, genome: list[int]) -> Iterator[_EncodedBlock]:
        width = genome[len(GENES) * space.blocks + space.network_genes.names.index(WIDTH)] if space.widths else 0
        space = space.by_width[width]
        filters = space.stem_filters
        for number in range(space.blocks):
            cache_key = width, number, filters, *genome[number * len(GENES) : (number + 1) * len(GENES)]
            block = self._block_cache.get(cache_key)
            if block is None:
                block = self._block_cache[cache_key] = _encode_block(space, *cache_key[1:])
            yield block
            filters = block.filters


def _encode_block(space: SearchSpace, number: int, in_filters: int, *genes: int) -> _EncodedBlock:
    block = space.decode_block(number, genes, in_filters)
    known = [operation(op).canonical(space.kernel_choices(number)[genes[1]])[0] for op in space.op_choices(number)]
    choices_by_gene = zip(GENES, (known, *space.choices(number)[1:]), strict=True)
    codes = [
        choices.index(value) if (value := getattr(block, name)) in choices else len(choices)
        for name, choices in choices_by_gene
    ]
    side = FINAL_SIDE * prod(space.strides[number:])
    counts = count_block(block, in_filters, side)
    layers, skips, is_first, is_last = block.layers, block.skip != "none", number == 0, number == space.blocks - 1
    if is_first:
        counts += count_stem(in_filters, 3, side)
    if is_last:
        counts += count_tail(block.filters, space.head, 1, space.traits.head_size(FINAL_SIDE))
    # The first block brings the 1 that keeps the logarithms of these two sums finite.
    se_layers, skip_layers = (is_first + layers * bool(feature) for feature in (block.se, skips))
    return _EncodedBlock(
        np.array(codes, dtype=np.int64).tobytes(),
        block.filters,
        (counts.macs, counts.params, layers, se_layers, skip_layers),
    )


def concatenate(*parts: EncodedNetworks) -> EncodedNetworks:
    """Join several sets of networks of one space.

    Args:
        *parts: The sets, at least one.

    Returns:
        All their networks, in order.
    """
    genomes, one_hot, sizes = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("genomes", "one_hot", "sizes")
    )
    return EncodedNetworks(genomes, tuple(itertools.chain.from_iterable(part.keys for part in parts)), one_hot, sizes)


def drop_duplicates(networks: EncodedNetworks, without: Container[object] = ()) -> EncodedNetworks:
    """Keep each network once.

    Args:
        networks: The networks.
        without: Keys of networks that are dropped altogether.

    Returns:
        The first row of every other network, in order.
    """
    first_rows: dict[Hashable, int] = {}
    for row, key in enumerate(networks.keys):
        if key not in without:
            first_rows.setdefault(key, row)
    return networks[np.array(list(first_rows.values()), dtype=np.int64)]


class Standardizer:
    """Shifts and scales columns so that those of given numbers have mean 0 and deviation 1."""

    def __init__(self, numbers: NDArray[np.float64]) -> None:
        """Take mean and deviation of some numbers.

        Args:
            numbers: Shape (n, k).
        """
        self._mean, deviation = numbers.mean(axis=0), numbers.std(axis=0)
        self._deviation = np.where(deviation > 0, deviation, 1.0)

    def standardize(self, numbers: NDArray[np.float64]) -> NDArray[np.float64]:
        """Shift and scale numbers.

        Args:
            numbers: Shape (n, k).

        Returns:
            Of the same shape.
        """
        standard: NDArray[np.float64] = (numbers - self._mean) / self._deviation
        return standard
