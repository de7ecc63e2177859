"""How much `evomnas run` and `evomnas resume` show: nothing but the result, every network, or JSON for scripts."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

import evomnas
from evomnas.cli import search  # noqa: F401 it registers its commands
from evomnas.cli.app import app
from evomnas.cli.display.evaluation_lines import format_evaluation
from evomnas.cli.display.search_output import ignore_note
from evomnas.cli.progress import ProgressDisplay, working
from evomnas.problem.loading import load_definition

COMMANDS = Path(__file__).parents[3] / "docs" / "commands.md"


def call(*arguments: object):
    return CliRunner().invoke(app, [*map(str, arguments)])


@pytest.fixture
def run_with(tabular_file, tmp_path):
    return lambda *options: call(
        "run", tabular_file, "--algo", "random", "--budget", 6, "--out", tmp_path / "r", *options
    )


def test_quiet_shows_the_result_alone(run_with):
    quiet = run_with("--quiet")
    assert (quiet.exit_code, quiet.stderr) == (0, "")
    assert "on the Pareto front" in quiet.stdout


def test_verbose_has_a_line_for_each_network(run_with, tmp_path):
    done = run_with("-v")
    results = evomnas.Run.open(tmp_path / "r").results()
    lines = [line for line in done.stderr.splitlines() if re.match(r"[0-9a-f]{8}  ", line)]
    assert [line[:8] for line in lines] == [result.evaluation.architecture.id for result in results]
    assert lines[0].endswith("joins the front")  # as the first one always does


def test_json_tells_scripts_of_each_event_with_the_documented_keys(run_with, tmp_path):
    done = run_with("--json")
    assert (done.exit_code, done.stderr) == (0, "")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    rows = re.findall(
        r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \|$", COMMANDS.read_text().partition("## Progress for scripts")[2], re.M
    )
    documented = {name: set(re.findall(r"`(\w+)`", keys)) - {"kind", "message", "null", "show"} for name, keys in rows}
    seen = {one["event"]: {*one} - {"event"} for one in events}
    shown = {*evomnas.Run.open(tmp_path / "r").results()[0].to_dict()}
    assert seen.pop("evaluation") == documented["evaluation"] | shown
    assert seen == {name: documented[name] for name in ("begin", "progress", "generation", "end", "result")}
    assert [one["event"] for one in events if one["event"] in ("begin", "end", "result")] == ["begin", "end", "result"]
    assert sum(one["event"] == "evaluation" for one in events) == 6
    finished = evomnas.Run.open(tmp_path / "r")
    assert events[-1]["front"] == [result.to_dict() for result in finished.front()]
    again = [json.loads(line) for line in call("resume", finished.folder, "--json").stdout.splitlines()]
    assert [one["event"] for one in again] == ["result"]  # there was nothing to do
    assert again[0]["front"] == events[-1]["front"]


def test_two_ways_at_once_are_refused(run_with, tmp_path):
    done = run_with("--quiet", "--json")
    assert done.exit_code == 2
    assert done.stderr == "evomnas: --quiet and --json exclude each other: drop all but one\n"
    assert not (tmp_path / "r").exists()


def test_a_quiet_display_writes_nothing_wherever_it_is(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    with ProgressDisplay("starting", note_to=ignore_note) as display, working(False) as show_words:
        display.show("training", 1, 2, "")
        display.note("a note")
        display.say("a line")
        display.log("a line", is_due=True)
        display.log_later("a late line")
        show_words("writing the report")
    assert capsys.readouterr() == ("", "")


def result(**values):
    settings = {"failure": None, "losses": None, "measured": None, "status": "ok", "seconds": None}
    evaluation = SimpleNamespace(architecture=SimpleNamespace(id="98125cb0"), **(settings | values))
    return SimpleNamespace(evaluation=evaluation, on_front=values.get("on_front", False))


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"losses": (0.0688, 0.0493), "seconds": 8.1}, "93.1% at 0.0493 ms, 8 s"),
        ({"failure": SimpleNamespace(message="the loss diverged")}, "failed: the loss diverged"),
        ({"status": "infeasible", "measured": SimpleNamespace(latency_ms=2.5)}, "beyond a limit (2.5 ms)"),
        ({"status": "cut", "measured": SimpleNamespace(latency_ms=2.5)}, "cut off, as it is dominated (2.5 ms)"),
    ],
)
def test_a_line_says_what_came_of_a_network(values, line):
    assert format_evaluation(load_definition("digits"), result(**values)) == f"98125cb0  {line}"
