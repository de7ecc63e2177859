"""LiteRT files that are written operation by operation: what is in them, and that they compute what PyTorch does."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from evomnas.latency.prepare import prepare
from evomnas.latency.runtimes.base import check_output, open_runtime
from evomnas.latency.runtimes.litert_graph import UnknownModule, read_metadata, to_litert
from evomnas.networks.classifier import Classifier
from evomnas.networks.network import build_network, clip_activations
from evomnas.problem.published import published


@pytest.fixture(scope="module")
def litert():
    return open_runtime("litert")


def run(litert, module, images):
    """The output of a file for images, and PyTorch's."""
    with torch.no_grad():
        expected = module.eval()(images)
    return litert.load(to_litert(module, images), images.numpy(), 1)(), expected.numpy()


def content(model):
    return schema.ModelT.InitFromPackedBuf(model, 0)


def operations(model):
    names = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
    parsed = content(model)
    codes = [names[code.builtinCode] for code in parsed.operatorCodes]
    return [codes[operator.opcodeIndex] for operator in parsed.subgraphs[0].operators]


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.ReLU6()])
def test_activations_are_part_of_the_convolution_and_stand_alone_elsewhere(litert, activation):
    images = 20 * torch.randn(1, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    alone = nn.Sequential(activation, nn.Conv2d(3, 3, 1))
    fused = nn.Sequential(nn.Conv2d(3, 3, 1), activation)
    for module in (alone, fused):
        found, expected = run(litert, module, images)
        np.testing.assert_allclose(found, expected, atol=1e-4)
    assert operations(to_litert(fused, images)) == ["CONV_2D"]
    assert operations(to_litert(alone, images)) == [type(activation).__name__.upper(), "CONV_2D"]


@pytest.mark.parametrize("channels", [1, 3])
def test_a_classifier_takes_pixels_and_its_file_keeps_texts(litert, channels):
    network = build_network(published("mnasnet-small"), 7, channels).eval()
    clip_activations(network)
    classifier = Classifier(network, [100.0] * channels, [50.0] * channels, list("abcdefg"), 32).eval()
    pixels = torch.randint(256, (1, channels, 32, 32), generator=torch.Generator().manual_seed(0)).float()
    found, expected = run(litert, classifier, pixels)
    check_output("litert", found, expected)
    model = to_litert(classifier, pixels, {"classes": '["ä", "犬"]', "empty": ""})
    assert read_metadata(model) == {"classes": '["ä", "犬"]', "empty": ""}


@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"]))
    )
)
@settings(max_examples=30)
def test_any_text_comes_back(texts):
    assert read_metadata(to_litert(nn.Conv2d(1, 1, 1), torch.zeros(1, 1, 1, 1), texts)) == texts


def test_files_have_one_graph_with_named_ends_a_signature_and_no_batch_norm(litert):
    prepared = prepare(litert, published("mnasnet-a1"), 5, 3, 32)
    parsed = content(prepared.model)
    [graph] = parsed.subgraphs
    assert [graph.tensors[place].name for place in (*graph.inputs, *graph.outputs)] == [b"image", b"logits"]
    assert list(graph.tensors[graph.inputs[0]].shape) == [1, 32, 32, 3]
    assert prepared.model[4:8] == b"TFL3"
    signatures = Interpreter(model_content=prepared.model).get_signature_list()
    assert signatures == {"serving_default": {"inputs": ["image"], "outputs": ["logits"]}}
    assert set(operations(prepared.model)) == {
        "CONV_2D", "DEPTHWISE_CONV_2D", "PAD", "ADD", "MEAN", "LOGISTIC", "MUL", "RESHAPE", "FULLY_CONNECTED",
    }  # fmt: skip


def test_tensorflow_s_padding_is_the_operation_s_own(litert):
    prepared = prepare(litert, published("efficientnet-lite0"), 5, 3, 64)
    assert "PAD" not in operations(prepared.model)
    check_output("litert", litert.load(prepared.model, prepared.images, 1)(), prepared.logits)


@pytest.mark.parametrize(
    "module",
    [nn.Softplus(), nn.ConvTranspose2d(4, 4, 1), nn.LayerNorm(6), nn.Flatten()],
)
def test_what_cannot_be_written_is_named(module):
    with pytest.raises(UnknownModule, match=r"LiteRT"):
        to_litert(module, torch.zeros(1, 4, 6, 6))
