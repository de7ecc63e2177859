"""What a front prefers: how often it takes each value of each gene, against all that was evaluated.

In MnasNet's space every block has genes of its own, and the paper's argument for it is that good networks use that:
their layers differ from block to block (Tan et al., CVPR 2019, section 6.2).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from evomnas.problem.architecture import Architecture, Block
from evomnas.problem.definition import ProblemDefinition, TableDefinition
from evomnas.problem.search_space import GENES, SearchSpace
from evomnas.problem.table import GENE_SEPARATORS
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
    genes = [_genes(run.definition, result) for result in done]
    columns, rows = _frame(run.definition, genes)
    if not rows or len(rows) > MAX_ROWS or len(columns) > MAX_COLUMNS:
        return None
    everywhere = _shares(genes, columns, rows)
    front = _shares([one for one, result in zip(genes, done, strict=True) if result.on_front], columns, rows)
    space = run.definition.space if isinstance(run.definition, ProblemDefinition) else None
    choices = everywhere > 0 if space is None else _choices(space, rows)  # the table may be gone
    for shares in (everywhere, front):
        shares[~choices] = np.nan
    return Preferences(columns, rows, everywhere, front)


Genes = dict[tuple[int, str], str]  # (column, gene) -> value


def _genes(definition: ProblemDefinition | TableDefinition, result: Result) -> Genes:
    architecture = result.evaluation.architecture
    if isinstance(architecture, Architecture) and isinstance(definition, ProblemDefinition):
        values = (
            (number, _values(definition.space, number, block)) for number, block in enumerate(architecture.blocks)
        )
        return {(number, gene): value for number, each in values for gene, value in each.items()}
    return {(number, "value"): value for number, value in enumerate(_split(str(architecture), definition))}


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


def _split(name: str, definition: ProblemDefinition | TableDefinition) -> list[str]:
    """The genes of a table's network, whose name joins them; the table itself may be gone."""
    count = len(definition.table.genes) if isinstance(definition, TableDefinition) else 0
    if count == 1:
        return [name]
    joined = (name.split(mark) for mark in GENE_SEPARATORS if count and name.count(mark) == count - 1)
    return list(name) if count in (0, len(name)) else next(joined, [])


def _frame(
    definition: ProblemDefinition | TableDefinition, genes: Sequence[Genes]
) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
    """Names of the columns, and the rows in the order of the space's choices."""
    if isinstance(definition, TableDefinition):
        names = definition.table.genes or tuple(f"gene {number + 1}" for number in range(len(genes[0])))
        values = sorted({value for one in genes for value in one.values()}, key=lambda text: (len(text), text))
        return tuple(names), tuple(("value", value) for value in values)
    space = definition.space
    offered: dict[tuple[str, str], None] = {}
    for gene, choices in zip(GENES, _offered(space), strict=True):
        offered |= dict.fromkeys((gene, value) for value in choices)
    return tuple(f"block {number + 1}" for number in range(space.blocks)), tuple(offered)


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


def _choices(space: SearchSpace, rows: Sequence[tuple[str, str]]) -> NDArray[np.bool_]:
    """Which rows are choices of which blocks, shape (rows, blocks): filters and layers differ between them."""
    offered = [
        {
            "filters": set(_filter_names(space, number).values()),
            "layers": {f"{layers - space.layers[number]:+d}" for layers in space.layer_choices(number)},
        }
        for number in range(space.blocks)
    ]
    return np.array([[value in one.get(gene, {value}) for one in offered] for gene, value in rows])


def _shares(genes: Sequence[Genes], columns: Sequence[str], rows: Sequence[tuple[str, str]]) -> NDArray[np.float64]:
    counts = np.zeros((len(rows), len(columns)))
    places = {row: number for number, row in enumerate(rows)}
    for one in genes:
        for (column, gene), value in one.items():
            if (gene, value) in places:
                counts[places[gene, value], column] += 1
    return counts / max(1, len(genes))
