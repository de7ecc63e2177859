"""ncnn's files: what is in them, and what cannot be in them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from evomnas.latency.prepare import prepare
from evomnas.latency.runtimes.base import open_runtime
from evomnas.latency.runtimes.ncnn_graph import UnknownModule, to_ncnn
from evomnas.problem.published import published


@pytest.fixture(scope="module")
def ncnn():
    return open_runtime("ncnn")


def test_a_text_of_layers_counts_them_and_every_value_is_read_once(ncnn):
    model = prepare(ncnn, published("mnasnet-a1"), 5, 3, 32).model
    size, _, content = model.partition(b"\n")
    magic, counts, *layers = content[: int(size)].decode().splitlines()
    assert magic == "7767517"
    rows = [layer.split() for layer in layers]
    read = [value for row in rows for value in row[4 : 4 + int(row[2])]]
    made = [value for row in rows for value in row[4 + int(row[2]) :][: int(row[3])]]
    assert counts == f"{len(layers)} {len(made)}"
    assert sorted([*read, "logits"]) == sorted(made)
    assert {row[0] for row in rows} == {
        "Input", "Convolution", "ConvolutionDepthWise", "Split", "Pooling", "InnerProduct", "BinaryOp", "Noop",
    }  # fmt: skip


def test_what_cannot_be_written_or_read_is_one_line(ncnn, capfd):
    with pytest.raises(UnknownModule, match="Hardswish cannot be written for ncnn"):
        to_ncnn(nn.Hardswish(), torch.zeros(1, 4, 6, 6))
    images = torch.zeros(1, 1, 4, 4).numpy()
    with pytest.raises(RuntimeError, match="ncnn cannot load this network"):
        ncnn.load(b"5\nhello", images, 1)
    assert not capfd.readouterr().err
