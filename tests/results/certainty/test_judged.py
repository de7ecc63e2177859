"""Results that say how sure they are."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from evomnas.cli import show  # noqa: F401 it registers itself
from evomnas.cli.app import app
from evomnas.loop.launch import search
from evomnas.problem.loading import load_definition
from evomnas.report.certainty.certainty_words import certainty_line
from evomnas.report.words import result_table
from evomnas.results.certainty.judged import judge


@pytest.fixture(scope="module")
def judged(finished_run):
    return judge(finished_run, finished_run.results())


def test_every_result_gets_a_chance_and_stays_the_same_otherwise(finished_run, judged):
    assert [replace(one, expected_score=None, front_chance=None) for one in judged] == finished_run.results()
    known = [one for one in judged if one.evaluation.losses is not None]
    assert all(0 <= one.front_chance <= 1 and 0 <= one.expected_score <= 1 for one in known)
    assert sum(one.front_chance for one in known) >= 1  # somebody is on it
    assert judge(finished_run, finished_run.results()) == judged


def test_show_has_them_as_json_and_csv_and_in_its_table(finished_run, judged):
    folder = str(finished_run.folder)
    rows = json.loads(CliRunner().invoke(app, ["show", folder, "--all", "--format", "json"]).stdout)
    assert [row["front_chance"] for row in rows] == [one.front_chance for one in judged]
    header = CliRunner().invoke(app, ["show", folder, "--format", "csv"]).stdout.splitlines()[0]
    assert header.endswith(",expected_score,front_chance")
    header, cells = result_table(finished_run, finished_run.front(judged))
    assert header[3:5] == ("expected", "on front")
    assert cells[0][4].endswith("%")


def test_a_sentence_says_who_is_least_sure(finished_run, judged):
    front = finished_run.front(judged)
    least = min(front, key=lambda one: one.front_chance)
    line = certainty_line(finished_run, judged)
    assert f"of the front's {len(front)} network" in line
    assert len(front) == 1 or f"{least.evaluation.architecture.id} ({least.front_chance:.0%})" in line
    assert certainty_line(finished_run, finished_run.results()) == ""


def test_tables_are_sure(tabular_file, tmp_path):
    run = search(load_definition(tabular_file), "random", budget=20, out=tmp_path / "run")
    assert judge(run, run.results()) == run.results()


def test_a_handful_of_networks_says_nothing(finished_run):
    few = finished_run.results()[:5]
    assert judge(finished_run, few) == few


def test_of_many_networks_the_ones_far_from_the_front_have_no_chance(finished_run, judged, monkeypatch):
    monkeypatch.setattr("evomnas.algorithms.surrogate.certainty.MAX_NETWORKS", 12)
    few = judge(finished_run, finished_run.results())
    near = [one for one in few if one.expected_score is not None]
    far = [one for one in few if one.expected_score is None and one.evaluation.losses is not None]
    assert len(near) == 12
    assert {one.front_chance for one in far} == {0.0}
    assert {one.order for one in finished_run.front(few)} <= {one.order for one in near}
