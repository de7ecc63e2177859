"""`evomnas export --check`: files on a folder of images, as users run it, in this process."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from evomnas.cli import deploy  # noqa: F401 it registers itself
from evomnas.cli.app import app
from evomnas.cli.shipping import export  # noqa: F401
from evomnas.deploy.saving import WEIGHTS_FILE


def evomnas(*arguments: object):
    return CliRunner().invoke(app, [str(one) for one in arguments])


@pytest.fixture(scope="module")
def labelled(trained, exports, finished_run, tmp_path_factory) -> Path:
    """The first images of each digit in folders with their names, and one in no folder."""
    from evomnas.data.splits import load_training_images

    images = load_training_images(finished_run.definition.data)
    folder = tmp_path_factory.mktemp("labelled")
    for place in range(12):
        name = str(images.labels[place])
        (folder / name).mkdir(exist_ok=True)
        Image.fromarray(np.asarray(images.images[place])[0]).save(folder / name / f"{place}.png")
    Image.new("L", (20, 30), 90).save(folder / "loose.png")
    return folder


def test_a_file_is_run_on_a_folder_by_its_runtime_alone(labelled, trained, exports):
    file = trained.folder / exports["float"].file
    [check] = json.loads(evomnas("export", file, "--check", labelled, "--format", "json").stdout)
    assert (check["images"], check["labelled"], check["faults"]) == (13, 12, [])
    assert check["agreeing"] == sum(one["classes"][0]["class"] == one["label"] for one in check["answers"])
    assert [one["agrees"] for one in check["answers"] if one["label"] is None] == [None]
    done = evomnas("export", file, "--check", labelled)
    assert done.exit_code == 0, done.stderr
    assert f"{file.name}: {check['agreeing']} of 12 images get their label, " in done.stdout
    assert done.stdout.splitlines()[0].split() == ["file", "image", "label", "class", "probability", "agrees"]


def test_an_export_checks_what_it_has_written(labelled, finished_run, trained, exports, tmp_path):
    copied = shutil.copytree(finished_run.folder.parent, tmp_path / "copy") / finished_run.folder.name
    options = ["--any-size", "--any-batch", "--check", labelled]
    done = evomnas("export", copied, trained.network.id, *options)
    assert done.exit_code == 0, done.stderr
    assert "any size, any batch" in done.stdout
    assert "\nmodel-any-size-any-batch.onnx: " in done.stdout


def test_the_folder_that_is_named_is_a_label_as_well(labelled, trained, exports):
    file = trained.folder / exports["float"].file
    [check] = json.loads(evomnas("export", file, "--check", labelled / "0", "--format", "json").stdout)
    assert {one["label"] for one in check["answers"]} == {"0"}


def test_each_fault_is_a_line(labelled, trained, exports, tmp_path):
    folder = shutil.copytree(labelled, tmp_path / "faulty")
    (folder / "0" / "broken.png").write_bytes(b"\x89PNG\r\n")
    (folder / "eleven").mkdir()
    shutil.copy(folder / "loose.png", folder / "eleven" / "11.png")
    done = evomnas("export", trained.folder / exports["int8"].file, "--check", folder)
    assert done.exit_code == 1
    faults = sorted(line for line in done.stderr.splitlines() if line.startswith("evomnas: "))
    assert len(faults) == 2
    assert "eleven is no class of the file, which has 0, 1, 2, 3, 4, ...: 1 image has no label" in faults[0]
    assert "cannot read the image" in faults[1]
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(b"x")
    done = evomnas("export", damaged, "--check", labelled)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "damaged.onnx: cannot read" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["RUN"], "export takes a network: evomnas export RUN ARCH; or a file and --check DIR"),
        (["RUN", "--check", "."], "is a folder: name a file of it"),
        (["RUN", "ID", "--check", "nowhere"], "nowhere is no folder: --check takes a folder of images"),
        (["model.onnx", "--check", "."], "there is no file model.onnx: --check runs files that evomnas export wrote"),
        (["FILE", "--check", "."], "there is no image in the folder .: --check takes"),
        (["WEIGHTS", "--check", "."], "--check runs .onnx, .pte, .tflite files alone, not "),
        (
            ["RUN", "ID", "--to", "executorch", "--any-size"],
            "are for onnx and litert files, not for executorch",
        ),
    ],
)
def test_wrong_requests_are_one_line(arguments, message, finished_run, trained, exports, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file, weights = trained.folder / exports["float"].file, trained.folder / WEIGHTS_FILE
    names = {"RUN": str(finished_run.folder), "ID": trained.network.id, "FILE": str(file), "WEIGHTS": str(weights)}
    done = evomnas("export", *(names.get(one, one) for one in arguments))
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert message.replace("RUN", names["RUN"]) in done.stderr
