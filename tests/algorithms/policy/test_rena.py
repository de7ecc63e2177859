"""RENA's reward: resources counted by hand, penalties, and limits that cannot be."""

from __future__ import annotations

import numpy as np
import pytest
from playing import SPACE

from evomnas.algorithms.policy.rena import Rena
from evomnas.algorithms.policy.resources import PenalisedAccuracy, arithmetic_intensity, count_resources
from evomnas.core.errors import InputError
from evomnas.problem.architecture import Architecture
from evomnas.problem.counting import NetworkShape, count_architecture
from evomnas.problem.tabular_space import TabularSpace

SHAPE = NetworkShape(classes=10, channels=3, resolution=32)
NETWORK = Architecture.parse("stem8_s2-conv_k3_s2_f16_n1-head32")


def test_intensity_is_operations_by_the_bytes_of_image_parameters_and_outputs():
    """Images of 32 pixels: 16 behind the stem, 8 behind the block."""
    macs = 27 * 8 * 256 + 72 * 16 * 64 + 16 * 32 * 64 + 320
    params = (27 * 8 + 16) + (72 * 16 + 32) + (16 * 32 + 64) + (320 + 10)
    numbers = 3 * 32 * 32 + params + 2 * (8 * 256 + 16 * 64 + 32 * 64)
    assert arithmetic_intensity(NETWORK, SHAPE) == pytest.approx(2 * macs / (4 * numbers))
    counted = count_resources(NETWORK, SHAPE)
    assert (counted["max_params"], counted["max_macs"]) == (params, macs)


def test_every_limit_that_is_exceeded_multiplies_the_accuracy_by_the_penalty_to_its_relative_excess():
    losses = np.array([[0.2, 1.0], [0.2, 3.0], [np.inf, np.inf]])
    assert PenalisedAccuracy(2.0, 0.9)(losses) == pytest.approx([0.8, 0.8 * 0.9**0.5, -np.inf])
    counted = count_resources(NETWORK, SHAPE)
    limits = {
        "max_params": counted["max_params"] / 2, "max_macs": counted["max_macs"] / 1.5,
        "min_intensity": counted["min_intensity"] * 3,
    }  # fmt: skip
    goal = PenalisedAccuracy(2.0, 0.9, limits, SHAPE)
    assert goal(losses, [NETWORK] * 3)[:2] == pytest.approx([0.8 * 0.9 ** (1 + 0.5 + 2), 0.8 * 0.9 ** (1 + 0.5 + 2.5)])
    kept = PenalisedAccuracy(2.0, 0.0, {"max_params": counted["max_params"], "min_intensity": 1.0}, SHAPE)
    assert kept(losses, [NETWORK] * 3)[:2].tolist() == [0.8, 0.0]  # without a penalty's rest, limits are hard
    with pytest.raises(RuntimeError, match="need the shape"):
        PenalisedAccuracy(2.0, 0.9, {"max_params": 1.0})(losses, [NETWORK] * 3)


def test_the_goal_is_said_in_words():
    goal = PenalisedAccuracy(2.0, 0.9, {"max_params": 3e6, "min_intensity": 5.0})
    assert str(goal) == (
        "accuracy, times 0.9 for each 100 % beyond the target and at most 3,000,000 parameters and at least 5 "
        "floating-point operations per byte"
    )
    assert str(PenalisedAccuracy(2.0)) == "accuracy, times 0.9 for each 100 % beyond the target"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"penalty": 1.5}, "penalty must be from 0 to 1, got 1.5"),
        ({"max_params": 0}, "max_params must be positive, got 0"),
        ({"max_macs": "many"}, "max_macs must be positive, got many"),
        ({"min_intensity": float("nan")}, "min_intensity must be positive, got nan"),
        ({"target_ms": -1.0}, "the target must be positive"),
    ],
)
def test_wrong_limits_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        Rena(SPACE, 1, **{"target_ms": 1.0, **options})


def test_networks_of_a_table_have_no_parameters_to_limit():
    space = TabularSpace([["a", "b"]], np.array([[0], [1]]), 0)
    with pytest.raises(InputError, match=r"limit networks that are built: drop max_macs for a table"):
        Rena(space, 1, target_ms=1.0, max_macs=1e6)


def test_a_limit_on_parameters_makes_the_networks_smaller():
    searcher = Rena(SPACE, 1, target_ms=1.0, max_params=3000, penalty=0.5)
    searcher.learn_shape(SHAPE)
    means = []
    for _ in range(25):
        genomes = searcher.ask()
        searcher.tell(genomes, np.full((len(genomes), 2), 0.1), np.zeros(len(genomes)))
        means.append(np.mean([count_architecture(SPACE.decode(genome), **SHAPE).params for genome in genomes]))
    assert np.mean(means[-5:]) < 0.8 * np.mean(means[:5])
