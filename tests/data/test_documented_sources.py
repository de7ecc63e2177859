"""The examples of the page on images are run: each makes a source from a folder of photographs, and searches it."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from evomnas.cli import deploy, predict, search  # noqa: F401 they register themselves
from evomnas.cli.app import app
from evomnas.cli.shipping import export  # noqa: F401
from evomnas.data.first_look import check_images
from evomnas.data.splits import load_training_images
from evomnas.problem.loading import load_definition

PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text()
SECTIONS = dict(re.findall(r"^### (.*?)\n(.*?)(?=^###? )", PAGE, re.DOTALL | re.MULTILINE))
SMALL = [
    "data.resolution=32", "training.epochs=1", "space.width=0.1", "space.head=32", "space.divisor=4",
    "space.filters=[16,24]", "space.layers=[1,1]", "space.strides=[1,2]", "training.batch=4", "full.epochs=1",
    "full.batch=4",
]  # fmt: skip
SETTINGS = [part for setting in SMALL for part in ("--set", setting)]


@pytest.fixture(params=sorted(SECTIONS))
def example(request, tmp_path, monkeypatch, rng) -> list[str]:
    """What one types after the Python of a section was run beside a folder of photographs."""
    if "pyarrow" in SECTIONS[request.param]:
        pytest.importorskip("pyarrow")
    monkeypatch.chdir(tmp_path)
    for label, name in enumerate(("cats", "dogs")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(10):
            pixels = rng.integers(0, 99, (40, 56, 3), dtype=np.uint8) + np.uint8(90 * label)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{number}.jpg")
    [code], [command] = (
        re.findall(rf"```{kind}\n(.*?)```", SECTIONS[request.param], re.DOTALL) for kind in ("python", "sh")
    )
    exec(code, {})
    [name, verb, *typed] = shlex.split(command)
    assert (name, verb) == ("evomnas", "run")
    return typed


def test_every_source_has_an_example():
    assert list(SECTIONS) == ["A CSV file", "Parquet files", "Tar shards", "Arrays"]


def test_the_examples_make_sources_that_are_read(example):
    [path] = example
    section = load_definition(path, ["data.resolution=32"]).data
    check_images(load_definition(path, ["data.resolution=32"]))
    images = load_training_images(section)
    assert images.classes in (("cats", "dogs"), ("0", "1"))
    assert images.origin.found.splits == {"training": len(images.labels), "test": 20 - len(images.labels)}


def command(*arguments: str) -> Result:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, result.output
    return result


@pytest.mark.thorough
def test_the_examples_are_searched_trained_exported_and_predicted(example):
    said = command("run", *example, "--budget", "2", "--workers", "0", "--out", "run", "--device", "cpu", *SETTINGS)
    assert "Found 2 classes: " in said.stderr
    [trained] = json.loads(command("train", "run", "--knee", "--device", "cpu", "--format", "json").stdout)
    assert trained["test_images"] >= 2
    command("export", "run", trained["id"], "--to", "onnx", "--quantize", "int8", "--device", "cpu")
    [file] = Path("run").rglob("model-int8.onnx")
    [answer] = json.loads(command("predict", str(file), "photos/cats/1.jpg", "--format", "json").stdout)
    assert {one["class"] for one in answer["classes"]} in ({"cats", "dogs"}, {"0", "1"})
    assert "What was found" in Path("run/report.html").read_text()
