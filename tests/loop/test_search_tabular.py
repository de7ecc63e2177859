"""All algorithms through the loop, on a table: stopped and resumed, small budgets, goals, and what people see."""

from __future__ import annotations

import json

import numpy as np
import pytest

from evomnas.algorithms.base import Measure
from evomnas.algorithms.goals import weighted_product
from evomnas.algorithms.surrogate.nsga2_surrogate import NSGA2Surrogate
from evomnas.core import registry
from evomnas.core.errors import InputError
from evomnas.evaluation.table_evaluator import TableEvaluator
from evomnas.loop import launch
from evomnas.loop.launch import resume, search
from evomnas.problem.loading import load_definition
from evomnas.problem.tabular_space import TabularArchitecture
from evomnas.report.run_report import write_report
from evomnas.report.words import goal_lines, headline
from evomnas.results.archive import Archive
from evomnas.results.run import Run

pytestmark = pytest.mark.usefixtures("no_drawings")
ALGORITHMS = sorted(registry.available("algorithms"))


def facts(run: Run) -> tuple:
    """All that two runs must have in common to be the same."""
    manifest = run.manifest
    said = [(one.generation, one.metrics) for one in run.archive.generations(run.record.id)]
    return run.asks, [r.to_dict() for r in run.results()], manifest.hypervolume, manifest.goals, said


PLACES = [("add_asks", 2), ("add_lookups", 2)]
OTHER_PLACES = [(place, stop) for place in ("add_asks", "add_lookups") for stop in (1, 3)]


@pytest.mark.parametrize("name", ALGORITHMS)
@pytest.mark.parametrize("places", [PLACES, pytest.param(OTHER_PLACES, marks=pytest.mark.thorough)])
def test_a_stopped_run_resumes_to_the_run_that_nobody_disturbed(name, places, tabular_file, tmp_path, stopped_at):
    undisturbed = search(tabular_file, name, budget=50, seed=5, out=tmp_path / "a" / "run")
    for place, stop in places:
        folder = tmp_path / f"{place}{stop}" / "run"
        with stopped_at(place, stop):
            search(tabular_file, name, budget=50, seed=5, out=folder)
        assert facts(resume(folder)) == facts(undisturbed)


@pytest.mark.parametrize("name", ALGORITHMS)
@pytest.mark.parametrize("budget", [pytest.param(1, marks=pytest.mark.thorough), 7])
def test_a_budget_smaller_than_a_population_is_kept_and_can_be_raised(name, budget, tabular_file, tmp_path):
    small = search(tabular_file, name, budget=budget, seed=2, out=tmp_path / "a" / "run")
    assert len(small.results()) == budget
    raised = resume(small.folder, budget=30)
    assert facts(raised) == facts(search(tabular_file, name, budget=30, seed=2, out=tmp_path / "b" / "run"))


QUICK_TO_END = ("nsga2", "random")
SETTLING = ("nsga2", "nsga3", "rl-weighted")  # on few networks, by mating or by the controller


@pytest.mark.parametrize(
    "name",
    [name if name in QUICK_TO_END else pytest.param(name, marks=pytest.mark.thorough) for name in ALGORITHMS],
)
def test_a_budget_beyond_the_table_ends_when_nothing_new_comes(name, tabular_file, tmp_path):
    run = search(tabular_file, name, budget=400, seed=1, out=tmp_path / "run")
    assert run.manifest.status == "finished"
    evaluated = len(run.results())
    assert evaluated == 243 or name in SETTLING
    assert 100 < evaluated <= 243


@pytest.mark.parametrize("name", ALGORITHMS)
def test_networks_that_a_table_lacks_are_failures_and_never_numbers(name, tabular_file, tmp_path):
    table = tabular_file.with_name("table.csv")
    lines = table.read_text().splitlines()
    table.write_text("\n".join([lines[0], *lines[1::2]]) + "\n")
    run = search(tabular_file, name, budget=60, seed=1, out=tmp_path / "run")
    statuses = {result.evaluation.status for result in run.results()}
    # random draws from the rows, and others learn from the costs of candidates which of them have none
    without = ("random", "nsga2-surrogate", "lemonade", "dpp-net")
    assert statuses == ({"ok"} if name in without else {"ok", "failed"})
    assert run.manifest.true_front is None
    for result in run.results():
        row = result.to_dict()
        assert (row["losses"] is None) == (row["accuracy"] is None) == (row["status"] == "failed")


def test_goals_report_the_best_found_beside_the_controller_s_choice(tabular_file, tmp_path):
    run = search(tabular_file, "rl-weighted", options={"target_ms": [2.0, 5.0]}, budget=40, out=tmp_path / "run")
    goals = run.manifest.goals
    assert [goal.target for goal in goals] == [2.0, 5.0]
    losses = np.array([result.evaluation.losses for result in run.results()])
    for goal in goals:
        rewards = weighted_product(1 - losses[:, 0], losses[:, 1], goal.target)
        assert goal.best.score == pytest.approx(rewards.max())
        assert goal.best.id == run.results()[int(rewards.argmax())].evaluation.architecture.id
        error, latency = goal.choice.losses
        assert goal.choice.score == pytest.approx(float(weighted_product(1 - error, latency, goal.target)))
    assert len(run.results()) == 40  # the choices count for nothing
    lines = goal_lines(run)
    assert lines[0] == "Target 2 ms, weighted product with exponent -0.07:"
    assert [line.strip().split(":")[0] for line in lines[1:3]] == ["best found", "controller's own choice"]
    written = json.loads((run.folder / "run.json").read_text())["goals"]
    assert written == [goal.model_dump(mode="json") for goal in goals]


def test_several_targets_split_the_budget_evenly(tabular_file, tmp_path):
    """Minibatches of 20 take turns; whatever the budget, no target has more than one batch more than another."""
    run = search(tabular_file, "rl-weighted", options={"target_ms": [2.0, 5.0]}, budget=100, out=tmp_path / "run")
    generations = np.array([ask.generation for ask in run.asks])
    per_target = [int((generations % 2 == turn).sum()) for turn in (0, 1)]
    assert abs(per_target[0] - per_target[1]) <= 20


def test_the_default_target_is_the_reference_network_s_cost(tabular_file, tmp_path):
    run = search(tabular_file, "evo-weighted", budget=5, out=tmp_path / "run")
    reference = TableEvaluator(load_definition(tabular_file), Archive()).reference_cost()
    assert run.manifest.options == {"target_ms": reference}
    assert run.options == {"target_ms": reference}


def test_hypervolume_and_headline_say_how_much_of_the_true_front_was_found(tabular_file, tmp_path):
    everything = search(tabular_file, "random", budget=243, out=tmp_path / "all")
    assert everything.true_share() == pytest.approx(1.0)
    front = {tuple(losses) for losses in everything.manifest.true_front.losses}
    assert {result.evaluation.losses for result in everything.front()} == front
    some = search(tabular_file, "nsga2", budget=40, out=tmp_path / "some")
    assert 0.5 < some.true_share() < 1
    assert f"hypervolume {some.manifest.hypervolume:.3f}, {some.true_share():.1%} of the true front's" in headline(
        some, some.results()
    )


def test_a_finished_run_can_be_read_without_its_table_but_not_resumed(tabular_file, tmp_path):
    run = search(tabular_file, "nsga2", budget=20, out=tmp_path / "run")
    before = facts(run)
    tabular_file.with_name("table.csv").unlink()
    opened = Run.open(run.folder)
    assert facts(opened) == before
    assert "The Pareto set" in write_report(opened).read_text()
    with pytest.raises(InputError, match="cannot read the table"):
        resume(run.folder, budget=30)


def test_resuming_with_another_table_is_refused(tabular_file, tmp_path):
    run = search(tabular_file, "nsga2", budget=20, out=tmp_path / "run")
    table = tabular_file.with_name("table.csv")
    table.write_text(table.read_text().replace(",40,", ",41,", 1))
    with pytest.raises(InputError, match=r"cannot resume .*: its table changed \(table was"):
        resume(run.folder, budget=30)


def test_rows_are_null_where_the_table_has_no_such_column(tabular_file, tmp_path):
    row = search(tabular_file, "nsga2", budget=1, out=tmp_path / "run").results()[0].to_dict()
    assert row["accuracy"] == pytest.approx(1 - row["losses"][0])
    assert row["latency_ms"] == row["losses"][1]
    assert (row["latency_ci"], row["params"], row["macs"]) == (None, None, None)


def test_a_tabular_run_s_report_draws_the_true_front_and_no_architecture(tabular_file, tmp_path):
    run = search(tabular_file, "rl-weighted", budget=20, out=tmp_path / "run")
    page = write_report(run).read_text()
    assert "the thin line is the true front" in page
    assert "What the search was after" in page
    assert "trained on the proxy task" not in page
    assert "<figure>" not in page


def test_a_run_says_where_its_networks_came_from_and_how_well_predictors_rank(tabular_file, tmp_path):
    seen = []
    run = search(tabular_file, "nsga2-surrogate", budget=50, out=tmp_path / "run", on_progress=seen.append)
    said = [generation.metrics for generation in run.archive.generations(run.record.id)]
    sources = [[one[f"batch ({name})"] for name in ("first", "predicted", "drawn")] for one in said]
    assert sources == [[10, 0, 0], *([0, 7, 1] for _ in said[1:])]
    assert said[-1]["tau (error)"] > 0.7  # 42 networks say much of a smooth function of 5 genes
    assert "tau (cost)" not in said[-1]  # all costs were known
    assert dict(seen[-1].metrics) == said[-1]
    assert len(said) == 6  # the last of which the budget ended
    page = write_report(run).read_text()
    assert "tau by generation" in page
    assert f"{said[-1]['tau (error)']:.2f}" in page


def test_networks_whose_cost_is_beyond_a_limit_are_not_asked_for(tabular_file, tmp_path):
    limited = load_definition(tabular_file, ["constraints.max_latency_ms=4"])
    run = search(limited, "nsga2-surrogate", budget=40, out=tmp_path / "run")
    losses = [result.evaluation.losses for result in run.results()]
    assert len(losses) == 40
    assert max(cost for _, cost in losses) <= 4  # none of them is missing, as those beyond the limit would be
    table = limited.lookup_table.columns[:, 1]
    assert (table > 4).mean() > 0.3


def test_an_algorithm_is_told_the_reference_point_in_the_table_s_own_units(tabular_file, tmp_path, monkeypatch):
    measures = []
    monkeypatch.setattr(NSGA2Surrogate, "learn_measure", lambda self, measure: measures.append(measure))
    problem = load_definition(tabular_file, ["hypervolume.reference_point=[0.5, 3.0]"])
    run = search(problem, "nsga2-surrogate", budget=4, out=tmp_path / "run")
    assert measures == [Measure((0.5, 3.0 * run.reference_cost()), images=0)]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_run_that_began_by_other_rules_goes_on_by_those_of_today(asynchronous, tabular_file, tmp_path, monkeypatch):
    run = search(tabular_file, "nsga2-surrogate", budget=13, out=tmp_path / "run", asynchronous=asynchronous)
    before = run.asks
    monkeypatch.setattr(NSGA2Surrogate, "rules", NSGA2Surrogate.rules + 1)
    monkeypatch.setattr(NSGA2Surrogate, "random_per_batch", 2)  # so that it asks for others
    assert resume(run.folder).manifest.evaluations == 13  # there is nothing to do
    assert resume(run.folder, budget=18).asks[: len(before)] == before
    stepwise = resume(run.folder, budget=24).asks
    assert len({ask.architecture for ask in stepwise}) == 24
    monkeypatch.setattr(NSGA2Surrogate, "rules", NSGA2Surrogate.rules + 1)
    last = resume(run.folder, budget=30)
    assert last.asks[: len(stepwise)] == stepwise
    assert last.manifest.later_rules.asks == len(stepwise)


def test_a_run_of_a_plug_in_that_cannot_adopt_is_not_resumed_by_other_rules(tabular_file, tmp_path, monkeypatch):
    run = search(tabular_file, "nsga2-surrogate", budget=10, out=tmp_path / "run")
    kept = (run.folder / "run.json").read_bytes()
    monkeypatch.setattr(NSGA2Surrogate, "rules", NSGA2Surrogate.rules + 1)
    monkeypatch.setattr(launch, "AskAndTell", launch.Run)  # the class is no subclass of it
    with pytest.raises(InputError, match=r"other networks than the one that began it; search again with --out DIR"):
        resume(run.folder, budget=20)
    assert (run.folder / "run.json").read_bytes() == kept


def test_costs_that_nobody_can_know_beforehand_are_not_told(tabular_file, tmp_path):
    tabular_file.write_text(tabular_file.read_text().replace(', quantity = "latency_ms"', ""))
    run = search(tabular_file, "nsga2-surrogate", budget=30, out=tmp_path / "run")
    assert run.archive.generations(run.record.id)[-1].metrics["tau (cost)"] > 0.7


def test_a_run_that_asked_for_networks_again_has_a_report(tabular_file, tmp_path):
    run = search(tabular_file, "rl-weighted", budget=60, out=tmp_path / "run")
    assert len(run.asks) > 60
    assert "How the search went" in write_report(run).read_text()


def test_a_table_s_networks_cannot_be_built(tabular_file, tmp_path):
    from evomnas.cli.show import find_architecture

    run = search(tabular_file, "nsga2", budget=1, out=tmp_path / "run")
    assert isinstance(run.results()[0].evaluation.architecture, TabularArchitecture)
    with pytest.raises(InputError, match="searched a table: its networks cannot be built or measured"):
        find_architecture(run.results()[0].evaluation.architecture.id, run)
