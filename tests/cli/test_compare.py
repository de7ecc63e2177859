"""The commands compare and benchmark: a real process where a benchmark is interrupted, else in this one.

A benchmark is interrupted by SIGTERM, in the thorough part by SIGINT as well; `test_cli.py` does so with a search, the
other way round.
"""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys

import pytest
from typer.testing import CliRunner
from waiting import wait_until

from evomnas.cli import compare  # noqa: F401 it registers itself
from evomnas.cli.app import app

COMMAND = [sys.executable, "-c", "from evomnas.cli import main; main()"]


def invoke(*arguments: object):
    """What a command ends with in this process."""
    return CliRunner().invoke(app, [*map(str, arguments)])


def test_a_benchmark_ends_with_the_comparison_and_compare_makes_the_same(tabular_file, tmp_path, monkeypatch):
    arguments = (tabular_file, "--algo", "nsga2", "--algo", "random", "--seeds", "2", "--budget", "10")
    monkeypatch.chdir(tmp_path)
    result = invoke("benchmark", *arguments)
    assert result.exit_code == 0, result.stderr
    assert "random, seed 2 (run 4 of 4)" in result.stderr
    folder = tmp_path / "runs" / "tabular-benchmark"
    assert re.search(r"^nsga2 +2 +0\.\d{4} +0\.\d{4} to 0\.\d{4} +\d", result.stdout, re.MULTILINE)
    assert "After 10 evaluations " in result.stdout
    assert "with fewer than 4 seeds each nothing can be said about chance" in result.stdout
    [page] = re.findall(r"^Page: +(\S+)$", result.stdout, re.MULTILINE)
    assert (tmp_path / page) == folder / "comparison.html"
    runs = sorted(path.parent for path in folder.glob("*/run.json"))
    (folder / "comparison.html").unlink()
    compared = invoke("compare", *runs, "--format", "json")
    assert (folder / "comparison.html").is_file()
    values, kept = json.loads(compared.stdout), json.loads((folder / "comparison.json").read_text())
    assert values["pairs"] == kept["pairs"]
    assert {one["name"]: one["hypervolume"] for one in values["algorithms"]} == {
        one["name"]: one["hypervolume"] for one in kept["algorithms"]
    }
    invoke("compare", *runs, "--out", "elsewhere.html")
    assert (tmp_path / "elsewhere.html").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compare", "nowhere", "elsewhere"], "nowhere holds no run"),
        (["compare", "RUN", "RUN"], "are the same run: name it once"),
        (["compare", "RUN", "RUN", "--out", "page.txt"], "--out takes a name that ends in .html, not 'page.txt'"),
        (["benchmark", "digit"], "did you mean digits?"),
        (["benchmark", "--seeds", "0"], "a benchmark needs 2 runs or more"),
        (["benchmark", "--out", "RUN"], "is a run: choose another folder with --out DIR"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments, message, benchmarked, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = str(benchmarked / "nsga2-s1")
    result = invoke(*(run if one == "RUN" else one for one in arguments))
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert result.stderr.startswith("evomnas: ")
    assert result.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("sent", "code"), [pytest.param(signal.SIGINT, 130, marks=pytest.mark.thorough), (signal.SIGTERM, 143)]
)
@pytest.mark.thorough
def test_an_interrupted_benchmark_keeps_everything_and_says_how_to_go_on(sent, code, tabular_file, tmp_path):
    arguments = ["benchmark", str(tabular_file), "--algo", "nsga2", "--algo", "random", "--seeds", "900"]
    process = subprocess.Popen(
        [*COMMAND, *arguments], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    folder = tmp_path / "runs" / "tabular-benchmark"
    assert wait_until(lambda: len(list(folder.glob("*/run.json"))) > 2, 240)
    process.send_signal(sent)
    output, errors = process.communicate(timeout=120)
    assert (process.returncode, output) == (code, "")
    assert f"Go on with the same command: evomnas {shlex.join(arguments)}" in errors
    assert "Traceback" not in errors
    finished = json.loads((folder / "nsga2-s1" / "run.json").read_text())
    assert (finished["status"], finished["evaluations"]) == ("finished", 64)
    assert invoke("compare", folder / "nsga2-s1", folder / "random-s1", "--out", tmp_path / "c.html").exit_code == 0
