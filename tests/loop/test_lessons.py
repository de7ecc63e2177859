"""Searches that learn from an archive before they begin: what they take from it, keep of it, and refuse."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from evomnas.cli import search as _commands  # noqa: F401 it registers itself
from evomnas.cli.app import app
from evomnas.core.errors import InputError
from evomnas.loop.launch import resume, search
from evomnas.report.reproduce import run_command
from evomnas.results.lessons import collect_lessons, to_lessons
from evomnas.results.packing.pack import pack
from evomnas.results.run import Run


@pytest.fixture(scope="module")
def learner(tiny, finished_run, tmp_path_factory):
    """A search of other epochs, in an archive of its own, that was stopped after its first batch."""
    other = tiny.model_copy(update={"training": tiny.training.model_copy(update={"seed": 9})})
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
