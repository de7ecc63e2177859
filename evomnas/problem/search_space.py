"""MnasNet's factorized hierarchical search space (paper section 4.1).

A network is a stem, a fixed number of blocks and a head. Every block has six genes of its own: ConvOp, KernelSize,
SERatio, SkipOp, filters and layers. All layers of a block are alike. A genome is a vector of integers, six per block;
each is an index into the choices of its gene::

    [op, kernel, se, skip, filters, layers,  op, kernel, ...]      shape (6 * blocks,)

Genes of the whole network stand behind those of its blocks: its resolution, its width and its activation, where these
are searched as well.

Filters and layers are chosen relative to a base network, which is MobileNetV2 in the paper. A problem file may replace
it, so that digits of 8 pixels and photographs of 224 pixels are searched by the same code. Where the base has one
layer, the choices are {1, 2}: like the published space, this one has no empty block.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evomnas.core.arguments import checked, checked_fields
from evomnas.core.errors import InputError
from evomnas.core.resolution import MAX_PIXELS, Resolution, area, normalised, sides
from evomnas.problem.architecture import (
    MAX_BLOCKS,
    MAX_FILTERS,
    MAX_LAYERS,
    SKIPS,
    Architecture,
    Block,
)
from evomnas.problem.genes.block_genes import GENES, block_errors, encode_block
from evomnas.problem.genes.network_genes import ACTIVATION, RESOLUTION, WIDTH, NetworkGenes
from evomnas.problem.genes.space import Genomes as Genomes
from evomnas.problem.genes.space import Space as Space
from evomnas.problem.pretrained.traits import ACTIVATIONS, PLAIN, Traits
from evomnas.problem.sampling.distinct import DistinctNetworks
from evomnas.problem.sampling.hypercube import sample_evenly

_BLOCK_LISTS = ("block_ops", "block_kernels", "block_skips", "block_filters")


def round_filters(filters: float, divisor: int) -> int:
    """Round a number of filters to a multiple of a divisor.

    The published MnasNet and MobileNet code rounds scaled widths in this way.

    Args:
        filters: The wanted number of filters, positive.
        divisor: The result is a multiple of this.

    Returns:
        The nearest multiple, or the next one where the nearest is below 90 % of what is wanted; at least `divisor`.
    """
    rounded = max(divisor, int(filters + divisor / 2) // divisor * divisor)
    return rounded if rounded >= 0.9 * filters else rounded + divisor


@checked_fields
@dataclass(frozen=True)
class SearchSpace:
    """MnasNet's search space: the choices of every block, and the base network that filters and layers refer to.

    It has the methods of `Space`. Its networks are of the class `Architecture`.

    Attributes:
        filters: Base filters per block; the default is MobileNetV2's.
        layers: Base number of layers per block.
        strides: Stride of each block's first layer.
        stem: Filters of the stem before they are scaled by `width`.
        stem_stride: Stride of the stem.
        head: Filters of the 1x1 convolution before pooling; not scaled by `width`.
        width: Multiplier of stem and block filters, where it is not searched.
        divisor: Filters are multiples of this.
        ops: ConvOp choices.
        kernels: KernelSize choices.
        se_ratios: SERatio choices.
        skips: SkipOp choices.
        filter_multipliers: Choices of filters, as factors of the base.
        layer_offsets: Choices of layers, as differences from the base.
        block_ops: ConvOp choices of every block, in place of `ops`; none where all blocks have those.
        resolutions: Choices of the resolution in pixels, which is one gene more, behind those of the blocks: numbers
            for squares, or pairs of height and width. Without any, networks have no resolution of their own.
        traits: Those of all networks.
        base: Notation of the network that all are compared with; empty for MobileNetV2 on this base.
        block_kernels: KernelSize choices of every block, in place of `kernels`.
        block_skips: SkipOp choices of every block, in place of `skips`.
        block_filters: Choices of the filters of every block, in place of the base and its factors; 0 keeps the
            channels of the block's input. They are scaled by the width.
        widths: Choices of the width, which is one gene more. Each must give another stem.
        activations: Choices of the activation, which is one gene more, the last one.

    Raises:
        InputError: A field is out of range or does not fit the others; the message lists all faults.
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
    block_ops: tuple[tuple[str, ...], ...] = ()
    resolutions: tuple[Resolution, ...] = ()
    traits: Traits = PLAIN
    base: str = ""
    block_kernels: tuple[tuple[int, ...], ...] = ()
    block_skips: tuple[tuple[str, ...], ...] = ()
    block_filters: tuple[tuple[int, ...], ...] = ()
    widths: tuple[float, ...] = ()
    activations: tuple[str, ...] = ()

    __pydantic_config__ = {"extra": "forbid"}  # a problem file's [space] section is checked against these fields

    def __post_init__(self) -> None:
        object.__setattr__(self, "resolutions", tuple(map(normalised, self.resolutions)))
        faults = list(self._field_faults()) or list(self._block_faults())
        if faults:
            raise InputError("; ".join(dict.fromkeys(faults)))

    def __deepcopy__(self, memo: dict[int, Any]) -> SearchSpace:
        """Return the space itself, which never changes. A copy would have to work everything out again."""
        return self

    def __repr__(self) -> str:
        """The fields by their names. Those that older versions lacked are left out where they are the default, since
        tables of layers are known by this text."""
        added = {"traits": PLAIN, "base": ""}
        added |= dict.fromkeys((*_BLOCK_LISTS, "resolutions", "widths", "activations"), ())
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        shown = (f"{name}={value!r}" for name, value in values.items() if name not in added or value != added[name])
        return f"SearchSpace({', '.join(shown)})"

    def __getstate__(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def _field_faults(self) -> Iterator[str]:
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
        yield from self._choice_faults()
        lists = {"op": (self.ops, *self.block_ops), "kernel": (self.kernels, *self.block_kernels)}
        lists |= {"se": (self.se_ratios,), "skip": (self.skips, *self.block_skips)}
        for name, by_block in lists.items():
            values = dict.fromkeys(itertools.chain.from_iterable(by_block))
            yield from block_errors({name: value} for value in values)

    def _choice_faults(self) -> Iterator[str]:
        for name in ("ops", "kernels", "se_ratios", "skips", "filter_multipliers", "layer_offsets"):
            choices = getattr(self, name)
            if not choices or len(set(choices)) != len(choices):
                yield f"{name} must list at least one choice and none twice, got {list(choices)}"
        for name in _BLOCK_LISTS:
            by_block = getattr(self, name)
            if by_block and len(by_block) != len(self.filters):
                yield f"{name} needs a list for every one of the {len(self.filters)} blocks, or none at all"
            if not all(choices and len(set(choices)) == len(choices) for choices in by_block):
                yield f"{name} must list at least one choice for every block and none twice"
        if not all(0 <= filters <= MAX_FILTERS for filters in itertools.chain.from_iterable(self.block_filters)):
            yield f"block_filters must lie between 0 and {MAX_FILTERS}"
        for name in ("resolutions", "widths", "activations"):
            if len(set(getattr(self, name))) != len(getattr(self, name)):
                yield f"{name} must list none twice, got {list(getattr(self, name))}"
        if not all(1 <= side <= MAX_PIXELS for resolution in self.resolutions for side in sides(resolution)):
            yield f"resolutions must lie between 1 and {MAX_PIXELS} pixels"
        if unknown := sorted(set(self.activations) - set(ACTIVATIONS)):
            yield f"unknown activation {unknown[0]!r}: allowed are {', '.join(ACTIVATIONS)}"
        yield from self._width_faults()

    def _width_faults(self) -> Iterator[str]:
        if self.widths and self.width != 1.0:
            yield "with widths there is no width: leave it out"
        if not all(0 < width <= 100 for width in self.widths):
            yield f"widths must be positive and at most 100, got {list(self.widths)}"
        elif len({round_filters(self.stem * width, self.divisor) for width in self.widths}) < len(set(self.widths)):
            yield (
                f"two of the widths {list(self.widths)} give the same stem: leave one out, or use a divisor "
                f"below {self.divisor}"
            )

    def _block_faults(self) -> Iterator[str]:
        for number, stride in enumerate(self.strides):
            yield from block_errors({"stride": stride, "filters": filters} for filters in self.out_filters(number))
            yield from block_errors({"stride": stride, "layers": layers} for layers in self.layer_choices(number))

    @property
    def blocks(self) -> int:
        """The number of blocks."""
        return len(self.filters)

    def layer_choices(self, number: int) -> tuple[int, ...]:
        """Return the numbers of layers that a block may have.

        Args:
            number: Index of the block, from 0.

        Returns:
            The choices, ascending, each at least 1.
        """
        return self._layer_choices[number]

    def filter_choices(self, number: int) -> tuple[int, ...]:
        """Return the numbers of filters that a block may have.

        Args:
            number: Index of the block, from 0.

        Returns:
            One number per element of `filter_multipliers` or of the block's `block_filters`. They are rounded, so some
            may be equal. 0 keeps the channels of the block's input.
        """
        return self._filter_choices[number]

    def out_filters(self, number: int) -> tuple[int, ...]:
        """Return the numbers of channels that a block's output may have.

        Args:
            number: Index of the block, from 0.

        Returns:
            The numbers, each once: the choices of filters, and those of the block's input where it may keep them.
        """
        before = self.out_filters(number - 1) if number else (self.stem_filters,)
        own = self.filter_choices(number)
        return tuple(dict.fromkeys(itertools.chain.from_iterable((choice,) if choice else before for choice in own)))

    def choices(self, number: int) -> tuple[tuple[object, ...], ...]:
        """Return the choices of each of a block's six genes.

        Args:
            number: Index of the block, from 0.

        Returns:
            Six tuples in the order of `GENES`; a gene is an index into its tuple.
        """
        filters, layers = self.filter_choices(number), self.layer_choices(number)
        operations = self.op_choices(number), self.kernel_choices(number)
        return (*operations, self.se_ratios, self.skip_choices(number), filters, layers)

    def op_choices(self, number: int) -> tuple[str, ...]:
        """Return the operations that a block may have.

        Args:
            number: Index of the block, from 0.

        Returns:
            The choices of ConvOp.
        """
        return self.block_ops[number] if self.block_ops else self.ops

    def kernel_choices(self, number: int) -> tuple[int, ...]:
        """Return the kernel sizes that a block may have.

        Args:
            number: Index of the block, from 0.

        Returns:
            The choices of KernelSize.
        """
        return self.block_kernels[number] if self.block_kernels else self.kernels

    def skip_choices(self, number: int) -> tuple[str, ...]:
        """Return the skips that a block may have.

        Args:
            number: Index of the block, from 0.

        Returns:
            The choices of SkipOp.
        """
        return self.block_skips[number] if self.block_skips else self.skips

    @cached_property
    def _layer_choices(self) -> list[tuple[int, ...]]:
        return [
            tuple(sorted({base + offset for offset in self.layer_offsets if base + offset >= 1} or {base}))
            for base in self.layers
        ]

    @cached_property
    def _filter_choices(self) -> list[tuple[int, ...]]:
        by_block = self.block_filters or [
            [base * multiplier for multiplier in self.filter_multipliers] for base in self.filters
        ]
        return [
            tuple(round_filters(filters * self.width, self.divisor) if filters else 0 for filters in choices)
            for choices in by_block
        ]

    @cached_property
    def gene_sizes(self) -> NDArray[np.int64]:
        """The number of choices of every gene, shape (n_var,)."""
        sizes = [len(choices) for number in range(self.blocks) for choices in self.choices(number)]
        return np.array([*sizes, *self.network_genes.sizes], dtype=np.int64)

    @cached_property
    def network_genes(self) -> NetworkGenes:
        """The genes of whole networks, which stand behind those of the blocks."""
        return NetworkGenes.of(self.resolutions, self.widths, self.activations)

    @cached_property
    def by_width(self) -> tuple[SearchSpace, ...]:
        """The blocks of this space at each of its widths, without genes of whole networks; itself without widths."""
        fixed: dict[str, Any] = {"widths": (), "resolutions": (), "activations": ()}
        return tuple(replace(self, width=width, **fixed) for width in self.widths) or (self,)

    def scaled_like(self, architecture: Architecture) -> SearchSpace:
        """Return the element of `by_width` that a network belongs to, by its stem.

        Args:
            architecture: A network of this space.

        Returns:
            The element; the first one for a network of another space.
        """
        found = (space for space in self.by_width if space.stem_filters == architecture.stem)
        return next(found, self.by_width[0])

    def _scaled(self, genes: Sequence[int] | NDArray[np.int64]) -> SearchSpace:
        """Return the element of `by_width` that the genes of a whole network choose."""
        return self.by_width[genes[self.network_genes.names.index(WIDTH)]] if self.widths else self

    @property
    def genomes(self) -> int:
        """The number of genomes. Several genomes may decode to one network."""
        return math.prod(int(size) for size in self.gene_sizes)

    @property
    def genes_per_block(self) -> int:
        """The number of a block's genes: the six of `GENES`."""
        return len(GENES)

    @property
    def networks(self) -> int:
        """The number of distinct networks, at most `genomes`."""
        others = max(1, len(self.resolutions)) * max(1, len(self.activations))
        return others * sum(space._distinct.count for space in self.by_width)

    @cached_property
    def _distinct(self) -> DistinctNetworks:
        return DistinctNetworks(self)

    def distinct_blocks(self, number: int, in_filters: int) -> Iterator[tuple[Block, tuple[int, ...]]]:
        """Return the distinct blocks that are possible at a place of the network; see `DistinctNetworks.blocks_at`.

        Args:
            number: Index of the block, from 0.
            in_filters: Its input channels, which must be possible there.

        Returns:
            Each distinct block in canonical form, and six genes that decode to it.
        """
        return self._distinct.blocks_at(number, in_filters)

    def draw(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """See `Space.draw`."""
        width = 0
        if self.widths:
            counts = [space._distinct.count for space in self.by_width]
            width = int(rng.choice(len(counts), p=[count / sum(counts) for count in counts]))
        genome = self.by_width[width]._distinct.draw(rng)
        for name, size in zip(self.network_genes.names, self.network_genes.sizes, strict=True):
            genome.append(width if name == WIDTH else int(rng.integers(size)))
        return np.array(genome, dtype=np.int64)

    def decode(self, genome: Sequence[int] | NDArray[np.integer]) -> Architecture:
        """Return the architecture that a genome stands for.

        Args:
            genome: Whole numbers, shape (n_var,), each below its `gene_sizes`.

        Returns:
            The architecture, in canonical form.

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
            behind = place - self.blocks * len(GENES)
            gene = f"{GENES[place % len(GENES)]} of block {place // len(GENES) + 1}"
            name = gene if behind < 0 else self.network_genes.names[behind]
            raise InputError(f"gene {place} ({name}) must be a whole number below {sizes[place]}, got {genes[place]:g}")
        whole = genes.astype(np.int64)
        rows, last = np.split(whole, [self.blocks * len(GENES)])
        space, chosen = self._scaled(last), self.network_genes.decode(last.tolist())
        blocks: list[Block] = []
        for number, row in enumerate(rows.reshape(self.blocks, len(GENES))):
            blocks.append(space.decode_block(number, row, blocks[-1].filters if blocks else space.stem_filters))
        return self._network(space.stem_filters, blocks, chosen)

    def _network(self, stem: int, blocks: Sequence[Block], chosen: Mapping[str, Any]) -> Architecture:
        """Return a network of this space with chosen values of the genes of whole networks."""
        traits = replace(self.traits, activation=chosen[ACTIVATION]) if self.activations else self.traits
        return Architecture(stem, self.stem_stride, tuple(blocks), self.head, traits, chosen.get(RESOLUTION))

    @property
    def stem_filters(self) -> int:
        """The filters of the stem: `stem` times `width`, rounded."""
        return round_filters(self.stem * self.width, self.divisor)

    def decode_block(self, number: int, genes: Sequence[int] | NDArray[np.int64], in_filters: int) -> Block:
        """Return the block that six genes stand for. Each block is built once, as a search asks for it again and again.

        Args:
            number: Index of the block, from 0.
            genes: Its genes in the order of `GENES`, shape (6,).
            in_filters: Its input channels.

        Returns:
            The block, in canonical form.
        """
        key = number, in_filters, *map(int, genes)
        if key not in self._block_cache:
            self._block_cache[key] = self._build_block(*key)
        return self._block_cache[key]

    @cached_property
    def _block_cache(self) -> dict[tuple[int, ...], Block]:
        return {}

    def _build_block(self, number: int, in_filters: int, *genes: int) -> Block:
        op, kernel, se, skip, filters, layers = genes
        block = Block(
            op=self.op_choices(number)[op],
            kernel=self.kernel_choices(number)[kernel],
            stride=self.strides[number],
            filters=self.filter_choices(number)[filters] or in_filters,
            layers=self.layer_choices(number)[layers],
            se=self.se_ratios[se],
            skip=self.skip_choices(number)[skip],
        ).canonical_after(in_filters)
        has_others = block.se > 0 and sum(map(bool, self.se_ratios)) > 1
        return self._with_first_ratio(block, in_filters) if has_others else block

    def _with_first_ratio(self, block: Block, in_filters: int) -> Block:
        """Return the block with the first of the space's SE ratios that squeezes to the same numbers of channels."""
        variants = (replace(block, se=ratio) for ratio in self.se_ratios if ratio)
        input_widths = (in_filters, block.filters)[: block.layers]
        return next(
            variant
            for variant in variants
            if all(variant.squeeze(width) == block.squeeze(width) for width in input_widths)
        )

    @checked
    def encode(self, architecture: Architecture) -> NDArray[np.int64]:
        """Return a genome of an architecture.

        Args:
            architecture: A network of this space.

        Returns:
            Shape (n_var,). Of the genomes that decode to the architecture, it is the one whose blocks come first in
            lexicographic order.

        Raises:
            InputError: The architecture is not in this space; the message names the place.
        """
        space = self.scaled_like(architecture)
        ends = (architecture.stem, architecture.stem_stride, architecture.head)
        if ends != (space.stem_filters, self.stem_stride, self.head) or len(architecture.blocks) != self.blocks:
            raise InputError("stem, head or number of blocks differ from the search space's")
        traits = architecture.traits
        if self.activations:
            traits = replace(traits, activation=self.traits.activation)
        if traits != self.traits:
            ours = str(self.traits) or "the default ones"
            raise InputError(f"traits {traits} differ from the search space's, {ours}")
        last = self.network_genes.encode(
            {
                RESOLUTION: architecture.resolution,
                WIDTH: space.width if self.widths else None,
                ACTIVATION: architecture.traits.activation if self.activations else None,
            }
        )
        genome, filters = [], architecture.stem
        for number, block in enumerate(architecture.blocks):
            genome += encode_block(space, number, block, filters)
            filters = block.filters
        return np.array([*genome, *last], dtype=np.int64)

    def mobilenet_v2(self) -> Architecture:
        """Return MobileNetV2 on this space's base network: the paper's reference network (paper section 4.1, table 1).

        Its first block has no expansion, and the others expand by 6. All have kernels of 3 pixels, identity skips and
        no squeeze-and-excite. With the default space this is MobileNetV2 itself, but with ReLU in place of ReLU6.
        """
        space = max(self.by_width, key=lambda one: one.width)
        blocks = tuple(
            Block(
                "mbconv6" if number else "dconv",
                3,
                stride,
                round_filters(filters * space.width, self.divisor),
                layers,
                skip="identity",
            )
            for number, (filters, layers, stride) in enumerate(
                zip(self.filters, self.layers, self.strides, strict=True)
            )
        )
        chosen = {RESOLUTION: self.largest_resolution, ACTIVATION: next(iter(self.activations), None)}
        return self._network(space.stem_filters, blocks, chosen)

    @property
    def largest_resolution(self) -> Resolution | None:
        """The choice of the resolution with the most pixels; None without any."""
        return max(self.resolutions, key=area, default=None)

    def reference_network(self) -> Architecture:
        """Return the network that all others are compared with: `base`, or MobileNetV2, at the largest resolution."""
        if not self.base:
            return self.mobilenet_v2()
        return replace(Architecture.parse(self.base), resolution=self.largest_resolution)

    def neighbours(self, architecture: Architecture) -> list[Architecture]:
        """Return the architectures that differ from another one by a single gene.

        Args:
            architecture: A network of this space.

        Returns:
            The distinct neighbours, without the architecture itself.

        Raises:
            InputError: The architecture is not in this space.
        """
        genome = self.encode(architecture)
        neighbours: dict[Architecture, None] = {}
        for gene, size in enumerate(self.gene_sizes):
            for value in range(int(size)):
                neighbours[self.decode(np.where(np.arange(len(genome)) == gene, value, genome))] = None
        return [neighbour for neighbour in neighbours if neighbour != architecture]

    def reference(self) -> NDArray[np.int64] | None:
        """Return the reference network's genome, shape (n_var,); None where this space lacks one of its choices."""
        try:
            return self.encode(self.reference_network())
        except InputError:
            return None

    def landmarks(self) -> Genomes:
        """Return the networks that a search should try first; see `Space.landmarks`.

        A network of the space around another one is the worse, the less it shares with that one, so that random ones
        say little. These come first there: the reference network at every resolution, and the same with a layer fewer
        in every block that has several. Of what can be saved, these two cost the least accuracy for the time.
        """
        reference = self.reference()
        genomes = [] if reference is None else [reference]
        if self.base and genomes:
            whole = self.reference_network()
            blocks = (replace(block, layers=max(1, block.layers - 1)) for block in whole.blocks)
            ordered = sorted(self.resolutions, key=area, reverse=True)
            sizes: Sequence[Resolution | None] = ordered or [None]
            for network, size in itertools.product((whole, replace(whole, blocks=tuple(blocks))), sizes):
                with contextlib.suppress(InputError):  # the space has no such choice
                    genomes.append(self.encode(replace(network, resolution=size)))
            genomes = list({tuple(genome): genome for genome in genomes}.values())
        return np.array(genomes, dtype=np.int64).reshape(-1, len(self.gene_sizes))

    def sample(self, count: int, rng: np.random.Generator) -> Genomes:
        """See `Space.sample` and `sample_evenly`."""
        return sample_evenly(self.gene_sizes, count, rng)
