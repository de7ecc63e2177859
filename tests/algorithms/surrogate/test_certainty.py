"""How sure a front is: against brute force, against the truth of a made-up table, and what follows from no noise."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from evomnas.algorithms.surrogate.certainty import (
    ERROR_SHIFT,
    MAX_NETWORKS,
    MIN_NETWORKS,
    front_chances,
    judge_front,
    undecided,
)
from evomnas.problem.pareto import non_dominated
from evomnas.problem.tabular_space import TabularSpace
from evomnas.results.answers.confusion import share_error

CHOICES = [["a", "b", "c"]] * 5
GENOMES = np.array(list(itertools.product(range(3), repeat=5)))
SPACE = TabularSpace(CHOICES, GENOMES, 100)


def table(seed: int) -> np.ndarray:
    """True errors and costs in conflict, sums of effects of choices and of pairs of them."""
    rng = np.random.default_rng(seed)
    effects, pairs = rng.normal(0.6, 0.6, (5, 3)).cumsum(axis=1), rng.normal(0, 0.3, (4, 3, 3))
    score = sum(effects[gene, GENOMES[:, gene]] for gene in range(5))
    score = score + sum(pairs[gene, GENOMES[:, gene], GENOMES[:, gene + 1]] for gene in range(4))
    errors = 0.03 + 0.3 * (1 - (score - score.min()) / np.ptp(score)) ** 1.5
    return np.column_stack([errors, 1 + (GENOMES * rng.uniform(0.3, 2, 5)).sum(axis=1)])


@pytest.mark.parametrize("width", [1, 2])
def test_chances_are_those_of_drawn_fronts(width):
    rng = np.random.default_rng(1)
    errors, deviations = rng.uniform(0.1, 0.3, 9), rng.uniform(0.05, 0.4, 9)
    costs = rng.integers(1, 5, (9, width)).astype(float)  # some are equal
    fronts = [
        non_dominated(np.column_stack([(errors + ERROR_SHIFT) * np.exp(deviations * rng.normal(size=9)), costs]))
        for _ in range(2000)
    ]
    expected = pytest.approx(np.mean(fronts, axis=0), abs=0.12 if width > 1 else 0.05)
    assert front_chances(errors, deviations, costs) == expected
    assert np.array_equal(front_chances(errors, deviations, costs), front_chances(errors, deviations, costs))


def test_without_noise_the_front_is_sure_and_errors_are_as_they_are():
    losses = table(0)[:40]
    certainty = judge_front(SPACE, GENOMES[:40], losses, np.zeros(40))
    assert certainty.errors == pytest.approx(losses[:, 0])
    assert np.array_equal(certainty.chances, non_dominated(losses))


def test_too_few_networks_say_nothing():
    few = MIN_NETWORKS - 1
    assert judge_front(SPACE, GENOMES[:few], table(0)[:few], np.full(few, 0.1)) is None


@pytest.mark.parametrize("images", [50, pytest.param(500, marks=pytest.mark.thorough)])
def test_chances_and_errors_are_nearer_to_the_truth_than_what_was_measured(images):
    """Four searches at random: Brier scores of who is on the front, and errors of those that seem to be."""
    said, measured, true, bias, expected_bias = [], [], [], [], []
    for seed in range(4):
        truth, rng = table(seed), np.random.default_rng(seed)
        rows = rng.choice(len(GENOMES), 64, replace=False)
        correct = rng.binomial(images, 1 - truth[rows, 0])
        losses = np.column_stack([1 - correct / images, truth[rows, 1]])
        noise = np.array([share_error(int(count), images) for count in correct])
        certainty = judge_front(SPACE, GENOMES[rows], losses, noise)
        front = non_dominated(losses)
        said.append(certainty.chances)
        measured.append(front)
        true.append(non_dominated(truth[rows]))
        bias.append((losses[:, 0] - truth[rows, 0])[front])
        expected_bias.append((certainty.errors - truth[rows, 0])[front])
    said, measured, true = (np.concatenate(part).astype(float) for part in (said, measured, true))
    assert ((said - true) ** 2).mean() < 0.8 * ((measured - true) ** 2).mean()
    squares, expected_squares = (np.square(np.concatenate(part)).mean() for part in (bias, expected_bias))
    assert expected_squares < 0.9 * squares
    assert abs(np.concatenate(expected_bias).mean()) < abs(np.concatenate(bias).mean())


def test_of_more_networks_than_fit_those_near_the_front_count(monkeypatch):
    monkeypatch.setattr("evomnas.algorithms.surrogate.certainty.MAX_NETWORKS", 30)
    losses = table(0)
    certainty = judge_front(SPACE, GENOMES, losses, np.full(len(losses), 0.01))
    judged = np.isfinite(certainty.errors)
    assert judged.sum() == 30
    assert judged[non_dominated(losses)].all()
    assert not certainty.chances[~judged].any()


def test_the_expected_error_is_the_mean_and_the_chance_that_of_the_medians(monkeypatch):
    """Of the lognormal distribution: its mean by sampling, and errors that are drawn around its median."""
    rng = np.random.default_rng(3)
    means, deviations = np.log(rng.uniform(0.1, 0.4, MIN_NETWORKS)), rng.uniform(0.1, 0.6, MIN_NETWORKS)
    monkeypatch.setattr("evomnas.algorithms.surrogate.certainty._expect", lambda *arguments: (means, deviations))
    losses = table(0)[:MIN_NETWORKS]
    certainty = judge_front(SPACE, GENOMES[:MIN_NETWORKS], losses, np.zeros(MIN_NETWORKS))
    draws = np.exp(means + deviations * rng.standard_normal((200_000, MIN_NETWORKS))) - ERROR_SHIFT
    assert certainty.errors == pytest.approx(draws.mean(axis=0), rel=0.01)
    chances = front_chances(np.exp(means) - ERROR_SHIFT, deviations, losses[:, 1:])
    assert np.array_equal(certainty.chances, chances)


def test_ten_networks_are_enough_and_a_thousand_are_judged():
    assert (MIN_NETWORKS, MAX_NETWORKS) == (10, 1000)
    assert judge_front(SPACE, GENOMES[:10], table(0)[:10], np.full(10, 0.1)) is not None


def test_the_most_undecided_come_first_and_the_sure_ones_never():
    chances = np.array([0.0, 0.09, 0.1, 0.3, 0.45, 0.6, 0.9, 0.91, 1.0, 0.72])
    assert undecided(chances).tolist() == [4, 5, 3, 9, 2, 6]
    assert undecided(np.array([0.05, 0.99])).tolist() == []
    assert undecided(np.zeros(0)).tolist() == []
