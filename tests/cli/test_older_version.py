"""What users have of version 0.1 goes on working: an archive, its runs and a trained network, made by that version.

`tests/version_0_1` holds them: `digits` at 8 pixels, searched by generations, in steady state and by the paper's
method, and a table. Latencies belong to the machine that took them: the archive's device becomes this one.
"""

from __future__ import annotations

import csv
import html
import io
import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from evomnas.cli import compare, deploy, measure, predict, search, show  # noqa: F401 they register themselves
from evomnas.cli.app import app
from evomnas.cli.shipping import export  # noqa: F401
from evomnas.evaluation.factory import open_evaluator
from evomnas.problem.loading import validate_definition
from evomnas.results.archive import Archive
from evomnas.results.run import Run

OLD = Path(__file__).parents[1] / "version_0_1"
RUNS = sorted(folder.name for folder in (OLD / "runs").iterdir())
OTHER_RULES = "tiny-nsga2-surrogate-s1"  # today this algorithm asks for other networks
TRAINED = "2b1f90b9"


def evomnas(*arguments: object) -> str:
    """What the command prints, in this process."""
    result = CliRunner().invoke(app, [str(one) for one in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def old_archive(tmp_path_factory) -> Path:
    """The old archive as this machine would have written it."""
    folder = tmp_path_factory.mktemp("version_0_1")
    path = folder / "evomnas.sqlite"
    shutil.copy(OLD / "table.csv", folder)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((OLD / "archive.sql").read_text().replace("TABLE_CSV", str(folder / "table.csv")))
        definition, old_device = connection.execute(
            "SELECT definition, device FROM runs WHERE algorithm = 'nsga2' AND definition LIKE '%digits%'"
        ).fetchone()
        with open_evaluator(validate_definition(json.loads(definition)), Archive()) as evaluator:
            key, content = evaluator.measurement_context, evaluator.archive.context(evaluator.measurement_context)
        connection.execute(
            "UPDATE contexts SET key = ?, content = ? WHERE key = ?", (key, json.dumps(content), old_device)
        )
        for table, column in (
            ("calibrations", "context"), ("measurements", "context"), ("layers", "context"), ("runs", "device"),
        ):  # fmt: skip
            connection.execute(f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (old_device, key))
        connection.commit()
    return path


@pytest.fixture
def runs(old_archive, tmp_path) -> Path:
    """The folder of the old runs, as a user of that version has it."""
    folder = tmp_path / "runs"
    shutil.copytree(OLD / "runs", folder)
    shutil.copy(old_archive, folder)
    return folder


@pytest.mark.parametrize("name", RUNS)
def test_old_runs_are_shown_as_they_were(name, runs):
    was = list(csv.DictReader(io.StringIO((OLD / "runs" / name / "front.csv").read_text())))
    now = list(csv.DictReader(io.StringIO(evomnas("show", runs / name, "--format", "csv"))))
    for row in now:  # cells that had two numbers have one now
        row["losses"] = f"{row['loss_1']} {row['loss_2']}"
        row["latency_ci"] = f"{row['latency_low_ms']} {row['latency_high_ms']}".strip()
    assert [{key: row[key] for key in was[0]} for row in now] == was
    every = json.loads(evomnas("show", runs / name, "--all", "--format", "json"))
    assert len(every) >= json.loads((runs / name / "run.json").read_text())["evaluations"]


@pytest.mark.parametrize("name", RUNS)
def test_old_runs_are_reported(name, runs):
    evomnas("report", runs / name)
    assert (runs / name / "report.html").stat().st_size > 100_000


@pytest.mark.parametrize("name", RUNS)
def test_old_runs_are_resumed(name, runs):
    """What was asked for is asked for again, or told where rules have changed; then the search goes on."""
    manifest = json.loads((runs / name / "run.json").read_text())
    before = Run.open(runs / name).asks
    evomnas("resume", runs / name, "--budget", manifest["budget"] + 2, "--workers", 1)
    after = Run.open(runs / name)
    assert after.asks[: len(before)] == before
    manifest_now = json.loads((runs / name / "run.json").read_text())
    assert manifest_now["evaluations"] == manifest["budget"] + 2
    assert list(manifest) == [key for key in manifest_now if key in manifest]
    assert {key for key in manifest_now if key not in manifest} <= {"reused", "goals", "cut", "later_rules"}


@pytest.mark.thorough
def test_a_run_by_older_rules_goes_on_by_those_of_today_and_ends_the_same_however_often_it_stops(runs, tmp_path):
    folder, budget = runs / OTHER_RULES, json.loads((runs / OTHER_RULES / "run.json").read_text())["budget"]
    copied = shutil.copytree(runs, tmp_path / "copy") / OTHER_RULES
    before = [ask.architecture for ask in Run.open(folder).asks]
    for place, more in ((folder, 1), (folder, 2), (copied, 2)):
        evomnas("resume", place, "--budget", budget + more, "--workers", 1)
    asks = [[ask.architecture for ask in Run.open(place).asks] for place in (folder, copied)]
    assert asks[0] == asks[1]
    assert asks[0][: len(before)] == before
    assert len(set(asks[0])) == budget + 2
    run = Run.open(folder)
    assert (run.record.rules, run.rules, run.manifest.later_rules.asks) == (1, 2, len(before))
    assert f"The first {len(before)} networks were asked for by an older version" in (
        html.unescape((folder / "report.html").read_text())
    )


def test_an_old_training_counts_and_others_are_added(runs):
    folder = runs / "tiny-nsga2-s1"
    row = next(line for line in evomnas("train", folder, TRAINED).splitlines() if line.startswith(TRAINED))
    assert "32.31%" in row
    rows = json.loads(evomnas("show", folder, "--all", "--format", "json"))
    other = next(row["id"] for row in rows if row["status"] == "ok" and row["id"] != TRAINED)
    assert other in evomnas("train", folder, other)
    assert (folder / "networks" / other / "weights.safetensors").is_file()


def test_an_old_trained_network_is_exported(runs):
    folder = runs / "tiny-nsga2-s1"
    evomnas("export", folder, TRAINED, "--to", "onnx")
    assert list((folder / "networks" / TRAINED).glob("model-*.onnx"))
    assert TRAINED in evomnas("describe", TRAINED, "--run", folder)


def test_old_runs_are_compared(runs):
    page = runs / "comparison.html"
    evomnas("compare", runs / "tiny-nsga2-s1", runs / "tiny-nsga2-surrogate-s1", "--out", page)
    assert page.is_file()
