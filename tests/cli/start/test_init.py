"""`evomnas init`: what is asked, the problem file that is written, and what is refused."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from PIL import Image
from typer.testing import CliRunner

from evomnas.cli.app import app
from evomnas.cli.start import init, questions  # noqa: F401 the command registers itself
from evomnas.data.suited import load_definition as load_suited
from evomnas.problem.loading import load_definition


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with photographs of two classes, 10 of each, in a folder whose name needs care."""
    monkeypatch.chdir(tmp_path)
    for name in ("cats", "dogs"):
        (tmp_path / 'my "photos"' / name).mkdir(parents=True)
        for number in range(10):
            Image.new("RGB", (120, 100), (number, 0, len(name))).save(tmp_path / 'my "photos"' / name / f"{number}.png")
    return tmp_path


def call(*arguments: object, typed: str = ""):
    return CliRunner().invoke(app, ["init", *map(str, arguments)], input=typed)


def test_the_file_is_the_problem_that_suits_the_images_with_reasons(here):
    done = call('my "photos"')
    assert done.exit_code == 0, done.stderr
    assert "Wrote my-photos.toml" in done.stdout
    assert "evomnas run my-photos.toml --dry-run" in done.stdout
    text = (here / "my-photos.toml").read_text()
    assert "# So all images validate; some 3 alone would tell an accuracy to ±29 points.\nfolds = 5" in text
    assert "# max_latency_ms = 5.0" in text
    written, suited = load_definition("my-photos.toml"), load_suited('my "photos"')
    assert written.model_copy(update={"name": suited.name, "summary": suited.summary}) == suited


def test_options_are_the_answers(here):
    done = call(
        'my "photos"', "--limit-ms", "5", "--resolution", "48x64", "--target", "ssh://pi@box", "--out", "p.toml"
    )
    assert done.exit_code == 0, done.stderr
    problem = load_definition("p.toml")
    assert (problem.constraints.max_latency_ms, problem.data.resolution) == (5.0, (48, 64))
    assert (problem.latency.target, problem.latency.runtime) == ("ssh://pi@box", "onnxruntime")
    assert problem.data.path == here / 'my "photos"'


def test_a_phone_brings_its_runtime(here):
    assert call('my "photos"', "--target", "adb://R58M", "--out", "p.toml").exit_code == 0
    problem = load_definition("p.toml")
    assert (problem.latency.target, problem.latency.runtime) == ("adb://R58M", "litert")


def test_three_questions_are_asked_on_a_terminal_and_again_after_nonsense(here, monkeypatch):
    monkeypatch.setattr(questions, "sys", SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True)))
    done = call('my "photos"', "--out", "p.toml", typed="\nsoon\n2.5\n64\n")
    assert done.exit_code == 0, done.stderr
    assert done.stderr.count("Longest latency in milliseconds [none]") == 2
    assert "the limit is a positive number of milliseconds or none, got 'soon': as 5 or 0.5" in done.stderr
    problem = load_definition("p.toml")
    assert (problem.latency.target, problem.constraints.max_latency_ms, problem.data.resolution) == ("local", 2.5, 64)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "there is no folder or file nowhere: give the one that holds your images"),
        (["PHOTOS", "--limit-ms", "-3"], "the limit is a positive number of milliseconds or none, got '-3'"),
        (["PHOTOS", "--target", "pi"], "cannot read the target 'pi': write local, ssh://user@host:port"),
        (["PHOTOS", "--resolution", "x"], "x"),
        (
            ["PHOTOS", "--out", "no/p.toml"],
            "cannot write no/p.toml: give a name that ends in .toml, in a folder that exists",
        ),
        (["PHOTOS", "--out", "p.txt"], "cannot write p.txt"),
        (["PHOTOS", "--out", "there.toml"], "there.toml exists already: give another file with --out FILE.toml"),
        (["empty"], "no images in"),
    ],
)
def test_what_is_refused_is_one_line_and_writes_nothing(arguments, message, here):
    (here / "there.toml").write_text("mine")
    (here / "empty").mkdir()
    done = call(*('my "photos"' if one == "PHOTOS" else one for one in arguments))
    assert (done.exit_code, len(done.stderr.splitlines())) == (2, 1)
    assert message in done.stderr
    assert [path.name for path in here.glob("*.toml")] == ["there.toml"]
    assert (here / "there.toml").read_text() == "mine"


def test_a_folder_that_is_called_as_a_built_in_problem_gets_another_name(here):
    (here / 'my "photos"').rename(here / "digits")
    assert call("./digits").exit_code == 0
    assert load_definition("digits.toml").name == "digits-images"
