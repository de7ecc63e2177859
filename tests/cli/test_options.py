"""Options of algorithms as they are typed: flags, and `--option` for all of them, those of plug-ins included."""

from __future__ import annotations

import json
import math
import re
import shlex
from pathlib import Path

import pytest
import typer
from command_lines import parse
from typer.testing import CliRunner

from evomnas.cli import compare, search  # noqa: F401 they register themselves
from evomnas.cli.app import app
from evomnas.cli.options import algorithm_options
from evomnas.core.defaults import FLAG_TYPES, flag
from evomnas.core.errors import InputError
from evomnas.loop.launch import search as evomnas_search
from evomnas.report.reproduce import problem_file, run_command
from evomnas.results.run import Run

pytestmark = pytest.mark.usefixtures("plug_in")
NO_FLAGS = (None,) * 7


def evomnas(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def refusal(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1), result.output
    return result.stderr


def run_with(problem: Path, out: Path, algorithm: str, *options: str) -> Run:
    typed = [word for option in options for word in ("--option", option)]
    evomnas("run", problem, "--algo", algorithm, "--budget", 4, "--out", out, *typed)
    return Run.open(out)


def test_options_of_a_plug_in_are_kept_with_the_run_and_taken_again_when_it_goes_on(tabular_file, tmp_path):
    run = run_with(tabular_file, tmp_path / "run", "peer", "depth=5", "mode=slow", "rates=[0.5]", "population=0.25")
    options = {"depth": 5, "mode": "slow", "rates": [0.5], "population": 0.25}
    assert run.options == options
    assert json.loads((run.folder / "run.json").read_text())["options"] == options
    evomnas("resume", run.folder, "--budget", 6)
    assert Run.open(run.folder).manifest.evaluations == 6


def test_an_option_that_has_a_flag_makes_the_same_search_by_its_name(tabular_file, tmp_path):
    arguments = ["run", tabular_file, "--algo", "nsga2", "--budget", 9]
    evomnas(*arguments, "--population", 6, "--out", tmp_path / "flag")
    evomnas(*arguments, "--option", "population=6", "--out", tmp_path / "option")
    by_flag, by_option = Run.open(tmp_path / "flag"), Run.open(tmp_path / "option")
    assert by_flag.options == by_option.options == {"population": 6}
    assert by_flag.asks == by_option.asks


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        ("0.5", 0.5),
        ("-1e-3", -0.001),
        ("inf", math.inf),
        ("true", True),
        ("True", "True"),
        ("slow", "slow"),
        ("'5'", "5"),
        ("[1, 2]", [1, 2]),
        ("{ a = 1 }", {"a": 1}),
        ("1,2", "1,2"),
        ("", ""),
        ("a=b", "a=b"),
        ("2026-01-01", "2026-01-01"),  # a run could not keep a date
        ("[2026-01-01]", "[2026-01-01]"),
        ("1\nother = 2", "1\nother = 2"),
    ],
)
def test_a_value_is_toml_or_else_text(text, value):
    options = algorithm_options(*NO_FLAGS, [f" key ={text}"])
    assert options == {"key": value}
    assert type(options["key"]) is type(value)


def test_a_name_with_dashes_is_that_of_the_option():
    assert algorithm_options(*NO_FLAGS, ["target-ms=3", "a-b_c=d-e"]) == {"target_ms": 3, "a_b_c": "d-e"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--algo peer --option dept=5", "peer has no option dept: it takes depth, mode, rates, limit, population\n"),
        ("--algo random --option depth=5", "random has no option depth: it takes none\n"),
        ("--algo peer --option depth", "cannot read --option 'depth': write it as KEY=VALUE"),
        ("--algo peer --option =5", "cannot read --option '=5': write it as KEY=VALUE"),
        ("--algo peer --option depth=5 --option depth=6", "depth is given twice by --option: drop one of them"),
        ("--algo peer --option depth=5 --option depth=5", "depth is given twice by --option: drop one of them"),
        (
            "--algo nsga2 --population 8 --option population=9",
            "population is given twice, by --population and by --option: drop one of them",
        ),
        (
            "--algo evo-weighted --target-ms 2 --option target_ms=3",
            "target_ms is given twice, by --target-ms and by --option: drop one of them",
        ),
        (
            "--algo evo-weighted --reward hard --option beta=-1",
            "beta is given twice, by --reward and by --option: drop one of them",
        ),
        ("--algo picky", "picky needs a value of size: add --option size=VALUE"),
        ("--algo peer --option depth=deep", "peer refuses its options depth='deep': depth wants a whole number"),
        ("--algo nsga2 --option population=many", "population must be a whole number from 4 to 10000, got many"),
        ("--algo evo-weighted --option alpha=mild", "alpha must be 0 or negative, got mild"),
        ("--algo rl-weighted --option target_ms=1,2", "target_ms must be milliseconds, as 0.5, or several as [0.5, 1"),
        ("--algo evo-weighted --option target_ms=[1,2]", "this goal takes one target, got [1, 2]: only rl-weighted"),
        (
            "--algo evo-weighted --option target_ms=fast",
            "target_ms must be a number of milliseconds, got 'fast': for example --target-ms 0.5",
        ),
        ("--algo evo-constrained --option target_ms=true", "target_ms must be a number of milliseconds, got True"),
        ("--algo rl-weighted --option target_ms=true", "target_ms must be milliseconds, as 0.5, or several"),
    ],
)
def test_a_wrong_option_is_one_line_and_exit_code_2(arguments, message, tabular_file, tmp_path):
    assert message in refusal("run", tabular_file, "--out", tmp_path / "run", *arguments.split())
    assert not (tmp_path / "run").exists()


def test_a_benchmark_gives_an_option_to_the_algorithms_that_have_it(tabular_file, tmp_path):
    arguments = [tabular_file, "--algo", "peer", "--algo", "random", "--algo", "nsga2", "--seeds", 1, "--budget", 4]
    options = ["--option", "depth=7", "--option", "population=8"]
    evomnas("benchmark", *arguments, *options, "--out", tmp_path / "bench")
    kept = {run.name: Run.open(run).options for run in (tmp_path / "bench").iterdir() if run.is_dir()}
    assert kept == {"peer-s1": {"depth": 7, "population": 8}, "random-s1": {}, "nsga2-s1": {"population": 8}}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            "--option dept=5",
            "none of peer, random has an option dept: they take depth, mode, rates, limit, popu",
        ),
        ("--tournament 5", "none of peer, random has an option tournament: they take depth"),
        ("--population 8 --option population=9", "population is given twice, by --population and by --option"),
        ("--option depth=deep", "peer refuses its options depth='deep': depth wants a whole number"),
    ],
)
def test_a_benchmark_refuses_an_option_that_none_of_its_algorithms_has(arguments, message, tabular_file, tmp_path):
    algorithms = ["--algo", "peer", "--algo", "random", "--seeds", 1, "--budget", 4]
    assert message in refusal("benchmark", tabular_file, *algorithms, "--out", tmp_path / "bench", *arguments.split())
    assert not (tmp_path / "bench").exists()


def listed_options() -> dict[str, str]:
    """The options that `evomnas algorithms` prints, by algorithm."""
    table = evomnas("algorithms").partition("\n\n")[0].splitlines()
    place = table[0].index("options with")
    return {row.split()[0]: row[place:].removeprefix("-") if row[place:] == "-" else row[place:] for row in table[1:]}


def test_algorithms_are_listed_with_their_options_as_one_types_them():
    options = listed_options()
    assert options["random"] == ""
    assert options["nsga2"] == "--population 20"
    assert options["evo-weighted"] == "--target-ms MS --alpha -0.07 --beta -0.07 --population 20 --tournament 5"
    assert options["peer"] == (
        "--option depth=3 --option mode=fast --option 'rates=[0.1, 0.2]' --option limit=VALUE --option population=0.5"
    )
    assert options["picky"] == "--option size=VALUE --option alpha=mild --target-ms MS"


def test_every_listed_option_can_be_typed(tabular_file, tmp_path):
    for name, options in listed_options().items():
        typed = shlex.split(options.replace("MS", "2").replace("VALUE", "1"))
        parse(shlex.join(["evomnas", "run", "--algo", name, *typed]))
        if name == "rena":  # its other limits are for networks that are built
            typed = typed[:2]
        evomnas("run", tabular_file, "--algo", name, "--budget", 1, "--out", tmp_path / name, *typed)
        assert set(Run.open(tmp_path / name).options) <= {"target_ms", "limit", "size"}  # the others are the defaults


def test_flags_are_those_that_commands_have_and_read_what_they_should():
    group = typer.main.get_command(app)
    for command in ("run", "benchmark"):
        flags = {text: parameter for parameter in group.commands[command].params for text in parameter.opts}
        for option, kind in FLAG_TYPES.items():
            read = parse(f"evomnas {command} {flag(option)} 2")[1][flags[flag(option)].name]
            assert read == ("2" if option == "target_ms" else kind(2))  # targets are split later


@pytest.mark.parametrize(
    ("algorithm", "options"),
    [
        ("peer", {"depth": 5, "mode": "a 'b' $c", "rates": [0.5, 1.0], "population": 0.25}),
        ("peer", {"mode": "5", "limit": {"a b": [1, {"c": "\x7f"}]}, "population": 8}),
        ("peer", {"mode": "", "limit": math.inf, "population": True}),
        ("picky", {"size": 1, "alpha": "harsh", "target_ms": "slowest"}),
        ("picky", {"size": "x\ny", "alpha": -1.5}),
        ("rl-weighted", {"target_ms": [1.0, 2.0], "alpha": 0.0}),
        ("rl-weighted", {"target_ms": [1.5]}),
        ("nsga2", {"population": 6}),
    ],
)
def test_the_printed_command_makes_the_same_run(algorithm, options, tabular_file, tmp_path, monkeypatch):
    first = search_with(tabular_file, algorithm, options, tmp_path / "first")
    monkeypatch.chdir(tmp_path)
    Path("tabular.toml").write_text(problem_file(first))
    evomnas(*shlex.split(run_command(first))[1:], "--out", "again")
    again = Run.open(Path("again"))
    assert again.options == first.options
    assert again.asks == first.asks


def search_with(problem: Path, algorithm: str, options: dict, out: Path) -> Run:
    return evomnas_search(problem, algorithm, options=options, budget=4, out=out)


def test_the_printed_command_uses_flags_where_they_read_the_value(tabular_file, tmp_path):
    run = search_with(tabular_file, "peer", {"depth": 5, "mode": "slow", "population": 8}, tmp_path / "run")
    command = run_command(run)
    assert command == (
        "evomnas run tabular.toml --algo peer --budget 4 --seed 1 --option depth=5 --option mode=slow --population 8"
    )
    _, values = parse(command)
    assert (values["population"], list(values["assignments"])) == (8, ["depth=5", "mode=slow"])


def test_the_printed_command_names_what_cannot_be_typed(tabular_file, tmp_path):
    run = search_with(tabular_file, "peer", {"mode": None, "depth": 5}, tmp_path / "run")
    command = run_command(run)
    assert command.endswith("--option depth=5  # cannot be typed, evomnas.search takes it: mode=None")
    assert list(parse(command)[1]["assignments"]) == ["depth=5"]


def test_a_missing_option_names_what_to_type(tabular_file, tmp_path):
    message = refusal("run", tabular_file, "--algo", "picky", "--out", tmp_path / "run")
    typed = re.search(r"add (--option \S+)", message)[1].replace("VALUE", "3").split()
    evomnas("run", tabular_file, "--algo", "picky", "--budget", 2, "--out", tmp_path / "run", *typed)
    assert Run.open(tmp_path / "run").options["size"] == 3


def test_the_library_names_a_missing_option_as_well(tabular_file, tmp_path):
    with pytest.raises(InputError, match="picky needs a value of size"):
        search_with(tabular_file, "picky", {"alpha": "mild"}, tmp_path / "run")
