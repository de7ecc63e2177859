"""Fake quantization, against the int8 files of the runtimes and against arithmetic by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from evomnas.latency.quantization.litert_int8 import quantize_litert
from evomnas.latency.quantization.onnx_int8 import quantize_onnx
from evomnas.latency.runtimes.base import open_runtime
from evomnas.latency.runtimes.litert_graph import to_litert
from evomnas.latency.runtimes.onnx_graph import to_onnx
from evomnas.networks.network import build_network
from evomnas.problem.architecture import Architecture
from evomnas.results.evaluation import TrainingDiverged
from evomnas.training.quantized.fake_quantization import FakeQuantized, Range, round_weight

NETWORKS = [  # squeeze-and-excite and identity skips; pooling skips, SAME padding and ReLU6; all else
    "stem8_s1-dconv_k3_s1_f8_n1-mbconv3_k3_s2_f12_n2_se0.25_id-head16",
    "stem8_s1-conv_k3_s2_f8_n1-fmbconv3_k3_s1_f12_n2_pool-head16-relu6_same",
    "stem8_s1-fire2_k3_s2_f8_n1-shuffle2_k3_s1_f16_n2-extradw2_k3_s2_f16_n2_id-head16-hswish",
]


def made(notation, images):
    """A network whose batch norm and logits are those of a trained one's size."""
    network = build_network(Architecture.parse(notation), 5, images.shape[1], seed=1)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None
    with torch.no_grad():
        network(images)
    nn.init.normal_(network.classifier.weight, generator=torch.Generator().manual_seed(2))
    return network.eval()


@pytest.fixture(scope="module")
def images():
    return torch.randn(24, 3, 9, 9, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("notation", "runtime_name"), [*((network, "onnxruntime") for network in NETWORKS), (NETWORKS[0], "litert")]
)
def test_a_network_computes_what_its_int8_file_computes(notation, runtime_name, images):
    network, runtime = made(notation, images), open_runtime(runtime_name)
    quantized = FakeQuantized(network)
    quantized.calibrate(images.split(10))
    calibration = [image.numpy() for image in images.split(1)]
    if runtime_name == "onnxruntime":
        model = quantize_onnx(to_onnx(network, images[:1]), calibration)
    else:
        model = quantize_litert(to_litert(network, images[:1], {}), calibration)
    run = runtime.load(model, buffer := np.zeros((1, 3, 9, 9), np.float32), 1)
    logits = []
    for image in images.numpy():
        buffer[0] = image  # the runtime reads its input anew at every run
        logits.append(run()[0].copy())
    with torch.no_grad():
        plain, ours = network(images).numpy(), quantized(images).numpy()
    from_float, from_ours = (np.abs(one - np.stack(logits)).mean() for one in (plain, ours))
    assert from_float < 0.1 * plain.std()
    assert from_ours < 0.6 * from_float


def test_numbers_are_rounded_to_255_steps_of_their_range_which_holds_0():
    x = torch.tensor([-0.6, 0.0, 0.0149, 0.0151, 3.0, 7.65, 9.0], requires_grad=True)
    rounded = Range(1.0, 7.65).round(x)  # from 0 on: steps of 0.03
    torch.testing.assert_close(rounded, torch.tensor([0.0, 0.0, 0.0, 0.03, 3.0, 7.65, 7.65]))
    rounded.sum().backward()
    assert x.grad.tolist() == [0, 1, 1, 1, 1, 1, 0]
    below = Range(-2.55, 0.0).round(torch.tensor([-2.55, -1.004, 0.0, 1.0]))
    torch.testing.assert_close(below, torch.tensor([-2.55, -1.0, 0.0, 0.0]))
    assert Range(0.0, 0.0).round(torch.zeros(2)).tolist() == [0.0, 0.0]


def test_weights_have_127_steps_on_both_sides_for_each_output_channel():
    weight = torch.tensor([[1.27, -0.014, 0.016], [-12.7, 0.14, 0.16], [0.0, 0.0, 0.0]], requires_grad=True)
    rounded = round_weight(weight)
    torch.testing.assert_close(rounded, torch.tensor([[1.27, -0.01, 0.02], [-12.7, 0.1, 0.2], [0.0, 0.0, 0.0]]))
    rounded.sum().backward()
    assert torch.equal(weight.grad, torch.ones(3, 3))


def test_calibration_takes_the_range_of_all_parts_and_leaves_the_network_as_it_is(images):
    network = made(NETWORKS[0], images)
    network.blocks.train()
    state = {name: value.clone() for name, value in network.state_dict().items()}
    quantized = FakeQuantized(network)
    quantized.calibrate(images.split(7))
    assert quantized.ranges[0] == Range(float(images.min()), float(images.max()))
    with torch.no_grad():
        logits = network.eval()(images)
    assert quantized.ranges[-1].low == pytest.approx(float(logits.min()), rel=1e-4)
    assert quantized.ranges[-1].high == pytest.approx(float(logits.max()), rel=1e-4)
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    network.train()
    network.head.eval()
    quantized.calibrate([images])
    assert network.blocks.training
    assert not network.head.training


def test_a_network_whose_values_are_not_finite_ends_its_training(images):
    network = made(NETWORKS[0], images)
    nn.init.constant_(network.classifier.bias, float("inf"))
    with pytest.raises(TrainingDiverged, match="numbers that are not finite for the calibration images"):
        FakeQuantized(network).calibrate([images])


def test_a_step_reaches_every_weight_and_leaves_batch_norm_s_statistics(images):
    network = made(NETWORKS[1], images).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    quantized = FakeQuantized(network)
    quantized.calibrate([images])
    nn.functional.cross_entropy(quantized(images), torch.arange(24) % 5).backward()
    with torch.no_grad():
        for weight in network.parameters():
            assert float(weight.grad.abs().sum()) > 0
            weight -= 0.1 * weight.grad
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {name for name, _ in network.named_parameters()}


def test_what_evomnas_did_not_build_is_computed_in_float_between_its_input_and_output(images):
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GELU(), nn.Flatten(), nn.Linear(196, 2)).eval()

    class Foreign(nn.Module):
        def forward(self, x):
            return network(x)

    quantized = FakeQuantized(Foreign())
    quantized.calibrate([images])
    with torch.no_grad():
        logits = network(quantized.ranges[0].round(images))
        torch.testing.assert_close(quantized(images), quantized.ranges[1].round(logits))
    assert len(quantized.ranges) == 2
