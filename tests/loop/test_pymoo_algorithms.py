"""Every algorithm that pymoo ships, on a problem of evomnas: it searches, or says in one line why it does not."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import random

import numpy as np
import pymoo.algorithms.moo as multi_objective
import pymoo.algorithms.soo.nonconvex as single_objective
import pytest
from pymoo.algorithms.moo.ctaea import CTAEA
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.algorithms.moo.pinsga2 import PINSGA2, AutomatedDM
from pymoo.core.algorithm import Algorithm
from pymoo.core.evaluator import Evaluator
from pymoo.operators.crossover.sbx import SBX
from pymoo.operators.mutation.pm import PM
from pymoo.operators.repair.rounding import RoundingRepair
from pymoo.operators.sampling.rnd import IntegerRandomSampling
from pymoo.optimize import minimize
from pymoo.util.ref_dirs import get_reference_directions

from evomnas.core.errors import InputError
from evomnas.loop.pymoo_problem import load_problem

INTERACTIVE = {"PINSGA2"}  # asks a person
REAL_VALUED = {"CMOPSO", "MOPSO_CD"}
WITHOUT_CONSTRAINTS = {"MOEAD", "ParallelMOEAD", "DNSGA2", "KGB"}
RETURNS_ALL = {"RVEA"}  # its whole population, failures among it
FAILS_ON_SMALL_FRONTS = {"GDE32NN"}  # of two networks: pymoo's crowding by neighbours needs more
OPERATORS = ("sampling", "crossover", "mutation")


def shipped(package) -> dict[str, type[Algorithm]]:
    """The algorithms of a package of pymoo's by name, but those that need what is not installed."""
    found = {}
    for module_info in pkgutil.iter_modules(package.__path__):
        try:
            module = importlib.import_module(f"{package.__name__}.{module_info.name}")
        except Exception:  # AGE-MOEA wants numba, and raises an Exception
            continue
        for name, value in vars(module).items():
            if inspect.isclass(value) and issubclass(value, Algorithm) and value.__module__ == module.__name__:
                found[name] = value
    return found


MULTI, SINGLE = shipped(multi_objective), shipped(single_objective)
SEARCHING = sorted(MULTI.keys() - INTERACTIVE - REAL_VALUED)
PAIRS = [
    (name, failures)
    for name in SEARCHING
    for failures in ("constraint", "penalty")
    if failures == "penalty" or name not in WITHOUT_CONSTRAINTS
]


def make(name: str, problem, size: int = 10) -> Algorithm:
    """An algorithm with as much of the problem's operators as it takes."""
    kind = MULTI[name]
    parameters = inspect.signature(kind.__init__).parameters
    arguments = {}
    if "ref_dirs" in parameters:
        arguments["ref_dirs"] = get_reference_directions("das-dennis", 2, n_partitions=size - 1)
    elif name == "RNSGA3":
        arguments["pop_per_ref_point"] = size // 2
    else:
        arguments["pop_size"] = size
    if "ref_points" in parameters:
        arguments["ref_points"] = np.array([[0.4, 2.0], [0.2, 4.0]])
    names = ("sampling",) if "DE" in name.replace("MOEAD", "") else OPERATORS if "MOEAD" in name else ()
    return kind(**arguments, **problem.operators(*names))


@pytest.fixture
def holey_file(tabular_file):
    """The tabular problem without a third of its networks."""
    table = tabular_file.parent / "table.csv"
    header, *rows = table.read_text().splitlines()
    random.Random(1).shuffle(rows)
    table.write_text("\n".join([header, *rows[: len(rows) * 2 // 3]]) + "\n")
    return tabular_file


def test_the_lists_above_name_what_there_is():
    """pymoo's own names; what another version of it lacks is not missed."""
    assert {"NSGA2", "NSGA3", "MOEAD", "CTAEA", "RVEA", "SMSEMOA", "SPEA2"} <= set(SEARCHING)
    assert {"GA", "DE", "PSO"} <= SINGLE.keys()


@pytest.mark.parametrize("name", sorted(WITHOUT_CONSTRAINTS & MULTI.keys()))
def test_an_algorithm_that_knows_no_constraints_says_so(name, tabular_file):
    problem = load_problem(tabular_file)
    with pytest.raises(InputError, match=rf'^{name} knows no constraints, .* write load_problem\(..., failures="p'):
        minimize(problem, make(name, problem), ("n_gen", 5), seed=1)


@pytest.mark.parametrize(("name", "failures"), PAIRS)
def test_an_algorithm_of_pymoo_s_searches_a_table(name, failures, tabular_file):
    problem = load_problem(tabular_file, failures=failures)
    result = minimize(problem, make(name, problem), ("n_gen", 5), seed=1)
    assert len(result.X) == len(result.F) > 0
    for genome, losses in zip(result.X, result.F, strict=True):
        values = list(map(int, str(problem.space.decode(genome))))
        accuracy = 40 + 5 * sum(values) - 3 * (values[0] - values[4]) ** 2
        latency = 1 + sum((place + 1) * value for place, value in enumerate(values)) / 5
        assert losses == pytest.approx([1 - accuracy / 100, latency])


@pytest.mark.parametrize(("name", "failures"), [pair for pair in PAIRS if pair[0] not in FAILS_ON_SMALL_FRONTS])
def test_failures_and_networks_beyond_a_limit_are_in_no_result(name, failures, holey_file):
    problem = load_problem(holey_file, ["constraints.max_latency_ms=4"], failures=failures)
    result = minimize(problem, make(name, problem), ("n_gen", 8), seed=1)
    statuses = result.opt.get("status")
    found = statuses == "ok"
    assert found.any()
    assert found.all() or name in RETURNS_ALL
    assert np.isfinite(result.F[found]).all()
    assert (result.F[found][:, 1] <= 4).all()
    assert set(result.pop.get("status")) <= {"ok", "failed", "infeasible"}


@pytest.mark.parametrize("name", sorted(REAL_VALUED & MULTI.keys()))
@pytest.mark.parametrize("operators", [(), ("sampling",)])
def test_a_particle_swarm_says_that_it_cannot_search_networks(name, operators, tabular_file):
    problem = load_problem(tabular_file)
    algorithm = MULTI[name](pop_size=10, **(problem.operators(*operators) if operators else {}))
    with pytest.raises(InputError, match="one that moves through real numbers, such as a particle swarm, cannot"):
        minimize(problem, algorithm, ("n_gen", 2), seed=1)


@pytest.mark.parametrize("name", sorted(SINGLE))
def test_an_algorithm_for_one_objective_says_so_before_a_network_is_evaluated(name, tabular_file):
    problem = load_problem(tabular_file)
    problem._evaluate_architectures = lambda networks: pytest.fail("a network was evaluated")
    takes_sampling = "sampling" in inspect.signature(SINGLE[name].__init__).parameters
    algorithm = SINGLE[name](**problem.operators("sampling")) if takes_sampling else SINGLE[name]()
    with pytest.raises(InputError, match="is for one objective, and this problem has two|genes are whole numbers"):
        minimize(problem, algorithm, ("n_gen", 2), seed=1)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"sampling": IntegerRandomSampling()},
        {"sampling": IntegerRandomSampling(), "crossover": SBX(), "mutation": PM(repair=RoundingRepair())},
    ],
)
def test_missing_operators_are_named_before_a_network_is_evaluated(arguments, tabular_file):
    problem = load_problem(tabular_file)
    problem._evaluate_architectures = lambda networks: pytest.fail("a network was evaluated")
    with pytest.raises(InputError, match=r"the problem's operators, as in NSGA2\(\*\*problem.operators\(\)\)"):
        minimize(problem, NSGA2(**arguments), ("n_gen", 2), seed=1)


def test_fractions_of_genes_are_refused_wherever_they_come_from(tabular_file):
    problem = load_problem(tabular_file)
    with pytest.raises(InputError, match=r"^pymoo asks for a network whose gene 2 is 1.5: genes are whole numbers"):
        problem.evaluate(np.array([[0, 0, 0, 0, 0], [0, 0, 1.5, 0, 0]]))
    algorithm = NSGA2(pop_size=5)
    algorithm.setup(problem, seed=1)
    with pytest.raises(InputError, match="genes are whole numbers"):
        Evaluator().eval(problem, algorithm.ask())  # the evaluator does not say for whom


def test_operators_of_pymoo_s_that_round_may_be_used(tabular_file):
    problem = load_problem(tabular_file)
    rounding = {"crossover": SBX(repair=RoundingRepair(), vtype=float), "mutation": PM(repair=RoundingRepair())}
    algorithm = NSGA2(pop_size=10, sampling=IntegerRandomSampling(), **rounding)
    result = minimize(problem, algorithm, ("n_gen", 5), seed=1)
    assert np.isfinite(result.F).all()


def test_a_space_with_fewer_networks_than_directions_is_refused_where_the_algorithm_would_never_end(tabular_file):
    table = tabular_file.parent / "table.csv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join([lines[0], *(line for line in lines[1:] if line.startswith("0,0,0,"))]) + "\n")
    problem = load_problem(tabular_file)
    with pytest.raises(InputError, match="CTAEA needs one network for each of its 10 .* and the space has 9"):
        minimize(problem, make("CTAEA", problem), ("n_gen", 2), seed=1)
    directions = get_reference_directions("das-dennis", 2, n_partitions=8)
    result = minimize(problem, CTAEA(directions, **problem.operators()), ("n_gen", 2), seed=1)
    assert len(result.F)


def test_operators_are_chosen_by_name(tabular_file):
    problem = load_problem(tabular_file)
    assert list(problem.operators("mutation", "sampling")) == ["mutation", "sampling"]
    assert list(problem.operators()) == [*OPERATORS, "eliminate_duplicates"]
    with pytest.raises(InputError, match="unknown operator 'crosover'.*did you mean crossover"):
        problem.operators("crosover")
    with pytest.raises(InputError, match="SearchProblem.operators: names must be text, not 3"):
        problem.operators(3)


def test_an_interactive_algorithm_asks_whom_it_should(holey_file):
    class FastOne(AutomatedDM):
        """Prefers the faster of two networks."""

        def makeDecision(self, F):  # noqa: N802, N803 pymoo's names
            return "ab"[int(F[0][1] > F[1][1])]

    problem = load_problem(holey_file)
    result = minimize(
        problem, PINSGA2(pop_size=10, automated_dm=FastOne(), **problem.operators()), ("n_gen", 12), seed=1
    )
    assert (result.opt.get("status") == "ok").all()


@pytest.mark.thorough
@pytest.mark.parametrize(("name", "failures"), PAIRS)
def test_an_algorithm_of_pymoo_s_searches_networks_that_are_trained(name, failures, tiny_file, tmp_path_factory):
    archive = tmp_path_factory.getbasetemp() / "all-algorithms.sqlite"  # what one has trained, the others look up
    overrides = ['space.ops=["dconv"]', "space.kernels=[3]", "space.layer_offsets=[0]", "constraints.max_params=2000"]
    problem = load_problem(tiny_file, overrides, archive=archive, failures=failures)
    result = minimize(problem, make(name, problem, size=6), ("n_gen", 3), seed=1)
    found = result.opt.get("status") == "ok"
    assert found.any()
    assert ((result.F[found] > 0) & (result.F[found] < [1.01, np.inf])).all()
