"""Preferences of a front: how often each value of each gene occurs on the front, and among all evaluated networks.

In MnasNet's space every block has its own genes. The paper argues that good networks use this freedom: their layers
differ from block to block (Tan et al., CVPR 2019, section 6.2).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evomnas.problem.architecture import Architecture, Block
from evomnas.problem.definition import ProblemDefinition, TableDefinition
from evomnas.problem.genes.block_genes import GENES
from evomnas.problem.ops.catalogue import operation
from evomnas.problem.search_space import SearchSpace
from evomnas.problem.table import GENE_SEPARATORS
from evomnas.problem.tabular_space import TabularArchitecture
from evomnas.results.run import Result, Run

MAX_ROWS, MAX_COLUMNS = 40, 40  # nobody can read a larger heat map


@dataclass(frozen=True, slots=True, eq=False)
class Preferences:
    """Shares of gene values, as two heat maps.

    Attributes:
        columns: Names of the blocks, or of a table's genes.
        rows: The gene and the value of each row.
        everywhere: The share of all evaluated networks that have the row's value in the column, shape (rows, columns),
            from 0 to 1. NaN where the space has no such choice or, on a table, where no evaluated network has it.
        front: The same share of the networks on the front; NaN in the same places.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, str], ...]
    everywhere: NDArray[np.float64]
    front: NDArray[np.float64]

    @property
    def numbers(self) -> list[str]:
        """Short names of the columns: the number of a block, the name of a table's gene."""
        return [name.removeprefix("block ").removeprefix("gene ") for name in self.columns]

    def by_gene(self, shares: NDArray[np.float64]) -> list[tuple[str, list[tuple[str, list[float]]]]]:
        """Group the rows of a heat map by gene.

        Args:
            shares: `everywhere` or `front`, shape (rows, columns).

        Returns:
            For each gene its name and its values; for each value its name and its row of `shares`.
        """
        genes = groupby(zip(self.rows, shares.tolist(), strict=True), key=lambda row: row[0][0])
        return [(gene, [(value, row) for (_, value), row in rows]) for gene, rows in genes]

    def strongest(self, count: int = 3) -> list[tuple[str, str, str, float, float]]:
        """Return the places where the front differs most from all evaluated networks.

        Args:
            count: The number of places, at most.

        Returns:
            Per place the column, the gene, the value, its share on the front and its share of all evaluated networks.
            The largest difference comes first. Places where the front has no larger share are left out.
        """
        gain = np.nan_to_num(self.front - self.everywhere)
        indices = np.argsort(-gain, axis=None, kind="stable")[:count]
        places = []
        for row, column in zip(*np.unravel_index(indices, gain.shape), strict=True):
            if gain[row, column] > 0:
                shares = float(self.front[row, column]), float(self.everywhere[row, column])
                places.append((self.columns[column], *self.rows[row], *shares))
        return places


def count_preferences(run: Run, results: Sequence[Result]) -> Preferences | None:
    """Count how often the evaluated networks of a run, and those on its front, have each value of each gene.

    Args:
        run: The run.
        results: Its results.

    Returns:
        The shares. None where the front is empty, or where a table has too many genes or values to be drawn.
    """
    complete = [result for result in results if result.evaluation.losses is not None]
    if not any(result.on_front for result in complete):
        return None
    layout = _LAYOUTS[run.definition.kind](run.definition)
    networks = [layout.gene_values(result.evaluation.architecture) for result in complete]
    columns, rows = layout.columns_and_rows(networks)
    if not rows or len(rows) > MAX_ROWS or len(columns) > MAX_COLUMNS:
        return None
    everywhere = _count_shares(networks, columns, rows)
    front_networks = [values for values, result in zip(networks, complete, strict=True) if result.on_front]
    front = _count_shares(front_networks, columns, rows)
    is_choice = layout.choice_mask(rows, everywhere)
    for shares in (everywhere, front):
        shares[~is_choice] = np.nan
    return Preferences(columns, rows, everywhere, front)


GeneValues = dict[tuple[int, str], str]  # (column, gene) -> value, of one network
RowNames = tuple[tuple[str, str], ...]  # (gene, value)


class _Layout(ABC):
    """The rows and columns of the heat maps of one kind of problem."""

    @abstractmethod
    def gene_values(self, architecture: Any) -> GeneValues:
        """Return the values of a network's genes.

        Args:
            architecture: A network of the problem's kind.

        Returns:
            The values, by the index of the column and the name of the gene.
        """

    @abstractmethod
    def columns_and_rows(self, networks: Sequence[GeneValues]) -> tuple[tuple[str, ...], RowNames]:
        """Return the names of the columns and rows.

        Args:
            networks: The gene values of all evaluated networks.

        Returns:
            The names of the columns, and the gene and the value of each row, in the order of the space's choices.
        """

    @abstractmethod
    def choice_mask(self, rows: RowNames, everywhere: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return which rows are choices of which columns.

        Args:
            rows: The gene and the value of each row.
            everywhere: The share of all evaluated networks with each value, shape (rows, columns).

        Returns:
            Shape (rows, columns).
        """


class _BlockLayout(_Layout):
    """A column per block, with the genes of MnasNet's space."""

    def __init__(self, definition: ProblemDefinition) -> None:
        self._space = definition.space

    def gene_values(self, architecture: Architecture) -> GeneValues:
        """See `_Layout.gene_values`."""
        space = self._space.scaled_like(architecture)
        blocks = ((number, _block_values(space, number, block)) for number, block in enumerate(architecture.blocks))
        return {(number, gene): value for number, values in blocks for gene, value in values.items()}

    def columns_and_rows(self, networks: Sequence[GeneValues]) -> tuple[tuple[str, ...], RowNames]:
        """See `_Layout.columns_and_rows`."""
        rows: dict[tuple[str, str], None] = {}
        for gene, choices in zip(GENES, _gene_choices(self._space), strict=True):
            rows |= dict.fromkeys((gene, value) for value in choices)
        return tuple(f"block {number + 1}" for number in range(self._space.blocks)), tuple(rows)

    def choice_mask(self, rows: RowNames, everywhere: NDArray[np.float64]) -> NDArray[np.bool_]:
        """See `_Layout.choice_mask`; only the choices of filters and layers differ between blocks."""
        space = self._space
        block_choices = [
            {
                "filters": set(_filter_names(space, number).values()),
                "layers": {f"{layers - space.layers[number]:+d}" for layers in space.layer_choices(number)},
            }
            for number in range(space.blocks)
        ]
        return np.array([[value in names.get(gene, {value}) for names in block_choices] for gene, value in rows])


class _TableLayout(_Layout):
    """A column per gene of a table. The table itself may be gone."""

    def __init__(self, definition: TableDefinition) -> None:
        self._names = definition.table.genes

    def gene_values(self, architecture: TabularArchitecture) -> GeneValues:
        """See `_Layout.gene_values`."""
        return {(number, "value"): value for number, value in enumerate(self._split(str(architecture)))}

    def _split(self, name: str) -> list[str]:
        """Return the genes of a network, whose name joins them."""
        count = len(self._names)
        if count == 1:
            return [name]
        splits = (name.split(mark) for mark in GENE_SEPARATORS if count and name.count(mark) == count - 1)
        return list(name) if count in (0, len(name)) else next(splits, [])

    def columns_and_rows(self, networks: Sequence[GeneValues]) -> tuple[tuple[str, ...], RowNames]:
        """See `_Layout.columns_and_rows`; the rows are the values that were evaluated, the shorter ones first."""
        names = self._names or tuple(f"gene {number + 1}" for number in range(len(networks[0])))
        values = {value for network in networks for value in network.values()}
        return tuple(names), tuple(("value", value) for value in sorted(values, key=lambda text: (len(text), text)))

    def choice_mask(self, rows: RowNames, everywhere: NDArray[np.float64]) -> NDArray[np.bool_]:
        """See `_Layout.choice_mask`; without the table, only choices that were evaluated are known."""
        return everywhere > 0


_LAYOUTS: dict[str, Callable[[Any], _Layout]] = {
    "images": _BlockLayout, "detection": _BlockLayout, "table": _TableLayout,
}  # fmt: skip


@cache
def _filter_names(space: SearchSpace, number: int) -> dict[int, str]:
    """Return the names of a block's choices of filters.

    A name is the multiplier of the base. Where several multipliers round to the same number of filters, it is the one
    closest to 1. Where the block has choices of its own, a name is the number of filters at width 1.
    """
    if space.block_filters:
        own = zip(space.filter_choices(number), space.block_filters[number], strict=True)
        return {filters: _filter_name(filters and choice) for filters, choice in own}
    pairs = zip(space.filter_choices(number), space.filter_multipliers, strict=True)
    return {filters: f"×{multiplier:g}" for filters, multiplier in sorted(pairs, key=lambda pair: -abs(pair[1] - 1))}


def _filter_name(filters: int) -> str:
    return str(filters) if filters else "as its input"


@cache
def _block_values(space: SearchSpace, number: int, block: Block) -> dict[str, str]:
    """Return the values of a block's genes, in words that mean the same in every block."""
    names = _filter_names(space, number)
    values = (
        block.op,
        str(block.kernel),
        f"{block.se:g}",
        block.skip,
        names.get(block.filters, _filter_name(0)),
        f"{block.layers - space.layers[number]:+d}",
    )
    return dict(zip(GENES, values, strict=True))


def _gene_choices(space: SearchSpace) -> list[Iterable[str]]:
    """Return the choices of each gene over all blocks, by the names that `_block_values` gives them."""
    offsets = {layers - base for n, base in enumerate(space.layers) for layers in space.layer_choices(n)}
    numbers = range(space.blocks)
    own = [_filter_name(filters) for choices in space.block_filters for filters in choices]
    pairs = ((op, kernel) for n in numbers for op in space.op_choices(n) for kernel in space.kernel_choices(n))
    operations = [operation(op).canonical(kernel) for op, kernel in pairs]
    return [
        dict.fromkeys(op for op, _ in operations),
        map(str, sorted({kernel for _, kernel in operations})),
        (f"{ratio:g}" for ratio in space.se_ratios),
        dict.fromkeys(skip for n in numbers for skip in space.skip_choices(n)),
        dict.fromkeys(own) if own else (f"×{multiplier:g}" for multiplier in space.filter_multipliers),
        (f"{offset:+d}" for offset in sorted(offsets)),
    ]


def _count_shares(networks: Sequence[GeneValues], columns: Sequence[str], rows: RowNames) -> NDArray[np.float64]:
    """Return the share of some networks that have the row's value in the column, shape (rows, columns)."""
    counts = np.zeros((len(rows), len(columns)))
    row_numbers = {row: number for number, row in enumerate(rows)}
    for network in networks:
        for (column, gene), value in network.items():
            if (gene, value) in row_numbers:
                counts[row_numbers[gene, value], column] += 1
    return counts / max(1, len(networks))
