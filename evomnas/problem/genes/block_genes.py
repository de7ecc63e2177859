"""The six genes of a block, and which ones a block has."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

from evomnas.core.errors import InputError
from evomnas.problem.architecture import Block
from evomnas.problem.ops.catalogue import operation

GENES = ("op", "kernel", "se", "skip", "filters", "layers")


class DecodingSpace(Protocol):
    """A space that decodes blocks; see `evomnas.problem.search_space.SearchSpace`."""

    @property
    def strides(self) -> tuple[int, ...]:
        """The stride of each block's first layer."""
        ...

    def op_choices(self, number: int) -> tuple[str, ...]:
        """See `SearchSpace.op_choices`."""
        ...

    def kernel_choices(self, number: int) -> tuple[int, ...]:
        """See `SearchSpace.kernel_choices`."""
        ...

    def choices(self, number: int) -> tuple[tuple[object, ...], ...]:
        """See `SearchSpace.choices`."""
        ...

    def decode_block(self, number: int, genes: Sequence[int], in_filters: int) -> Block:
        """See `SearchSpace.decode_block`."""
        ...


def encode_block(space: DecodingSpace, number: int, block: Block, in_filters: int) -> list[int]:
    """Return the genes of a block.

    Args:
        space: The space.
        number: Index of the block, from 0.
        block: The block, in canonical form.
        in_filters: Its input channels.

    Returns:
        Of the genes that decode to the block, those that come first in lexicographic order, but for filters and layers,
        which come before squeeze-and-excite and skip.

    Raises:
        InputError: The block is not in the space; the message names the place.
    """
    genes = [*_encode_operation(space, number, block), *[0] * (len(GENES) - 2)]
    sizes = [len(choices) for choices in space.choices(number)]
    for name in ("filters", "layers", "se", "skip"):
        gene = GENES.index(name)
        for value in range(sizes[gene]):
            genes[gene] = value
            if getattr(space.decode_block(number, genes, in_filters), name) == getattr(block, name):
                break
        else:
            rows = ([*genes[:gene], value, *genes[gene + 1 :]] for value in range(sizes[gene]))
            candidates = (space.decode_block(number, row, in_filters) for row in rows)
            raise _foreign(number, block, name, {str(getattr(candidate, name)) for candidate in candidates})
    if space.decode_block(number, genes, in_filters) != block:
        raise InputError(f"block {number + 1}: stride {block.stride} is not {space.strides[number]}")
    return genes


def _encode_operation(space: DecodingSpace, number: int, block: Block) -> tuple[int, int]:
    """Return the first genes of ConvOp and KernelSize that give a block's.

    Raises:
        InputError: There are none.
    """
    ops, kernels = space.op_choices(number), space.kernel_choices(number)
    known: set[tuple[str, int]] = set()
    for op, kernel in itertools.product(range(len(ops)), range(len(kernels))):
        canonical = operation(ops[op]).canonical(kernels[kernel])
        if canonical == (block.op, block.kernel):
            return op, kernel
        known.add(canonical)
    sizes = {str(kernel) for op, kernel in known if op == block.op}
    raise _foreign(number, block, "kernel" if sizes else "op", sizes or {op for op, _ in known})


def _foreign(number: int, block: Block, name: str, allowed: set[str]) -> InputError:
    value, choices = getattr(block, name), ", ".join(sorted(allowed))
    return InputError(f"block {number + 1}: {name} {value} is not in this search space, which has {choices}")


def block_errors(settings: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Yield the error of each setting that a block refuses; each one is tried with values that are valid otherwise.

    Args:
        settings: Values of a block's fields, by their names.

    Yields:
        The messages.
    """
    valid: dict[str, Any] = {"op": "conv", "kernel": 3, "stride": 1, "filters": 1, "layers": 1}
    for setting in settings:
        try:
            Block(**valid | setting)
        except InputError as error:
            yield str(error)
