"""Searches in steady state: replayed from the order of events, on tables and with real worker processes."""

from __future__ import annotations

import pytest

from evomnas.core import registry
from evomnas.core.errors import InputError
from evomnas.loop.asking import is_steady
from evomnas.loop.launch import resume, search
from evomnas.report.comparison.traces import group_names, read_trace
from evomnas.report.reproduce import run_command
from evomnas.report.run_words import search_settings
from evomnas.results.evaluation import losses_and_violations
from evomnas.results.run import Run
from evomnas.training.proxy_task import ProxyTask

ABLE = [name for name in sorted(registry.available("algorithms")) if is_steady(name)]


class Interrupt(KeyboardInterrupt):
    pass


def facts(run: Run) -> tuple:
    manifest = run.manifest
    generations = [(one.generation, one.metrics) for one in run.archive.generations(run.record.id)]
    results = [one.to_dict() for one in run.results()]
    return run.asks, run.archive.tells(run.record.id), results, manifest.hypervolume, manifest.goals, generations


PLACES = [("add_asks", 24), ("add_tell", 43)]
OTHER_PLACES = [("add_lookups", 1), ("add_tell", 1)]


@pytest.mark.parametrize("name", ABLE)
@pytest.mark.parametrize("places", [PLACES, pytest.param(OTHER_PLACES, marks=pytest.mark.thorough)])
def test_a_stopped_run_resumes_to_the_run_that_nobody_disturbed(name, places, tabular_file, tmp_path, stopped_at):
    undisturbed = search(tabular_file, name, budget=50, seed=5, out=tmp_path / "a" / "run", asynchronous=True)
    assert len(undisturbed.results()) == 50 == len(undisturbed.archive.tells(undisturbed.record.id))
    for place, stop in places:
        folder = tmp_path / f"{place}{stop}" / "run"
        with stopped_at(place, stop):
            search(tabular_file, name, budget=50, seed=5, out=folder, asynchronous=True)
        assert facts(resume(folder)) == facts(undisturbed)


def test_a_finished_run_goes_on_with_a_larger_budget(tabular_file, tmp_path):
    small = search(tabular_file, budget=15, out=tmp_path / "run", asynchronous=True)
    before = facts(small)
    large = resume(tmp_path / "run", budget=40)
    assert len(large.results()) == 40
    assert large.asks[:15] == before[0]
    assert large.archive.tells(large.record.id)[:15] == before[1]


def test_people_see_how_it_was_bred(tabular_file, tmp_path):
    steady = search(tabular_file, budget=20, out=tmp_path / "steady", asynchronous=True)
    search(tabular_file, budget=20, out=tmp_path / "generations")
    assert "--async" in run_command(steady)
    assert ("breeds", "in steady state") in search_settings(steady)
    traces = [read_trace(tmp_path / name) for name in ("steady", "generations")]
    assert group_names(traces) == ["nsga2-surrogate (steady state yes)", "nsga2-surrogate"]


def test_an_algorithm_that_needs_generations_is_refused_and_nothing_is_started(tabular_file, tmp_path):
    with pytest.raises(
        InputError, match=r"rl-weighted learns from whole generations: drop --async, or search with evo"
    ):
        search(tabular_file, "rl-weighted", out=tmp_path / "run", asynchronous=True)
    assert not (tmp_path / "run").exists()


def test_networks_beyond_a_limit_count_for_nothing(tabular_file, tmp_path):
    everything = search(tabular_file, "random", budget=40, out=tmp_path / "all", asynchronous=True)
    costs = sorted(one.evaluation.losses[1] for one in everything.results())
    limit = f"constraints.max_latency_ms={costs[20]}"
    run = search(tabular_file, "random", overrides=[limit], budget=12, out=tmp_path / "some", asynchronous=True)
    statuses = [one.evaluation.status for one in run.results()]
    assert statuses.count("ok") == 12
    assert statuses.count("infeasible") > 0


def replayed(run: Run) -> list[str]:
    """What the algorithm asks for when it is told the run's results in the order that the archive has."""
    from evomnas.algorithms.base import make_algorithm

    algorithm = make_algorithm(run.record.algorithm, run.definition.space, run.record.seed, run.options)
    results = {str(one.evaluation.architecture): one.evaluation for one in run.results()}
    queue, asked = [], []
    for tell in [*run.archive.tells(run.record.id), None]:
        while len(asked) < (len(run.asks) if tell is None else tell.asks):
            queue = queue or list(algorithm.ask_more())
            asked.append(queue.pop(0))
        if tell is not None:
            genomes = asked[tell.ask][None]
            evaluation = results[str(run.definition.space.decode(genomes[0]))]
            algorithm.tell_some(genomes, *losses_and_violations([evaluation]))
    return [str(run.definition.space.decode(genome)) for genome in asked]


@pytest.mark.thorough
def test_real_trainings_end_in_any_order_and_the_archive_has_the_order(tiny, tmp_path, monkeypatch):
    seen = []

    def stop_in_the_middle(progress) -> None:
        seen.append(progress.phase)
        if progress.evaluated == 9:
            raise Interrupt("stop here")

    with pytest.raises(Interrupt, match="stop here"):
        search(
            tiny, "nsga2", options={"population": 6}, budget=14, out=tmp_path / "run", workers=2, asynchronous=True,
            on_progress=stop_in_the_middle,
        )  # fmt: skip
    assert {"preparing", "measuring", "training"} <= set(seen)
    stopped = Run.open(tmp_path / "run")
    asks, tells = stopped.asks, stopped.archive.tells(stopped.record.id)
    assert len(tells) == 9 <= len(asks)
    trained = {str(one.evaluation.architecture) for one in stopped.results() if one.evaluation.status == "ok"}
    original, again = ProxyTask.train, []
    monkeypatch.setattr(ProxyTask, "train", lambda self, one: again.append(str(one)) or original(self, one))
    run = resume(tmp_path / "run", workers=0)
    assert run.asks[: len(asks)] == asks
    assert run.archive.tells(run.record.id)[:9] == tells
    assert not trained & set(again)
    assert len(run.results()) == 14 == len(trained) + len(again)
    assert [ask.architecture for ask in run.asks] == replayed(run)
    assert run.manifest.seconds.training > 0
    assert all(value >= 0 for value in run.manifest.seconds.model_dump().values())


def test_a_generation_that_the_budget_ends_is_recorded(tiny, tmp_path):
    """The last two are asked for before the generation before them has ended."""
    run = search(tiny, "nsga2", options={"population": 4}, budget=6, out=tmp_path / "run", workers=2, asynchronous=True)
    assert [one.generation for one in run.archive.generations(run.record.id)] == [0, 1]
