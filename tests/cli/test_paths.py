"""Problems as people type them, from the command line; and nothing is left behind where one is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from evomnas.cli import compare, deploy, measure, runs, search, show  # noqa: F401 they register themselves
from evomnas.cli.app import app
from evomnas.cli.shipping import export  # noqa: F401
from evomnas.results.run import Run

SMALL = ["--set", "data.resolution=32", "--set", "training.epochs=1", "--set", "space.width=0.35"]


def refusal(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(one) for one in arguments])
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1), result.output
    return result.stderr


def last_line(*arguments: object) -> str:
    """The line of a refusal behind those that say how far the command came."""
    result = CliRunner().invoke(app, [str(one) for one in arguments])
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    return result.stderr.splitlines()[-1]


@pytest.fixture
def here(tmp_path, monkeypatch, rng) -> Path:
    """A folder with photographs of two classes, in which one types."""
    for label, name in enumerate(("cats", "dogs")):
        (tmp_path / "my photos" / name).mkdir(parents=True)
        for number in range(5):
            pixels = rng.integers(0, 99, (9, 12, 3), dtype=np.uint8) + np.uint8(90 * label)
            Image.fromarray(pixels).save(tmp_path / "my photos" / name / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.mark.parametrize("typed", [["my photos/"], pytest.param(["--data", "my photos"], marks=pytest.mark.thorough)])
def test_a_folder_is_searched(typed, here):
    result = CliRunner().invoke(app, ["run", *typed, "--budget", "1", "--workers", "0", *SMALL])
    assert result.exit_code == 0, result.output
    fit = "the middle square of a picture, as 32x32 pixels (data.fit = 'crop'; there are 'pad' and 'stretch' as well)"
    assert f"Networks get {fit}." in result.stderr
    run = Run.open(here / "runs" / "my-photos-nsga2-surrogate-s1")
    assert run.manifest.evaluations == 1
    assert run.definition.data.path == here / "my photos"
    assert run.network_shape == {"classes": 2, "channels": 3, "resolution": 32}


@pytest.mark.parametrize("command", ["run", "estimate", "benchmark", "baselines"])
def test_every_command_with_a_problem_takes_data(command, here):
    assert "unknown problem 'nowhere'" in refusal(command, "--data", "nowhere")
    assert "unknown problem 'my photo'" in refusal(command, "my photo")
    assert "did you mean my photos/?" in refusal(command, "my photo")
    (here / "my photos" / "notes").mkdir()
    (here / "my photos" / "notes" / "1.heic").touch()
    for typed in (["my photos"], ["--data", "my photos"], ["images", "--set", "data.path=my photos"]):
        assert "my photos/notes holds no images that can be read; .heic files are not read" in refusal(command, *typed)
    assert names(here) == {"my photos", *(f"my photos/{name}" for name in names(here / "my photos"))}


def test_baselines_take_names_behind_data(here):
    shutil.rmtree(here / "my photos" / "dogs")
    said = refusal("baselines", "--data", "my photos", "resnet18")
    assert "my photos has one class, cats" in said


@pytest.mark.parametrize("typed", [["resnet18", "resnet19"], ["mobilenet-v2@0.5", "resnet19"]])
def test_baselines_take_names_alone_for_networks_of_the_default_problem(here, typed):
    assert "unknown reference network 'resnet19'" in refusal("baselines", *typed)


@pytest.mark.parametrize("command", ["run", "estimate", "benchmark", "baselines"])
def test_what_a_shell_makes_of_a_star_is_led_back_to_the_folder(command, here):
    folders = sorted(map(str, (Path("my photos")).glob("*")))
    assert "one problem at a time, and 2 were given: give the folder that holds them, 'my photos'" in refusal(
        command, *folders
    )
    images = sorted(map(str, Path("my photos").glob("*/*")))
    assert "and 10 were given: give the folder that holds them, 'my photos'" in refusal(command, *images)


def test_several_names_are_one_line(here):
    assert "one problem at a time, and 4 were given: digits, images, cifar10, ..." in refusal(
        "run", "digits", "images", "cifar10", "imagenet"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--algo", "nsga9"], "unknown algorithm"),
        (["--option", "population=x"], "no option population"),
        (["--budget", "0"], "budget must be at least 1"),
        (["--device", "cuda:x"], "unknown device"),
        (["--set", "latency.target=ssh://127.0.0.1:1"], "cannot reach ssh://127.0.0.1:1"),
        (["--set", "latency.target=ssh://pi", "--set", "latency.runtime=torch"], "only the runtime onnxruntime"),
        (["--set", "latency.runtime=torch", "--set", "latency.method=layers"], "runs whole networks alone"),
        (["--set", "constraints.max_params=1"], "no network of the space meets constraints.max_params"),
        pytest.param(
            ["--set", "constraints.max_latency_ms=1e-6"],
            "no network of the space meets constraints.max_latency_ms",
            marks=pytest.mark.thorough,
        ),
        (["images", "--set", "data.path=nowhere"], "does not exist"),
        (["images"], "needs a path: --set data.path=FOLDER, or --data FOLDER"),
        (["my photos", "--set", "data.train_images=1"], "at least the number of classes"),
        (["broken"], "cannot read the image"),
        (["--out", "my photos"], "is not an empty folder"),
        (["nas-bench-macro", "--data", "nowhere.json"], "cannot read the table"),
    ],
)
def test_a_search_that_is_refused_leaves_nothing_behind(arguments, message, here):
    shutil.copytree("my photos", "broken")
    (here / "broken" / "cats" / "1.png").write_bytes(b"no image")
    before = names(here)
    assert message in last_line("run", *arguments, "--workers", 0)
    assert names(here) == before


@pytest.mark.parametrize(
    "command",
    [
        ["benchmark", "--seeds", 2, "--algo", "random", "--workers", 0],
        pytest.param(["baselines"], marks=pytest.mark.thorough),
    ],
)
def test_neither_do_benchmarks_and_baselines(command, here):
    before = names(here)
    assert "cannot reach" in last_line(*command, "--set", "latency.target=ssh://127.0.0.1:1")
    assert names(here) == before


def test_a_folder_that_cannot_be_written_to_is_told_before_the_images_are_read(here):
    (here / "broken" / "cats").mkdir(parents=True)
    result = CliRunner().invoke(app, ["run", "digits", "--archive", "/proc/nowhere/a.sqlite", "--workers", "0"])
    assert result.exit_code == 2
    assert (
        "/proc/nowhere/a.sqlite: the system takes no new files there; choose another place (--archive" in result.stderr
    )


def test_a_table_that_was_moved_is_named_when_a_run_goes_on(tabular_file, here):
    arguments = ["run", str(tabular_file), "--algo", "random", "--budget", "3", "--out", "run"]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    (here / "elsewhere").mkdir()
    next(here.glob("*.csv")).rename(here / "elsewhere" / "t.csv")
    refused = CliRunner().invoke(app, ["resume", "run", "--budget", "5"])
    assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)
    assert "--data" in refused.stderr
    result = CliRunner().invoke(app, ["resume", "run", "--budget", "5", "--data", "elsewhere/t.csv"])
    assert result.exit_code == 0, result.output
    assert json.loads((here / "run" / "run.json").read_text())["evaluations"] == 5


def test_images_that_were_moved_are_named_before_anything_is_imported(here):
    result = CliRunner().invoke(app, ["run", "my photos", "--budget", "1", "--workers", "0", *SMALL, "--out", "run"])
    assert result.exit_code == 0, result.output
    (here / "my photos").rename(here / "photos")
    for command in (["train", "run", "--knee"], ["export", "run", "0"], ["resume", "run", "--budget", "2"]):
        assert f"data.path {here / 'my photos'} does not exist: " in refusal(*command)
        assert "--data FOLDER says where it is" in refusal(*command)
        assert "photos/cats holds 5 images and no folder per class" in refusal(*command, "--data", "photos/cats")
