"""The command detect: its table, its JSON, and its refusals in one line."""

from __future__ import annotations

import json

import pytest
from box_files import draw, write_voc
from detectors import run_with_trained_network
from typer.testing import CliRunner

from evomnas.cli.app import app
from evomnas.cli.detection import detect  # noqa: F401 it registers itself


def answer(*arguments: object) -> str:
    result = CliRunner().invoke(app, [*map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def typed(finished_run, tmp_path_factory):
    """A run's folder, the id of a network that is trained in it, and a folder of pictures with boxes."""
    run, network = run_with_trained_network(finished_run, tmp_path_factory.mktemp("copy"))
    return str(run.folder), network.id, str(write_voc(tmp_path_factory.mktemp("voc"), draw()))


def test_detect_prints_a_table_and_the_same_as_json(typed):
    folder, network, pictures = typed
    options = ("detect", folder, network, "--data", pictures, "--resolution", 96, "--epochs", 1)
    table = answer(*options, "--device", "cpu")
    assert f"\n{network} " in table
    assert "2 test images; intervals are bootstrapped over them." in table
    [row] = json.loads(answer(*options, "--device", "cpu", "--format", "json", "--to", "onnx", "--suppress"))
    assert list(row) == [
        "id", "network", "reference", "folder", "test_ap", "test_ap_interval", "test_ap50", "test_ap50_interval",
        "by_class", "test_images", "params", "macs", "latency_ms", "latency_ci", "start", "files",
    ]  # fmt: skip
    assert row["id"] == network
    assert not row["reference"]
    assert f"{row['macs']:,}" in table
    [file] = row["files"]
    assert file["file"] == f"{row['folder']}/detector.onnx"
    assert file["difference"] < 1e-3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--data", "nowhere"), "there is nothing at nowhere: --data takes pictures with boxes"),
        (("--data", ".", "--resolution", "64"), "a detector takes images of 96 to 512 pixels a side"),
        (("--data", ".", "--resolution", "0"), "a detector takes images of 96 to 512 pixels a side"),
        (("--data", ".", "--resolution", "10000000"), "a detector takes images of 96 to 512 pixels a side"),
        (("--data", ".", "--suppress"), "--suppress is a part of the ONNX file: add --to onnx"),
        (("--data", ".", "--to", "tflite"), "unknown format 'tflite': there are executorch, litert, onnx"),
        (
            ("--data", ".", "--to", "litert", "--suppress"),
            "suppression can be a part of onnx files alone, not of litert",
        ),
        (("--data", ".", "--epochs", "0"), "--epochs must lie between 1 and 100000, got 0"),
    ],
)
def test_detect_refuses_in_one_line(typed, options, message):
    folder, network, _ = typed
    result = CliRunner().invoke(app, ["detect", folder, network, *options])
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
