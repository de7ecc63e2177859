"""Published networks as architectures.

They come from tensorflow/tpu, models/official/mnasnet and models/official/efficientnet/lite, from MobileNetV2's paper,
and from timm's MobileNetV4 (convolutions only; timm's epsilon of batch norm), and they are built by the same code as
the networks of a search. A width multiplier, as in `mnasnet-b1@0.5`, scales the stem and the blocks but not the head.
MobileNetV2's head is the exception: it grows with a multiplier above 1.

The EfficientNet-Lites are EfficientNets without squeeze-and-excite, with ReLU6 and TensorFlow's SAME padding. Lite1 to
Lite4 are Lite0 with its blocks made wider and deeper by the factors of `_LITE_FACTORS`. Stem and head stay, and so do
the layers of the first and the last block.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from functools import lru_cache

from evomnas.core.arguments import checked
from evomnas.core.errors import InputError, unknown
from evomnas.core.resolution import Resolution, sides
from evomnas.problem.architecture import Architecture
from evomnas.problem.search_space import round_filters

_LITE_FACTORS = {"0": (1.0, 1.0), "1": (1.0, 1.1), "2": (1.1, 1.2), "3": (1.2, 1.4), "4": (1.4, 1.8)}  # width, depth
_LITE0 = Architecture.parse(
    "stem32_s2-dconv_k3_s1_f16_n1-mbconv6_k3_s2_f24_n2_id-mbconv6_k5_s2_f40_n2_id-mbconv6_k3_s2_f80_n3_id"
    "-mbconv6_k5_s1_f112_n3_id-mbconv6_k5_s2_f192_n4_id-mbconv6_k3_s1_f320_n1-head1280-relu6_same"
)


def _lite(width: float, depth: float) -> str:
    """Return the notation of EfficientNet-Lite0 with wider and deeper blocks; layers are rounded up."""
    middle = range(1, len(_LITE0.blocks) - 1)
    blocks = (
        replace(
            block,
            filters=round_filters(block.filters * width, 8),
            layers=math.ceil(round(block.layers * depth, 9)) if number in middle else block.layers,
        )
        for number, block in enumerate(_LITE0.blocks)
    )
    return str(replace(_LITE0, blocks=tuple(blocks)))


PUBLISHED_NETWORKS = {
    "mnasnet-a1": (
        "stem32_s2-dconv_k3_s1_f16_n1-mbconv6_k3_s2_f24_n2_id-mbconv3_k5_s2_f40_n3_se0.25_id-mbconv6_k3_s2_f80_n4_id"
        "-mbconv6_k3_s1_f112_n2_se0.25_id-mbconv6_k5_s2_f160_n3_se0.25_id-mbconv6_k3_s1_f320_n1-head1280"
    ),
    "mnasnet-b1": (
        "stem32_s2-dconv_k3_s1_f16_n1-mbconv3_k3_s2_f24_n3_id-mbconv3_k5_s2_f40_n3_id-mbconv6_k5_s2_f80_n3_id"
        "-mbconv6_k3_s1_f96_n2_id-mbconv6_k5_s2_f192_n4_id-mbconv6_k3_s1_f320_n1-head1280"
    ),
    "mnasnet-small": (
        "stem8_s2-dconv_k3_s1_f8_n1_id-mbconv3_k3_s2_f16_n1-mbconv6_k3_s2_f16_n2_id-mbconv6_k5_s2_f32_n4_se0.25_id"
        "-mbconv6_k3_s1_f32_n3_se0.25_id-mbconv6_k5_s2_f88_n3_se0.25_id-mbconv6_k3_s1_f144_n1-head1280"
    ),
    "mobilenet-v2": (
        "stem32_s2-dconv_k3_s1_f16_n1-mbconv6_k3_s2_f24_n2_id-mbconv6_k3_s2_f32_n3_id-mbconv6_k3_s2_f64_n4_id"
        "-mbconv6_k3_s1_f96_n3_id-mbconv6_k3_s2_f160_n3_id-mbconv6_k3_s1_f320_n1-head1280"
    ),
    "mobilenet-v4-conv-s": (
        "stem32_s2-conv_k3_s2_f32_n1-conv_k1_s1_f32_n1-conv_k3_s2_f96_n1-conv_k1_s1_f64_n1"
        "-extradw3_k5_s2_f96_n1-mbconv2_k3_s1_f96_n4_id-convnext4_k3_s1_f96_n1_id"
        "-extradw6_k3_s2_f128_n1-extradw4_k5_s1_f128_n1_id-mbconv4_k5_s1_f128_n1_id-mbconv3_k5_s1_f128_n1_id"
        "-mbconv4_k3_s1_f128_n2_id-conv_k1_s1_f960_n1-head1280-late_eps0.00001"
    ),
    "mobilenet-v4-conv-m": (
        "stem32_s2-fmbconv4_k3_s2_f48_n1-uib4a3_k5_s2_f80_n1-extradw2_k3_s1_f80_n1_id"
        "-uib6a3_k5_s2_f160_n1-extradw4_k3_s1_f160_n2_id-uib4a3_k5_s1_f160_n1_id-extradw4_k3_s1_f160_n1_id"
        "-convnext4_k3_s1_f160_n1_id-ffn2_k1_s1_f160_n1_id-convnext4_k3_s1_f160_n1_id"
        "-extradw6_k5_s2_f256_n1-extradw4_k5_s1_f256_n1_id-uib4a3_k5_s1_f256_n2_id-ffn4_k1_s1_f256_n1_id"
        "-convnext4_k3_s1_f256_n1_id-uib2a3_k5_s1_f256_n1_id-extradw4_k5_s1_f256_n1_id-ffn4_k1_s1_f256_n2_id"
        "-convnext2_k5_s1_f256_n1_id-conv_k1_s1_f960_n1-head1280-late_eps0.00001"
    ),
    **{f"efficientnet-lite{number}": _lite(*factors) for number, factors in _LITE_FACTORS.items()},
}


@checked
@lru_cache(maxsize=64)
def published(name: str) -> Architecture:
    """Return a published network by its name.

    Args:
        name: One of `PUBLISHED_NETWORKS`, optionally with a width multiplier: `mnasnet-a1`, `mnasnet-b1@0.5`.

    Returns:
        The network's architecture, with the published strides.

    Raises:
        InputError: There is no such network, or the multiplier is not a positive number of at most 50.
    """
    network_name, _, multiplier = name.partition("@")
    if network_name not in PUBLISHED_NETWORKS:
        raise unknown("network", network_name, PUBLISHED_NETWORKS)
    architecture = Architecture.parse(PUBLISHED_NETWORKS[network_name])
    if "@" not in name:
        return architecture
    width = float(multiplier) if re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,9})?", multiplier) else 0.0
    if not 0 < width <= 50:
        raise InputError(f"the width multiplier of {name!r} must be a number up to 50: for example {network_name}@0.5")
    is_mobilenet = network_name == "mobilenet-v2"
    head = round_filters(architecture.head * max(1.0, width), 8) if is_mobilenet else architecture.head
    blocks = tuple(replace(block, filters=round_filters(block.filters * width, 8)) for block in architecture.blocks)
    return replace(architecture, stem=round_filters(architecture.stem * width, 8), blocks=blocks, head=head)


@lru_cache(maxsize=256)
def fit_to_resolution(architecture: Architecture, resolution: Resolution) -> Architecture:
    """Return an architecture with strides that suit small images.

    Args:
        architecture: The architecture to fit.
        resolution: The size of the images in pixels.

    Returns:
        The same architecture, in which strides became 1, from the input on, until the total stride is at most the
        shorter side.
    """
    strides = [architecture.stem_stride, *(block.stride for block in architecture.blocks)]
    shorter = min(sides(resolution))
    for place, stride in enumerate(strides):
        if math.prod(strides) > shorter and stride > 1:
            strides[place] = 1
    blocks = (replace(block, stride=stride) for block, stride in zip(architecture.blocks, strides[1:], strict=True))
    return replace(architecture, stem_stride=strides[0], blocks=tuple(blocks))
