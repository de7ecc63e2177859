"""What a front prefers: how often it takes each value of each gene, against all that was evaluated.

In MnasNet's space every block has genes of its own, and the paper's argument for it is that good networks use that:
their layers differ from block to block (Tan et al., CVPR 2019, section 6.2).
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
from evomnas.problem.search_space import GENES, SearchSpace
from evomnas.problem.table import GENE_SEPARATORS
from evomnas.problem.tabular_space import TabularArchitecture
from evomnas.results.run import Result, Run

MAX_ROWS, MAX_COLUMNS = 40, 40  # of a drawing that can be read


@dataclass(frozen=True, slots=True, eq=False)
class Preferences:
    """Shares of gene values.

    Attributes:
        columns: Names of the blocks, or of a table's genes.
        rows: (gene, value) per row.
        everywhere: Share of all evaluated networks with that value at that place, shape (rows, columns); NaN where
            the space has no such choice, or no network of a table that was evaluated.
        front: The same of the networks on the front.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, str], ...]
    everywhere: NDArray[np.float64]
    front: NDArray[np.float64]

    @property
    def numbers(self) -> list[str]:
        """What heads the columns: a block by its number, a table's gene by its name."""
        return [name.removeprefix("block ").removeprefix("gene ") for name in self.columns]

    def by_gene(self, shares: NDArray[np.float64]) -> list[tuple[str, list[tuple[str, list[float]]]]]:
        """Per gene its values, each with its row of `shares`."""
        genes = groupby(zip(self.rows, shares.tolist(), strict=True), key=lambda row: row[0][0])
        return [(gene, [(value, row) for (_, value), row in rows]) for gene, rows in genes]

    def strongest(self, count: int = 3) -> list[tuple[str, str, str, float, float]]:
        """Where the front differs most: (column, gene, value, its share, that of all evaluated)."""
        gain = np.nan_to_num(self.front - self.everywhere)
        places = np.argsort(-gain, axis=None, kind="stable")[:count]
        found = []
        for row, column in zip(*np.unravel_index(places, gain.shape), strict=True):
            if gain[row, column] > 0:
                shares = float(self.front[row, column]), float(self.everywhere[row, column])
                found.append((self.columns[column], *self.rows[row], *shares))
        return found


def preferences(run: Run, results: Sequence[Result]) -> Preferences | None:
    """What the run's front prefers; None without a front, or where a table has too many genes or values to be drawn."""
    done = [result for result in results if result.evaluation.losses is not None]
    if not any(result.on_front for result in done):
        return None
    view = _VIEWS[run.definition.kind](run.definition)
    genes = [view.genes(result.evaluation.architecture) for result in done]
    columns, rows = view.frame(genes)
    if not rows or len(rows) > MAX_ROWS or len(columns) > MAX_COLUMNS:
        return None
    everywhere = _shares(genes, columns, rows)
    on_front = [values for values, result in zip(genes, done, strict=True) if result.on_front]
    front = _shares(on_front, columns, rows)
    choices = view.choices(rows, everywhere)
    for shares in (everywhere, front):
        shares[~choices] = np.nan
    return Preferences(columns, rows, everywhere, front)


Genes = dict[tuple[int, str], str]  # (column, gene) -> value
Rows = tuple[tuple[str, str], ...]  # (gene, value)


class _View(ABC):
    """How the genes of one kind of problem are laid out."""

    @abstractmethod
    def genes(self, architecture: Any) -> Genes:
        """Return a network's values, by column and gene."""

    @abstractmethod
    def frame(self, genes: Sequence[Genes]) -> tuple[tuple[str, ...], Rows]:
        """Return the names of the columns, and the rows in the order of the space's choices."""

    @abstractmethod
    def choices(self, rows: Rows, everywhere: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return which rows are choices of which columns, shape (rows, columns)."""


class _BlockView(_View):
    """A column per block, whose genes are those of MnasNet's space."""

    def __init__(self, definition: ProblemDefinition) -> None:
        self._space = definition.space

    def genes(self, architecture: Architecture) -> Genes:
        values = ((number, _values(self._space, number, block)) for number, block in enumerate(architecture.blocks))
        return {(number, gene): value for number, each in values for gene, value in each.items()}

    def frame(self, genes: Sequence[Genes]) -> tuple[tuple[str, ...], Rows]:
        offered: dict[tuple[str, str], None] = {}
        for gene, choices in zip(GENES, _offered(self._space), strict=True):
            offered |= dict.fromkeys((gene, value) for value in choices)
        return tuple(f"block {number + 1}" for number in range(self._space.blocks)), tuple(offered)

    def choices(self, rows: Rows, everywhere: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return it; filters and layers differ between blocks."""
        space = self._space
        offered = [
            {
                "filters": set(_filter_names(space, number).values()),
                "layers": {f"{layers - space.layers[number]:+d}" for layers in space.layer_choices(number)},
            }
            for number in range(space.blocks)
        ]
        return np.array([[value in names.get(gene, {value}) for names in offered] for gene, value in rows])


class _TableView(_View):
    """A column per gene of a table; the table itself may be gone."""

    def __init__(self, definition: TableDefinition) -> None:
        self._names = definition.table.genes

    def genes(self, architecture: TabularArchitecture) -> Genes:
        return {(number, "value"): value for number, value in enumerate(self._split(str(architecture)))}

    def _split(self, name: str) -> list[str]:
        """Return the genes of a network, whose name joins them."""
        count = len(self._names)
        if count == 1:
            return [name]
        joined = (name.split(mark) for mark in GENE_SEPARATORS if count and name.count(mark) == count - 1)
        return list(name) if count in (0, len(name)) else next(joined, [])

    def frame(self, genes: Sequence[Genes]) -> tuple[tuple[str, ...], Rows]:
        names = self._names or tuple(f"gene {number + 1}" for number in range(len(genes[0])))
        values = {value for network in genes for value in network.values()}
        return tuple(names), tuple(("value", value) for value in sorted(values, key=lambda text: (len(text), text)))

    def choices(self, rows: Rows, everywhere: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return what was evaluated: what else the table has is not known without it."""
        return everywhere > 0


_VIEWS: dict[str, Callable[[Any], _View]] = {"images": _BlockView, "table": _TableView}


@cache
def _filter_names(space: SearchSpace, number: int) -> dict[int, str]:
    """What a block's choices of filters are called; of those that round to the same, the multiplier closest to 1."""
    pairs = zip(space.filter_choices(number), space.filter_multipliers, strict=True)
    return {filters: f"×{one:g}" for filters, one in sorted(pairs, key=lambda pair: -abs(pair[1] - 1))}


@cache
def _values(space: SearchSpace, number: int, block: Block) -> dict[str, str]:
    """A block's genes in words that mean the same in every block."""
    values = (
        block.op,
        str(block.kernel),
        f"{block.se:g}",
        block.skip,
        _filter_names(space, number)[block.filters],
        f"{block.layers - space.layers[number]:+d}",
    )
    return dict(zip(GENES, values, strict=True))


def _offered(space: SearchSpace) -> list[Iterable[str]]:
    """Per gene its values as `_values` calls them, over all blocks."""
    offsets = {layers - base for n, base in enumerate(space.layers) for layers in space.layer_choices(n)}
    return [
        dict.fromkeys(Block(op, 3, 1, 1, 1).op for op in space.ops),
        map(str, space.kernels),
        (f"{ratio:g}" for ratio in space.se_ratios),
        space.skips,
        (f"×{multiplier:g}" for multiplier in space.filter_multipliers),
        (f"{offset:+d}" for offset in sorted(offsets)),
    ]


def _shares(genes: Sequence[Genes], columns: Sequence[str], rows: Sequence[tuple[str, str]]) -> NDArray[np.float64]:
    counts = np.zeros((len(rows), len(columns)))
    places = {row: number for number, row in enumerate(rows)}
    for one in genes:
        for (column, gene), value in one.items():
            if (gene, value) in places:
                counts[places[gene, value], column] += 1
    return counts / max(1, len(genes))
