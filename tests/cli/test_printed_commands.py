"""Every command line that commands, messages, reports and model cards print is taken by the real command.

The folders have a space in their names, so that a name that is not quoted is noticed.
"""

from __future__ import annotations

import copy
import html
import json
import re
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from command_lines import parse, parse_mentions
from typer.testing import CliRunner

from evomnas.cli import compare, deploy, measure, predict, runs, search, show  # noqa: F401 they register themselves
from evomnas.cli.app import app, repeatable
from evomnas.cli.display.search_output import SearchOutput
from evomnas.cli.display.verbosity import Verbosity
from evomnas.cli.progress import ProgressDisplay
from evomnas.cli.shipping import export  # noqa: F401
from evomnas.evaluation.executors.base import Cluster
from evomnas.evaluation.factory import open_evaluator
from evomnas.loop.launch import begin
from evomnas.loop.launch import search as search_problem
from evomnas.problem.loading import load_definition
from evomnas.report.reproduce import run_command
from evomnas.report.run_report import write_report
from evomnas.results.archive import Archive
from evomnas.results.records import SearchMode
from evomnas.results.run import Run


def evomnas(*arguments: object) -> str:
    """What the command prints, errors included."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments]).output


def copy_of(run: Run, folder: Path) -> Run:
    """A run of its own archive in another folder."""
    return Run.open(Path(shutil.copytree(run.folder.parent, folder)) / run.folder.name)


@pytest.fixture
def run(shown_run, tmp_path) -> Run:
    """A run of trained networks; one of its candidates failed."""
    return copy_of(shown_run, tmp_path / "my runs")


@pytest.fixture
def looked_up(tabular_file, tmp_path) -> Run:
    """A run of a table."""
    return search_problem(tabular_file, "nsga2", budget=9, out=tmp_path / "my runs" / "table")


@pytest.fixture
def empty_run(tiny, tmp_path) -> Run:
    """A run that was interrupted before its first evaluation."""
    with open_evaluator(tiny, Archive(tmp_path / "my runs.sqlite")) as evaluator:
        return begin(evaluator, tmp_path / "my empty run", "nsga2", 1, 5, {})


def labelled(text: str, label: str) -> tuple[str, dict[str, Any]]:
    """The whole line of a command behind its label."""
    line = re.search(rf"^{label}: +(evomnas .*)$", text, re.MULTILINE)
    assert line, text
    return parse(line[1])


def page_commands(run: Run) -> list[str]:
    """The commands of a report: those in its text, and those that its script shows for each network."""
    page = (run.folder / "report.html").read_text()
    [data] = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    networks = [result.evaluation.architecture for result in run.results()]
    texts = [html.unescape(code) for code in re.findall(r"<code>([^<]*)</code>", page)]
    texts += [
        item["text"].replace("{id}", network.id).replace("{architecture}", str(network))
        for item in json.loads(data)["commands"]
        for network in networks[:3]
    ]
    return [text for text in texts if text.startswith("evomnas ")]


# --- the check itself ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("evomnas runs digits", "there is no command 'runs'"),
        ("evomnas run digits --sead 2", "No such option: --sead"),
        ("evomnas describe mnasnet-a1 mnasnet-b1", "unexpected extra argument"),
        ("evomnas run digits --budget many", "Invalid value for '--budget'"),
        ("evomnas run --executor slurm", "Invalid value for '--executor'"),
        ("evomnas resume", "Missing argument 'RUN'"),
        ("evomnas resume my runs/run", "unexpected extra argument"),
        ("evomnas --degug run digits", "No such option: --degug"),
    ],
)
def test_a_line_that_the_command_does_not_take_is_found(line, message):
    with pytest.raises(AssertionError, match=message):
        parse(line)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("evomnas shows RUN --failed says why.", "there is no command 'shows'"),
        ("3 failed; evomnas show RUN --fialed says why.", "No such option: --fialed"),
        ("go on with it (evomnas resume --budget), or not", "requires an argument"),
    ],
)
def test_a_wrong_command_in_a_sentence_is_found(text, message):
    with pytest.raises(AssertionError, match=message):
        parse_mentions(text)


def test_commands_in_sentences_end_where_the_sentence_goes_on():
    text = "3 failed; evomnas show 'my run' --failed says why. The machine's busy (evomnas doctor)?"
    (first, values), (second, nothing) = parse_mentions(text)
    assert (first, values["folder"], values["failed"]) == ("show", Path("my run"), True)
    assert (second, nothing) == ("doctor", {})


# --- searches --------------------------------------------------------------------------------------------

CLUSTER = Cluster("head:6379", cpus=2.0, gpus=0.5)


def test_commands_at_the_end_of_a_search(run, capsys):
    search._finish(run, CLUSTER, SearchOutput(Verbosity.NORMAL))
    printed = capsys.readouterr().out
    name, values = labelled(printed, "Next")
    assert (name, values["folder"]) == ("train", run.folder)
    assert values["knee"] == bool(run.knees())
    assert values["knee"] or values["archs"] == [run.front()[-1].evaluation.architecture.id]
    name, values = labelled(printed, "Look")
    assert (name, values["run_folder"]) == ("describe", run.folder)
    assert values["arch"] in {result.evaluation.architecture.id for result in run.front()}
    name, values = labelled(printed, "Go on")
    assert (name, values["folder"], values["budget"]) == ("resume", run.folder, 60)
    assert (values["ray_address"], values["candidate_cpus"], values["candidate_gpus"]) == ("head:6379", 2.0, 0.5)
    [(name, values)] = parse_mentions(re.search(r".*failed;.*", printed)[0])
    assert (name, values["folder"], values["failed"]) == ("show", run.folder, True)


def test_commands_at_the_end_of_a_search_of_a_table_and_of_its_time(tabular_file, tmp_path):
    out = tmp_path / "my runs" / "table"
    printed = evomnas("run", tabular_file, "--algo", "random", "--budget", 9, "--out", out)
    assert labelled(printed, "Go on")[1]["folder"] == out
    assert "Look:" not in printed
    assert "Next:" not in printed
    printed = evomnas("resume", out, "--budget", 90, "--time", "0.000001")
    assert "Out of time" in printed
    name, values = labelled(printed, "Go on")
    assert (name, values["folder"], values["budget"]) == ("resume", out, 90)


@pytest.mark.parametrize("where", [2, CLUSTER])
def test_the_command_after_an_interrupted_search(where, run, capsys):
    with pytest.raises(typer.Exit), search._resumable(run.folder, where, ProgressDisplay("test")):
        raise KeyboardInterrupt
    name, values = labelled(capsys.readouterr().err, "Interrupted;.*Go on with")
    assert (name, values["folder"]) == ("resume", run.folder)
    assert values["executor"] == ("local" if where == 2 else "ray")


def test_the_same_command_after_an_interruption(capsys, monkeypatch):
    words = ["benchmark", "my problem.toml", "--option", "mode=a 'b'"]
    monkeypatch.setattr(sys, "argv", ["/usr/bin/evomnas", *words])
    with pytest.raises(typer.Exit), repeatable("everything is kept"):
        raise KeyboardInterrupt
    name, values = labelled(capsys.readouterr().err, "Interrupted;.*the same command")
    assert (name, values["problem"], list(values["assignments"])) == ("benchmark", words[1], [words[3]])


# --- reports and what is made of networks ----------------------------------------------------------------


def test_commands_of_a_report(run):
    write_report(run)
    commands = page_commands(run)
    assert {parse(command)[0] for command in commands} == {"run", "resume", "describe", "measure", "train", "export"}
    for name, values in map(parse, commands):
        if name != "run":
            assert values.get("folder", values.get("run_folder")) == run.folder


@pytest.mark.thorough
def test_a_report_s_command_for_a_network_runs(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_report(run)
    [command, *_] = [command for command in page_commands(run) if command.startswith("evomnas describe")]
    done = CliRunner().invoke(app, shlex.split(command)[1:])
    assert done.exit_code == 0, done.output
    assert list(tmp_path.glob("*.pdf"))


def test_commands_of_a_table_s_report(looked_up):
    write_report(looked_up)
    (go_on, resumed), (again, values) = map(parse, page_commands(looked_up))
    assert (go_on, resumed["folder"], again, values["problem"]) == ("resume", looked_up.folder, "run", "tabular.toml")


@pytest.mark.parametrize("running", [True, False])
def test_the_command_in_the_report_of_a_search_that_has_not_ended(running, looked_up):
    looked_up.manifest.status = "interrupted"
    write_report(looked_up, running=running)
    name, values = parse(page_commands(looked_up)[0])
    assert (name, values["folder"]) == ("resume", looked_up.folder)


@pytest.mark.parametrize(
    ("settings", "mode"),
    [
        ([], SearchMode()),
        (["training.epochs=3", "space.ops=['conv']"], SearchMode(asynchronous=True, early_stop=False)),
        (["constraints.max_params=5000"], SearchMode(asynchronous=True, early_stop=True)),
    ],
)
def test_the_command_that_makes_a_run_again(settings, mode, shown_run, monkeypatch):
    run = copy.copy(shown_run)
    run.definition = load_definition("digits", settings)
    monkeypatch.setattr(Run, "mode", mode)
    name, values = parse(run_command(run))
    assert (name, values["problem"], values["algo"], values["seed"]) == ("run", "digits", "nsga2", 1)
    assert load_definition("digits", values["settings"]) == run.definition
    assert values["asynchronous"] == mode.asynchronous
    assert values["early_stop"] == (mode.early_stop or run.definition.epochs == 1)


def test_the_command_after_a_full_training_and_those_of_the_model_card(finished_run, trained, tmp_path):
    copied = copy_of(finished_run, tmp_path / "my runs")
    printed = evomnas("train", copied.folder, trained.network.id)
    name, values = labelled(printed, "Export")
    assert (name, values["folder"], values["arch"]) == ("export", copied.folder, trained.network.id)
    card = re.search(r"^Card: +(.*)$", printed, re.MULTILINE)[1]
    assert [name for name, _ in parse_mentions(Path(card).read_text())] == ["predict", "export"]


def test_the_command_after_a_measurement_that_is_not_precise(capsys):
    from evomnas.latency.setting import Setting, default_reference

    setting = Setting("onnxruntime", "local", 1, 1, 10, 3, 32, reference=default_reference(32))
    row = {
        "id": "0",
        "latency_ms": 1.0,
        "latency_ci": [0.9, 1.1],
        "rounds": 9,
        "load": None,
        "precise": False,
        "input": [1],
    }
    measure._print_measured(["a"], [row], setting, 1)
    assert [name for name, _ in parse_mentions(capsys.readouterr().out)] == ["doctor"]


# --- refusals --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ("train RUN", "train"),
        ("train RUN 0123abcd", "show"),
        ("describe 0123abcd --run RUN", "show"),
        ("export RUN ID", "train"),
        ("export RUN ID --teacher", "train"),
        ("export RUN mobilenet-v2@0.1", "train"),
        ("run PROBLEM --out RUN", "resume"),
    ],
)
def test_the_command_in_a_refusal_names_the_run(arguments, name, run, tabular_file):
    names = {"RUN": str(run.folder), "ID": run.front()[0].evaluation.architecture.id, "PROBLEM": str(tabular_file)}
    [(printed, values)] = parse_mentions(evomnas(*(names.get(word, word) for word in arguments.split())))
    assert (printed, values["folder"]) == (name, run.folder)


@pytest.mark.parametrize("arguments", ["train RUN --knee", "train RUN --front", "compare RUN OTHER"])
def test_the_command_in_a_refusal_of_an_empty_run_goes_on_with_it(arguments, empty_run, run):
    names = {"RUN": str(empty_run.folder), "OTHER": str(run.folder)}
    [(name, values)] = parse_mentions(evomnas(*(names.get(word, word) for word in arguments.split())))
    assert (name, values["folder"]) == ("resume", empty_run.folder)


@pytest.mark.parametrize("command", ["describe", "measure", "compare RUN"])
def test_the_example_in_a_refusal(command, run):
    words = [str(run.folder) if word == "RUN" else word for word in command.split()]
    assert [name for name, _ in parse_mentions(evomnas(*words))] == [words[0]]


@pytest.mark.parametrize("command", sorted(typer.main.get_command(app).commands))
def test_commands_in_help_texts(command):
    text = " ".join(evomnas(command, "--help").split())
    for name, _ in parse_mentions(text.partition("Options:")[2]):
        assert name in typer.main.get_command(app).commands
