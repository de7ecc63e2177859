"""MobileNetV4's space: the published networks are points of it, and it can be that of any problem."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from evomnas.core.errors import InputError
from evomnas.problem.architecture import Architecture
from evomnas.problem.counting import count_architecture
from evomnas.problem.genes.mobilenet_v4 import mobilenet_v4_space
from evomnas.problem.loading import load_definition
from evomnas.problem.published import published

SPACE = mobilenet_v4_space()


def without_passes(architecture):
    """The same network in its shortest notation: neighbours that are alike are one block."""
    blocks = []
    for block in architecture.blocks:
        if blocks and replace(blocks[-1], layers=1) == replace(block, layers=1):
            blocks[-1] = replace(block, layers=blocks[-1].layers + block.layers)
        elif block.op != "pass":
            blocks.append(block)
    return replace(architecture, blocks=tuple(blocks))


def test_conv_s_and_conv_m_are_points():
    small, medium = SPACE.reference_network(), published("mobilenet-v4-conv-m")
    whole = Architecture.parse(str(medium).replace("f48_n1-", "f48_n1-pass_k1_s1_f48_n1-", 1))
    for point, name in ((small, "mobilenet-v4-conv-s"), (whole, "mobilenet-v4-conv-m")):
        assert SPACE.decode(SPACE.encode(point)) == point
        assert without_passes(point) == published(name)
        shape = {"classes": 1000, "channels": 3, "resolution": 224}
        assert count_architecture(point, **shape) == count_architecture(published(name), **shape)


def test_draws_are_networks_of_the_space(rng):
    for _ in range(5):
        network = SPACE.decode(SPACE.draw(rng))
        assert SPACE.decode(SPACE.encode(network)) == network
    assert 1e29 < SPACE.networks < SPACE.genomes


def test_the_problem_has_the_space_and_conv_s_as_its_reference():
    definition = load_definition("mobilenet-v4")
    assert definition.space == SPACE
    assert SPACE.decode(definition.space.reference()) == SPACE.reference_network()


def test_any_problem_can_have_the_space_with_changes():
    changes = ['space="mobilenet-v4"', "space.stem_stride=1", "space.width=0.5", "space.divisor=4"]
    space = load_definition("fashion-mnist", changes[:1] + changes[1:]).space
    reference = space.reference_network()
    assert (reference.stem, reference.stem_stride, reference.blocks[4].filters) == (16, 1, 48)
    assert np.array_equal(space.reference(), SPACE.reference())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (['space="mobilenet-v5"'], "unknown space 'mobilenet-v5': there are 'around donor' and 'mobilenet-v4'"),
        (['space="mobilenet-v4"'], "the image's 28 pixels"),
        (['space="mobilenet-v4"', "space.strides=[1]"], "one value per block"),
        (['space="mobilenet-v4"', 'space.width="a"'], "space.width"),
        (['space="mobilenet-v4"', "space.widths=[0.1, 0.2]"], "two of the widths"),
    ],
)
def test_what_does_not_fit_is_one_line(changes, message):
    with pytest.raises(InputError, match=message):
        load_definition("fashion-mnist", changes)
