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
from evomnas.problem.ops.catalogue import operation


class BlockSpace(Protocol):
    """A space of networks that are chains of blocks, as far as it is needed here; see `SearchSpace`."""

    @property
    def blocks(self) -> int:
        """The number of blocks."""
        ...

    def kernel_choices(self, number: int) -> tuple[int, ...]:
        """See `SearchSpace.kernel_choices`."""
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

    def out_filters(self, number: int) -> tuple[int, ...]:
        """See `SearchSpace.out_filters`."""
        ...

    def decode_block(self, number: int, genes: Sequence[int] | NDArray[np.int64], in_filters: int) -> Block:
        """See `SearchSpace.decode_block`."""
        ...


class DistinctNetworks:
    """The distinct networks of a space, without genes of whole networks."""

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
        """The (op, kernel) genes of every block that build different operations with weights, wherever it stands."""
        operations = []
        for number in range(self._space.blocks):
            first_genes: dict[tuple[str, int], tuple[int, int]] = {}
            kernels = self._space.kernel_choices(number)
            for op, kernel in itertools.product(range(len(self._space.op_choices(number))), range(len(kernels))):
                found = operation(self._space.op_choices(number)[op])
                if not found.is_weightless:
                    first_genes.setdefault(found.canonical(kernels[kernel]), (op, kernel))
            operations.append(sorted(first_genes.values()))
        return operations

    @cached_property
    def _shapes(self) -> list[dict[int, dict[Block, tuple[int, ...]]]]:
        """The distinct shapes of every block, by the input channels that it may have.

        A shape is a block whose op and kernel are the first ones with weights. Its value is the last four genes. Blocks
        without weights are no shapes: `_passes` has them.
        """
        return [
            {width: self._distinct_blocks(number, width, operations[:1]) for width in widths}
            for number, (widths, operations) in enumerate(zip(self._widths, self._operations, strict=True))
        ]

    @cached_property
    def _passes(self) -> list[dict[int, dict[Block, tuple[int, ...]]]]:
        """The distinct blocks without weights of every block, by its input channels, with their last four genes."""
        return [
            {width: self._distinct_blocks(number, width, [(op, 0) for op in self._weightless[number]]) for width in ins}
            for number, ins in enumerate(self._widths)
        ]

    @cached_property
    def _weightless(self) -> list[list[int]]:
        """The op gene of every block that builds no weights, in a list; an empty one where there is none."""
        ops = [self._space.op_choices(number) for number in range(self._space.blocks)]
        return [[gene for gene, op in enumerate(choices) if operation(op).is_weightless][:1] for choices in ops]

    @cached_property
    def _widths(self) -> list[set[int]]:
        """The input channels that every block may have."""
        widths = [{self._space.stem_filters}]
        for number in range(self._space.blocks - 1):
            widths.append(set(self._space.out_filters(number)))
        return widths

    def _distinct_blocks(
        self, number: int, width: int, operations: Sequence[tuple[int, int]]
    ) -> dict[Block, tuple[int, ...]]:
        """Return the distinct blocks behind `width` channels with some (op, kernel) genes, and their other genes."""
        _, _, *shape_genes = (range(len(choices)) for choices in self._space.choices(number))
        blocks: dict[Block, tuple[int, ...]] = {}
        for start, genes in itertools.product(operations, itertools.product(*shape_genes)):
            blocks.setdefault(self._space.decode_block(number, (*start, *genes), width), genes)
        return blocks

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
                    replace(
                        block, op=self._space.op_choices(number)[op], kernel=self._space.kernel_choices(number)[kernel]
                    ),
                    (op, kernel, *genes),
                )
        for block, genes in self._passes[number][in_filters].items():
            yield block, (self._weightless[number][0], 0, *genes)

    @cached_property
    def _counts(self) -> list[dict[int, int]]:
        """The number of distinct ways to go on from each block, by its input channels; the last element is the end.

        The blocks before a block decide what its genes build only through their filters. So it is enough to count the
        distinct blocks behind each width, and to multiply these counts along the chain of blocks.
        """
        counts = [dict.fromkeys(self._space.out_filters(self._space.blocks - 1), 1)]
        for number in reversed(range(self._space.blocks)):
            after, operations = counts[0], len(self._operations[number])
            counts.insert(
                0,
                {
                    width: operations * sum(after[shape.filters] for shape in shapes)
                    + sum(after[block.filters] for block in self._passes[number][width])
                    for width, shapes in self._shapes[number].items()
                },
            )
        return counts

    @cached_property
    def _odds(self) -> list[dict[int, tuple[list[tuple[int, ...]], list[int], NDArray[np.float64]]]]:
        """The chances of every block's distinct shapes, by its input channels.

        Each value holds the last four genes of the shapes, then those of the blocks without weights, their filters, and
        their cumulative chances, shape (n,).
        """
        odds: list[dict[int, tuple[list[tuple[int, ...]], list[int], NDArray[np.float64]]]] = []
        for number, after in enumerate(self._counts[1:]):
            odds.append({})
            operations = len(self._operations[number])
            for width, shapes in self._shapes[number].items():
                passes = self._passes[number][width]
                filters = [block.filters for block in (*shapes, *passes)]
                factors = [operations] * len(shapes) + [1] * len(passes)
                weights = [factor * after[out] for factor, out in zip(factors, filters, strict=True)]
                total = sum(weights)
                cumulative = np.cumsum([weight / total for weight in weights])
                odds[-1][width] = [*shapes.values(), *passes.values()], filters, cumulative / cumulative[-1]
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
        for number, odds in enumerate(self._odds):
            genes, filters, cumulative = odds[width]
            shape = int(cumulative.searchsorted(rng.random(), side="right"))
            operations = self._operations[number]
            is_pass = shape >= len(self._shapes[number][width])
            start = (self._weightless[number][0], 0) if is_pass else operations[rng.integers(len(operations))]
            genome += [*start, *genes[shape]]
            width = filters[shape]
        return genome
