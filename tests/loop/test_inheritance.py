"""LEMONADE's children begin with their parents' weights: what depends on what, and what is kept for how long.

Latencies are made up from MACs, so that two searches of a seed ask for the same networks. Trainings are real.
"""

from __future__ import annotations

import hashlib

import pytest

from evomnas.core.errors import InputError
from evomnas.evaluation.executors.base import Cluster
from evomnas.evaluation.inheritance.lineage import child_recipe
from evomnas.evaluation.network_evaluator import NetworkEvaluator
from evomnas.loop.launch import resume, search
from evomnas.networks.layer_costs import count_cost
from evomnas.problem.loading import validate_definition
from evomnas.results.archive import Archive
from evomnas.results.evaluation import Measurement
from evomnas.results.packing.pack import pack
from evomnas.results.readers import lineage_alias
from evomnas.results.run import Run

OPTIONS = {"children": 3, "proposals": 12, "inherit": True}
BUDGET = 9


@pytest.fixture(autouse=True, scope="module")
def made_up_latencies():
    def measure(evaluator, architectures):
        for one in architectures:
            cost = count_cost(one, 10, 1, 8)
            latency = cost.macs / 1e5
            yield one, Measurement(cost, latency, latency, latency, latency, (latency,), 0.01)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NetworkEvaluator, "_time", measure)
        yield


@pytest.fixture(scope="module")
def problem(tiny_values):
    tiny_values["training"] = {"epochs": 3, "batch": 50, "learning_rate": 0.1}
    return validate_definition(tiny_values)


@pytest.fixture(scope="module")
def tiny_values():
    from copy import deepcopy

    from tiny_problem import TINY

    return deepcopy(TINY)


def begin(problem, folder, **options) -> Run:
    return search(problem, "lemonade", options=OPTIONS, budget=BUDGET, seed=3, out=folder, **options)


@pytest.fixture(scope="module")
def family(problem, tmp_path_factory) -> Run:
    return begin(problem, tmp_path_factory.mktemp("family") / "run")


def lineages(run: Run) -> dict[str, dict]:
    """The contexts of the trainings of a run, by network."""
    found = {}
    for ask in run.asks:
        [key] = run.archive.alias_contexts(lineage_alias(run.record.id, ask.architecture))
        found[ask.architecture] = run.archive.context(key)
    return found


def bits(run: Run) -> list[tuple]:
    """All that must be the same where two searches are: networks, losses, answers, and the weights inherited."""
    contexts = lineages(run)
    return [
        (
            notation := str(result.evaluation.architecture),
            result.evaluation.training.losses,
            result.evaluation.training.loss,
            result.on_front,
            contexts[notation]["lineage"]["inherited"],
        )
        for result in run.results()
    ]


def test_a_training_is_known_by_the_weights_that_its_network_inherited(family, problem):
    contexts, asked = lineages(family), [ask.architecture for ask in family.asks]
    children = [one for one in asked if contexts[one]["lineage"]["inherited"]]
    assert len(asked) == BUDGET
    assert len(children) >= BUDGET - 5
    assert not any(contexts[one]["lineage"]["inherited"] for one in asked[:3])
    kept = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in family.folder.glob("weights/*")}
    for child in children:
        inherited = contexts[child]["lineage"]["inherited"]
        assert asked.index(inherited["from"]) < asked.index(child)
        parent = family.definition.parse(inherited["from"])
        assert sum(a != b for a, b in zip(parent.part_notations, child.split("-"), strict=True)) >= 1
        assert contexts[child]["training"] == child_recipe(problem.training).context
    known = {contexts[child]["lineage"]["inherited"]["weights"] for child in children}
    assert known & set(kept.values())  # some parents are still in the population
    for one in set(asked) - set(children):
        assert contexts[one]["training"] == problem.training.context
    epochs = {
        str(result.evaluation.architecture): len(result.evaluation.training.losses) for result in family.results()
    }
    assert all(count == (1 if one in children else 3) for one, count in epochs.items())


def test_the_weights_of_the_front_alone_are_kept(family):
    assert len(list(family.folder.glob("weights/*"))) == len(family.front())
    assert 0 < len(family.front()) < BUDGET


def test_nobody_else_sees_such_a_training(family, problem):
    """Neither the same search once more, nor a search without inheritance: both train their networks anew."""
    path = family.archive.path
    again = search(
        problem, "lemonade", options=OPTIONS, budget=4, seed=3, out=family.folder.parent / "again", archive=path
    )
    assert [one[:3] for one in bits(again)] == [one[:3] for one in bits(family)][:4]
    assert again.manifest.reused.networks == 0
    plain = search(problem, "random", budget=2, out=family.folder.parent / "plain", archive=path)
    first = family.results()[0].evaluation
    assert plain.reader.known(first.architecture).training is None
    assert family.reader.answers(first.architecture) is not None
    keys = {lineage_alias(run.record.id, first.architecture) for run in (family, again)}
    assert len({key for alias in keys for key in family.archive.alias_contexts(alias)}) == 2


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize(
    ("count", "moment"),
    [
        (7, "behind"),
        *(pytest.param(*one, marks=pytest.mark.thorough) for one in ((5, "behind"), (5, "before"), (8, "before"))),
    ],
)
def test_a_killed_search_resumes_to_the_same_bits(moment, count, family, problem, tmp_path, monkeypatch):
    """It is killed before or behind the commit of a training; its parents' weights are what it needs to go on."""
    original, trained = Archive.add_training, []

    def add_training(self, *arguments):
        trained.append(arguments)
        if len(trained) == count and moment == "before":
            raise Killed
        original(self, *arguments)
        if len(trained) == count:
            raise Killed

    monkeypatch.setattr(Archive, "add_training", add_training)
    with pytest.raises(Killed):
        begin(problem, tmp_path / "run")
    assert bits(resume(tmp_path / "run")) == bits(family)


@pytest.mark.thorough
def test_a_search_goes_on_with_a_larger_budget_as_if_it_had_had_it(family, problem, tmp_path):
    search(problem, "lemonade", options=OPTIONS, budget=7, seed=3, out=tmp_path / "run")
    assert bits(resume(tmp_path / "run", budget=BUDGET)) == bits(family)


def test_a_run_whose_weights_are_gone_says_what_to_bring_back(problem, tmp_path):
    run = search(problem, "lemonade", options=OPTIONS, budget=3, seed=3, out=tmp_path / "run")
    for path in run.folder.glob("weights/*"):
        path.unlink()
    with pytest.raises(InputError, match=r"the weights of \w+, .* are not in .*weights: bring that folder back, or"):
        resume(tmp_path / "run", budget=6)


def test_a_packed_run_has_what_its_networks_reached(family, tmp_path):
    pack(family, tmp_path / "packed.zip")
    packed = Run.open(tmp_path / "packed.zip")
    assert bits(packed) == bits(family)
    first = family.results()[0].evaluation.architecture
    assert packed.reader.answers(first).to_row() == family.reader.answers(first).to_row()


@pytest.mark.thorough
@pytest.mark.parametrize("workers", [2, Cluster()], ids=["processes", "ray"])
def test_workers_and_a_cluster_give_the_same_bits(workers, family, problem, tmp_path):
    assert bits(begin(problem, tmp_path / "run", workers=workers)) == bits(family)


@pytest.mark.thorough
def test_a_killed_search_in_steady_state_resumes_with_the_weights_that_it_needs(problem, tmp_path, monkeypatch):
    original, trained = Archive.add_training, []

    def add_training(self, *arguments):
        original(self, *arguments)
        trained.append(arguments)
        if len(trained) == 6:
            raise Killed

    undisturbed = begin(problem, tmp_path / "a" / "run", asynchronous=True)
    trained.clear()
    monkeypatch.setattr(Archive, "add_training", add_training)
    with pytest.raises(Killed):
        begin(problem, tmp_path / "b" / "run", asynchronous=True)
    assert bits(resume(tmp_path / "b" / "run")) == bits(undisturbed)


@pytest.mark.parametrize("setting", ["data.folds=2", "constraints.max_params=1"])
def test_folds_and_networks_beyond_a_limit_can_be_searched(setting, tiny_values, tmp_path):
    """With folds, each training begins with the weights that the parent had after the one without the same images."""
    section, value = setting.split(".")
    name, number = value.split("=")
    values = tiny_values | {section: tiny_values.get(section, {}) | {name: int(number)}}
    if name == "folds":
        run = search(validate_definition(values), "lemonade", options=OPTIONS, budget=4, out=tmp_path / "run")
        assert all(result.evaluation.status == "ok" for result in run.results())
        assert any(context["lineage"]["inherited"] for context in lineages(run).values())
    else:
        with pytest.raises(InputError, match="params"):
            search(validate_definition(values), "lemonade", options=OPTIONS, budget=6, out=tmp_path / "run")


def test_tables_have_nothing_to_inherit(tabular_file, tmp_path):
    with pytest.raises(InputError, match="are looked up in a table and cannot inherit weights: drop inherit"):
        search(tabular_file, "lemonade", options={"inherit": True}, budget=4, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
