"""The pymoo problem: a search by anybody's algorithm of pymoo, with or without trainings."""

from __future__ import annotations

import numpy as np
import pytest
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.optimize import minimize

from evomnas.loop.pymoo_problem import SearchProblem, load_problem
from evomnas.problem.architecture import Architecture
from evomnas.problem.search_space import SearchSpace
from evomnas.results.evaluation import Cost, Failure, Measurement, NetworkEvaluation, Training, losses_and_violations

SPACE = SearchSpace()


def evaluation(architecture: Architecture, accuracy: float, latency: float) -> NetworkEvaluation:
    measurement = Measurement(Cost(1, 1, 0), latency, latency, latency, latency, (latency,), 0.0)
    return NetworkEvaluation(architecture, measurement, Training(accuracy, (), 0.0))


def test_a_failure_is_told_as_infeasible_and_never_as_a_number():
    good = evaluation(SPACE.mobilenet_v2(), 0.75, 2.0)
    bad = NetworkEvaluation(SPACE.mobilenet_v2(), None, Failure("error", "x"))
    losses, violations = losses_and_violations([good, bad])
    assert losses.tolist() == [[0.25, 2.0], [np.inf, np.inf]]
    assert violations.tolist() == [0.0, np.inf]


def test_minimize_finds_the_front_of_a_known_problem(tiny):
    """Error falls with every SE, latency rises with every layer: no training, the answer is known."""

    def evaluate(architectures):
        return [
            NetworkEvaluation(one, None, Failure("error", "5 is broken")) if any(b.kernel == 5 for b in one.blocks)
            else evaluation(one, sum(b.se > 0 for b in one.blocks) / 4, float(sum(b.layers for b in one.blocks)))
            for one in architectures
        ]  # fmt: skip

    problem = SearchProblem(tiny, evaluate)
    result = minimize(problem, NSGA2(pop_size=20, **problem.operators()), ("n_gen", 30), seed=1)
    assert np.unique(result.F, axis=0).tolist() == [[0.5, 2.0]]
    assert all(b.se and b.kernel == 3 for x in np.atleast_2d(result.X) for b in tiny.space.decode(x).blocks)


def test_minimize_trains_and_measures_real_networks(tiny_file, tmp_path):
    archive = tmp_path / "archive.sqlite"
    problem = load_problem(tiny_file, archive=archive)
    result = minimize(problem, NSGA2(pop_size=4, **problem.operators()), ("n_gen", 2), seed=1)
    assert ((result.F[:, 0] >= 0) & (result.F[:, 0] <= 1)).all()
    assert (result.F[:, 1] > 0).all()
    again = load_problem(tiny_file, archive=archive)
    repeated = minimize(again, NSGA2(pop_size=4, **again.operators()), ("n_gen", 2), seed=1)
    assert np.array_equal(result.F, repeated.F)


def test_a_problem_reads_no_images_before_it_must():
    problem = load_problem("images", ["data.path=/nowhere"])
    assert problem.n_var == 42
    with pytest.raises(ValueError, match="does not exist"):
        problem.evaluate(problem.xl[None])
