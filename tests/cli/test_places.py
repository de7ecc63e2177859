"""Every option that writes a file or folder, at places that take none: one line that names the option, at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from evomnas.cli import compare, deploy, runs, search, show  # noqa: F401 they register themselves
from evomnas.cli.app import app
from evomnas.cli.start import init  # noqa: F401 as well

LONG = "n" * 300
COMMANDS = {  # by the option: what is typed, and the ending that the name must have
    "--figures DIR": (["report", "RUN", "--figures", "PLACE"], ""),
    "--out FILE.html": (["compare", "RUN", "OTHER", "--out", "PLACE"], ".html"),
    "--out FILE.toml": (["init", "photos", "--out", "PLACE"], ".toml"),
    "evomnas pack RUN FILE.zip": (["pack", "RUN", "PLACE"], ".zip"),
    "--figure FILE": (["describe", "mnasnet-a1", "--figure", "PLACE"], ".svg"),
    "--out DIR": (["run", "tabular.toml", "--algo", "random", "--budget", "4", "--out", "PLACE"], ""),
    "--archive FILE": (["run", "tabular.toml", "--algo", "random", "--budget", "4", "--archive", "PLACE"], ".sqlite"),
}
MORE = {
    "--out DIR": [
        ["benchmark", "tabular.toml", "--algo", "random", "--seeds", "2", "--out", "PLACE"],
        ["baselines", "digits", "--out", "PLACE"],
    ],
    "--archive FILE": [
        ["benchmark", "tabular.toml", "--algo", "random", "--seeds", "2", "--out", "new", "--archive", "PLACE"],
        ["baselines", "digits", "--archive", "PLACE"],
        ["estimate", "digits", "--fidelity", "--archive", "PLACE"],
    ],
}


@pytest.fixture
def here(shown_run, tabular_file, tmp_path, monkeypatch) -> Path:
    """A folder with a run, photographs and a problem, in which one types."""
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(3):
            Image.new("RGB", (32, 32), (80 * number, 9, 9)).save(tmp_path / "photos" / name / f"{number}.png")
    (tmp_path / "file").write_text("not a folder")
    return tmp_path


def refusal(words: list[str], place: str, run: Path) -> str:
    """The one line of a command that writes to a place."""
    typed = [{"PLACE": place, "RUN": str(run), "OTHER": str(run)}.get(word, word) for word in words]
    result = CliRunner().invoke(app, typed)
    lines = result.stderr.splitlines()
    assert (result.exit_code, result.stdout, len(lines)) == (2, "", 1), (typed, result.output)
    return lines[0]


@pytest.mark.parametrize("option", COMMANDS)
def test_a_place_that_takes_no_files_is_refused_in_one_line(option, here, shown_run):
    """Of the system, behind a file, and of a name that is too long; nothing is left behind."""
    before = sorted(here.rglob("*"))
    commands = [COMMANDS[option][0], *MORE.get(option, [])]
    ending = COMMANDS[option][1]
    for words in commands:
        for place in (f"/proc/x{ending}", f"file/x{ending}", f"{LONG}{ending}"):
            line = refusal(words, place, shown_run.folder)
            assert "Errno" not in line
            told = (option, "there is no folder", "in a folder that exists", "choose a shorter one")
            assert any(words in line for words in told), line
    assert sorted(here.rglob("*")) == before
