"""Defaults of options in files: which are read, which come first, what is refused, and what the command shows."""

from __future__ import annotations

import json
import re

import pytest
import typer
from typer.testing import CliRunner

from evomnas.cli import search, show  # noqa: F401 they register themselves
from evomnas.cli.app import app
from evomnas.cli.start import config  # noqa: F401
from evomnas.cli.start.config_files import default_map
from evomnas.results.run import Run


def call(*arguments: object):
    return CliRunner().invoke(app, [*map(str, arguments)])


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Write the user's file and the project's; the command is typed two folders below the latter."""
    here, home = tmp_path / "project" / "a" / "b", tmp_path / "home"
    here.mkdir(parents=True)
    home.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr(typer, "get_app_dir", lambda name: str(home / name))

    def write(user: str = "", project: str = ""):
        (home / "evomnas.toml").write_text(user)
        (tmp_path / "project" / "pyproject.toml").write_text(project)

    return write


def rows(*arguments: object) -> dict[str, tuple[object, str]]:
    printed = json.loads(call("config", *arguments, "--format", "json").stdout)
    return {f"{row['command']} {row['option']}": (row["value"], row["origin"].rpartition("/")[2]) for row in printed}


USER = 'workers = 1\n[run]\nbudget = 9\nseed = 4\nset = ["training.epochs=2"]\n'
PROJECT = '[tool.evomnas]\nworkers = 0\n[tool.evomnas.run]\nbudget = 7\nout = "here"\nearly-stop = false\ntime = "5m"\n'


def test_the_project_comes_before_the_user_and_each_value_has_its_origin(files, tmp_path):
    files(USER, PROJECT)
    found = rows()
    assert found["run --budget"] == ("7", "pyproject.toml")
    assert found["run --seed"] == ("4", "evomnas.toml")
    assert found["run --set"] == (["training.epochs=2"], "evomnas.toml")
    assert found["run --early-stop"] == (False, "pyproject.toml")
    assert found["run --out"] == (str(tmp_path / "project" / "here"), "pyproject.toml")  # from the folder of its file
    assert found["run --workers"] == found["estimate --workers"] == ("0", "pyproject.toml")
    assert "run --algo" not in found
    everything = rows("run")
    assert everything["run --algo"] == ("nsga2-surrogate", "built in")
    assert everything["run --budget"] == ("7", "pyproject.toml")
    table = call("config").stdout
    assert re.search(r"^run +--seed +4 +\S+evomnas.toml$", table, re.MULTILINE)
    assert f"Project: {tmp_path / 'project' / 'pyproject.toml'}, its table tool.evomnas" in table


def test_without_files_there_is_nothing_to_show_but_where_they_would_be(files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = call("config")
    assert done.stdout.splitlines() == [
        f"User:    {tmp_path / 'home' / 'evomnas.toml'}, which is not there",
        "Project: no pyproject.toml here or above",
    ]


def test_a_search_takes_its_defaults_from_files_and_what_is_typed_before_them(files, tabular_file, tmp_path):
    files(project='[tool.evomnas.run]\nbudget = 4\nseed = 3\nalgo = "random"\nout = "r"\n')
    assert call("run", tabular_file, "--seed", 5).exit_code == 0
    run = Run.open(tmp_path / "project" / "r")
    assert (run.manifest.budget, run.record.seed, run.record.algorithm) == (4, 5, "random")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("budget = 1", "unknown setting 'budget': there are device, workers; or a table of a command, such as run"),
        ("[run]\nbugdet = 1", "unknown option of run 'bugdet': there are algo, .*; did you mean budget?"),
        ("[run]\nbudget = 'many'", "run.budget must be a number (int), got 'many'"),
        ("[run]\nbudget = true", "run.budget must be a number or a text, got True"),
        ("[run]\nexecutor = 'slurm'", "run.executor must be one of local, ray, got 'slurm'"),
        ("[run]\nearly-stop = 3", "run.early-stop must be true or false, got 3"),
        ("[run]\nset = 'a=1'", "run.set must be a list, got 'a=1'"),
        ("[run]\nquiet = true", "unknown option of run 'quiet'"),
        ("run = 3", "run must be a table with options of evomnas run"),
        ("[config]\nformat = 'json'", "unknown setting 'config'"),
        ("[run", "Expected ']'"),
    ],
)
def test_what_is_wrong_in_a_file_is_one_line_that_names_it(text, message, files, tmp_path):
    files(user=text)
    for command in (["config"], ["run", "digits"], ["problems"]):
        done = call(*command)
        assert done.exit_code == 2
        assert done.stderr.startswith(f"evomnas: {tmp_path / 'home' / 'evomnas.toml'}: ")
        assert len(done.stderr.splitlines()) == 1
        head, _, tail = message.partition(".*")
        assert head in done.stderr
        assert tail in done.stderr


def test_a_broken_pyproject_of_somebody_else_is_not_ours_to_complain_about(files):
    files(project="[tool.other\n")
    assert call("problems").exit_code == 0
    files(project="[tool.evomnas\n")
    assert call("problems").exit_code == 2
    files(project="tool = 3\n")
    assert call("problems").exit_code == 0
    files(project="[tool]\nevomnas = 3\n")
    assert "tool.evomnas must be a table" in call("problems").stderr


def test_an_unknown_command_is_refused(files):
    done = call("config", "search")
    assert done.exit_code == 2
    assert done.stderr.startswith("evomnas: unknown command 'search': there are ")


def test_every_value_reaches_the_parser_by_its_parameter(files):
    files(USER, PROJECT)
    assert default_map(typer.main.get_command(app))["run"] | {"out": ""} == {
        "workers": "0", "budget": "7", "seed": "4", "settings": ["training.epochs=2"], "out": "", "early_stop": False,
        "time_limit": "5m",
    }  # fmt: skip
