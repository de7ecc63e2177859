"""The operations of this package, step by step, as the papers draw them."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evomnas.problem.ops.base import Convolution, Gate, LayerShape
from evomnas.problem.ops.builtin import BUILT_IN
from evomnas.problem.ops.catalogue import operation

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
def test_channels_fit_from_step_to_step_and_one_step_has_the_stride(family, number, filters, stride, gated):
    found = operation(family if family in ("conv", "dconv") else f"{family}{number}")
    steps = found.steps(LayerShape(*filters, 3, stride, gated))
    convolutions = [step for step in steps if isinstance(step, Convolution)]
    assert (convolutions[0].in_filters, convolutions[-1].filters) == filters
    assert all(one.filters == other.in_filters for one, other in itertools.pairwise(convolutions))
    assert sorted(step.stride for step in convolutions)[-1] == stride
    assert sum(step.stride > 1 for step in convolutions) == (stride > 1)
    assert sum(isinstance(step, Gate) for step in steps) == gated


def test_only_inverted_bottlenecks_inherit_and_only_their_expansion_comes_first():
    names = ["conv", "dconv", "mbconv3", "fmbconv3", "extradw3", "convnext3"]
    assert [operation(name).inherits for name in names] == [False, True, True, False, False, False]
    assert [operation(name).expansion for name in names] == [1, 1, 3, 1, 1, 1]
    assert [operation(name).label for name in names] == [
        "Conv", "SepConv", "MBConv3", "FusedMBConv3", "ExtraDW3", "ConvNext3",
    ]  # fmt: skip
