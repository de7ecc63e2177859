"""What is known from elsewhere: predictions of it, what a search makes of it, and what it may cost to be misled."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from playing import SPACE, losses_of, play
from scipy.stats import kendalltau

from evomnas.algorithms.base import Learning, Lesson, Measure
from evomnas.algorithms.surrogate.features import NetworkEncoder
from evomnas.algorithms.surrogate.first_batch import promising_networks
from evomnas.algorithms.surrogate.nsga2_surrogate import NSGA2Surrogate
from evomnas.algorithms.surrogate.predictors import Inputs, QuadraticRidge, RelatedRidge
from evomnas.algorithms.surrogate.relatives import ERROR_SHIFT, Relatives
from evomnas.problem.pareto import hypervolume_curve, non_dominated
from evomnas.problem.tabular_space import TabularSpace

GRID = np.array(list(itertools.product(range(3), repeat=6)), dtype=np.int64)
TABLE = TabularSpace([list("abc")] * 6, GRID, 7)
REFERENCE = (0.7, 14.0)


def errors_of(genomes: np.ndarray, seed: int = 0) -> np.ndarray:
    """Errors with effects of every gene and of neighbours, and a little that nothing explains."""
    rng = np.random.default_rng(5)
    single, pairs = rng.normal(0, 0.4, (6, 3)), rng.normal(0, 0.25, (5, 3, 3))
    logs = sum(single[gene][genomes[:, gene]] for gene in range(6))
    logs = logs + sum(pairs[gene][genomes[:, gene], genomes[:, gene + 1]] for gene in range(5))
    return 0.1 * np.exp(logs - 0.2 * genomes.mean(axis=1))


def table_losses(genomes: np.ndarray) -> np.ndarray:
    return np.column_stack([errors_of(genomes), 1 + genomes @ np.arange(1, 7) / 3])


def reached(lessons: list[Lesson], rounds: int, seed: int) -> float:
    """The share of the true front's hypervolume after so many batches, with costs that are known before."""
    searcher = NSGA2Surrogate(TABLE, seed)
    assert isinstance(searcher, Learning)
    searcher.learn_measure(Measure(REFERENCE))
    if lessons:
        searcher.learn_from(lessons)
    asked = []
    for _ in range(rounds):
        candidates = searcher.consider(0.0)
        searcher.weigh(candidates, table_losses(candidates)[:, 1])
        genomes = searcher.ask()
        searcher.tell(genomes, table_losses(genomes), np.zeros(len(genomes)))
        asked.append(genomes)
    best = hypervolume_curve(table_losses(GRID)[non_dominated(table_losses(GRID))], REFERENCE)[-1]
    return hypervolume_curve(table_losses(np.concatenate(asked)), REFERENCE)[-1] / best


def lesson(change=lambda errors, rng: errors, count: int = 80) -> Lesson:
    rng = np.random.default_rng(3)
    genomes = GRID[rng.choice(len(GRID), count, replace=False)]
    return Lesson(genomes, change(errors_of(genomes), rng))


def test_they_rank_networks_that_were_not_in_the_lesson():
    known = lesson()
    predicted = Relatives(NetworkEncoder(TABLE), [known, lesson(lambda errors, rng: rng.permutation(errors))])
    columns = predicted.predict(NetworkEncoder(TABLE)(GRID))
    assert columns.shape == (len(GRID), 2)
    taus = [kendalltau(column, errors_of(GRID)).statistic for column in columns.T]
    assert taus[0] > 0.7
    assert abs(taus[1]) < 0.4
    rows = [int(np.flatnonzero((genome == GRID).all(axis=1))[0]) for genome in known.genomes]
    logs = np.log(known.errors + ERROR_SHIFT)
    assert columns[rows, 0] == pytest.approx((logs - logs.mean()) / logs.std(), abs=0.7)


def test_a_ridge_that_knows_relatives_learns_a_straight_line_of_them_from_few_networks():
    rng = np.random.default_rng(1)
    one_hot = np.eye(4)[rng.integers(0, 4, 60)]
    known = Inputs(one_hot, np.zeros(4, dtype=np.int64), np.zeros((60, 0)), rng.normal(size=(60, 1)))
    values = 5.0 - 2.0 * known.relatives[:, 0]
    few, rest = np.arange(60) < 6, np.arange(60) >= 6
    errors = {}
    for kind in (QuadraticRidge, RelatedRidge):
        model = kind()
        model.fit(known[few], values[few])
        errors[kind] = np.abs(model.predict(known[rest])[0] - values[rest]).mean()
    assert errors[RelatedRidge] < 0.3 < 1.0 < errors[QuadraticRidge]


def test_what_is_promising_is_spread_over_the_front_of_costs_and_expected_errors():
    encode = NetworkEncoder(TABLE)
    candidates, rng = encode(GRID[:200]), np.random.default_rng(0)
    costs = rng.integers(0, 30, 200).astype(float)
    expected = rng.normal(size=200) - costs / 5
    front = {
        candidates.keys[row]
        for row in range(200)
        if not any(costs[one] <= costs[row] and expected[one] <= expected[row] and one != row for one in range(200))
    }
    assert set(promising_networks(candidates, costs, expected, 200)) == front
    few = promising_networks(candidates, costs, expected, 3)
    rows = [candidates.keys.index(key) for key in few]
    assert len(few) == 3
    assert set(few) < front
    assert [costs[rows[0]], costs[rows[-1]]] == [min(costs), max(costs[candidates.keys.index(key)] for key in front)]


def test_a_search_that_learnt_from_a_relative_is_ahead_after_its_first_batch():
    for seed in range(3):
        cold, warm = (reached(lessons, 1, seed) for lessons in ([], [lesson()]))
        assert warm > cold
        assert warm > 0.99


@pytest.mark.thorough
@pytest.mark.parametrize("change", [lambda errors, rng: rng.permutation(errors), lambda errors, rng: 1 / errors])
def test_a_misleading_relative_costs_little(change):
    def scaled(errors: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        changed = change(errors, rng)
        return changed / changed.max()

    cold = [reached([], 5, seed) for seed in range(8)]
    misled = [reached([lesson(scaled)], 5, seed) for seed in range(8)]
    assert np.mean(misled) > np.mean(cold) - 0.03


def test_the_same_lessons_and_seed_give_the_same_search():
    known = [Lesson(SPACE.sample(12, np.random.default_rng(2)), np.linspace(0.1, 0.4, 12))]
    plays = []
    for _ in range(2):
        searcher = NSGA2Surrogate(SPACE, 3)
        searcher.learn_from(known)
        plays.append(play(searcher, 3, losses_of))
    assert np.array_equal(*plays)
    assert not np.array_equal(plays[0], play(NSGA2Surrogate(SPACE, 3), 3, losses_of))
