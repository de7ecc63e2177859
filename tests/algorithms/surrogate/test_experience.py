"""What a search has learnt: costs, results, the front of both, and which networks its predictors learn from."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression

from evomnas.algorithms.base import Measure
from evomnas.algorithms.surrogate import experience as module
from evomnas.algorithms.surrogate.experience import Experience
from evomnas.algorithms.surrogate.features import NetworkEncoder
from evomnas.algorithms.surrogate.predictors import GaussianProcess, Inputs, QuadraticRidge
from evomnas.problem.search_space import SearchSpace
from evomnas.problem.tabular_space import TabularSpace

GRID = np.array(list(itertools.product(range(3), repeat=4)), dtype=np.int64)
TABLE = TabularSpace([list("abc")] * 4, GRID, 0)
ENCODE = NetworkEncoder(TABLE)
NETWORKS = ENCODE(GRID)


def rows(*numbers: int) -> np.ndarray:
    return np.array(numbers, dtype=np.int64)


class Mean:
    """Predicts the mean of what it learnt, and keeps how many networks each of its lessons had.

    Without the known noise, it holds each value to be as much higher.
    """

    lessons: list[int] = []

    def fit(self, inputs: Inputs, values: np.ndarray, noise: np.ndarray | float = 0.0) -> None:
        self.inputs, self.values, self.left_out_means = inputs, values, np.zeros(len(values))
        self.noise, self.true_means = noise, values + noise
        type(self).lessons.append(len(values))

    def predict(self, inputs: Inputs) -> tuple[np.ndarray, np.ndarray]:
        return np.full(len(inputs), self.values.mean()), np.ones(len(inputs))


@pytest.fixture
def lessons():
    """The sizes of all lessons of `Mean`, in order."""
    Mean.lessons.clear()
    return Mean.lessons


def experience(*kinds) -> Experience:
    return Experience(ENCODE, kinds or (Mean,))


def test_nothing_is_known_at_first():
    fresh = experience()
    assert (fresh.result_count, fresh.taus) == (0, {})
    assert np.isnan(fresh.known_costs(NETWORKS)).all()
    assert len(fresh.front_networks()) == 0


def test_costs_are_logarithms_and_infinite_where_a_network_is_ruled_out():
    known = experience()
    known.add_costs(NETWORKS[rows(0, 1, 2)], np.array([math.e, np.inf, 0.0]))
    costs = known.known_costs(NETWORKS[rows(0, 1, 3)])
    assert costs[0] == pytest.approx(1.0)
    assert costs[1] == np.inf
    assert np.isnan(costs[2])
    assert np.isfinite(known.known_costs(NETWORKS[rows(2)]))[0]  # as small as can be, and no error


def test_results_are_finite_losses_without_a_violation():
    known = experience()
    losses = np.array([[0.25, 2.0], [0.5, 3.0], [np.inf, np.inf], [0.1, np.inf], [0.125, 4.0]])
    known.add_results(NETWORKS[rows(0, 1, 2, 3, 4)], losses, np.array([0.0, 0.5, np.inf, 0.0, 0.0]))
    assert known.result_count == 2
    assert known.known_costs(NETWORKS[rows(0, 4)]) == pytest.approx(np.log([2.0, 4.0]))
    assert np.isnan(known.known_costs(NETWORKS[rows(1, 2, 3)])).all()
    front = known.front()
    assert front.stairs[0] == pytest.approx([2.0, 4.0])
    assert front.stairs[1] == pytest.approx([0.25, 0.125])
    assert front.reference_point is None


def test_the_front_s_networks_are_those_that_no_other_dominates():
    rng = np.random.default_rng(1)
    losses = np.column_stack([rng.integers(1, 9, 40) / 10, rng.integers(1, 9, 40)])
    known = experience()
    known.add_results(NETWORKS[np.arange(15)], losses[:15], np.zeros(15))
    known.add_results(NETWORKS[np.arange(15, 40)], losses[15:], np.zeros(25))
    on_front = [
        row for row, (error, cost) in enumerate(losses)
        if not any(e <= error and c <= cost and (e < error or c < cost) for e, c in losses)
    ]  # fmt: skip
    assert known.front_networks().keys == NETWORKS[np.array(on_front)].keys


def test_known_costs_are_taken_and_only_others_predicted(lessons):
    known = experience()
    known.add_costs(NETWORKS[rows(0, 1)], np.array([1.0, math.e**2]))
    assert known.estimated_costs(NETWORKS[rows(0, 1)]).means == pytest.approx([0.0, 2.0])
    assert lessons == []
    some = known.estimated_costs(NETWORKS[rows(0, 5, 1)])
    assert some.means == pytest.approx([0.0, 1.0, 2.0])
    assert some.deviations.tolist() == [0.0, 1.0, 0.0]
    known.estimated_costs(NETWORKS[rows(6)])
    assert lessons == [2]  # nothing new, nothing to learn
    known.add_costs(NETWORKS[rows(2)], np.array([math.e**4]))
    assert known.estimated_costs(NETWORKS[rows(5)]).means == pytest.approx([2.0])
    assert lessons == [2, 3]


def test_a_network_is_a_lesson_once_and_none_where_it_is_ruled_out(lessons):
    known = experience()
    known.add_costs(NETWORKS[rows(0, 1, 2)], np.array([1.0, math.e, np.inf]))
    known.add_costs(NETWORKS[rows(0)], np.array([math.e**3]))  # the latest word counts, the first one is the lesson
    assert known.known_costs(NETWORKS[rows(0)]) == pytest.approx([3.0])
    assert known.estimated_costs(NETWORKS[rows(9)]).means == pytest.approx([0.5])
    assert lessons == [2]


def test_costs_beyond_the_thousandth_are_known_and_no_lessons(monkeypatch, lessons):
    assert module.MAX_LESSONS == 1000
    monkeypatch.setattr(module, "MAX_LESSONS", 5)
    known = experience()
    known.add_costs(NETWORKS[np.arange(4)], np.ones(4))
    known.add_costs(NETWORKS[np.arange(4, 8)], np.ones(4))
    known.add_costs(NETWORKS[np.arange(8, 10)], np.ones(2))
    known.estimated_costs(NETWORKS[rows(20)])
    assert lessons == [5]
    assert np.isfinite(known.known_costs(NETWORKS[np.arange(10)])).all()


def test_errors_are_learnt_again_after_every_new_result_and_not_without_one(lessons):
    known = experience()
    known.add_results(NETWORKS[rows(0, 1)], np.array([[0.2, 1.0], [0.4, 2.0]]), np.zeros(2))
    known.predict(NETWORKS[rows(0)])
    first = known.predict(NETWORKS[rows(0)])
    assert lessons == [2]
    assert first.errors.means == pytest.approx([np.log([0.201, 0.401]).mean()])
    assert first.errors.medians() == pytest.approx([np.sqrt(0.201 * 0.401) - 0.001])
    known.add_results(NETWORKS[rows(2)], np.array([[0.8, 3.0]]), np.zeros(1))
    assert known.predict(NETWORKS[rows(0)]).errors.means == pytest.approx([np.log([0.201, 0.401, 0.801]).mean()])
    assert lessons == [2, 3]


def test_predictors_see_sizes_and_costs_in_units_of_what_they_learnt_from():
    space = SearchSpace(filters=(8, 8), layers=(1, 2), strides=(1, 2), stem=8, head=16)
    encode = NetworkEncoder(space)
    networks = encode(space.sample(30, np.random.default_rng(0)))
    seen = []

    class Spy(Mean):
        lessons: list[int] = []

        def fit(self, inputs: Inputs, values: np.ndarray, noise: np.ndarray | float = 0.0) -> None:
            seen.append(inputs)
            super().fit(inputs, values, noise)

        def predict(self, inputs: Inputs) -> tuple[np.ndarray, np.ndarray]:
            seen.append(inputs)
            return super().predict(inputs)

    known = Experience(encode, (Spy,))
    costs = np.exp(np.random.default_rng(1).normal(0, 1, 20))
    known.add_results(networks[np.arange(20)], np.column_stack([np.full(20, 0.5), costs]), np.zeros(20))
    known.predict(networks[np.arange(20)])
    learnt, asked = seen
    numbers = np.column_stack([networks.sizes[:20], np.log(costs)])
    spread = numbers.std(axis=0)
    expected = (numbers - numbers.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    assert learnt.sizes == pytest.approx(expected)
    assert asked.sizes == pytest.approx(expected)
    assert np.array_equal(learnt.gene, encode.gene)


def test_equal_sizes_stay_finite():
    scale = module.Standardizer(np.array([[1.0, 2.0], [3.0, 2.0]]))
    assert scale.standardize(np.array([[5.0, 2.0], [1.0, 4.0]])).tolist() == [[3.0, 0.0], [-1.0, 2.0]]


def test_of_too_many_results_half_of_the_lessons_are_those_nearest_the_front_and_half_are_spread(monkeypatch, lessons):
    monkeypatch.setattr(module, "MAX_LESSONS", 10)
    rng = np.random.default_rng(4)
    errors, costs = rng.permutation(np.linspace(0.01, 0.9, 40)), rng.permutation(np.linspace(1, 9, 40))
    known = experience()
    known.add_results(NETWORKS[np.arange(10)], np.column_stack([errors, costs])[:10], np.zeros(10))
    assert known._lesson_rows(np.arange(10)).tolist() == list(range(10))
    known.add_results(NETWORKS[np.arange(10, 40)], np.column_stack([errors, costs])[10:], np.zeros(30))
    above = [  # how far the logarithm of an error lies above the front at its cost
        math.log(error + 0.001) - math.log(min(e for e, c in zip(errors, costs, strict=True) if c <= cost) + 0.001)
        for error, cost in zip(errors, costs, strict=True)
    ]
    order = sorted(range(40), key=lambda row: above[row])
    spread = [order[int(place)] for place in np.linspace(5, 39, 5)]
    assert known._lesson_rows(np.arange(40)).tolist() == sorted([*order[:5], *spread])
    known.predict(NETWORKS[rows(50)])
    assert lessons == [10, 10]  # of costs and of errors


def failing(networks: np.ndarray) -> np.ndarray:
    """One choice fails, and so do sums of choices beyond a limit."""
    return (GRID[networks, 1] == 2) | (GRID[networks].sum(axis=1) > 5)


def test_the_chance_of_a_result_is_the_lower_one_of_trees_and_of_a_linear_model():
    known = experience()
    told = np.random.default_rng(2).permutation(81)[:50]
    losses = np.where(failing(told)[:, None], np.inf, np.column_stack([np.full(50, 0.5), np.full(50, 2.0)]))
    known.add_results(NETWORKS[told], losses, np.where(failing(told), np.inf, 0.0))
    others = np.setdiff1d(np.arange(81), told)
    known.add_costs(NETWORKS[others[:3]], np.array([np.inf, 1.0, np.inf]))
    chances = known.predict(NETWORKS[others]).success_chances
    good = ~failing(told)
    oracles = [
        ExtraTreesClassifier(20, max_features=None, random_state=0).fit(NETWORKS.one_hot[told], good),
        LogisticRegression(C=10.0, max_iter=500).fit(NETWORKS.one_hot[told], good),
    ]
    expected = np.minimum(*(oracle.predict_proba(NETWORKS.one_hot[others])[:, 1] for oracle in oracles))
    expected[[0, 2]] = 0.0  # they are ruled out
    assert chances == pytest.approx(expected)
    assert np.median(chances[failing(others)]) < 0.5 < np.median(chances[3:][~failing(others[3:])])


def test_where_all_or_none_gave_a_result_nothing_tells_them_apart():
    known = experience()
    known.add_results(NETWORKS[rows(0, 1)], np.array([[0.2, 1.0], [0.4, 2.0]]), np.zeros(2))
    assert known.predict(NETWORKS[rows(2, 3)]).success_chances.tolist() == [1.0, 1.0]
    known.add_results(NETWORKS[rows(4)], np.full((1, 2), np.inf), np.full(1, np.inf))
    assert known.predict(NETWORKS[rows(4)]).success_chances[0] < 1.0
    assert len(known.predict(NETWORKS[rows()]).errors.means) == 0


def test_only_the_latest_thousand_say_what_fails(monkeypatch):
    monkeypatch.setattr(module, "MAX_LESSONS", 6)
    known = experience()
    known.add_results(NETWORKS[np.arange(3)], np.full((3, 2), np.inf), np.full(3, np.inf))
    known.add_results(NETWORKS[np.arange(3, 8)], np.tile([0.5, 1.0], (5, 1)), np.zeros(5))
    assert known.predict(NETWORKS[rows(0)]).success_chances[0] < 1.0  # one of the last six failed
    known.add_results(NETWORKS[rows(8)], np.array([[0.5, 1.0]]), np.zeros(1))
    assert known.predict(NETWORKS[rows(0)]).success_chances[0] == 1.0


def test_predictors_say_how_well_they_rank_as_soon_as_they_learnt():
    known = experience(GaussianProcess, QuadraticRidge)
    told = np.random.default_rng(3).permutation(81)[:30]
    losses = np.column_stack([0.1 + GRID[told, 0] / 10 + GRID[told, 1] / 50, 1.0 + GRID[told].sum(axis=1)])
    known.add_results(NETWORKS[told], losses, np.zeros(30))
    known.predict(NETWORKS)
    assert set(known.taus) == {"tau (error)", "tau (cost)"}
    assert known.taus["tau (error)"] > 0.8


# --- what the problem says about its losses ----------------------------------------------------------------


def test_the_reference_point_is_the_problem_s_as_soon_as_a_result_lies_within_it():
    known = experience()
    known.learn_measure(Measure((0.5, 4.0)))
    known.add_results(NETWORKS[rows(0, 1)], np.array([[0.5, 1.0], [0.2, 4.0]]), np.zeros(2))
    assert known.front().reference_point is None
    known.add_results(NETWORKS[rows(2)], np.array([[0.45, 3.5]]), np.zeros(1))
    assert known.front().reference_point == (0.5, 4.0)
    assert known.front().stairs[1] == pytest.approx([0.5, 0.45, 0.2])


def test_the_noise_of_an_error_is_that_of_so_many_images(lessons):
    """By drawing sets of images anew: the logarithm's variance to first order, seen from one such set."""
    known = experience()
    known.learn_measure(Measure((1.0, 9.0), 400))
    known.add_results(NETWORKS[rows(0, 1)], np.array([[0.25, 1.0], [0.0, 2.0]]), np.zeros(2))
    known.predict(NETWORKS[rows(5)])
    noise = known._error._predictors[0].noise
    drawn = np.random.default_rng(0).binomial(400, 0.25, 100_000) / 400
    assert noise[0] == pytest.approx(np.log(drawn + 0.00125).var(), rel=0.02)
    share = 1 / 402  # no error among 400 images is taken as half of one more
    assert noise[1] == pytest.approx(share * (1 - share) / 400 / 0.00125**2)
    assert known.predict(NETWORKS[rows(5)]).errors.means == pytest.approx([np.log([0.25125, 0.00125]).mean()])


def test_of_many_images_the_floor_is_a_thousandth_and_without_any_there_is_no_noise():
    for images, floor in ((0, 0.001), (100, 0.005), (10_000, 0.001)):
        known = experience()
        known.learn_measure(Measure((1.0, 9.0), images))
        known.add_results(NETWORKS[rows(0, 1)], np.array([[0.25, 1.0], [0.25, 2.0]]), np.zeros(2))
        assert known.predict(NETWORKS[rows(5)]).errors.means == pytest.approx([np.log(0.25 + floor)])
        assert bool(np.any(known._error._predictors[0].noise)) == (images > 0)


def test_the_front_is_that_of_the_expected_errors_without_the_noise():
    """`Mean` holds a network to be worse by the variance of its logarithm: the lucky one is none of the front's."""
    known = experience()
    known.learn_measure(Measure((1.0, 9.0), 50))
    losses = np.array([[0.3, 1.0], [0.02, 2.0], [0.2, 3.0]])
    known.add_results(NETWORKS[rows(0, 1, 2)], losses, np.zeros(3))
    shares = (losses[:, 0] * 50 + 1) / 52
    expected = (losses[:, 0] + 0.01) * np.exp(shares * (1 - shares) / 50 / (losses[:, 0] + 0.01) ** 2) - 0.01
    on_front = [row for row in range(3) if expected[row] <= expected[: row + 1].min()]
    front = known.front()
    assert front.stairs[1] == pytest.approx(expected[on_front])
    assert front.stairs[0] == pytest.approx(losses[on_front, 1])
    assert known.front_networks().keys == NETWORKS[rows(*on_front)].keys
    assert expected[1] > 2 * losses[1, 0]


def test_after_noisy_results_the_front_learns_what_is_new_before_it_is_told(lessons):
    known = experience()
    known.learn_measure(Measure((1.0, 9.0), 50))
    known.add_results(NETWORKS[rows(0, 1)], np.array([[0.3, 1.0], [0.1, 2.0]]), np.zeros(2))
    known.front()
    known.front_networks()
    known.predict(NETWORKS[rows(0)])
    assert lessons == [2]
