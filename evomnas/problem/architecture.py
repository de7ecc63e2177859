"""Architectures: immutable values that describe a network.

An `Architecture` is always in canonical form: two architectures are equal exactly when they describe the same
network. Equality, hashing and `Architecture.id` therefore all mean "the same network". There are exceptions, in which
two spellings of one network stay different:

- SE ratios that squeeze to the same number of channels. A search space decodes such ratios to the first of its own.
- The boundary between two neighbouring blocks whose layers are alike. The paper's space cannot produce one.
- The place of a block that is no layer at all (`pass`), and groups of channels beyond those that can be.

An architecture knows nothing about images, classes or weights. `evomnas.networks.network` builds its torch module.

The one-line notation lists the stem, the blocks and the head, separated by hyphens::

    stem32_s2-dconv_k3_s1_f16_n1-mbconv6_k3_s2_f24_n2_id-mbconv3_k5_s2_f40_n3_se0.25_id-head1280

The letters of a block mean: `k` kernel size, `s` stride of its first layer, `f` filters, `n` layers, `se`
squeeze-and-excite ratio, `id` identity skip, `pool` pooling skip. A block without a skip has neither `id` nor `pool`.
Behind the head stand the traits that are not the default, as in `-head1280-relu6_same`; see
`evomnas.problem.pretrained.traits`. A network that has a resolution of its own begins with it, as in `72px-stem32_s2-`,
or `72x96px-stem32_s2-` for a height of 72 and a width of 96 pixels.

References:
    Tan et al., "MnasNet: Platform-Aware Neural Architecture Search for Mobile", CVPR 2019, section 4.1.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from typing import Any

from evomnas.core.arguments import checked, checked_fields
from evomnas.core.errors import InputError
from evomnas.core.resolution import MAX_PIXELS, Resolution, format_resolution, normalised, sides, to_resolution
from evomnas.problem.ops.base import LayerShape, Step
from evomnas.problem.ops.catalogue import NAME, operation
from evomnas.problem.pretrained.traits import PLAIN, Traits

SKIPS = ("none", "identity", "pool")
MAX_BLOCKS, MAX_LAYERS, MAX_FILTERS, MAX_KERNEL = 100, 100, 16_384, 99  # larger than in any published network
_SKIP_TOKENS = {"none": "", "identity": "_id", "pool": "_pool"}
_STEM = re.compile(r"stem(\d{1,9})_s(\d{1,9})", re.ASCII)
_PIXELS = re.compile(r"(\d{1,5})(?:x(\d{1,5}))?px", re.ASCII)
_HEAD = re.compile(r"head(\d{1,9})", re.ASCII)
_BLOCK = re.compile(
    rf"(?P<op>{NAME})_k(?P<kernel>\d{{1,9}})_s(?P<stride>\d{{1,9}})_f(?P<filters>\d{{1,9}})"
    r"_n(?P<layers>\d{1,9})(?:_se(?P<se>\d(?:\.\d{1,40})?))?(?:_(?P<skip>id|pool))?",
    re.ASCII,
)


@checked_fields
@dataclass(frozen=True, slots=True)
class Block:
    """One block: `layers` identical layers. Only the first one may change the resolution and the number of channels.

    Attributes:
        op: The operation of its layers: `conv` (plain convolution), `dconv` (depthwise separable convolution, which is
            an inverted bottleneck without expansion), `mbconvN` (inverted bottleneck with expansion N > 1), or another
            one of `evomnas.problem.ops`.
        kernel: Kernel size in pixels, odd.
        stride: Stride of the first layer; the others have stride 1.
        filters: Output channels of every layer.
        layers: Number of layers, at least 1.
        se: Squeeze-and-excite ratio, relative to the layer's input channels; 0 means no squeeze-and-excite.
        skip: `none`, `identity` or `pool`. `evomnas.networks.network` describes what each of them builds.

    Raises:
        InputError: A value is not allowed; the message names it and says what is.
    """

    op: str
    kernel: int
    stride: int
    filters: int
    layers: int
    se: float = 0.0
    skip: str = "none"

    def __post_init__(self) -> None:
        found = operation(self.op)
        if not 1 <= self.kernel <= MAX_KERNEL or self.kernel % 2 == 0:
            raise InputError(f"kernel size {self.kernel} is not an odd number from 1 to {MAX_KERNEL}")
        for name, maximum in (("stride", MAX_FILTERS), ("filters", MAX_FILTERS), ("layers", MAX_LAYERS)):
            if not 1 <= getattr(self, name) <= maximum:
                raise InputError(f"{name} must lie between 1 and {maximum}, got {getattr(self, name)}")
        if not 0.0 <= self.se <= 1.0:
            raise InputError(f"SE ratio must lie in [0, 1], got {self.se}")
        if self.skip not in SKIPS:
            raise InputError(f"unknown skip {self.skip!r}: allowed are {', '.join(SKIPS)}")
        op, kernel = found.canonical(self.kernel)
        fixed = {"layers": 1, "se": 0.0, "skip": "none"} if found.is_weightless else {}
        for name, value in {"op": op, "kernel": kernel, **fixed}.items():
            object.__setattr__(self, name, value)

    @property
    def expansion(self) -> int:
        """The factor by which a 1x1 convolution widens a layer's input before all else: N for `mbconvN`, else 1."""
        return operation(self.op).expansion

    def steps(self, in_filters: int, stride: int) -> Sequence[Step]:
        """Return what a layer computes, step by step, apart from its skip.

        Args:
            in_filters: Input channels of the layer.
            stride: Stride of the layer.

        Returns:
            The steps from input to output; a squeeze-and-excite among them has `squeeze(in_filters)` channels inside.
        """
        return operation(self.op).steps(LayerShape(in_filters, self.filters, self.kernel, stride, self.se > 0))

    def squeeze(self, in_filters: int) -> int:
        """Return the number of channels between the two convolutions of a layer's squeeze-and-excite module.

        Args:
            in_filters: Input channels of the layer.

        Returns:
            The share `se` of the layer's input channels, rounded down, and at least 1.
        """
        return max(1, int(in_filters * self.se))

    def shortcut(self, in_filters: int, stride: int) -> str:
        """Return the kind of skip that one layer of this block gets.

        Args:
            in_filters: Input channels of the layer.
            stride: Stride of the layer.

        Returns:
            `identity` or `none` where the layer keeps its input's shape; `pool` or `none` where the shape changes,
            because an identity cannot be added there.
        """
        if stride == 1 and in_filters == self.filters:
            return "none" if self.skip == "none" else "identity"
        return "pool" if self.skip == "pool" else "none"

    def canonical_after(self, in_filters: int) -> Block:
        """Return this block in the canonical form that it has behind `in_filters` channels.

        Its skip becomes the weakest one that builds the same network. An identity skip becomes `none` if no layer can
        use it. A pooling skip becomes an identity if every layer keeps its input's shape.

        Args:
            in_filters: Input channels of the block's first layer.

        Returns:
            A block that builds the same network at this place. Two blocks that do so are equal in this form.
        """
        if self.stride == 1 and self.filters == in_filters:
            return replace(self, skip="identity") if self.skip == "pool" else self
        return replace(self, skip="none") if self.skip == "identity" and self.layers == 1 else self

    def __str__(self) -> str:
        se = f"_se{_decimal(self.se)}" if self.se else ""
        return f"{self.op}_k{self.kernel}_s{self.stride}_f{self.filters}_n{self.layers}{se}{_SKIP_TOKENS[self.skip]}"


@checked_fields
@dataclass(frozen=True, slots=True)
class Architecture:
    """A network: stem, blocks and head, in canonical form.

    Attributes:
        stem: Filters of the 3x3 stem convolution.
        stem_stride: Stride of the stem convolution.
        blocks: The blocks from input to output.
        head: Filters of the 1x1 convolution before the global pooling.
        traits: Activation, padding and epsilon of the whole network.
        resolution: Height and width in pixels of the images that it takes, where a search chooses them with the
            network: one number for squares, or both. None where the problem says them. It takes precedence wherever
            another one is given.

    Raises:
        InputError: A number of filters, the stem's stride or the number of blocks is out of range.
    """

    stem: int
    stem_stride: int
    blocks: tuple[Block, ...]
    head: int
    traits: Traits = PLAIN
    resolution: Resolution | None = None

    def __post_init__(self) -> None:
        if self.resolution is not None:
            object.__setattr__(self, "resolution", normalised(self.resolution))
            if not all(1 <= side <= MAX_PIXELS for side in sides(self.resolution)):
                raise InputError(f"resolution must lie between 1 and {MAX_PIXELS}, got {self.resolution}")
        for name in ("stem", "stem_stride", "head"):
            if not 1 <= getattr(self, name) <= MAX_FILTERS:
                raise InputError(f"{name} must lie between 1 and {MAX_FILTERS}, got {getattr(self, name)}")
        if not 1 <= len(self.blocks) <= MAX_BLOCKS:
            raise InputError(f"an architecture has 1 to {MAX_BLOCKS} blocks, not {len(self.blocks)}")
        input_filters = (self.stem, *(block.filters for block in self.blocks))
        blocks = tuple(
            block.canonical_after(filters) for block, filters in zip(self.blocks, input_filters, strict=False)
        )
        object.__setattr__(self, "blocks", blocks)

    @property
    def id(self) -> str:
        """Eight hexadecimal digits that identify this network, the same in every run."""
        return hashlib.blake2b(str(self).encode(), digest_size=4).hexdigest()

    @property
    def total_stride(self) -> int:
        """The factor by which the stem and the blocks together reduce the resolution."""
        stride = self.stem_stride
        for block in self.blocks:
            stride *= block.stride
        return stride

    def check_resolution(self, resolution: Resolution) -> None:
        """Check that the strides do not shrink an image to less than one pixel.

        Args:
            resolution: The image's size in pixels, for a network without a resolution of its own.

        Raises:
            InputError: The resolution is below 1, or the total stride is larger than it. The message names the part of
                the network where that happens.
        """
        shorter = min(sides(self.resolution or resolution))
        if shorter < 1:
            raise InputError(f"resolution must be at least 1 pixel, got {shorter}")
        stride, remaining_blocks = self.stem_stride, iter(enumerate(self.blocks, start=1))
        place = "the stem"
        while stride <= shorter:
            number, block = next(remaining_blocks, (0, None))
            if block is None:
                return
            stride, place = stride * block.stride, f"block {number}"
        raise InputError(
            f"{place} brings the total stride to {stride}, more than the image's {shorter} pixels: "
            f"use at least {self.total_stride} pixels or smaller strides"
        )

    def layers(self) -> Iterator[tuple[int, int, Block, int, int]]:
        """Yield every layer of the blocks, from input to output.

        Yields:
            The block's number (from 1), the layer's number within its block (from 1), the block, the layer's input
            channels, and the layer's stride.
        """
        filters = self.stem
        for number, block in enumerate(self.blocks, start=1):
            for layer in range(1, block.layers + 1):
                yield number, layer, block, filters, block.stride if layer == 1 else 1
                filters = block.filters

    @property
    def part_notations(self) -> tuple[str, ...]:
        """The notations of the stem, with a resolution before it, of every block, and of the head with the traits."""
        pixels = "" if self.resolution is None else f"{format_resolution(self.resolution)}px-"
        traits = f"-{self.traits}" if self.traits != PLAIN else ""
        stem, head = f"{pixels}stem{self.stem}_s{self.stem_stride}", f"head{self.head}{traits}"
        return (stem, *map(str, self.blocks), head)

    def __str__(self) -> str:
        return "-".join(self.part_notations)

    def _repr_html_(self) -> str:
        """Return the network for a notebook: a row for each block, with a bar as long as it has filters."""
        from evomnas.core.showing.markup import bars, heading, table

        header = ("block", "operation", "kernel", "stride", "filters", "layers", "squeeze-and-excite", "skip")
        rows = [
            (
                str(number),
                one.op,
                str(one.kernel),
                str(one.stride),
                str(one.filters),
                str(one.layers),
                str(one.se),
                one.skip,
            )
            for number, one in enumerate(self.blocks, start=1)
        ]
        ends = f"stem of {self.stem} filters, stride {self.stem_stride}; head of {self.head}; {self}"
        drawing = bars([(block.op, block.filters, block.layers) for block in self.blocks])
        return heading(self.id, ends) + drawing + table(header, rows)

    @classmethod
    @checked
    def parse(cls, notation: str) -> Architecture:
        """Read an architecture from its one-line notation.

        Args:
            notation: Stem, blocks, head and traits, separated by hyphens; see this module's docstring. `str` writes it.

        Returns:
            The architecture, in canonical form.

        Raises:
            InputError: The notation is malformed or holds a value that is not allowed; the message names the place.
        """
        parts = notation.strip().split("-")
        if len(parts) < 3:
            raise InputError(
                f"not an architecture: {notation[:80]!r}: expected stem, blocks and head separated by '-', "
                "such as stem32_s2-dconv_k3_s1_f16_n1-head1280"
            )
        pixels = _PIXELS.fullmatch(parts[0])
        parts = parts[1:] if pixels else parts
        has_traits = not parts[-1].startswith("head") and parts[-2].startswith("head")
        traits = Traits.parse(parts.pop()) if has_traits else PLAIN
        stem = _match(_STEM, parts[0], "the stem", "stem32_s2")
        head = _match(_HEAD, parts[-1], "the head", "head1280")
        blocks = [_parse_block(part, f"block {number}") for number, part in enumerate(parts[1:-1], start=1)]
        size = to_resolution(int(pixels[1]), int(pixels[2] or pixels[1])) if pixels else None
        return cls(int(stem[1]), int(stem[2]), tuple(blocks), int(head[1]), traits, size)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a mapping that can be written as JSON; `from_dict` is the inverse.

        Traits are left out where all of them are the default, and so are a head at its usual place and the resolution
        where there is none.
        """
        absent = {"traits": self.traits == PLAIN, "resolution": self.resolution is None}
        values = {name: value for name, value in asdict(self).items() if not absent.get(name, False)}
        if "traits" in values and self.traits.head == PLAIN.head:
            del values["traits"]["head"]
        return values

    @classmethod
    @checked
    def from_dict(cls, values: Mapping[str, Any]) -> Architecture:
        """Return the architecture that a mapping describes.

        Args:
            values: A mapping as `to_dict` returns it.

        Returns:
            The architecture.

        Raises:
            InputError: A value is missing or not allowed.
        """
        try:
            blocks = tuple(Block(**block) for block in values["blocks"])
            traits = Traits(**values.get("traits", {}))
            ends = values["stem"], values["stem_stride"], blocks, values["head"]
            return cls(*ends, traits, values.get("resolution"))
        except (KeyError, TypeError) as error:
            raise InputError(f"not the fields of an architecture, as to_dict returns them: {error}") from None


def _decimal(number: float) -> str:
    """Write a number with the fewest decimals that read back as the same number, without an exponent."""
    text = f"{Decimal(repr(float(number))):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _match(pattern: re.Pattern[str], part: str, place: str, example: str) -> re.Match[str]:
    match = pattern.fullmatch(part)
    if match is None:
        raise InputError(f"cannot read {place} of the architecture: {part[:60]!r} is not like {example}")
    return match


def _parse_block(part: str, place: str) -> Block:
    match = _match(_BLOCK, part, place, "mbconv6_k3_s2_f24_n2_se0.25_id")
    numbers = {name: int(match[name]) for name in ("kernel", "stride", "filters", "layers")}
    skip = {None: "none", "id": "identity", "pool": "pool"}[match["skip"]]
    try:
        return Block(match["op"], **numbers, se=float(match["se"] or 0), skip=skip)
    except InputError as error:
        raise InputError(f"{place} of the architecture: {error}") from None
