"""The recurrent predictor learns what is learnable, leaves out what is unknown, and is the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kendalltau

from evomnas.algorithms.progressive.recurrent_predictor import RecurrentPredictor

SIZES = np.array([3, 4, 2, 3, 4, 2])
GENOMES = np.random.default_rng(1).integers(SIZES, size=(160, len(SIZES)))
TARGETS = np.stack([100 + GENOMES @ [3.0, -1, 2, 1, 0.5, 4], 1e-3 * (GENOMES[:, 0] * GENOMES[:, 1] - 2)], axis=1)


def taught(targets: np.ndarray = TARGETS, seed: int = 1) -> RecurrentPredictor:
    predictor = RecurrentPredictor(SIZES, 2, np.random.SeedSequence(seed))
    for _ in range(3):
        predictor.learn(GENOMES[:100], targets[:100])
    return predictor


@pytest.fixture(scope="module")
def predictions() -> np.ndarray:
    return taught().predict(GENOMES)


def test_networks_that_it_was_not_shown_are_ranked_by_sums_and_by_products_of_choices(predictions):
    for output in (0, 1):
        assert kendalltau(predictions[100:, output], TARGETS[100:, output]).statistic > 0.7
    assert np.abs(predictions[:, 0] - TARGETS[:, 0]).mean() < 1.5  # in the targets' own unit


def test_the_seed_decides_the_predictions(predictions):
    assert np.array_equal(taught().predict(GENOMES), predictions)
    assert not np.array_equal(taught(seed=2).predict(GENOMES), predictions)


def test_what_is_not_known_teaches_nothing(predictions):
    """The second output of half of the networks is not known; what stands in its place does not matter."""
    partly = TARGETS.copy()
    partly[:50, 1] = np.nan
    found = taught(partly).predict(GENOMES)
    assert np.isfinite(found).all()
    assert kendalltau(found[100:, 1], TARGETS[100:, 1]).statistic > 0.6


def test_a_constant_target_is_predicted():
    predictor = RecurrentPredictor(SIZES, 1, np.random.SeedSequence(1))
    predictor.learn(GENOMES[:3], np.full((3, 1), 7.0))
    assert predictor.predict(GENOMES) == pytest.approx(7.0)
