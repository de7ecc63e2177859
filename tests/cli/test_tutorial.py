"""The tutorial, as somebody follows it: every command of it, in its order, on photographs in one folder per class.

Budget and epochs are smaller than the page's.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from evomnas.cli import compare, deploy, measure, predict, runs, search, show  # noqa: F401 they register themselves
from evomnas.cli.app import app
from evomnas.cli.shipping import export  # noqa: F401

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial.md"
EXAMPLE = "7ebf80fa"  # the id that the page has in its commands
SHORT = ["--set", "training.epochs=1", "--set", "full.epochs=1", "--set", "data.resolution=32", "--workers", "0"]


@pytest.fixture
def photos(tmp_path, monkeypatch) -> None:
    """Photographs of two kinds in a new folder, in which the commands are typed."""
    rng = np.random.default_rng(4)
    for label, name in enumerate(("ants", "bees")):
        folder = tmp_path / "photos" / name
        folder.mkdir(parents=True)
        for number in range(20):
            pixels = rng.integers(0, 200, (48, 56, 3), dtype=np.uint8)
            pixels[:, :, label] += 55
            Image.fromarray(pixels).save(folder / f"{number}.jpg")
    monkeypatch.chdir(tmp_path)


@pytest.mark.thorough
@pytest.mark.usefixtures("photos")
def test_every_command_of_the_tutorial_does_what_the_page_says(tmp_path):
    blocks = re.findall(r"^```sh\n(.*?)^```", TUTORIAL.read_text(), re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("evomnas ")]
    assert [line.split()[1] for line in lines] == [
        "run", "doctor", "run", "report", "train", "baselines", "export", "predict",
    ]  # fmt: skip
    run = tmp_path / "runs" / "photos-nsga2-surrogate-s1"
    said = {}
    for line in lines:
        trained = sorted(path.name for path in (run / "networks").glob("*"))
        words = shlex.split(line.replace(EXAMPLE, trained[0] if trained else EXAMPLE).replace("24", "6"))[1:]
        if words[0] in ("run", "baselines"):
            words += SHORT[: len(SHORT) if words[0] == "run" else -2]
        done = CliRunner().invoke(app, words)
        assert done.exit_code in ((0, 1) if words[0] == "doctor" else (0,)), f"{line}\n{done.output}"
        said[" ".join(words[:2] + words[-1:])] = done.output
    assert (run / "report.html").is_file()
    [network] = (run / "networks").glob("*")
    assert {"model-float.onnx", "model-int8.onnx", "README.md"} <= {path.name for path in network.iterdir()}
    assert said[f"predict {network.relative_to(tmp_path) / 'model-int8.onnx'} photos/ants"].count(".jpg") == 20
