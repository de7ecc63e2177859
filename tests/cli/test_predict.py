"""`evomnas predict` as its users run it: which networks and images it takes, what it prints, and what it refuses."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image
from typer.testing import CliRunner

from evomnas.cli import predict  # noqa: F401 it registers itself
from evomnas.cli.app import app
from evomnas.latency.runtimes import base as runtimes
from evomnas.loop.launch import search


def evomnas(*arguments: object):
    return CliRunner().invoke(app, [str(one) for one in arguments])


@pytest.fixture
def network(photograph_exports, tmp_path) -> Path:
    """A copy of a trained network's folder, with an int8 file and a float one."""
    return shutil.copytree(photograph_exports[1].folder, tmp_path / "network")


@pytest.fixture
def album(photographs, tmp_path) -> Path:
    """A folder of photographs with folders in it, and with what is no photograph."""
    folder = shutil.copytree(photographs / "val", tmp_path / "album")
    (folder / "notes.txt").write_text("no photograph")
    (folder / ".hidden.png").write_bytes(b"no photograph")
    return folder


def test_a_network_answers_with_the_same_classes_from_its_folder_its_file_and_a_mailed_file(network, album, tmp_path):
    """The mailed file is alone: classes and preprocessing are in it."""
    mailed = shutil.copy(network / "model-float.onnx", tmp_path / "mailed.ONNX")
    answers = []
    for name in (network, network / "weights.safetensors", network / "model-float.onnx", mailed):
        done = evomnas("predict", name, album, "--format", "json")
        assert done.exit_code == 0, done.stderr
        answers.append(json.loads(done.stdout))
    for answer in answers:
        assert [row["image"] for row in answer] == sorted(str(path) for path in album.rglob("*.jpeg"))
        for row, first in zip(answer, answers[0], strict=True):
            assert row["error"] is None
            assert [one["class"] for one in row["classes"]] == [one["class"] for one in first["classes"]]
            shares = [one["probability"] for one in row["classes"]]
            assert shares == pytest.approx([one["probability"] for one in first["classes"]], abs=1e-4)
            assert sum(shares) == pytest.approx(1)
            assert shares == sorted(shares, reverse=True)


def test_the_table_and_the_csv_have_what_the_json_has(network, album):
    file = network / "model-int8.onnx"
    rows = json.loads(evomnas("predict", file, album, "--format", "json", "--top", 1).stdout)
    table = evomnas("predict", file, album, "--top", 1).stdout.splitlines()
    assert table[0].split() == ["image", "class", "probability"]
    cells = list(csv.DictReader(io.StringIO(evomnas("predict", file, album, "--format", "csv", "--top", 1).stdout)))
    assert len(table) - 1 == len(cells) == len(rows) == 6
    for row, line, cell in zip(rows, table[1:], cells, strict=True):
        [best] = row["classes"]
        assert " ".join(line.split()) == f"{row['image']} {best['class']} {best['probability']:.2%}"
        assert cell == {
            "image": row["image"], "rank": "1", "class": best["class"], "probability": str(best["probability"]),
            "error": "",
        }  # fmt: skip


def test_pictures_of_any_kind_are_classified(network, tmp_path):
    """Grey ones by a network of colour, small ones, and one under an unusual name that is given by name."""
    colours = Image.fromarray(np.random.default_rng(1).integers(0, 256, (9, 40, 3), dtype=np.uint8))
    names = {"grey.png": colours.convert("L"), "dot.png": colours.crop((0, 0, 1, 1)), "flat.tiff": colours}
    for name, picture in names.items():
        picture.save(tmp_path / name)
    (tmp_path / "picture").write_bytes((tmp_path / "grey.png").read_bytes())
    done = evomnas("predict", network / "model-float.onnx", *(tmp_path / name for name in (*names, "picture")))
    assert done.exit_code == 0, done.stderr
    assert len(done.stdout.splitlines()) == 5


@pytest.mark.parametrize("output", ["table", "json", "csv"])
def test_a_bad_image_among_good_ones_is_listed(output, network, album, tmp_path):
    broken = album / "n01 ants" / "a\x1b[2J.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n broken")
    done = evomnas("predict", network / "model-float.onnx", album, tmp_path / "nowhere.jpg", "--format", output)
    assert done.exit_code == 1
    errors = done.stderr.splitlines()
    assert len(errors) == 2
    assert errors[0].startswith(f"evomnas: cannot read the image {album}/n01 ants/a?[2J.png: ")
    assert errors[1].startswith(f"evomnas: cannot read the image {tmp_path}/nowhere.jpg: ")
    assert "\x1b" not in done.stdout + done.stderr
    if output == "json":
        rows = json.loads(done.stdout)
        assert [row["classes"] for row in rows if row["error"]] == [[], []]
        assert len(rows) == 8
    elif output == "csv":
        assert sum(bool(row["error"]) for row in csv.DictReader(io.StringIO(done.stdout))) == 2
    else:
        assert sum("failed" in line for line in done.stdout.splitlines()) == 2


def rewritten(path: Path, **metadata: str | None) -> Path:
    """A copy of an ONNX file with other texts in it; None takes one away."""
    model = onnx.load(path)
    texts = {one.key: one.value for one in model.metadata_props} | metadata
    onnx.helper.set_model_props(model, {name: text for name, text in texts.items() if text is not None})
    onnx.save(model, path.parent / "other.onnx")
    return path.parent / "other.onnx"


def test_a_file_of_an_earlier_version_is_read_beside_its_model_json(network, album, tmp_path):
    old = rewritten(network / "model-float.onnx", preprocessing=None)
    assert evomnas("predict", old, album).stdout == evomnas("predict", network / "model-float.onnx", album).stdout
    for place in (tmp_path / "alone.onnx", rewritten(old, network="another")):
        if not place.exists():
            shutil.copy(old, place)
        done = evomnas("predict", place, album)
        assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
        assert "does not say how it wants its images, as files of earlier versions: put the model.json" in done.stderr


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"classes": None}, "does not name its classes: predict takes a file that evomnas export wrote"),
        ({"classes": "[1, 2]"}, "names its classes in a way that cannot be read"),
        ({"classes": "["}, "names its classes in a way that cannot be read"),
        ({"classes": '["a"]'}, "has 1 classes and an output of shape (1, 2): export it again"),
        ({"preprocessing": "{}"}, "says in a way that cannot be read how it wants its images"),
        ({"preprocessing": '{"channels": 3, "resolution": 99999, "fit": "crop"}'}, "says in a way that cannot be read"),
        ({"preprocessing": '{"channels": 3, "resolution": 31, "fit": "crop"}'}, "cannot be run: "),
    ],
)
def test_a_foreign_file_is_one_line(metadata, message, network, album):
    done = evomnas("predict", rewritten(network / "model-float.onnx", **metadata), album)
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert message in done.stderr


def test_a_table_has_nothing_to_predict_with(tabular_file, tmp_path, album):
    run = search(tabular_file, "random", budget=2, out=tmp_path / "run")
    done = evomnas("predict", run.folder, album)
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "searched a table" in done.stderr
    assert "evomnas train" not in done.stderr


def test_what_is_no_network_is_one_line_that_says_what_to_type(photograph_exports, album, tmp_path):
    run, trained, _ = photograph_exports
    (tmp_path / "torn.onnx").write_bytes(b"torn")
    empty = (
        shutil.copytree(run.folder.parent, tmp_path / "copy", ignore=shutil.ignore_patterns("networks"))
        / run.folder.name
    )
    for name, message in (
        (
            "nowhere",
            "nowhere does not exist: predict takes a file that evomnas export wrote (.onnx, .pte or .tflite)",
        ),
        (tmp_path / "torn.onnx", f"cannot read {tmp_path}/torn.onnx: "),
        (next(album.rglob("*.jpeg")), "is no network: predict takes a file"),
        (run.folder, f"is not one network: name one of those in it, such as {trained.folder}"),
        (run.folder / "networks", f"is not one network: name one of those in it, such as {trained.folder}"),
        (empty, f"has no trained network yet: evomnas train {empty} --knee"),
        (album, "is no network"),
    ):
        done = evomnas("predict", name, album)
        assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert message in done.stderr


def test_images_that_are_none_are_refused_before_the_network_is_opened(network, tmp_path):
    (tmp_path / "empty").mkdir()
    done = evomnas("predict", network, tmp_path / "empty")
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert "there is no image in the folder" in done.stderr
    assert evomnas("predict", network).exit_code == 2
    assert "--top takes a number of classes from 1 on, got 0" in evomnas("predict", network, "a", "--top", 0).stderr


def test_a_runtime_that_is_not_installed_is_one_line(network, album, tmp_path, monkeypatch):
    monkeypatch.setattr(runtimes, "installed_version", lambda runtime: None)
    (tmp_path / "model.pte").write_bytes(b"a program")
    done = evomnas("predict", tmp_path / "model.pte", album)
    assert done.exit_code == 2
    assert done.stderr == "evomnas: the runtime executorch is not installed: pip install 'evomnas[executorch]'\n"


def test_an_exported_file_is_classified_without_torch(network, album):
    code = (
        "import sys\nfrom evomnas.cli import main\ntry:\n    main()\nexcept SystemExit as end:\n"
        "    print(end.code, [name for name in ('torch', 'onnx', 'sklearn') if name in sys.modules])"
    )
    command = [sys.executable, "-c", code, "predict", str(network / "model-int8.onnx"), str(album)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 []"
