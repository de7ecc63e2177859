"""ONNX files of any origin: those that can be measured, and one clear line for the others."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner

from evomnas.cli import measure, show  # noqa: F401 they register themselves
from evomnas.cli.app import app
from evomnas.core.errors import InputError
from evomnas.latency.onnx_file import read_onnx


def save(path: Path, shape: Sequence[int | str], kind: int = TensorProto.FLOAT, inputs: int = 1, **options) -> Path:
    """A network of one convolution for images of a shape; of other shapes, one that copies its input."""
    weights = np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype(np.float32)
    names = ["images", *(f"more{number}" for number in range(1, inputs))]
    if len(shape) == 4 and kind == TensorProto.FLOAT and shape[1] == 3:
        nodes = [helper.make_node("Conv", ["images", "weights"], ["answer"])]
    else:
        nodes = [helper.make_node("Cast", ["images"], ["answer"], to=TensorProto.FLOAT)]
    nodes += [helper.make_node("Identity", [name], [f"{name}_copy"]) for name in names[1:]]
    graph = helper.make_graph(
        nodes, "graph", [helper.make_tensor_value_info(name, kind, shape) for name in names],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weights, "weights")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path, **options)
    return path


@pytest.mark.parametrize(
    ("shape", "resolution", "expected"),
    [
        ([1, 3, 8, 8], None, (1, 3, 8, 8)),
        ([2, 3, 8, 9], None, (2, 3, 8, 9)),
        (["batch", 3, 8, 8], None, (1, 3, 8, 8)),
        (["batch", 3, "height", "width"], 12, (1, 3, 12, 12)),
        ([1, 3, 8, 8], 8, (1, 3, 8, 8)),
        (["batch", "height", "width", 1], 6, (1, 6, 6, 1)),
        (["batch", 5], None, (1, 5)),
        ([], None, ()),
    ],
)
def test_open_sizes_are_filled(shape, resolution, expected, tmp_path):
    assert read_onnx(save(tmp_path / "m.onnx", shape), "onnxruntime", resolution=resolution).input_shape == expected


@pytest.mark.parametrize(
    ("shape", "resolution", "message"),
    [
        (["n", 3, "h", "w"], None, "takes images of ?x3x?x?: add --resolution N for images of NxN pixels"),
        (["n", "c", 8, 8], None, "takes images of ?x?x8x8: export it with fixed sizes, the batch and the image aside"),
        (["n", "c", "h", "w"], 8, "takes images of ?x?x?x?: export it with fixed sizes"),
        (["n", "time"], 8, "takes images of ?x?: export it with fixed sizes"),
        ([1, 3, 8, 8], 16, "takes images of 1x3x8x8 alone: drop --resolution"),
        ([1, 3, 8, 12], (12, 8), "takes images of 1x3x8x12 alone: drop --resolution"),
    ],
)
def test_sizes_that_nobody_can_know_are_asked_for(shape, resolution, message, tmp_path):
    with pytest.raises(InputError, match=re.escape(message)):
        read_onnx(save(tmp_path / "m.onnx", shape), "onnxruntime", resolution=resolution)


def test_the_model_computes_what_is_expected_of_it(tmp_path):
    file = read_onnx(save(tmp_path / "bytes.onnx", [1, 4, 4, 3], TensorProto.UINT8), "onnxruntime")
    assert file.prepared.images.dtype == np.uint8
    np.testing.assert_array_equal(file.prepared.logits, np.zeros((1, 4, 4, 3), dtype=np.float32))
    ordinary = read_onnx(save(tmp_path / "floats.onnx", [1, 7]), "onnxruntime").prepared
    np.testing.assert_array_equal(ordinary.logits, ordinary.images)
    assert 0 < ordinary.images.min() < ordinary.images.max() < 1


def test_weights_beside_the_file_are_read(tmp_path):
    path = save(tmp_path / "m.onnx", [1, 3, 8, 8], save_as_external_data=True, location="w.bin", size_threshold=0)
    whole = read_onnx(save(tmp_path / "whole.onnx", [1, 3, 8, 8]), "onnxruntime")
    np.testing.assert_array_equal(read_onnx(path, "onnxruntime").prepared.logits, whole.prepared.logits)
    (tmp_path / "w.bin").unlink()
    with pytest.raises(InputError, match=r"m.onnx is no ONNX file that can be read: .*w.bin"):
        read_onnx(path, "onnxruntime")


def test_what_is_no_model_for_the_runtime_is_one_line(tmp_path):
    for name, content, message in (
        ("text", b"hello", "is no ONNX file that can be read"),
        ("empty", b"", "is no ONNX file: it holds no network"),
    ):
        (tmp_path / f"{name}.onnx").write_bytes(content)
        with pytest.raises(InputError, match=f"{name}.onnx {message}"):
            read_onnx(tmp_path / f"{name}.onnx", "onnxruntime")
    with pytest.raises(InputError, match="there is no file .*nowhere.onnx: give the path of an ONNX file"):
        read_onnx(tmp_path / "nowhere.onnx", "onnxruntime")
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(InputError, match="cannot read .*folder.onnx: Is a directory"):
        read_onnx(tmp_path / "folder.onnx", "onnxruntime")
    with pytest.raises(InputError, match=r"has 2 inputs \(images, more1\): only models with one input"):
        read_onnx(save(tmp_path / "two.onnx", [1, 3, 8, 8], inputs=2), "onnxruntime")
    usual = save(tmp_path / "m.onnx", [1, 3, 8, 8])
    with pytest.raises(InputError, match="the runtime torch does not read ONNX files: add --runtime onnxruntime"):
        read_onnx(usual, "torch")
    with pytest.raises(InputError, match="takes uint8 and returns float32: on ssh://pi only float32 can"):
        read_onnx(save(tmp_path / "bytes.onnx", [1, 3, 8, 8], TensorProto.UINT8), "onnxruntime", "ssh://pi")
    model = onnx.load(usual)
    model.graph.node[0].op_type = "Nonsense"
    onnx.save(model, usual)
    with pytest.raises(InputError, match="onnxruntime cannot run .*m.onnx: .*Nonsense"):
        read_onnx(usual, "onnxruntime")


def test_numbers_that_are_none_are_refused(tmp_path):
    graph = helper.make_graph(
        [helper.make_node("Sub", ["images", "two"], ["less"]), helper.make_node("Log", ["less"], ["answer"])],
        "graph",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 2])],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.float32(2), "two")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(InputError, match="returns numbers that are not finite"):
        read_onnx(tmp_path / "m.onnx", "onnxruntime")


def test_measure_takes_files_and_networks_in_one_table(tmp_path):
    path = save(tmp_path / "mine.onnx", ["n", 3, "h", "w"])
    arguments = ["measure", str(path), "mnasnet-small@0.35", str(path), "--resolution", "32", "--format", "json"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    first, network, again = json.loads(result.stdout)
    assert first == again
    assert (first["architecture"], first["id"], first["file"]) == (None, "mine.onnx", str(path))
    assert first["input"] == network["input"] == [1, 3, 32, 32]
    assert first["resolution"] == 32
    assert 0 < first["latency_ci"][0] <= first["latency_ms"] <= first["latency_ci"][1]
    assert first["latency_ms"] < network["latency_ms"]
    assert network["file"] is None
    table = CliRunner().invoke(app, ["measure", str(save(tmp_path / "m.onnx", [1, 3, 9, 8]))]).stdout
    assert re.search(r"^m.onnx +[0-9.]+ +[0-9.]+ to [0-9.]+ ", table, re.MULTILINE)
    assert "images 1x3x9x8" in table


def test_another_file_is_no_network(tmp_path):
    (tmp_path / "weights.pt").touch()
    result = CliRunner().invoke(app, ["measure", str(tmp_path / "weights.pt")])
    assert result.exit_code == 2
    assert "weights.pt is no network: measure takes ONNX files, whose names end in .onnx" in result.stderr
