"""The package as a whole: public names, lazy imports, layering."""

from __future__ import annotations

import ast
import inspect
import re
import runpy
import subprocess
import sys
import types
from importlib.metadata import version
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement

import evomnas
from evomnas.evaluation.executors.base import Cluster
from evomnas.results.candidate_limits import CandidateLimits

ROOT = Path(evomnas.__file__).parent


@pytest.mark.parametrize("name", evomnas.__all__)
def test_public_names_are_there_and_documented(name):
    assert getattr(evomnas, name).__doc__


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = evomnas.nonsense


def test_the_version_is_the_installed_package_s():
    assert evomnas.__version__ == version("evomnas")
    assert "__version__" in dir(evomnas)


# The last version of each package that was seen to fail, with what failed.
FAILING = {
    "executorch": ("1.3.1", "export --to executorch, from an environment that is not activated"),
    "moocore": ("0.1.7", "compare: it wants sets of points in another form"),
    "ptflops": ("0.7.3", "every candidate: it counts functions that cannot be left out"),
    "pymoo": ("0.6.1.5", "--algo nsga2: its operators are given no random numbers"),
    "typer": ("0.17.4", "with click 8.3 or newer a missing argument is None: export RUN"),
}


@pytest.fixture
def declared(monkeypatch) -> list[Requirement]:
    """What setup.py declares; what is installed may be of an older version of it."""
    arguments: dict = {}
    stand_in = types.ModuleType("setuptools")
    stand_in.find_packages, stand_in.setup = lambda **_: [], arguments.update
    monkeypatch.setitem(sys.modules, "setuptools", stand_in)
    runpy.run_path(str(Path(__file__).parents[1] / "setup.py"))
    return [Requirement(text) for text in chain(arguments["install_requires"], *arguments["extras_require"].values())]


@pytest.mark.parametrize("name", FAILING)
def test_versions_that_were_seen_to_fail_are_refused(name, declared):
    version, failure = FAILING[name]
    requirements = [requirement for requirement in declared if requirement.name == name]
    assert requirements
    for requirement in requirements:
        assert version not in requirement.specifier, f"{requirement} allows {version}, with which fails {failure}"


def test_every_requirement_has_a_lower_bound(declared):
    assert len(declared) > 20
    for requirement in declared:
        assert [bound.operator for bound in requirement.specifier] == [">="], requirement


def test_nothing_prints_but_the_command():
    for path in ROOT.rglob("*.py"):
        calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        printing = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"]
        assert not printing, f"{path} prints"


def test_no_module_has_the_name_of_a_function():
    """It would take its place in the package once it is imported."""
    modules = {path.stem for path in ROOT.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert {"core", "loop"} <= modules
    assert not modules & set(evomnas.__all__)


@pytest.mark.thorough
def test_the_library_s_functions_stay_functions_whatever_was_called_before(tabular_file, tmp_path):
    code = """
import sys, evomnas
problem, out = sys.argv[1:]
for name in evomnas.__all__:
    getattr(evomnas, name)
for seed in (1, 2):
    evomnas.search(problem, budget=3, seed=seed, out=f"{out}/s{seed}")
evomnas.benchmark(problem, ["random", "nsga2"], seeds=1, budget=3, out=f"{out}/b")
evomnas.compare([f"{out}/s1", f"{out}/s2"])
evomnas.search(problem, budget=3, seed=3, out=f"{out}/s3")
assert all(callable(getattr(evomnas, name)) for name in evomnas.__all__)
"""
    command = [sys.executable, "-c", code, str(tabular_file), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_public_names_are_there_for_completion():
    assert set(evomnas.__all__) <= set(dir(evomnas))


NETWORK = evomnas.published("mnasnet-small")
FUNCTIONS = [name for name in evomnas.__all__ if inspect.isfunction(getattr(evomnas, name))]


class Nonsense:
    """What no function takes."""


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_refuses_what_it_cannot_take_in_one_line(name):
    function = getattr(evomnas, name)
    parameters = inspect.signature(function).parameters.values()
    required = {one.name: Nonsense() for one in parameters if one.default is one.empty}
    for parameter in parameters:
        arguments = required | {parameter.name: Nonsense()}
        with pytest.raises(evomnas.InputError, match=rf"^{name}: \w+ must be .*, not a Nonsense( \(.*\))?$"):
            function(**arguments)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: evomnas.search("digits", ["training.epochs=1"]), "algorithm must be text, not"),
        (lambda: evomnas.search(budget="10"), "budget must be a whole number, not '10'"),
        (lambda: evomnas.search(budget=3.5), "budget must be a whole number, not 3.5"),
        (lambda: evomnas.search(seed=-1), "the seed must be 0 or more"),
        (lambda: evomnas.search(workers="two"), "workers must be a whole number or a Cluster, not 'two'"),
        (lambda: evomnas.search(out=3), "out must be a path, text or None, not 3"),
        (lambda: evomnas.search(overrides="training.epochs=1"), "write overrides=['training.epochs=1']"),
        (lambda: evomnas.search(None), "problem must be text, a path or a Definition, not None"),
        (lambda: evomnas.search({"name": "x"}), "problem must be text, a path or a Definition, not {'name': 'x'}"),
        (lambda: evomnas.search(algorithm=dict), "algorithm must be text, not the class dict"),
        (lambda: evomnas.measure_latency("mnasnet-a1"), "architecture must be an Architecture, not 'mnasnet-a1'"),
        (lambda: evomnas.measure_latency(NETWORK, threads=0), "threads must be a whole number of at least 1, not 0"),
        (lambda: evomnas.load_network({}), "path must be a path or text, not {}"),
        (lambda: evomnas.compare([]), "needs at least two runs"),
        (lambda: evomnas.compare("runs/a"), "write runs=['runs/a']"),
        (lambda: evomnas.benchmark(algorithms="nsga2"), "write algorithms=['nsga2']"),
        (lambda: evomnas.load_problem(workers=-1), "workers must be a whole number of at least 0, not -1"),
        (lambda: evomnas.build_network(NETWORK, 0), "classes must be a whole number of at least 1, not 0"),
        (lambda: evomnas.build_network(NETWORK, dropout=2.0), "dropout must be a number from 0 to 1, not 2.0"),
        (
            lambda: evomnas.count_cost(NETWORK, resolution=0),
            "resolution must be a whole number or a list of whole numbers (height, width) of at least 1 pixel, not 0",
        ),
        (lambda: evomnas.weighted_product("x", 1.0, 1.0), "accuracy must be a number or an array of numbers, not 'x'"),
        (lambda: evomnas.weighted_product([0.5] * 3, [1.0] * 2, 1.0), "must have the same shape"),
        (lambda: evomnas.Run.open(3), "Run.open: folder must be a path or text, not 3"),
        (lambda: evomnas.Architecture(8, 1, (3,), 16), "Architecture: blocks must be a list of Blocks, not (3,)"),
        (lambda: evomnas.Architecture.parse(3), "Architecture.parse: notation must be text, not 3"),
        (lambda: evomnas.Architecture.from_dict({}), "not the fields of an architecture"),
        (lambda: evomnas.Block("conv", "3", 1, 16, 1), "Block: kernel must be a whole number, not '3'"),
        (lambda: evomnas.SearchSpace(width="1"), "SearchSpace: width must be a number, not '1'"),
        (lambda: evomnas.SearchSpace().encode("x"), "architecture must be an Architecture, not 'x'"),
        (lambda: CandidateLimits("10m"), "CandidateLimits: seconds must be a number or None, not '10m'"),
        (lambda: Cluster(3), "Cluster: address must be text or None, not 3"),
        (lambda: evomnas.SearchProblem(3, 4), "SearchProblem: definition must be a Definition, not 3"),
    ],
)
def test_a_mistake_of_the_library_s_users_is_one_line_that_helps(call, words):
    with pytest.raises(evomnas.InputError, match=re.escape(words)) as caught:
        call()
    assert len(str(caught.value).splitlines()) == 1


def test_numbers_of_numpy_are_numbers(tabular_file, tmp_path):
    run = evomnas.search(tabular_file, "random", budget=np.int64(3), seed=np.uint8(2), out=tmp_path / "run")
    assert (run.manifest.budget, run.record.seed) == (3, 2)
