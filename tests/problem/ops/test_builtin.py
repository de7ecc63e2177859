"""The operations of this package, step by step, as the papers draw them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evomnas.problem.architecture import Block
from evomnas.problem.ops.base import (
    ChannelIndex,
    Concatenation,
    Convolution,
    Gate,
    LayerShape,
    Shortcut,
    Shuffle,
)
from evomnas.problem.ops.builtin import BUILT_IN, NUMBERED
from evomnas.problem.ops.catalogue import _fault, operation

LAYER = LayerShape(8, 24, 5, 2, gated=True)
PROJECT = {wide: Convolution(wide, 24, 1, active=False) for wide in (8, 32)}


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("conv", [Convolution(8, 24, 5, 2), Gate(24)]),
        ("dconv", [Convolution(8, 8, 5, 2, 8), Gate(8), PROJECT[8]]),
        ("mbconv4", [Convolution(8, 32, 1), Convolution(32, 32, 5, 2, 32), Gate(32), PROJECT[32]]),
        ("fmbconv4", [Convolution(8, 32, 5, 2), Gate(32), PROJECT[32]]),
        (
            "extradw4",
            [
                Convolution(8, 8, 5, 1, 8, active=False), Convolution(8, 32, 1), Convolution(32, 32, 5, 2, 32),
                Gate(32), PROJECT[32],
            ],
        ),
        ("convnext4", [Convolution(8, 8, 5, 2, 8, active=False), Convolution(8, 32, 1), Gate(32), PROJECT[32]]),
        ("ffn4", [Convolution(8, 32, 1, 2), Gate(32), PROJECT[32]]),
        (
            "uib4a3",
            [
                Convolution(8, 8, 3, 1, 8, active=False), Convolution(8, 32, 1), Convolution(32, 32, 5, 2, 32),
                Gate(32), PROJECT[32],
            ],
        ),
        (
            "shuffle4",
            [
                Convolution(8, 8, 1, groups=4), Shuffle(8, 4), Convolution(8, 8, 5, 2, 8, active=False), Gate(8),
                Convolution(8, 24, 1, groups=4, active=False),
            ],
        ),
        (
            "fire8",
            [Convolution(8, 3, 1), Concatenation(((Convolution(3, 12, 1, 2),), (Convolution(3, 12, 5, 2),))), Gate(24)],
        ),
        (
            "condense4",
            [
                ChannelIndex(8, 4), Convolution(8, 24, 1, groups=4), Shuffle(24, 4),
                Convolution(24, 24, 5, 2, 4, active=False), Gate(24),
            ],
        ),
    ],
)  # fmt: skip
def test_the_steps_are_those_of_the_papers(name, steps):
    assert list(operation(name).steps(LAYER)) == steps
    ungated = [step for step in steps if not isinstance(step, Gate)]
    assert list(operation(name).steps(LAYER._replace(gated=False))) == ungated


@given(
    family=st.sampled_from(sorted(BUILT_IN)), number=st.integers(2, 99), filters=st.tuples(*[st.integers(1, 50)] * 2),
    stride=st.integers(1, 3), gated=st.booleans(),
)  # fmt: skip
def test_every_layer_has_the_channels_the_stride_and_the_gate_that_it_should(family, number, filters, stride, gated):
    """By the check that operations of other packages have to pass."""
    name = f"{family}{number}" if family in NUMBERED else family
    found = operation(f"{name}a3" if family == "uib" else name)
    assert _fault(found, LayerShape(*filters, 3, stride, gated and not found.is_weightless)) == ""


def test_equal_operations_have_one_name():
    assert Block("ffn2", 5, 1, 8, 1) == Block("ffn2", 3, 1, 8, 1)
    assert Block("uib2a3", 3, 1, 8, 1) == Block("extradw2", 3, 1, 8, 1) != Block("uib2a3", 5, 1, 8, 1)
    assert str(Block("pass", 5, 2, 8, 3, 0.25, "pool")) == "pass_k1_s2_f8_n1"
    assert operation("fmbconv1") is operation("conv")


def test_a_pass_is_a_shortcut_without_weights():
    assert list(operation("pass").steps(LAYER)) == [Shortcut(8, 24, 2)]


def test_only_the_expansion_of_inverted_bottlenecks_comes_first():
    names = ["conv", "dconv", "mbconv3", "fmbconv3", "extradw3", "convnext3"]
    assert [operation(name).expansion for name in names] == [1, 1, 3, 1, 1, 1]
    assert [operation(name).label for name in names] == [
        "Conv", "SepConv", "MBConv3", "FusedMBConv3", "ExtraDW3", "ConvNext3",
    ]  # fmt: skip
