"""Published networks as architectures (tensorflow/tpu, models/official/mnasnet; MobileNetV2's paper).

They are built by the same code as the search's networks. A width multiplier, as in `mnasnet-b1@0.5`,
scales stem and blocks, not the head; MobileNetV2's head grows with it where it is above 1.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace

from evomnas.core.errors import InputError, unknown
from evomnas.problem.architecture import Architecture
from evomnas.problem.search_space import round_filters

NETWORKS = {
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
}


def published(name: str) -> Architecture:
    """The published network of a name, optionally with a width multiplier: `mnasnet-a1`, `mnasnet-b1@0.5`.

    Raises:
        InputError: No such network, or the multiplier is not a positive number.
    """
    network, _, text = name.partition("@")
    if network not in NETWORKS:
        raise unknown("network", network, NETWORKS)
    architecture = Architecture.parse(NETWORKS[network])
    if "@" not in name:
        return architecture
    width = float(text) if re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,9})?", text) else 0.0
    if not 0 < width <= 50:
        raise InputError(f"the width multiplier of {name!r} must be a number up to 50: for example {network}@0.5")
    head = round_filters(architecture.head * max(1.0, width), 8) if network == "mobilenet-v2" else architecture.head
    blocks = tuple(replace(block, filters=round_filters(block.filters * width, 8)) for block in architecture.blocks)
    return replace(architecture, stem=round_filters(architecture.stem * width, 8), blocks=blocks, head=head)


def fitted(architecture: Architecture, resolution: int) -> Architecture:
    """The architecture for images of `resolution` pixels: strides become 1, the first ones first, until they fit."""
    strides = [architecture.stem_stride, *(block.stride for block in architecture.blocks)]
    for place, stride in enumerate(strides):
        if math.prod(strides) > resolution and stride > 1:
            strides[place] = 1
    blocks = (replace(block, stride=stride) for block, stride in zip(architecture.blocks, strides[1:], strict=True))
    return replace(architecture, stem_stride=strides[0], blocks=tuple(blocks))
