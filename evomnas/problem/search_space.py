"""MnasNet's factorized hierarchical search space (paper section 4.1).

A network is a stem, a fixed number of blocks and a head. Every block has its own six genes: ConvOp,
KernelSize, SERatio, SkipOp, filters and layers; all layers of a block are alike. A genome is an integer
vector of six genes per block, each an index into that gene's choices::

    [op, kernel, se, skip, filters, layers,  op, kernel, ...]      shape (6 * blocks,)

Filters and layers are chosen relative to a base network (MobileNetV2 in the paper), which the problem
file may replace, so that 8-pixel digits and 224-pixel photographs are searched by the same code. Where
the base has one layer the choices are {1, 2}, as the published space has no empty block.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from evomnas.core.errors import InputError
from evomnas.problem.architecture import MAX_BLOCKS, MAX_FILTERS, MAX_LAYERS, SKIPS, Architecture, Block

Genomes = NDArray[np.int64]

GENES = ("op", "kernel", "se", "skip", "filters", "layers")


class Space(Protocol):
    """What an algorithm knows of a search space, be it `SearchSpace` or a table's (`evomnas.problem.table`)."""

    @property
    def gene_sizes(self) -> NDArray[np.int64]:
        """Number of choices of every gene, shape (n_var,)."""
        ...

    @property
    def genes_per_block(self) -> int:
        """So many neighbouring genes describe one block together."""
        ...

    @property
    def networks(self) -> int:
        """Number of distinct networks."""
        ...

    def decode(self, genome: NDArray[np.int64]) -> Any:
        """What a genome of shape (n_var,) means: hashable, equal for equal networks."""
        ...

    def sample(self, count: int, rng: np.random.Generator) -> Genomes:
        """`count` genomes of shape (count, n_var) that use every gene's choices equally often."""
        ...

    def draw(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """A genome of shape (n_var,) of one network, each distinct network with the same chance."""
        ...

    def reference(self) -> NDArray[np.int64] | None:
        """The reference network's genome; None where it is not in the space."""
        ...


def sample_evenly(sizes: NDArray[np.int64], count: int, rng: np.random.Generator) -> Genomes:
    """`count` genomes of shape (count, n_var), every gene's choices used equally often.

    Each column is a shuffled repetition of all choices (a Latin hypercube over categories), so that even a
    small first population holds every choice of every gene; single genomes are uniform.
    """
    columns = []
    for size in sizes:
        repeats = -(-count // int(size))
        values = np.concatenate([rng.permutation(size) for _ in range(repeats)])[:count]
        columns.append(rng.permutation(values))
    return np.stack(columns, axis=1).astype(np.int64)


def round_filters(filters: float, divisor: int) -> int:
    """`filters` as a multiple of `divisor`, never below 90 % of what was asked for.

    This is the rounding that the published MnasNet and MobileNet code applies to scaled widths.
    """
    rounded = max(divisor, int(filters + divisor / 2) // divisor * divisor)
    return rounded if rounded >= 0.9 * filters else rounded + divisor


def _refusals(values: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Why a block refuses some of its values, tried one after another."""
    plain: dict[str, Any] = {"op": "conv", "kernel": 3, "stride": 1, "filters": 1, "layers": 1}
    for given in values:
        try:
            Block(**plain | given)
        except InputError as error:
            yield str(error)


@dataclass(frozen=True)
class SearchSpace:
    """The choices of every block and the base network that filters and layers refer to.

    Attributes:
        filters: Base filters per block; the default is MobileNetV2's.
        layers: Base layers per block.
        strides: Stride of each block's first layer.
        stem: Filters of the stem before scaling.
        stem_stride: Stride of the stem.
        head: Filters of the 1x1 convolution before pooling; not scaled by `width`.
        width: Multiplier of stem and block filters.
        divisor: Filters are multiples of this.
        ops: ConvOp choices.
        kernels: KernelSize choices.
        se_ratios: SERatio choices.
        skips: SkipOp choices.
        filter_multipliers: Choices of filters, relative to the base.
        layer_offsets: Choices of layers, relative to the base.
    """

    filters: tuple[int, ...] = (16, 24, 32, 64, 96, 160, 320)
    layers: tuple[int, ...] = (1, 2, 3, 4, 3, 3, 1)
    strides: tuple[int, ...] = (1, 2, 2, 2, 1, 2, 1)
    stem: int = 32
    stem_stride: int = 2
    head: int = 1280
    width: float = 1.0
    divisor: int = 8
    ops: tuple[str, ...] = ("conv", "dconv", "mbconv3", "mbconv6")
    kernels: tuple[int, ...] = (3, 5)
    se_ratios: tuple[float, ...] = (0.0, 0.25)
    skips: tuple[str, ...] = SKIPS
    filter_multipliers: tuple[float, ...] = (0.75, 1.0, 1.25)
    layer_offsets: tuple[int, ...] = (-1, 0, 1)

    __pydantic_config__ = {"extra": "forbid"}  # a problem file's [space] section is checked against these fields

    def __post_init__(self) -> None:
        faults = list(self._faults()) or list(self._faults_of_blocks())
        if faults:
            raise InputError("; ".join(dict.fromkeys(faults)))

    def _faults(self) -> Iterator[str]:
        lengths = {len(self.filters), len(self.layers), len(self.strides)}
        if len(lengths) > 1 or not 1 <= len(self.filters) <= MAX_BLOCKS:
            yield f"filters, layers and strides need one value per block each, for 1 to {MAX_BLOCKS} blocks"
        elif min(*self.layers, *self.strides, *self.filters, self.stem, self.stem_stride, self.head) < 1:
            yield "filters, layers, strides, stem and head must be at least 1"
        elif max(*self.filters, self.stem, self.head) > MAX_FILTERS or max(self.layers) > MAX_LAYERS:
            yield f"filters, stem and head may be at most {MAX_FILTERS}, layers at most {MAX_LAYERS}"
        if (
            not 0 < self.width <= 100
            or not 1 <= self.divisor <= MAX_FILTERS
            or not all(0 < multiplier <= 100 for multiplier in self.filter_multipliers)
        ):
            yield "width, divisor and filter_multipliers must be positive (width and multipliers at most 100)"
        for name in ("ops", "kernels", "se_ratios", "skips", "filter_multipliers", "layer_offsets"):
            choices = getattr(self, name)
            if not choices or len(set(choices)) != len(choices):
                yield f"{name} must list at least one choice and none twice, got {list(choices)}"
        for name, values in (("op", self.ops), ("kernel", self.kernels), ("se", self.se_ratios), ("skip", self.skips)):
            yield from _refusals({name: value} for value in values)

    def _faults_of_blocks(self) -> Iterator[str]:
        for number, stride in enumerate(self.strides):
            yield from _refusals({"stride": stride, "filters": filters} for filters in self.filter_choices(number))
            yield from _refusals({"stride": stride, "layers": layers} for layers in self.layer_choices(number))

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return len(self.filters)

    def layer_choices(self, block: int) -> tuple[int, ...]:
        """Choices of layers for the block with index `block` (from 0), ascending and at least 1."""
        return self._layer_choices[block]

    def filter_choices(self, block: int) -> tuple[int, ...]:
        """Filters of the block with index `block` for each of `filter_multipliers`, rounded: some may coincide."""
        return self._filter_choices[block]

    def choices(self, block: int) -> tuple[tuple[object, ...], ...]:
        """What each of the six genes of a block may stand for, in the order of `GENES`."""
        filters, layers = self.filter_choices(block), self.layer_choices(block)
        return (self.ops, self.kernels, self.se_ratios, self.skips, filters, layers)

    @cached_property
    def _layer_choices(self) -> list[tuple[int, ...]]:
        return [
            tuple(sorted({base + offset for offset in self.layer_offsets if base + offset >= 1} or {base}))
            for base in self.layers
        ]

    @cached_property
    def _filter_choices(self) -> list[tuple[int, ...]]:
        return [
            tuple(round_filters(base * self.width * multiplier, self.divisor) for multiplier in self.filter_multipliers)
            for base in self.filters
        ]

    @cached_property
    def gene_sizes(self) -> NDArray[np.int64]:
        """Number of choices of every gene, shape (n_var,)."""
        sizes = [len(choices) for block in range(self.blocks) for choices in self.choices(block)]
        return np.array(sizes, dtype=np.int64)

    @property
    def genomes(self) -> int:
        """Number of genomes. Several may decode to one network."""
        return math.prod(int(size) for size in self.gene_sizes)

    @property
    def genes_per_block(self) -> int:
        """The six genes of `GENES`."""
        return len(GENES)

    @property
    def networks(self) -> int:
        """Number of distinct networks, at most `genomes`."""
        return self._ways[0][self.stem_filters]

    @cached_property
    def _operations(self) -> list[tuple[int, int]]:
        """The (op, kernel) genes that build different operations: they matter wherever they stand."""
        first = {Block(op, 3, 1, 1, 1).op: number for number, op in reversed(list(enumerate(self.ops)))}
        return list(itertools.product(sorted(first.values()), range(len(self.kernels))))

    @cached_property
    def _distinct(self) -> list[dict[int, dict[Block, tuple[int, ...]]]]:
        """Per block and channels before it: its distinct blocks, operations aside, with their last four genes."""
        found: list[dict[int, dict[Block, tuple[int, ...]]]] = []
        widths = {self.stem_filters}
        for number in range(self.blocks):
            _, _, *others = (range(len(choices)) for choices in self.choices(number))
            behind: dict[int, dict[Block, tuple[int, ...]]] = {width: {} for width in widths}
            for width, genes in itertools.product(widths, itertools.product(*others)):
                behind[width].setdefault(self.block(number, (0, 0, *genes), width), genes)
            found.append(behind)
            widths = set(self.filter_choices(number))
        return found

    def blocks_behind(self, number: int, in_filters: int) -> Iterator[tuple[Block, tuple[int, ...]]]:
        """The distinct blocks that the one with index `number` can be behind `in_filters`, with genes of each."""
        for block, genes in self._distinct[number][in_filters].items():
            for op, kernel in self._operations:
                yield replace(block, op=self.ops[op], kernel=self.kernels[kernel]), (op, kernel, *genes)

    @cached_property
    def _ways(self) -> list[dict[int, int]]:
        """Per block and channels before it: the number of distinct networks from there on.

        What a block's genes build depends on the blocks before it through their filters alone, so the
        distinct blocks behind each width are counted and the counts multiplied along the chain.
        """
        ways = [dict.fromkeys(self.filter_choices(self.blocks - 1), 1)]
        for behind in reversed(self._distinct):
            after, operations = ways[0], len(self._operations)
            ways.insert(
                0, {width: operations * sum(after[b.filters] for b in found) for width, found in behind.items()}
            )
        return ways

    @cached_property
    def _odds(self) -> list[dict[int, tuple[list[tuple[int, ...]], list[int], NDArray[np.float64]]]]:
        """Per block and channels before it: its distinct blocks' last four genes, their filters, and summed chances."""
        odds: list[dict[int, tuple[list[tuple[int, ...]], list[int], NDArray[np.float64]]]] = []
        for distinct, after in zip(self._distinct, self._ways[1:], strict=True):
            odds.append({})
            for width, blocks in distinct.items():
                filters = [block.filters for block in blocks]
                total = sum(after[one] for one in filters)
                summed = np.cumsum([after[one] / total for one in filters])
                odds[-1][width] = list(blocks.values()), filters, summed / summed[-1]
        return odds

    def draw(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """A genome of shape (n_var,), each distinct network with the same chance; see `_ways`."""
        genome: list[int] = []
        width = self.stem_filters
        for odds in self._odds:
            genes, filters, summed = odds[width]
            chosen = int(summed.searchsorted(rng.random(), side="right"))
            genome += [*self._operations[rng.integers(len(self._operations))], *genes[chosen]]
            width = filters[chosen]
        return np.array(genome, dtype=np.int64)

    def decode(self, genome: Sequence[int] | NDArray[np.integer]) -> Architecture:
        """The canonical architecture of a genome of shape (n_var,).

        Raises:
            InputError: The genome's length or one of its values does not belong to this space.
        """
        try:
            genes = np.asarray(genome, dtype=np.float64)
        except (TypeError, ValueError):
            raise InputError(f"a genome is a vector of whole numbers, not {str(genome)[:60]!r}") from None
        sizes = self.gene_sizes
        if genes.shape != sizes.shape:
            raise InputError(f"a genome of this space has shape {sizes.shape}, got {genes.shape}")
        wrong = np.flatnonzero((genes < 0) | (genes >= sizes) | (genes != np.floor(genes)))
        if wrong.size:
            place = int(wrong[0])
            name = f"{GENES[place % len(GENES)]} of block {place // len(GENES) + 1}"
            raise InputError(f"gene {place} ({name}) must be a whole number below {sizes[place]}, got {genes[place]:g}")
        rows = genes.astype(np.int64).reshape(self.blocks, len(GENES))
        blocks: list[Block] = []
        for number, row in enumerate(rows):
            blocks.append(self.block(number, row, blocks[-1].filters if blocks else self.stem_filters))
        return Architecture(self.stem_filters, self.stem_stride, tuple(blocks), self.head)

    @property
    def stem_filters(self) -> int:
        """Filters of the stem: `stem` times `width`, rounded."""
        return round_filters(self.stem * self.width, self.divisor)

    def block(self, number: int, genes: Sequence[int] | NDArray[np.int64], in_filters: int) -> Block:
        """The canonical block of six genes behind `in_filters` channels; each is built once, as searches want many."""
        key = number, in_filters, *map(int, genes)
        if key not in self._built:
            self._built[key] = self._build(*key)
        return self._built[key]

    @cached_property
    def _built(self) -> dict[tuple[int, ...], Block]:
        return {}

    def _build(self, number: int, in_filters: int, *genes: int) -> Block:
        op, kernel, se, skip, filters, layers = genes
        block = Block(
            op=self.ops[op],
            kernel=self.kernels[kernel],
            stride=self.strides[number],
            filters=self.filter_choices(number)[filters],
            layers=self.layer_choices(number)[layers],
            se=self.se_ratios[se],
            skip=self.skips[skip],
        ).after(in_filters)
        return self._first_ratio(block, in_filters) if sum(map(bool, self.se_ratios)) > 1 else block

    def _first_ratio(self, block: Block, in_filters: int) -> Block:
        """The block with the first of the space's SE ratios that squeezes to the same channels."""
        alike = (replace(block, se=ratio) for ratio in self.se_ratios if bool(ratio) == bool(block.se))
        inputs = (in_filters, block.filters)[: block.layers]
        return next(one for one in alike if all(one.squeeze(width) == block.squeeze(width) for width in inputs))

    def encode(self, architecture: Architecture) -> NDArray[np.int64]:
        """The first genome (in lexicographic order of each block) that decodes to `architecture`.

        Raises:
            InputError: The architecture is not a point of this space; the message names the place.
        """
        outside = (architecture.stem, architecture.stem_stride, architecture.head)
        if outside != (self.stem_filters, self.stem_stride, self.head) or len(architecture.blocks) != self.blocks:
            raise InputError("stem, head or number of blocks differ from the search space's")
        genome, filters = [], architecture.stem
        for number, block in enumerate(architecture.blocks):
            sizes = [range(len(choices)) for choices in self.choices(number)]
            genome += self._encode_block(number, block, filters, sizes)
            filters = block.filters
        return np.array(genome, dtype=np.int64)

    def _encode_block(self, number: int, block: Block, in_filters: int, sizes: list[range]) -> list[int]:
        genes = [0] * len(GENES)
        order = [GENES.index(name) for name in ("op", "kernel", "filters", "layers", "se", "skip")]
        fields = [GENES[gene] for gene in order]
        for gene, field in zip(order, fields, strict=True):
            for value in sizes[gene]:
                genes[gene] = value
                candidate = self.block(number, genes, in_filters)
                if getattr(candidate, field) == getattr(block, field):
                    break
            else:
                rows = ([*genes[:gene], value, *genes[gene + 1 :]] for value in sizes[gene])
                candidates = (self.block(number, row, in_filters) for row in rows)
                allowed = sorted({str(getattr(candidate, field)) for candidate in candidates})
                raise InputError(
                    f"block {number + 1}: {field} {getattr(block, field)} is not in this search space, "
                    f"which has {', '.join(allowed)}"
                )
        if self.block(number, genes, in_filters) != block:
            raise InputError(f"block {number + 1}: stride {block.stride} is not {self.strides[number]}")
        return genes

    def mobilenet_v2(self) -> Architecture:
        """MobileNetV2 at this space's base: the paper's reference network (paper section 4.1, table 1).

        Its first block has no expansion, the others expand by 6; kernels of 3, identity skips, no SE.
        With the default space this is MobileNetV2 itself, except that ReLU stands for ReLU6.
        """
        blocks = tuple(
            Block(
                "mbconv6" if number else "dconv",
                3,
                stride,
                round_filters(filters * self.width, self.divisor),
                layers,
                skip="identity",
            )
            for number, (filters, layers, stride) in enumerate(
                zip(self.filters, self.layers, self.strides, strict=True)
            )
        )
        return Architecture(self.stem_filters, self.stem_stride, blocks, self.head)

    def neighbours(self, architecture: Architecture) -> list[Architecture]:
        """The other architectures that differ from one of this space's by one gene."""
        genome = self.encode(architecture)
        found: dict[Architecture, None] = {}
        for gene, size in enumerate(self.gene_sizes):
            for value in range(int(size)):
                found[self.decode(np.where(np.arange(len(genome)) == gene, value, genome))] = None
        return [one for one in found if one != architecture]

    def reference(self) -> NDArray[np.int64] | None:
        """MobileNetV2's genome; None where the space leaves out what it is made of."""
        try:
            return self.encode(self.mobilenet_v2())
        except InputError:
            return None

    def sample(self, count: int, rng: np.random.Generator) -> Genomes:
        """`count` genomes of shape (count, n_var); see `sample_evenly`."""
        return sample_evenly(self.gene_sizes, count, rng)
