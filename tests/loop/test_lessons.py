"""Searches that learn from an archive before they begin: what they take from it, keep of it, and refuse."""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from evomnas.cli import search as _commands  # noqa: F401 it registers itself
from evomnas.cli.app import app
from evomnas.core.errors import InputError
from evomnas.loop.launch import resume, search
from evomnas.report.reproduce import run_command
from evomnas.report.words import lessons_line
from evomnas.results.archive import Archive
from evomnas.results.lessons import collect_lessons, lessons_of_earlier_runs, to_lessons
from evomnas.results.packing.pack import pack
from evomnas.results.run import Run


def with_seed(problem, seed):
    """A problem whose trainings have another seed, so that they are other trainings."""
    return problem.model_copy(update={"training": problem.training.model_copy(update={"seed": seed})})


@pytest.fixture(scope="module")
def finished_run(finished_folder, tmp_path_factory):
    """A copy for this module alone: to learn from an archive is to learn from all that it holds."""
    return Run.open(shutil.copytree(finished_folder, tmp_path_factory.mktemp("teachers") / "finished") / "run")


@pytest.fixture(scope="module")
def learner(tiny, finished_run, tmp_path_factory):
    """A search of other epochs, in an archive of its own, that was stopped after its first batch."""
    other = with_seed(tiny, 9)
    folder = tmp_path_factory.mktemp("learner") / "run"
    return search(other, budget=10, out=folder, learn_from=finished_run.folder)


def test_lessons_are_the_errors_of_the_networks_that_are_of_the_space(tiny, finished_run):
    trained = {
        str(result.evaluation.architecture): 1 - result.evaluation.training.accuracy
        for result in finished_run.results()
    }
    content = collect_lessons(finished_run.folder, tiny)
    assert content == {"learn_from": str(finished_run.folder), "errors": [pytest.approx(trained)]}
    [lesson] = to_lessons(json.loads(json.dumps(content)), tiny.space)
    assert [str(tiny.space.decode(genome)) for genome in lesson.genomes] == sorted(trained)
    assert lesson.errors.tolist() == [content["errors"][0][notation] for notation in sorted(trained)]
    assert collect_lessons(finished_run.archive.path, tiny)["errors"] == content["errors"]


def test_an_archive_without_networks_of_the_space_is_refused(tiny, finished_run, tmp_path):
    other = tiny.model_copy(update={"space": replace(tiny.space, head=24)})
    with pytest.raises(InputError, match="has no 10 networks of the space of tiny .*: drop --learn-from"):
        collect_lessons(finished_run.folder, other)
    with pytest.raises(InputError, match="nowhere.sqlite"):
        collect_lessons(tmp_path / "nowhere.sqlite", tiny)


def test_a_search_keeps_what_it_learnt_and_goes_on_without_the_archive_that_taught_it(learner, tmp_path):
    content = learner.archive.context(learner.mode.lessons)
    assert len(content["errors"][0]) == 24
    pack(learner, tmp_path / "packed.zip")
    again = Run.open(tmp_path / "packed.zip")
    assert again.archive.context(again.mode.lessons) == content
    expected = [str(result.evaluation.architecture) for result in learner.results()]
    resumed = resume(learner.folder, budget=10)
    assert [str(result.evaluation.architecture) for result in resumed.results()] == expected


@pytest.mark.thorough
def test_it_asks_for_other_networks_than_a_search_that_begins_cold(learner, tmp_path):
    cold = search(learner.definition, budget=10, out=tmp_path / "run", archive=learner.archive.path)
    first = [{str(one.evaluation.architecture) for one in run.results()} for run in (cold, learner)]
    assert first[0] != first[1]
    assert cold.mode.lessons is None


def test_the_command_that_makes_it_again_names_the_archive(learner, finished_run):
    assert f"--learn-from {finished_run.folder}" in run_command(learner)


def test_what_cannot_learn_is_one_line(tiny, tabular_file, finished_run, tmp_path):
    with pytest.raises(InputError, match="random learns from its own results alone: drop --learn-from, or use nsga2-"):
        search(tiny, "random", out=tmp_path / "run", learn_from=finished_run.folder)
    arguments = ["run", str(tabular_file), "--out", str(tmp_path / "run"), "--learn-from", str(finished_run.folder)]
    refused = CliRunner().invoke(app, arguments)
    assert refused.exit_code == 2
    assert "tabular searches a table, of which archives know nothing: drop --learn-from" in refused.stderr
    assert not (tmp_path / "run").exists()


@pytest.fixture
def archive(finished_run, tmp_path):
    """A copy of the archive of a finished run, and the contexts of that run."""
    path = tmp_path / "evomnas.sqlite"
    shutil.copy(finished_run.archive.path, path)
    with closing(Archive(path)) as copied:
        yield copied


def test_earlier_runs_under_other_conditions_are_lessons(tiny, finished_run, archive):
    record = finished_run.record
    training, measurement = record.training_context, record.measurement_context
    expected = {"earlier_runs": [record.id], "errors": collect_lessons(archive.path, tiny)["errors"]}
    assert lessons_of_earlier_runs(archive, tiny, "other", measurement) == expected
    assert lessons_of_earlier_runs(archive, tiny, training, "other") == expected
    assert lessons_of_earlier_runs(archive, tiny, training, measurement) is None
    wider = tiny.model_copy(
        update={"space": replace(tiny.space, layer_offsets=(-1, 0, 1, 2))}
    )  # its networks are of this space
    assert collect_lessons(archive.path, wider)["errors"] == expected["errors"]
    assert lessons_of_earlier_runs(archive, wider, "other", measurement) is None


def test_of_earlier_runs_only_what_they_asked_for_counts(tiny, finished_run, archive):
    record = finished_run.record
    archive.add_run(replace(record, id="later"))
    archive.add_asks("later", finished_run.asks[:12])
    archive.add_run(replace(record, id="elsewhere", training_context="elsewhere"))
    archive.add_asks("elsewhere", finished_run.asks)  # none of which was trained there
    with archive._transaction():
        archive._connection.execute("DELETE FROM asks WHERE run = ?", (record.id,))
        archive._connection.execute("UPDATE runs SET definition = '{}' WHERE id = ?", (record.id,))  # nobody reads it
    content = lessons_of_earlier_runs(archive, tiny, "other", record.measurement_context)
    assert content["earlier_runs"] == ["later", "elsewhere"]
    [errors] = content["errors"]
    assert set(errors) == {ask.architecture for ask in finished_run.asks[:12]}


def test_a_search_learns_from_earlier_runs_of_its_archive_and_keeps_what_it_learnt(learner, archive, tmp_path):
    other = learner.definition
    run = search(other, budget=10, out=tmp_path / "run", archive=archive.path)
    assert [ask.architecture for ask in run.asks] == [ask.architecture for ask in learner.asks]
    assert run.archive.context(run.mode.lessons)["errors"] == learner.archive.context(learner.mode.lessons)["errors"]
    assert lessons_line(run) == (
        "Learns first from 24 networks in 1 earlier run of this archive (--no-earlier-runs begins without)."
    )
    assert lessons_line(learner).startswith("Learns first from 24 networks in /")
    assert "--learn-from" not in run_command(run)
    cold = search(
        with_seed(other, 10), budget=1, out=tmp_path / "cold", archive=archive.path, earlier_runs=False
    )  # fmt: skip
    rand = search(with_seed(other, 11), "random", budget=1, out=tmp_path / "random", archive=archive.path)
    assert (cold.mode.lessons, rand.mode.lessons, lessons_line(cold)) == (None, None, "")
    learnt, asks = run.mode.lessons, run.asks
    resumed = resume(run.folder, budget=11)  # more is known by now, of which it is not told
    assert resumed.mode.lessons == learnt
    assert resumed.asks[:10] == asks
