"""The search space of MobileNetV4: universal inverted bottlenecks, in which Conv-S and Conv-M are points.

Qin et al., "MobileNetV4: Universal Models for the Mobile Ecosystem", ECCV 2024. Published are the operations and the
networks. The space is ours: the stages have the strides of the networks and a choice of their filters, and places for
as many blocks as Conv-M has; a place that a network does not need is a `pass`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from evomnas.problem.architecture import Architecture
from evomnas.problem.pretrained.traits import Traits
from evomnas.problem.search_space import SearchSpace, round_filters

MOBILENET_V4 = "mobilenet-v4"  # what a problem file says in place of a section [space]
_EARLY = (  # ops, kernels, filters, stride; a block of filters 0 keeps those of its input
    (("conv", "fmbconv4"), (3,), (32, 48), 2),
    (("conv", "pass"), (1, 3), (0,), 1),
    (("conv", "fmbconv4", "extradw4", "uib4a3"), (3, 5), (96, 80), 2),
    (("conv", "extradw2", "extradw4", "pass"), (1, 3), (64, 80), 1),
)
_FIRST = ("mbconv4", "mbconv6", "extradw3", "extradw4", "extradw6", "uib4a3", "uib6a3")  # of a stage
_OTHERS = (
    *("mbconv2", "mbconv3", "mbconv4", "convnext2", "convnext4", "ffn2", "ffn4"),
    *("extradw2", "extradw4", "uib2a3", "uib4a3", "pass"),
)
_STAGES = (((96, 160), 7), ((128, 256), 9))  # filters, places
_BLOCKS = (
    *_EARLY,
    *(
        block
        for filters, places in _STAGES
        for block in ((_FIRST, (3, 5), filters, 2), *[(_OTHERS, (3, 5), (0,), 1)] * (places - 1))
    ),
    (("conv",), (1,), (960,), 1),
)
_CONV_S = (  # with the places that it does not need
    "stem32_s2-conv_k3_s2_f32_n1-conv_k1_s1_f32_n1-conv_k3_s2_f96_n1-conv_k1_s1_f64_n1"
    "-extradw3_k5_s2_f96_n1-mbconv2_k3_s1_f96_n2_id-mbconv2_k3_s1_f96_n2_id-convnext4_k3_s1_f96_n1_id"
    + "-pass_k1_s1_f96_n1"
    * 3
    + "-extradw6_k3_s2_f128_n1-extradw4_k5_s1_f128_n1_id-mbconv4_k5_s1_f128_n1_id-mbconv3_k5_s1_f128_n1_id"
    "-mbconv4_k3_s1_f128_n2_id" + "-pass_k1_s1_f128_n1" * 4 + "-conv_k1_s1_f960_n1-head1280-late_eps0.00001"
)


def mobilenet_v4_space() -> SearchSpace:
    """Return the space, with MobileNetV4 Conv-S as its reference network."""
    ops, kernels, filters, strides = zip(*_BLOCKS, strict=True)
    return SearchSpace(
        filters=tuple(choices[0] or 1 for choices in filters),
        layers=(1,) * len(_BLOCKS),
        strides=strides,
        ops=_OTHERS,
        se_ratios=(0.0,),
        layer_offsets=(0, 1),
        block_ops=ops,
        block_kernels=kernels,
        block_skips=tuple(("none",) if number == 1 else ("identity",) for number in range(len(_BLOCKS))),
        block_filters=filters,
        traits=Traits(epsilon=1e-5, head="late"),
        base=_CONV_S,
    )


def scaled_reference(changes: Mapping[str, Any]) -> str:
    """Return the notation of the reference network in a space that is changed in a problem file.

    Args:
        changes: The keys of the section [space] that the file sets. Those that are no numbers are ignored: others
            refuse them.
    """
    network = Architecture.parse(_CONV_S)
    numbers = {name: value for name, value in changes.items() if isinstance(value, int | float) and value > 0}
    width, divisor = numbers.get("width", 1), int(numbers.get("divisor", 8))
    strides = changes.get("strides")
    is_usable = isinstance(strides, list | tuple) and len(strides) == len(network.blocks)
    own = strides if is_usable else [block.stride for block in network.blocks]
    blocks = tuple(
        replace(block, stride=stride, filters=round_filters(block.filters * width, divisor))
        for block, stride in zip(network.blocks, own or (), strict=True)
        if isinstance(stride, int)
    )
    return str(
        replace(
            network,
            stem=round_filters(int(numbers.get("stem", network.stem)) * width, divisor),
            stem_stride=int(numbers.get("stem_stride", network.stem_stride)),
            head=int(numbers.get("head", network.head)),
            blocks=blocks,
        )
    )
