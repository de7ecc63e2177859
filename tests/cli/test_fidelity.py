"""The pilot as a command: `estimate --fidelity` and `run --auto-fidelity`."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from evomnas.cli import search  # noqa: F401 it registers itself
from evomnas.cli.app import app
from evomnas.loop.fidelity.pilot import Fidelity, Pilot
from evomnas.loop.fidelity.ranking import Ranking
from evomnas.problem.loading import load_definition
from evomnas.report.words import fidelity_lines, fidelity_table
from evomnas.results.run import Run
from evomnas.training.proxy_task import ProxyTask

EPOCHS = ("--set", "training.epochs=3")


DIGITS = load_definition("digits")


def evomnas(*arguments: object, code: int = 0):
    result = CliRunner().invoke(app, [str(one) for one in arguments])
    assert result.exit_code == code, result.output
    return result


def ranking(tau: float, low: float, high: float, difference: float = 0.0, chance: float = 1.0) -> Ranking:
    return Ranking(tau, (low, high), difference, (difference - 0.1, difference + 0.1), chance)


def pilot(proposed: int, whole: Ranking = ranking(0.6, 0.4, 0.8), failed: int = 0) -> Pilot:
    fidelities = (
        Fidelity(1, 1.0, ranking(0.3, 0.0, 0.6, -0.3, 0.05)),
        Fidelity(2, 2.0, ranking(0.62, 0.4, 0.8, 0.02, 0.9)),
        Fidelity(5, 5.0, whole),
    )
    return Pilot(16, failed, fidelities, proposed, 200.0)


def test_what_a_pilot_proposes_is_said_with_its_chance_and_when_it_pays():
    lines = " ".join(fidelity_lines(pilot(2, failed=1), DIGITS))
    assert "16 random networks (1 more could not be trained)" in lines
    assert "all 5 epochs rank them with tau 0.60 (0.40 to 0.80)" in lines
    assert "--set training.epochs=2, 2 s a network instead of 5" in lines
    assert "with a chance of 90%" in lines
    assert "pays from 70 networks on" in lines  # 16 (5 + 5 + 2 + 1) seconds for 3 saved by each
    header, rows = fidelity_table(pilot(2))
    assert {len(row) for row in rows} == {len(header)}
    assert [row[0] for row in rows] == ["1", "2", "5 (all)"]
    assert rows[0][4:] == ("-0.30", "-0.40 to -0.20", "5%")


def test_where_nothing_shorter_is_shown_to_rank_as_well_all_epochs_stay():
    lines = fidelity_lines(pilot(5), DIGITS)
    assert "all 5 stay" in lines[-1]
    assert pilot(5).worthwhile_budget is None


def test_where_even_whole_trainings_rank_by_chance_it_is_said_what_tells_more():
    by_chance = pilot(5, ranking(0.1, -0.2, 0.4))
    lines = fidelity_lines(by_chance, DIGITS)
    assert "That may be chance" in lines[-1]
    assert "data.score=likelihood" in lines[-1]
    assert "--set data.folds=5 or more epochs tell more" in fidelity_lines(by_chance, load_definition("coco"))[-1]


@pytest.mark.thorough
def test_an_estimate_of_fidelity_prints_a_table_and_json_of_the_same_trainings(tiny_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = ("estimate", tiny_file, *EPOCHS, "--fidelity", "--networks", 8, "--workers", 0)
    table = evomnas(*command).stdout
    assert "3 (all)" in table
    assert "8 random networks" in table
    assert (tmp_path / "runs" / "evomnas.sqlite").exists()
    monkeypatch.setattr(ProxyTask, "fit", lambda *_: pytest.fail("was trained again"))
    row = json.loads(evomnas(*command, "--format", "json").stdout)
    assert (row["networks"], row["failed"]) == (8, 0)
    assert [one["epochs"] for one in row["fidelities"]] == [1, 2, 3]
    assert row["proposed_epochs"] in (1, 2, 3)
    for one in row["fidelities"]:
        assert one["interval"][0] <= one["tau"] <= one["interval"][1]


def test_a_run_with_a_pilot_searches_with_the_proposed_epochs_and_is_resumed_with_them(
    tiny_file, tmp_path, monkeypatch
):
    monkeypatch.setattr("evomnas.loop.fidelity.pilot.NETWORKS", 8)
    monkeypatch.setattr("evomnas.loop.fidelity.pilot.propose_epochs", lambda rankings: 2)
    folder = tmp_path / "run"
    said = evomnas("run", tiny_file, *EPOCHS, "--auto-fidelity", "--budget", 2, "--workers", 0, "--algo", "random",
                   "--out", folder)  # fmt: skip
    assert "8 random networks" in said.output
    run = Run.open(folder)
    assert run.definition.epochs == 2
    assert all(len(one.evaluation.trained.losses) == 2 for one in run.results())
    evomnas("resume", folder, "--budget", 3, "--workers", 0)
    assert all(len(one.evaluation.trained.losses) == 2 for one in Run.open(folder).results())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--networks", 20), "--networks and --archive are a pilot's: add --fidelity"),
        (("--fidelity", "--networks", 3), "a pilot trains 8 to 1000 networks, not 3"),
        (("--fidelity", "--set", "training.epochs=1"), "trainings of one epoch cannot have fewer"),
    ],
)
def test_wrong_use_is_one_line(tiny_file, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert message in evomnas("estimate", tiny_file, *EPOCHS, *arguments, code=2).output.replace("\n", " ")
    assert not (tmp_path / "runs").exists()


def test_a_run_whose_folder_is_taken_is_refused_before_the_pilot(tiny_file, tmp_path, monkeypatch):
    (tmp_path / "notes.txt").write_text("mine")
    monkeypatch.setattr(ProxyTask, "fit", lambda *_: pytest.fail("was trained"))
    said = evomnas("run", tiny_file, *EPOCHS, "--auto-fidelity", "--workers", 0, "--out", tmp_path, code=2)
    assert "not an empty folder" in said.output.replace("\n", " ")
