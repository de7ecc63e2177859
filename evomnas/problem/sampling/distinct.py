"""The distinct networks of a search space: how many, of which blocks, and a draw in which each has the same chance.

The blocks before a block decide what its genes build only through their filters. So everything here follows from the
distinct blocks behind each width, along the chain of blocks.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from evomnas.problem.architecture import Block


class BlockSpace(Protocol):
    """A space of networks that are chains of blocks, as far as it is needed here; see `SearchSpace`."""

    @property
    def blocks(self) -> int:
        """The number of blocks."""
        ...

    @property
    def kernels(self) -> tuple[int, ...]:
        """The kernel sizes that a block may have."""
        ...

    @property
    def stem_filters(self) -> int:
        """The filters of the stem."""
        ...

    def choices(self, number: int) -> tuple[tuple[object, ...], ...]:
        """See `SearchSpace.choices`."""
        ...

    def op_choices(self, number: int) -> tuple[str, ...]:
        """See `SearchSpace.op_choices`."""
        ...

    def filter_choices(self, number: int) -> tuple[int, ...]:
        """See `SearchSpace.filter_choices`."""
        ...

    def decode_block(self, number: int, genes: Sequence[int] | NDArray[np.int64], in_filters: int) -> Block:
        """See `SearchSpace.decode_block`."""
        ...


class DistinctNetworks:
    """The distinct networks of a space, without the gene of a resolution."""

    def __init__(self, space: BlockSpace) -> None:
        """Remember the space; what is asked for is worked out once.

        Args:
            space: The space.
        """
        self._space = space

    @property
    def count(self) -> int:
        """The number of distinct networks."""
        return self._counts[0][self._space.stem_filters]

    @cached_property
    def _operations(self) -> list[list[tuple[int, int]]]:
        """The (op, kernel) genes of every block that build different operations, wherever the block stands."""
        operations = []
        for number in range(self._space.blocks):
            genes = reversed(list(enumerate(self._space.op_choices(number))))
            first_genes = {Block(op, 3, 1, 1, 1).op: gene for gene, op in genes}
            operations.append(list(itertools.product(sorted(first_genes.values()), range(len(self._space.kernels)))))
        return operations

    @cached_property
    def _shapes(self) -> list[dict[int, dict[Block, tuple[int, ...]]]]:
        """The distinct shapes of every block, by the input channels that it may have.

        A shape is a block whose op and kernel are the first ones of this space. Its value is the last four genes.
        """
        shapes_by_block: list[dict[int, dict[Block, tuple[int, ...]]]] = []
        widths = {self._space.stem_filters}
        for number in range(self._space.blocks):
            _, _, *shape_genes = (range(len(choices)) for choices in self._space.choices(number))
            by_width: dict[int, dict[Block, tuple[int, ...]]] = {width: {} for width in widths}
            for width, genes in itertools.product(widths, itertools.product(*shape_genes)):
                by_width[width].setdefault(self._space.decode_block(number, (0, 0, *genes), width), genes)
            shapes_by_block.append(by_width)
            widths = set(self._space.filter_choices(number))
        return shapes_by_block

    def blocks_at(self, number: int, in_filters: int) -> Iterator[tuple[Block, tuple[int, ...]]]:
        """Yield the distinct blocks that are possible at a place of the network.

        Args:
            number: Index of the block, from 0.
            in_filters: Its input channels, which must be possible there.

        Yields:
            Each distinct block in canonical form, and six genes that decode to it.
        """
        for block, genes in self._shapes[number][in_filters].items():
            for op, kernel in self._operations[number]:
                yield (
                    replace(block, op=self._space.op_choices(number)[op], kernel=self._space.kernels[kernel]),
                    (op, kernel, *genes),
                )

    @cached_property
    def _counts(self) -> list[dict[int, int]]:
        """The number of distinct ways to go on from each block, by its input channels; the last element is the end.

        The blocks before a block decide what its genes build only through their filters. So it is enough to count the
        distinct blocks behind each width, and to multiply these counts along the chain of blocks.
        """
        counts = [dict.fromkeys(self._space.filter_choices(self._space.blocks - 1), 1)]
        for number, by_width in reversed(list(enumerate(self._shapes))):
            after, operations = counts[0], len(self._operations[number])
            counts.insert(
                0,
                {
                    width: operations * sum(after[shape.filters] for shape in shapes)
                    for width, shapes in by_width.items()
                },
            )
        return counts

    @cached_property
    def _odds(self) -> list[dict[int, tuple[list[tuple[int, ...]], list[int], NDArray[np.float64]]]]:
        """The chances of every block's distinct shapes, by its input channels.

        Each value holds the last four genes of the shapes, their filters, and their cumulative chances, shape
        (shapes,).
        """
        odds: list[dict[int, tuple[list[tuple[int, ...]], list[int], NDArray[np.float64]]]] = []
        for by_width, after in zip(self._shapes, self._counts[1:], strict=True):
            odds.append({})
            for width, shapes in by_width.items():
                filters = [shape.filters for shape in shapes]
                total = sum(after[out_filters] for out_filters in filters)
                cumulative = np.cumsum([after[out_filters] / total for out_filters in filters])
                odds[-1][width] = list(shapes.values()), filters, cumulative / cumulative[-1]
        return odds

    def draw(self, rng: np.random.Generator) -> list[int]:
        """Draw a network, each with the same chance.

        Args:
            rng: Source of the random numbers.

        Returns:
            The genes of its blocks.
        """
        genome: list[int] = []
        width = self._space.stem_filters
        for operations, odds in zip(self._operations, self._odds, strict=True):
            genes, filters, cumulative = odds[width]
            shape = int(cumulative.searchsorted(rng.random(), side="right"))
            genome += [*operations[rng.integers(len(operations))], *genes[shape]]
            width = filters[shape]
        return genome
