"""The pymoo problem: a search by anybody's algorithm of pymoo, with or without trainings."""

from __future__ import annotations

import numpy as np
import pytest
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.evaluator import Evaluator
from pymoo.core.population import Population
from pymoo.optimize import minimize
from pymoo.termination.collection import TerminationCollection
from pymoo.termination.cv import ConstraintViolationTermination, UntilFeasibleTermination
from pymoo.termination.default import DefaultMultiObjectiveTermination
from pymoo.termination.ftol import MultiObjectiveSpaceTermination
from pymoo.termination.max_eval import MaximumFunctionCallTermination
from pymoo.termination.max_gen import MaximumGenerationTermination
from pymoo.termination.robust import RobustTermination
from pymoo.termination.xtol import DesignSpaceTermination

from evomnas.core.errors import InputError
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


@pytest.fixture
def small(tabular_file):
    """The tabular problem with a limit that half of its networks exceed, and without the network of all zeros."""
    table = tabular_file.parent / "table.csv"
    table.write_text("\n".join(line for line in table.read_text().splitlines() if not line.startswith("0,0,0,0,0")))
    return tabular_file, ["constraints.max_latency_ms=4"]


def test_a_violated_constraint_stands_for_a_failure_and_for_an_exceeded_limit(small):
    problem = load_problem(*small)
    losses, violations = problem.evaluate(np.array([[0] * 5, [1] * 5, [2] * 5]))
    assert losses.tolist() == [[np.inf, np.inf], [pytest.approx(0.35), pytest.approx(4.0)], [np.inf, np.inf]]
    assert violations.tolist() == [[np.inf], [0.0], [pytest.approx(7 / 4 - 1)]]


def test_a_penalty_is_worse_than_any_network_and_worse_the_more_a_limit_is_exceeded(small):
    problem = load_problem(*small, failures="penalty")
    assert problem.n_ieq_constr == 0
    genomes = [[0] * 5, [1] * 5, [1, 1, 1, 1, 2], [2] * 5]
    failed, good, beyond, far_beyond = problem.evaluate(np.array(genomes))
    assert good.tolist() == [pytest.approx(0.33 + 0.02), pytest.approx(4.0)]
    reference_ms, _ = 4.0, None  # the network of the median latency
    least = np.array([1.0, 10 * 2.0 * reference_ms])  # the reference point is (1, 2 * reference)
    assert beyond == pytest.approx(least * (1 + 0.25 / 1.25))
    assert far_beyond == pytest.approx(least * (1 + 0.75 / 1.75))
    assert failed == pytest.approx(2 * least)
    assert load_problem(*small).evaluate(np.array(genomes), return_values_of=["status"]).tolist() == [
        "failed", "ok", "infeasible", "infeasible",
    ]  # fmt: skip


def test_a_penalty_is_told_to_pymoo_alone(small, tmp_path):
    path, overrides = small
    problem = load_problem(path, overrides, archive=tmp_path / "kept.sqlite", failures="penalty")
    assert np.isfinite(problem.evaluate(np.zeros(5, int))).all()
    strict = load_problem(path, overrides, archive=tmp_path / "kept.sqlite")
    assert np.isinf(strict.evaluate(np.zeros(5, int))[0]).all()


def test_penalties_of_trained_networks_are_relative_to_the_measured_reference(tiny_file):
    problem = load_problem(tiny_file, ["constraints.max_params=800"], failures="penalty")
    error, latency = problem.evaluate(problem.xu)
    (reference,) = problem._evaluate_architectures.__self__.reference_costs()
    assert 1 < error < 2
    assert 10 * 2 * reference < latency < 2 * 10 * 2 * reference


@pytest.mark.parametrize(
    "termination",
    [
        ("n_gen", 4),
        ("n_eval", 30),
        ("time", "00:00:01"),
        MultiObjectiveSpaceTermination(tol=0.1),
        DesignSpaceTermination(tol=0.5),
        RobustTermination(MultiObjectiveSpaceTermination(tol=0.5), period=3),
        DefaultMultiObjectiveTermination(n_max_gen=8),
        TerminationCollection(ConstraintViolationTermination(), MaximumGenerationTermination(4)),
        UntilFeasibleTermination(),
        TerminationCollection(MaximumGenerationTermination(5), MaximumFunctionCallTermination(20)),
    ],
    ids=lambda one: one if isinstance(one, str) else one[0] if isinstance(one, tuple) else type(one).__name__,
)
@pytest.mark.parametrize("failures", ["constraint", "penalty"])
def test_every_termination_of_pymoo_s_ends_a_search(termination, failures, small):
    """All but the two that fail on pymoo's own problems as well (by an indicator, and with renormalization)."""
    problem = load_problem(*small, failures=failures)
    algorithm = NSGA2(pop_size=8, **problem.operators())
    result = minimize(problem, algorithm, termination, seed=1)
    assert result.F is not None
    assert (result.opt.get("status") == "ok").all()


def test_a_search_is_shown_and_called_back(small, capsys):
    problem = load_problem(*small)
    seen = []
    minimize(
        problem,
        NSGA2(pop_size=8, **problem.operators()),
        ("n_gen", 3),
        seed=1,
        verbose=True,
        save_history=True,
        callback=lambda algorithm: seen.append(algorithm.n_gen),
    )
    assert seen == [1, 2, 3]
    assert len([line for line in capsys.readouterr().out.splitlines() if line.split("|")[0].strip().isdigit()]) == 3


def test_pymoo_s_own_loop_of_ask_and_tell_searches(small):
    problem = load_problem(*small)
    algorithm = NSGA2(pop_size=8, **problem.operators())
    algorithm.setup(problem, termination=("n_gen", 4), seed=1)
    while algorithm.has_next():
        asked = algorithm.ask()
        algorithm.evaluator.eval(problem, asked)
        algorithm.tell(infills=asked)
    assert np.array_equal(
        algorithm.result().F,
        minimize(problem, NSGA2(pop_size=8, **problem.operators()), ("n_gen", 4), seed=1).F,
    )


def test_a_population_of_the_user_s_own_begins_a_search(small):
    problem = load_problem(*small)
    begun = Population.new(X=problem.space.sample(8, np.random.default_rng(3)))
    Evaluator().eval(problem, begun)
    operators = problem.operators() | {"sampling": begun}
    result = minimize(problem, NSGA2(pop_size=8, **operators), ("n_gen", 3), seed=1)
    assert (result.opt.get("status") == "ok").all()


def test_a_problem_answers_what_pymoo_asks_of_one(small):
    problem = load_problem(*small)
    genome = np.array([1, 1, 1, 1, 1])
    losses, violations = problem.evaluate(genome)
    assert (losses.shape, violations.shape) == ((2,), (1,))
    assert problem.evaluate(genome, return_values_of=["F"]).tolist() == losses.tolist()
    assert set(problem.evaluate(genome, return_as_dictionary=True)) == {"F", "G", "status"}
    assert problem.evaluate(genome.astype(float))[0].tolist() == losses.tolist()
    assert problem.evaluate([genome.tolist()] * 2)[0].shape == (2, 2)
    assert problem.evaluate(np.zeros((0, 5)))[0].shape == (0, 2)
    assert (problem.pareto_front(), problem.pareto_set(), problem.nadir_point()) == (None, None, None)
    assert [bound.tolist() for bound in problem.bounds()] == [[0.0] * 5, [2.0] * 5]
    assert (problem.n_var, problem.n_obj, problem.n_constr, problem.has_constraints()) == (5, 2, 1, True)


def test_a_first_population_has_as_many_networks_as_it_should(tabular_file):
    """Pymoo would remove twins, and go on with fewer."""
    problem = load_problem(tabular_file)
    result = minimize(problem, NSGA2(pop_size=200, **problem.operators()), ("n_gen", 1), seed=1)
    assert result.algorithm.evaluator.n_eval == 200
    result = minimize(problem, NSGA2(pop_size=300, **problem.operators()), ("n_gen", 1), seed=1)
    assert result.algorithm.evaluator.n_eval <= 243  # there are no more


def test_limits_that_no_network_keeps_are_refused(tabular_file):
    problem = load_problem(tabular_file, ["constraints.max_latency_ms=0.5"])
    with pytest.raises(InputError, match="no network of the table meets the constraints"):
        minimize(problem, NSGA2(pop_size=8, **problem.operators()), ("n_gen", 2), seed=1)


def test_a_definition_is_a_problem_as_well(tiny):
    assert load_problem(tiny).definition is tiny


def test_a_problem_reads_no_images_before_it_must():
    problem = load_problem("images", ["data.path=/nowhere"])
    assert problem.n_var == 42
    with pytest.raises(ValueError, match="does not exist"):
        problem.evaluate(problem.xl[None])
