"""Runs at a glance: `evomnas list`, whatever state they are in."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from evomnas.cli import runs, show  # noqa: F401 they register themselves
from evomnas.cli.app import app
from evomnas.loop.launch import search
from evomnas.results.run import Run


def answer(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(one) for one in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def rows(*arguments: object) -> list[dict]:
    return json.loads(answer("list", *arguments, "--format", "json"))


@pytest.fixture
def runs_folder(tmp_path, monkeypatch, shown_run, tabular_file) -> Path:
    """Two runs, one of a table within a folder of its own."""
    folder = tmp_path / "home" / "runs"
    shutil.copytree(shown_run.folder.parent, folder)
    search(tabular_file, "random", budget=3, out=folder / "inner" / "of-a-table", archive=folder / "table.sqlite")
    monkeypatch.chdir(folder.parent)
    return folder


def test_runs_are_listed_with_what_they_are_and_found(runs_folder, shown_run):
    named = {row["folder"]: row for row in rows()}
    assert set(named) == {"runs/run", "runs/inner/of-a-table"}
    best = max(shown_run.front(), key=lambda result: result.evaluation.quantities["accuracy"]).to_dict()
    one = named["runs/run"]
    assert (one["problem"], one["algorithm"], one["seed"], one["status"]) == ("tiny", "nsga2", 1, "finished")
    assert (one["evaluations"], one["budget"]) == (30, 30)
    assert (one["best_accuracy"], one["best_latency_ms"]) == (best["accuracy"], best["latency_ms"])
    assert one["created"] == shown_run.manifest.created
    assert one["fault"] is None
    table = answer("list")
    assert "30 of 30" in table
    assert f"{best['accuracy']:.1%} at {best['latency_ms']:.4g} ms" in table


def test_the_latest_run_is_the_last_one(runs_folder):
    for folder, day in (("run", "02"), ("inner/of-a-table", "01")):
        path = runs_folder / folder / "run.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"created": f"2026-01-{day}T00:00:00+00:00"}))
    assert [row["folder"] for row in rows(runs_folder)] == [
        str(runs_folder / "inner" / "of-a-table"), str(runs_folder / "run"),
    ]  # fmt: skip


def test_csv_has_the_same_rows(runs_folder):
    read = list(csv.DictReader(answer("list", "--format", "csv").splitlines()))
    assert [row["folder"] for row in read] == [row["folder"] for row in rows()]
    assert float(read[-1]["hypervolume"]) == rows()[-1]["hypervolume"]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("", "cannot read"),
        ("{}", "and 9 more"),
        ('{"problem": 3}', "problem: Input should be a valid string"),
        ("[]", "valid dictionary"),
        ("{" * 100_000, "cannot read"),
    ],
)
def test_a_broken_run_is_shown_as_such_and_hides_no_other(content, fault, runs_folder):
    broken = runs_folder / "broken"
    broken.mkdir()
    (broken / "run.json").write_text(content)
    [row] = [row for row in rows() if row["status"] == "broken"]
    assert row["folder"] == "runs/broken"
    assert fault in row["fault"]
    assert len(rows()) == 3
    assert f"runs/broken: {row['fault']}" in answer("list")


def test_a_run_without_its_archive_is_broken(runs_folder):
    (runs_folder / "evomnas.sqlite").unlink()
    [row] = [row for row in rows() if row["fault"]]
    assert (row["folder"], row["status"], row["evaluations"]) == ("runs/run", "broken", 30)
    assert "came without its archive" in row["fault"]


def test_an_interrupted_run_is_unfinished(runs_folder):
    path = runs_folder / "run" / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"status": "interrupted", "created": "someday"}))
    [line] = [line for line in answer("list").splitlines() if line.startswith("runs/run ")]
    assert "unfinished" in line
    assert line.endswith("-")


def test_where_no_run_is_the_command_that_makes_one_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert answer("list") == "There is no run in this folder: evomnas run makes one.\n"
    assert rows() == []
    assert answer("list", "--format", "csv") == ""
    refused = CliRunner().invoke(app, ["list", "nowhere"])
    assert (refused.exit_code, refused.stderr) == (2, "evomnas: there is no folder nowhere to list the runs of\n")


def test_a_run_s_own_folder_is_listed_alone(runs_folder):
    assert [row["folder"] for row in rows(runs_folder / "run")] == [str(runs_folder / "run")]


def test_a_report_is_opened_in_the_browser(shown_run, tmp_path, monkeypatch):
    run = Run.open(Path(shutil.copytree(shown_run.folder.parent, tmp_path / "my runs")) / "run")
    opened = tmp_path / "opened"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > "{opened}"\n')
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", f"{browser} %s")
    result = CliRunner().invoke(app, ["report", str(run.folder), "--open"])
    assert (result.exit_code, result.stderr) == (0, "")
    assert opened.read_text().strip() == (run.folder / "report.html").as_uri()


def test_where_there_is_no_browser_the_page_is_named(shown_run, tmp_path, monkeypatch):
    run = Run.open(Path(shutil.copytree(shown_run.folder.parent, tmp_path / "runs")) / "run")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    result = CliRunner().invoke(app, ["report", str(run.folder), "--open"])
    assert result.exit_code == 0
    assert result.stderr == (
        f"There is no browser here: open {run.folder / 'report.html'} on a machine that has one.\n"
    )
    refused = CliRunner().invoke(app, ["report", str(run.folder), "--open", "--figures", str(tmp_path / "figures")])
    assert refused.exit_code == 2
    assert "--open opens the report and --figures write files" in refused.stderr
