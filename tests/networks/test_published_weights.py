"""Published weights: the same logits as torchvision's and timm's networks, and refusals that name the place."""

from __future__ import annotations

import functools
import warnings

import pytest
import timm
import torch
import torchvision
from torch import nn

from evomnas.core.errors import InputError
from evomnas.latency.runtimes.onnx_graph import to_onnx
from evomnas.networks.network import build_network
from evomnas.networks.published_weights import import_weights
from evomnas.problem.architecture import Architecture
from evomnas.problem.genes.mobilenet_v4 import mobilenet_v4_space
from evomnas.problem.published import published

TORCHVISION = {
    "mnasnet-b1@0.5": "mnasnet0_5",
    "mnasnet-b1@0.75": "mnasnet0_75",
    "mnasnet-b1": "mnasnet1_0",
    "mnasnet-b1@1.3": "mnasnet1_3",
    "mobilenet-v2": "mobilenet_v2",
}
TIMM = {
    "mnasnet-a1": "mnasnet_a1",
    "mnasnet-a1@0.5": "semnasnet_050",
    "mnasnet-a1@0.75": "semnasnet_075",
    "mnasnet-a1@1.4": "semnasnet_140",
    "mnasnet-b1": "mnasnet_100",
    "mnasnet-small": "mnasnet_small",
    "mobilenet-v2": "mobilenetv2_100",
    "mobilenet-v2@0.5": "mobilenetv2_050",
    "mobilenet-v2@1.4": "mobilenetv2_140",
    "mnasnet-b1@1.4": "mnasnet_140",
    **{f"efficientnet-lite{number}": f"tf_efficientnet_lite{number}" for number in range(5)},
    "mobilenet-v4-conv-s": "mobilenetv4_conv_small",
    "mobilenet-v4-conv-m": "mobilenetv4_conv_medium",
}
QUICK = (
    "mnasnet0_5",
    "mobilenet_v2",
    "semnasnet_050",
    "mnasnet_small",
    "mobilenetv2_050",
    "tf_efficientnet_lite0",
    "mobilenetv4_conv_small",
)


@functools.cache
def reference(name: str) -> nn.Module:
    """A network of torchvision or timm with random weights and a random batch's statistics; nothing is downloaded."""
    torch.manual_seed(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # timm renamed mnasnet_a1
        if hasattr(torchvision.models, name):
            model = getattr(torchvision.models, name)(weights=None)
        else:
            model = timm.create_model(name, pretrained=False)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 3.0)  # wide enough for ReLU6 to clip
            nn.init.normal_(module.bias, std=0.5)
            module.momentum = 1.0  # so that one batch makes the running statistics
    model.train()(torch.randn(4, 3, 96, 96))
    return model.eval()


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        pytest.param(name, theirs, marks=() if theirs in QUICK else pytest.mark.thorough)
        for name, theirs in [*TORCHVISION.items(), *TIMM.items()]
    ],
)
def test_imported_weights_compute_the_same_logits(name, theirs):
    model = reference(theirs)
    network = build_network(published(name), seed=3).eval()
    import_weights(network, model.state_dict())
    images = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        expected, logits = model(images), network(images)
    assert expected.std() > 0.1  # else a difference would not show
    assert (logits - expected).abs().max() < 1e-5


def test_weights_of_mobilenet_v4_fit_the_point_of_its_space_and_no_other_network():
    """The point has passes, which have no weights; its blocks are divided in another way."""
    state, point = reference("mobilenetv4_conv_small").state_dict(), mobilenet_v4_space().reference_network()
    network, published_one = build_network(point).eval(), build_network(published("mobilenet-v4-conv-s")).eval()
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    for one in (network, published_one):
        import_weights(one, state)
    with torch.inference_mode():
        assert torch.equal(network(images), published_one(images))
    for change, message in (
        (("mbconv3_k5", "fire4_k5"), r"MobileNetV4 has no such layer as block 15 \(fire4_k5.*\) has"),
        (("mbconv3_k5", "mbconv4_k5"), "weights of another network: blocks.3.3.pw_exp.conv.weight has shape"),
        (("convnext4_k3_s1_f96_n1_id", "convnext4_k3_s1_f96_n1"), "no such layer as block 8"),
    ):
        other = build_network(Architecture.parse(str(point).replace(*change)))
        with pytest.raises(InputError, match=message):
            import_weights(other, state)


@pytest.mark.parametrize("side", [32, 33, *(pytest.param(one, marks=pytest.mark.thorough) for one in (95, 130))])
def test_tensorflow_s_padding_is_exact_at_even_and_odd_sizes(side):
    model = reference("tf_efficientnet_lite0")
    network = build_network(published("efficientnet-lite0")).eval()
    import_weights(network, model.state_dict())
    images = torch.randn(2, 3, side, side + 3, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        expected, logits = model(images), network(images)
    assert expected.std() > 0.1
    assert (logits - expected).abs().max() < 1e-5


@pytest.mark.parametrize(
    "name", ["tf_efficientnet_lite0", pytest.param("tf_efficientnet_lite1", marks=pytest.mark.thorough)]
)
def test_the_names_of_pypi_s_packages_are_read_in_the_order_of_the_modules(name):
    """Their tensors are in the order of timm's; the names are those of the package itself, see test_donors."""
    model = reference(name)
    parts = {
        "conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1", "classifier": "_fc",
    }  # fmt: skip
    first = {"conv_dw": "_depthwise_conv", "bn1": "_bn1", "conv_pw": "_project_conv", "bn2": "_bn2"}
    usual = {
        "conv_pw": "_expand_conv", "bn1": "_bn0", "conv_dw": "_depthwise_conv", "bn2": "_bn1", "conv_pwl":
        "_project_conv", "bn3": "_bn2",
    }  # fmt: skip
    layers = [f"blocks.{block}.{layer}" for block, stage in enumerate(model.blocks) for layer in range(len(stage))]

    def renamed(key: str) -> str:
        if not key.startswith("blocks."):
            module, part = key.split(".")
            return f"{parts[module]}.{part}"
        *layer, module, part = key.split(".")
        number = layers.index(".".join(layer))
        return f"_blocks.{number}.{(usual if number else first)[module]}.{part}"

    network = build_network(published(name.replace("tf_", "").replace("_", "-"))).eval()
    import_weights(network, {renamed(key): value for key, value in model.state_dict().items()})
    images = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        assert (network(images) - model(images)).abs().max() < 1e-5


def test_mobilenet_v2_needs_its_clipped_activations():
    model = reference("mobilenet_v2")
    network = build_network(published("mobilenet-v2")).eval()
    import_weights(network, model.state_dict())
    images = torch.randn(2, 3, 64, 64)
    for index, module in enumerate(network.head):
        if isinstance(module, nn.ReLU6):
            network.head[index] = nn.ReLU()
    with torch.inference_mode():
        assert (network(images) - model(images)).abs().max() > 1e-3


def test_an_imported_network_is_written_to_onnx_with_its_clipped_activations():
    import onnxruntime

    network = build_network(published("mobilenet-v2@0.35")).eval()
    import_weights(network, reference("mobilenetv2_035").state_dict())
    images = torch.randn(1, 3, 64, 64)
    session = onnxruntime.InferenceSession(to_onnx(network, images), providers=["CPUExecutionProvider"])
    with torch.inference_mode():
        expected = network(images)
    torch.testing.assert_close(
        torch.from_numpy(session.run(None, {"image": images.numpy()})[0]), expected, rtol=1e-4, atol=1e-4
    )


@pytest.fixture(scope="module")
def half() -> dict[str, torch.Tensor]:
    return reference("mnasnet0_5").state_dict()


def test_the_network_keeps_its_own_classifier_for_other_classes(half):
    network = build_network(published("mnasnet-b1@0.5"), classes=7, seed=1)
    own = network.classifier.weight.clone()
    with pytest.raises(
        InputError, match=r"classifier.1.weight has shape \(1000, 1280\), the classifier needs \(7, 1280\)"
    ):
        import_weights(network, half)
    import_weights(network, half, classifier=False)
    assert torch.equal(network.classifier.weight, own)
    assert torch.equal(network.stem[0].weight, half["layers.0.weight"])
    headless = {name: value for name, value in half.items() if not name.startswith("classifier")}
    import_weights(network, headless, classifier=False)


def test_weights_without_batch_counts_are_taken(half):
    network = build_network(published("mnasnet-b1@0.5"))
    import_weights(network, {name: value for name, value in half.items() if "num_batches" not in name})
    assert torch.equal(network.stem[0].weight, half["layers.0.weight"])


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        ("mnasnet-b1", r"layers.0.weight has shape \(16, 3, 3, 3\), the stem needs \(32, 3, 3, 3\)"),
        ("mnasnet-a1@0.5", "torchvision's have no squeeze-and-excite, as block 3 .mbconv3_k5_s2_f24_n3_se0.25_id. has"),
        (
            str(published("mnasnet-b1@0.5")).replace("f16_n3_id", "f16_n3"),
            "the skip identity where block 2 .* has none",
        ),
        (str(published("mnasnet-b1@0.5")).replace("f16_n3_id", "f16_n3_pool"), "the skip identity where block 2"),
        ("mobilenet-v2@0.5", r"layers.8.0.layers.0.weight has shape .*, layer 1 of block 2 .* needs"),
    ],
)
def test_weights_of_another_network_are_refused_and_nothing_is_copied(half, architecture, message):
    named = Architecture.parse(architecture) if architecture.startswith("stem") else published(architecture)
    network = build_network(named)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(InputError, match=message):
        import_weights(network, half)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


@pytest.mark.parametrize(
    "spoil",
    [
        lambda value: value.to("meta"),
        lambda value: value.to_sparse(),
        lambda value: value.to(torch.int64),
        lambda value: value.to(torch.complex64),
        lambda value: value.numpy(),
        lambda value: "text",
    ],
)
def test_what_holds_no_numbers_of_the_kind_is_refused_and_nothing_is_copied(half, spoil):
    network = build_network(published("mnasnet-b1@0.5"))
    before = network.stem[0].weight.clone()
    with pytest.raises(InputError, match="classifier.1.weight is not a dense tensor of torch.float32"):
        import_weights(network, half | {"classifier.1.weight": spoil(half["classifier.1.weight"])})
    assert torch.equal(network.stem[0].weight, before)


def test_double_precision_is_converted(half):
    network = build_network(published("mnasnet-b1@0.5"))
    import_weights(network, {name: one.double() if one.is_floating_point() else one for name, one in half.items()})
    assert torch.equal(network.stem[0].weight, half["layers.0.weight"])


def test_another_module_is_refused():
    with pytest.raises(InputError, match="network must be a Network, not a MNASNet"):
        import_weights(torchvision.models.mnasnet0_5(), {})


def test_deeper_and_shallower_networks_are_refused(half):
    text = str(published("mnasnet-b1@0.5"))
    deeper = text.replace("f48_n2", "f48_n3")
    with pytest.raises(InputError, match="there is no layers.11.2.layers.0.weight, and layer 3 of block 5 .* needs"):
        import_weights(build_network(Architecture.parse(deeper)), half)
    shallower = text.replace("f48_n2", "f48_n1")
    with pytest.raises(InputError, match="has no place for layers.11.1.layers.0.weight"):
        import_weights(build_network(Architecture.parse(shallower)), half)
    plain = text.replace("dconv_k3", "conv_k3")
    with pytest.raises(InputError, match="torchvision's have no plain convolutions, as block 1"):
        import_weights(build_network(Architecture.parse(plain)), half)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({}, "none of the layouts .*: it is empty"),
        ({"model": {}}, "its first name is 'model'"),
        ({"conv1.weight": torch.zeros(3)}, "its first name is 'conv1.weight'"),
        ({"features.0.0.weight": torch.zeros(3)}, "none of the layouts"),  # MobileNetV3's and others' first name
        ({"module.layers.14.weight": torch.zeros(3)}, "strip 'module.'"),
        ({"state_dict": {"layers.14.weight": torch.zeros(3)}}, "a checkpoint's state dict is inside it"),
        ([], "state_dict must be a dict"),
        ({"layers.14.weight": 1}, "there is no layers.0.weight, and the stem needs"),
    ],
)
def test_other_layouts_are_refused(weights, message):
    with pytest.raises(InputError, match=message):
        import_weights(build_network(published("mnasnet-b1@0.5")), weights)
