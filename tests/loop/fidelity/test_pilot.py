"""A pilot: it trains what it should, keeps it, goes on where it stopped, and is the same on workers."""

from __future__ import annotations

import sqlite3

import numpy as np
import pytest

from evomnas.core.errors import EverythingFailed, InputError
from evomnas.evaluation.factory import open_evaluator
from evomnas.loop.fidelity import pilot as pilot_module
from evomnas.loop.fidelity.pilot import check_pilot, pilot_recipes, run_pilot, with_epochs
from evomnas.problem.counting import count_architecture
from evomnas.problem.loading import load_definition
from evomnas.problem.sections import ConstraintsSection
from evomnas.results.archive import Archive
from evomnas.results.evaluation import TrainingDiverged
from evomnas.training.proxy_task import ProxyTask


@pytest.fixture(scope="module")
def problem(tiny):
    """The tiny problem with three epochs."""
    return with_epochs(tiny, 3)


@pytest.fixture(scope="module")
def finished(problem, tmp_path_factory):
    """A pilot and its archive."""
    path = tmp_path_factory.mktemp("pilot") / "new" / "archive.sqlite"
    return run_pilot(problem, path, networks=8), path


@pytest.mark.parametrize(("epochs", "expected"), [(2, [1, 2]), (3, [1, 2, 3]), (5, [1, 2, 5]), (30, [6, 12, 30])])
def test_recipes_have_a_fifth_two_fifths_and_all_of_the_epochs(tiny, epochs, expected):
    recipes, repeat = pilot_recipes(tiny.training.model_copy(update={"epochs": epochs, "seed": 7}))
    assert list(recipes) == expected
    assert {(key, one.epochs, one.seed) for key, one in recipes.items()} == {(key, key, 7) for key in expected}
    assert (repeat.epochs, repeat.seed) == (epochs, 8)
    last = tiny.training.model_copy(update={"seed": 2**63 - 1})
    assert pilot_recipes(last)[1].seed == 0


def test_every_network_is_trained_at_every_length_and_with_another_seed(finished, problem):
    pilot, path = finished
    assert (pilot.networks, pilot.failed) == (8, 0)
    assert [one.epochs for one in pilot.fidelities] == [1, 2, 3]
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT context, count(*) FROM trainings GROUP BY context").fetchall()
    assert sorted(count for _, count in rows) == [8] * 4
    seconds = [one.seconds for one in pilot.fidelities]
    assert min(seconds) > 0
    assert pilot.new_seconds == pytest.approx(8 * sum(seconds), rel=2)


def test_the_whole_trainings_are_those_of_a_search(finished, problem, monkeypatch, tmp_path):
    _, path = finished
    with open_evaluator(problem, Archive(path)) as evaluator:
        drawn = pilot_module._draw(problem, evaluator, 8, 1)
        known = [evaluator.training_of(one) for one in drawn]
        assert all(len(one.losses) == 3 for one in known)
        evaluator.archive.close()
    with open_evaluator(problem, Archive(tmp_path / "other.sqlite")) as evaluator:
        list(evaluator.train(drawn[:1]))
        assert evaluator.training_of(drawn[0]).losses == known[0].losses
        evaluator.archive.close()


def test_a_pilot_that_is_repeated_trains_nothing_and_says_the_same(finished, problem, monkeypatch):
    pilot, path = finished
    monkeypatch.setattr(ProxyTask, "fit", lambda *_: pytest.fail("was trained again"))
    again = run_pilot(problem, path, networks=8)
    assert again.fidelities == pilot.fidelities
    assert again.proposed == pilot.proposed
    assert again.new_seconds == 0


@pytest.mark.thorough
def test_a_pilot_that_was_interrupted_goes_on(finished, problem, tmp_path, stopped_at):
    with stopped_at("add_training", 11):
        run_pilot(problem, tmp_path / "archive.sqlite", networks=8)
    counts = []
    again = run_pilot(problem, tmp_path / "archive.sqlite", 8, on_pilot=lambda _, *numbers: counts.append(numbers))
    assert max(counts) == (32 - 10, 32 - 10)
    assert [one.ranking for one in again.fidelities] == [one.ranking for one in finished[0].fidelities]


@pytest.mark.thorough
def test_workers_give_the_same_pilot(finished, problem, tmp_path):
    on_workers = run_pilot(problem, tmp_path / "archive.sqlite", networks=8, workers=2)
    assert [one.ranking for one in on_workers.fidelities] == [one.ranking for one in finished[0].fidelities]


@pytest.mark.thorough
def test_networks_that_fail_are_left_out_and_too_few_are_an_error(problem, tmp_path, monkeypatch):
    fit, failing = ProxyTask.fit, []

    def often(task, architecture, *others):
        if len(failing) < 2 and architecture not in failing:
            failing.append(architecture)
        if architecture in failing:
            raise TrainingDiverged("on purpose")
        return fit(task, architecture, *others)

    monkeypatch.setattr(ProxyTask, "fit", often)
    pilot = run_pilot(problem, tmp_path / "archive.sqlite", networks=10)
    assert (pilot.networks, pilot.failed) == (8, 2)
    with pytest.raises(EverythingFailed, match="only 8 of 9 networks|only 7 of 9 networks"):
        run_pilot(problem, tmp_path / "archive.sqlite", networks=9)


def test_networks_beyond_a_limit_of_parameters_are_not_trained(problem, tmp_path):
    limited = problem.model_copy(update={"constraints": ConstraintsSection(max_params=3000)})
    with open_evaluator(limited, Archive(tmp_path / "archive.sqlite")) as evaluator:
        drawn = pilot_module._draw(limited, evaluator, 8, 1)
        sizes = [count_architecture(one, **evaluator.reader.shape).params for one in drawn]
        evaluator.archive.close()
    assert len(sizes) == 8
    assert max(sizes) <= 3000
    rng = np.random.default_rng(1)
    everyone = [problem.space.decode(problem.space.draw(rng)) for _ in range(8)]
    assert drawn != everyone
    nothing = problem.model_copy(update={"constraints": ConstraintsSection(max_params=1)})
    with pytest.raises(InputError, match="the space has 0 networks within the limits: a pilot needs 8"):
        run_pilot(nothing, tmp_path / "none.sqlite", networks=8)


@pytest.mark.parametrize(
    ("networks", "changes", "message"),
    [
        (7, {}, "a pilot trains 8 to 1000 networks, not 7"),
        (1001, {}, "a pilot trains 8 to 1000 networks, not 1001"),
        (16, {"epochs": 1}, "trainings of one epoch cannot have fewer"),
    ],
)
def test_what_no_pilot_can_do_is_refused(problem, networks, changes, message):
    training = problem.training.model_copy(update=changes)
    with pytest.raises(InputError, match=message):
        check_pilot(problem.model_copy(update={"training": training}), networks)


def test_a_table_has_no_epochs():
    with pytest.raises(InputError, match="looks its networks up in a table: nothing is trained"):
        check_pilot(load_definition("nas-bench-macro"))


def test_a_search_with_fewer_epochs_finds_the_pilot_s_trainings(finished, problem, monkeypatch):
    _, path = finished
    monkeypatch.setattr(ProxyTask, "fit", lambda *_: pytest.fail("was trained again"))
    with open_evaluator(with_epochs(problem, 2), Archive(path)) as evaluator:
        drawn = pilot_module._draw(problem, evaluator, 8, 1)
        assert [len(evaluator.training_of(one).losses) for one in drawn] == [2] * 8
        evaluator.archive.close()
