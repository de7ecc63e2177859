"""Architectures: immutable values that say which network is meant.

An `Architecture` is always in canonical form: two architectures are equal exactly when they describe
the same network, so equality, hashing and `Architecture.id` all mean "the same network". Two things stay as
they are written: SE ratios that squeeze to the same number of channels (a search space decodes them to the
first of its own), and the boundary between two blocks whose layers are alike (the paper's space has none).
An architecture knows nothing about images, classes or weights; `evomnas.networks.network` builds the torch module.

The one-line notation lists stem, blocks and head, separated by hyphens::

    stem32_s2-dconv_k3_s1_f16_n1-mbconv6_k3_s2_f24_n2_id-mbconv3_k5_s2_f40_n3_se0.25_id-head1280

`k` kernel size, `s` stride of the block's first layer, `f` filters, `n` layers, `se` squeeze-and-excite
ratio, `id` identity skip, `pool` pooling skip; a block without skip names none.

References:
    Tan et al., "MnasNet: Platform-Aware Neural Architecture Search for Mobile", CVPR 2019, section 4.1.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from typing import Any

from evomnas.core.errors import InputError

SKIPS = ("none", "identity", "pool")
MAX_BLOCKS, MAX_LAYERS, MAX_FILTERS, MAX_KERNEL = 100, 100, 16_384, 99  # beyond any published network's
_SKIP_TOKENS = {"none": "", "identity": "_id", "pool": "_pool"}
_OP = re.compile(r"conv|dconv|mbconv([1-9]\d?)")
_STEM = re.compile(r"stem(\d{1,9})_s(\d{1,9})", re.ASCII)
_HEAD = re.compile(r"head(\d{1,9})", re.ASCII)
_BLOCK = re.compile(
    r"(?P<op>conv|dconv|mbconv[1-9]\d?)_k(?P<kernel>\d{1,9})_s(?P<stride>\d{1,9})_f(?P<filters>\d{1,9})"
    r"_n(?P<layers>\d{1,9})(?:_se(?P<se>\d(?:\.\d{1,40})?))?(?:_(?P<skip>id|pool))?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Block:
    """One block: `layers` identical layers, of which the first may change stride and filters.

    Attributes:
        op: `conv` (plain convolution), `dconv` (depthwise separable convolution, that is an inverted
            bottleneck without expansion) or `mbconvN` (inverted bottleneck with expansion N > 1).
        kernel: Kernel size in pixels, odd.
        stride: Stride of the first layer; the others have stride 1.
        filters: Output channels of every layer.
        layers: Number of layers, at least 1.
        se: Squeeze-and-excite ratio relative to the layer's input channels; 0 for none.
        skip: `none`, `identity` or `pool`; see `evomnas.networks.network` for what each builds.
    """

    op: str
    kernel: int
    stride: int
    filters: int
    layers: int
    se: float = 0.0
    skip: str = "none"

    def __post_init__(self) -> None:
        if not _OP.fullmatch(self.op):
            raise InputError(f"unknown op {self.op!r}: allowed are conv, dconv and mbconvN (N from 2 to 99)")
        if self.op == "mbconv1":
            object.__setattr__(self, "op", "dconv")
        if not 1 <= self.kernel <= MAX_KERNEL or self.kernel % 2 == 0:
            raise InputError(f"kernel size {self.kernel} is not an odd number from 1 to {MAX_KERNEL}")
        for name, most in (("stride", MAX_FILTERS), ("filters", MAX_FILTERS), ("layers", MAX_LAYERS)):
            if not 1 <= getattr(self, name) <= most:
                raise InputError(f"{name} must lie between 1 and {most}, got {getattr(self, name)}")
        if not 0.0 <= self.se <= 1.0:
            raise InputError(f"SE ratio must lie in [0, 1], got {self.se}")
        if self.skip not in SKIPS:
            raise InputError(f"unknown skip {self.skip!r}: allowed are {', '.join(SKIPS)}")

    @property
    def expansion(self) -> int:
        """Factor by which an inverted bottleneck widens its input: N for `mbconvN`, else 1."""
        return int(self.op.removeprefix("mbconv")) if self.op.startswith("mbconv") else 1

    def squeeze(self, in_filters: int) -> int:
        """Channels between the two convolutions of a layer's SE: its ratio of the layer's input, at least 1."""
        return max(1, int(in_filters * self.se))

    def shortcut(self, in_filters: int, stride: int) -> str:
        """What a layer's skip is behind `in_filters` channels: `none`, `identity`, `pool` where the shape changes."""
        if stride == 1 and in_filters == self.filters:
            return "none" if self.skip == "none" else "identity"
        return "pool" if self.skip == "pool" else "none"

    def after(self, in_filters: int) -> Block:
        """This block in canonical form, placed after `in_filters` channels.

        Its skip becomes the weakest one that builds the same network: an identity that no layer can
        carry is none, and a pooling skip where every layer keeps its shape is an identity.
        """
        if self.stride == 1 and self.filters == in_filters:
            return replace(self, skip="identity") if self.skip == "pool" else self
        return replace(self, skip="none") if self.skip == "identity" and self.layers == 1 else self

    def __str__(self) -> str:
        se = f"_se{_decimal(self.se)}" if self.se else ""
        return f"{self.op}_k{self.kernel}_s{self.stride}_f{self.filters}_n{self.layers}{se}{_SKIP_TOKENS[self.skip]}"


@dataclass(frozen=True, slots=True)
class Architecture:
    """A network: stem, blocks and head, in canonical form.

    Attributes:
        stem: Filters of the 3x3 stem convolution.
        stem_stride: Its stride.
        blocks: The blocks, first to last.
        head: Filters of the 1x1 convolution before pooling.
    """

    stem: int
    stem_stride: int
    blocks: tuple[Block, ...]
    head: int

    def __post_init__(self) -> None:
        for name in ("stem", "stem_stride", "head"):
            if not 1 <= getattr(self, name) <= MAX_FILTERS:
                raise InputError(f"{name} must lie between 1 and {MAX_FILTERS}, got {getattr(self, name)}")
        if not 1 <= len(self.blocks) <= MAX_BLOCKS:
            raise InputError(f"an architecture has 1 to {MAX_BLOCKS} blocks, not {len(self.blocks)}")
        inputs = (self.stem, *(block.filters for block in self.blocks))
        blocks = tuple(block.after(filters) for block, filters in zip(self.blocks, inputs, strict=False))
        object.__setattr__(self, "blocks", blocks)

    @property
    def id(self) -> str:
        """Eight hexadecimal digits that stand for this network, the same in every run."""
        return hashlib.blake2b(str(self).encode(), digest_size=4).hexdigest()

    @property
    def total_stride(self) -> int:
        """Factor by which stem and blocks reduce the resolution."""
        stride = self.stem_stride
        for block in self.blocks:
            stride *= block.stride
        return stride

    def check_resolution(self, resolution: int) -> None:
        """Raise InputError where the strides would shrink an image of `resolution` pixels below one."""
        if resolution < 1:
            raise InputError(f"resolution must be at least 1 pixel, got {resolution}")
        stride, parts = self.stem_stride, iter(enumerate(self.blocks, start=1))
        place = "the stem"
        while stride <= resolution:
            number, block = next(parts, (0, None))
            if block is None:
                return
            stride, place = stride * block.stride, f"block {number}"
        raise InputError(
            f"{place} brings the total stride to {stride}, more than the image's {resolution} pixels: "
            f"use at least {self.total_stride} pixels or smaller strides"
        )

    def layers(self) -> Iterator[tuple[int, int, Block, int, int]]:
        """Yield (block number from 1, layer number from 1, block, input filters, stride) per layer."""
        filters = self.stem
        for number, block in enumerate(self.blocks, start=1):
            for layer in range(1, block.layers + 1):
                yield number, layer, block, filters, block.stride if layer == 1 else 1
                filters = block.filters

    def __str__(self) -> str:
        parts = (f"stem{self.stem}_s{self.stem_stride}", *map(str, self.blocks), f"head{self.head}")
        return "-".join(parts)

    @classmethod
    def parse(cls, notation: str) -> Architecture:
        """The architecture of a one-line notation.

        Raises:
            InputError: The notation is malformed; the message names the place.
        """
        parts = notation.strip().split("-")
        if len(parts) < 3:
            raise InputError(
                f"not an architecture: {notation[:80]!r}: expected stem, blocks and head separated by '-', "
                "such as stem32_s2-dconv_k3_s1_f16_n1-head1280"
            )
        stem = _match(_STEM, parts[0], "the stem", "stem32_s2")
        head = _match(_HEAD, parts[-1], "the head", "head1280")
        blocks = [_parse_block(part, f"block {number}") for number, part in enumerate(parts[1:-1], start=1)]
        return cls(int(stem[1]), int(stem[2]), tuple(blocks), int(head[1]))

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping; `from_dict` is its inverse."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Architecture:
        """The architecture of a mapping made by `to_dict`."""
        blocks = tuple(Block(**block) for block in values["blocks"])
        return cls(values["stem"], values["stem_stride"], blocks, values["head"])


def _decimal(number: float) -> str:
    """The shortest decimal that reads back as `number`, without an exponent."""
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
