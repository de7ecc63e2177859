"""Problems, algorithms and results of pymoo that are copied, pickled and taken to other processes."""

from __future__ import annotations

import contextlib
import copy
import multiprocessing
import os
import pickle
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.callback import Callback
from pymoo.optimize import minimize
from pymoo.termination.max_gen import MaximumGenerationTermination

from evomnas.loop import pymoo_problem
from evomnas.loop.pymoo_problem import load_problem
from evomnas.results.archive import Archive


class Notes(Callback):
    """Notes the best error of every generation."""

    def __init__(self) -> None:
        super().__init__()
        self.data["errors"] = []

    def notify(self, algorithm) -> None:
        self.data["errors"].append(float(algorithm.pop.get("F")[:, 0].min()))


def copies() -> list:
    """The ways to copy something, with the library that pymoo's documentation takes for it where that is installed."""
    ways = [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))]
    try:
        import dill
    except ImportError:
        return ways
    return [*ways, lambda one: dill.loads(dill.dumps(one))]


@pytest.fixture(params=copies(), ids=["deepcopy", "pickle", "dill"][: len(copies())])
def copied(request):
    return request.param


def algorithm_for(problem, **options) -> NSGA2:
    return NSGA2(pop_size=8, **problem.operators(), **options)


def finish(algorithm):
    while algorithm.has_next():
        algorithm.next()
    return algorithm.result()


@pytest.mark.parametrize("generations", [0, 1, 3])
def test_a_copy_of_a_search_goes_on_as_the_search_does(copied, generations, tabular_file):
    problem = load_problem(tabular_file)
    algorithm = algorithm_for(problem)
    algorithm.setup(problem, termination=("n_gen", 6), seed=1, save_history=True, callback=Notes())
    for _ in range(generations):
        algorithm.next()
    clone = copied(algorithm)
    assert clone.problem is not problem
    result, again = finish(algorithm), finish(clone)
    assert np.array_equal(result.F, again.F)
    assert np.array_equal(result.X, again.X)
    assert clone.callback.data == algorithm.callback.data
    assert len(again.history) == 6


def test_a_copy_of_what_was_not_begun_is_as_good(copied, tabular_file):
    problem = load_problem(tabular_file)
    first = minimize(problem, algorithm_for(problem), ("n_gen", 3), seed=1)
    clone = copied(problem)
    again = minimize(clone, copied(algorithm_for(clone)), ("n_gen", 3), seed=1)
    assert np.array_equal(first.F, again.F)


def test_a_result_is_stored_with_its_algorithm_which_goes_on(copied, tabular_file):
    """As pymoo's documentation of checkpoints does it."""
    problem = load_problem(tabular_file)
    result = copied(minimize(problem, algorithm_for(problem), ("n_gen", 3), seed=1, save_history=True))
    assert [one.n_gen for one in result.history] == [1, 2, 3]
    result.algorithm.termination = MaximumGenerationTermination(6)
    further = minimize(problem, result.algorithm, copy_algorithm=False)
    whole = minimize(problem, algorithm_for(problem), ("n_gen", 6), seed=1)
    assert np.array_equal(further.F, whole.F)


def test_copies_within_a_process_share_one_evaluator(tabular_file, monkeypatch):
    opened = []
    original = Archive.__init__
    monkeypatch.setattr(Archive, "__init__", lambda self, *args, **more: opened.append(original(self, *args, **more)))
    problem = load_problem(tabular_file)
    clone = copy.deepcopy(problem)
    for one in (clone, problem, copy.copy(problem), copy.deepcopy(clone)):
        one.evaluate(one.xl)
    assert len(opened) == 1


def test_a_copy_of_a_problem_has_bounds_of_its_own(tabular_file):
    problem = load_problem(tabular_file)
    clone = copy.deepcopy(problem)
    clone.xu[0] = 0
    assert problem.xu[0] == 2
    assert (clone.space is problem.space, clone.definition is problem.definition) == (True, True)  # never change


def test_a_history_of_a_large_space_costs_next_to_nothing(tiny):
    problem = load_problem(tiny)
    rng = np.random.default_rng(1)
    for genome in problem.space.sample(500, rng):
        problem.space.decode(genome)
    problem.space.draw(rng)
    operators = problem.operators()
    operators["eliminate_duplicates"].remember(
        [problem.space.decode(genome) for genome in problem.space.sample(9, rng)]
    )
    for genome in problem.space.sample(500, rng):
        operators["eliminate_duplicates"].decode(genome)
    assert len(pickle.dumps((problem, operators))) < 20_000
    clone = copy.deepcopy(operators)["eliminate_duplicates"]
    clone.history.clear()
    assert len(operators["eliminate_duplicates"].history) > 0


@pytest.fixture
def trained_rows(tiny_file, tmp_path):
    """A problem whose archive in memory holds three evaluated networks, and their genomes and losses."""
    problem = load_problem(tiny_file)
    genomes = problem.space.sample(3, np.random.default_rng(5))
    return problem, genomes, problem.evaluate(genomes)[0]


def test_what_an_archive_in_memory_holds_is_pickled_with_the_problem(trained_rows, monkeypatch):
    problem, genomes, losses = trained_rows
    clone = pickle.loads(pickle.dumps(problem))
    again = pickle.loads(pickle.dumps(clone))  # which was not opened meanwhile
    monkeypatch.setattr("evomnas.training.proxy_task.ProxyTask.train", lambda *_: pytest.fail("trained again"))
    assert np.array_equal(clone.evaluate(genomes)[0], losses)
    assert np.array_equal(again.evaluate(genomes)[0], losses)


def test_a_restored_problem_goes_on_with_the_same_file(tiny_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    problem = load_problem(tiny_file, archive="kept.sqlite")
    genomes = problem.space.sample(2, np.random.default_rng(5))
    losses = problem.evaluate(genomes)[0]
    stored = pickle.dumps(problem)
    assert len(stored) < 20_000
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setattr("evomnas.training.proxy_task.ProxyTask.train", lambda *_: pytest.fail("trained again"))
    assert np.array_equal(pickle.loads(stored).evaluate(genomes)[0], losses)
    assert not list((tmp_path / "elsewhere").iterdir())


def test_another_program_restores_a_search(tabular_file, tmp_path):
    problem = load_problem(tabular_file)
    algorithm = algorithm_for(problem)
    algorithm.setup(problem, termination=("n_gen", 6), seed=1)
    for _ in range(3):
        algorithm.next()
    (tmp_path / "checkpoint").write_bytes(pickle.dumps(algorithm))
    code = "import pickle, sys; a = pickle.load(open(sys.argv[1], 'rb')); print(a.run().F.tolist())"
    command = [sys.executable, "-c", code, str(tmp_path / "checkpoint")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(finish(algorithm).F.tolist())


@pytest.mark.thorough
def test_other_processes_evaluate_the_same_problem_over_connections_of_their_own(tabular_file, tmp_path):
    problems = [load_problem(tabular_file, archive=archive) for archive in (":memory:", tmp_path / "kept.sqlite")]
    genome = problems[0].xu
    expected = [problem.evaluate(genome)[0].tolist() for problem in problems]
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as processes:
        assert [processes.submit(one.evaluate, genome).result()[0].tolist() for one in problems] == expected


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("archive", [":memory:", "kept.sqlite"])
def test_a_forked_process_opens_an_evaluator_of_its_own(archive, tabular_file, tmp_path):
    problem = load_problem(tabular_file, archive=archive if archive == ":memory:" else tmp_path / archive)
    problem.evaluate(problem.xl)
    on_demand = problem._evaluate_architectures.__self__
    first = on_demand._opened
    reader, writer = os.pipe()
    if not os.fork():
        with contextlib.suppress(BaseException):
            problem.evaluate(problem.xu)
            archive, evaluator = on_demand._opened.archive, on_demand._opened.evaluator
            networks = [problem.space.decode(genome) for genome in (problem.xl, problem.xu)]
            kept = [archive.lookup(evaluator.training_context, network) is not None for network in networks]
            os.write(writer, str((on_demand._opened is first, kept)).encode())
        os._exit(0)
    os.close(writer)
    assert os.read(reader, 100) == b"(False, [True, True])"
    problem.evaluate(problem.xl)
    assert on_demand._opened is first


def test_a_problem_of_the_user_s_own_function_is_copied_too(tabular_file):
    problem = load_problem(tabular_file)
    evaluate = problem._evaluate_architectures
    own = pymoo_problem.SearchProblem(problem.definition, evaluate, evaluate.__self__.reference_costs)
    assert own.n_ieq_constr == 0
    assert np.array_equal(copy.deepcopy(own).evaluate(own.xl), pickle.loads(pickle.dumps(own)).evaluate(own.xl))
