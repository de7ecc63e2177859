"""Networks that inherit from trained ones: what grows computes the same, and what has nothing to inherit is new."""

from __future__ import annotations

import pytest
import torch

from evomnas.core.errors import InputError
from evomnas.networks.channels import ChannelSelection
from evomnas.networks.network import Network, build_network
from evomnas.networks.pretrained.descent import begin_with, pack_weights
from evomnas.networks.pretrained.parts import name_parts
from evomnas.networks.pretrained.transplant import descend
from evomnas.problem.architecture import Architecture
from evomnas.problem.pretrained.ancestor import Ancestor

IMAGES = torch.randn(5, 2, 8, 8, generator=torch.Generator().manual_seed(1))
OPS = (
    "conv_k3", "dconv_k5", "mbconv3_k3", "fmbconv2_k3", "extradw2_k3", "convnext2_k5", "ffn2_k1", "uib2a3_k5",
    "shuffle2_k3", "fire4_k3", "condense2_k3",
)  # fmt: skip


def network_of(blocks: str, seed: int) -> Network:
    return build_network(Architecture.parse(f"stem8_s1-{blocks}-head12"), 3, 2, seed=seed)


def trained(blocks: str) -> Network:
    """A network whose weights, factors and statistics are none that a new network has."""
    network, generator = network_of(blocks, 3), torch.Generator().manual_seed(4)
    for module in network.modules():
        if isinstance(module, ChannelSelection):
            module.index.copy_(torch.randperm(len(module.index), generator=generator))
        elif isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.weight, 1.0, 0.3, generator=generator)
            torch.nn.init.normal_(module.bias, 0.2, 0.3, generator=generator)
            module.momentum = 1.0
    with torch.no_grad():
        network.classifier.weight.normal_(generator=generator)
        network(IMAGES)
    return network.eval()


def logits_after(parent: Network, blocks: str) -> torch.Tensor:
    child = network_of(blocks, 8)
    descend(child, parent.architecture, parent.state_dict())
    with torch.inference_mode():
        return child.eval()(IMAGES)


def is_kept(blocks: str, grown: str) -> bool:
    parent = trained(blocks)
    with torch.inference_mode():
        expected = parent(IMAGES)
    assert expected.std(0).min() > 0.01 * expected.abs().max()  # it tells images apart
    return bool((logits_after(parent, grown) - expected).abs().max() < 1e-4 * expected.abs().max())


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("gate", ["", "_se0.5"])
def test_a_network_like_its_parent_gets_its_logits_whatever_the_operation(op, gate):
    blocks = f"{op}_s2_f8_n2{gate}_id-{op}_s1_f12_n1{gate}"
    assert is_kept(blocks, blocks)


@pytest.mark.parametrize("op", OPS)
def test_more_layers_and_a_new_gate_keep_the_function_of_every_operation(op):
    blocks = f"{op}_s1_f8_n1_id-conv_k1_s2_f8_n1"
    assert is_kept(blocks, f"{op}_s1_f8_n3_id-conv_k1_s2_f8_n1")
    assert is_kept(blocks, f"{op}_s1_f8_n1_se0.25_id-conv_k1_s2_f8_n1")


@pytest.mark.parametrize(
    ("op", "wider"),
    [
        ("mbconv3_k3", "mbconv6_k5"), ("fmbconv2_k3", "fmbconv3_k5"), ("extradw2_k3", "uib3a5_k3"),
        ("convnext2_k3", "convnext4_k5"), ("ffn2_k1", "ffn3_k1"), ("ffn2_k1", "fmbconv2_k3"), ("conv_k3", "conv_k7"),
        ("shuffle2_k3", "shuffle2_k5"), ("fire4_k3", "fire4_k5"), ("fire4_k3", "fire2_k3"),
        ("condense2_k3", "condense2_k5"),
    ],
)  # fmt: skip
def test_larger_kernels_and_expansions_keep_the_function(op, wider):
    assert is_kept(f"{op}_s1_f8_n2_id-conv_k1_s2_f8_n1", f"{wider}_s1_f8_n2_id-conv_k1_s2_f8_n1")


@pytest.mark.parametrize("op", ["conv_k3", "mbconv3_k3", "fmbconv2_k3", "uib2a3_k5", "ffn2_k1"])
def test_more_filters_keep_the_function_of_plain_and_depthwise_convolutions(op):
    blocks = "{op}_s2_f{filters}_n2_id-mbconv3_k3_s1_f8_n1"
    assert is_kept(blocks.format(op=op, filters=8), blocks.format(op=op, filters=12))


@pytest.mark.parametrize(
    ("blocks", "changed", "block"),
    [
        ("mbconv3_k3_s2_f8_n1", "conv_k3_s2_f8_n1", 0),
        ("shuffle2_k3_s1_f8_n1-conv_k1_s1_f8_n1", "shuffle2_k3_s1_f12_n1-conv_k1_s1_f8_n1", 0),
        ("condense2_k3_s1_f8_n1-conv_k1_s1_f8_n1", "condense4_k3_s1_f8_n1-conv_k1_s1_f8_n1", 0),
        ("fire4_k3_s1_f8_n1-conv_k1_s1_f8_n1", "fire4_k3_s1_f12_n1-conv_k1_s1_f8_n1", 0),
        ("mbconv3_k3_s1_f8_n1-ffn2_k1_s1_f8_n1", "mbconv3_k3_s1_f8_n1-convnext2_k3_s1_f8_n1", 1),
    ],
)
def test_a_layer_that_has_nothing_to_inherit_keeps_its_own_weights_and_the_others_inherit(blocks, changed, block):
    parent, child = trained(blocks), network_of(changed, 8)
    own = {name: value.clone() for name, value in child.state_dict().items()}
    descend(child, parent.architecture, parent.state_dict())
    state, inherited = child.state_dict(), parent.state_dict()
    for layer in name_parts(child.architecture).layers:
        for convolution, _ in layer.convolutions:
            is_own = torch.equal(state[f"{convolution}.weight"], own[f"{convolution}.weight"])
            assert is_own == (layer.block_number == block), convolution
    assert torch.equal(state["stem.0.weight"], inherited["stem.0.weight"])
    assert torch.equal(state["classifier.weight"], inherited["classifier.weight"])


def test_a_new_operation_with_a_skip_begins_as_no_layer_at_all():
    """What is left is what a network computes from which the layer was dropped."""
    parent = trained("mbconv3_k3_s2_f8_n1-mbconv3_k3_s1_f8_n1_id")
    without = logits_after(parent, "mbconv3_k3_s2_f8_n1-pass_k1_s1_f8_n1")
    for changed in ("fire4_k3_s1_f8_n1_id", "shuffle2_k3_s1_f8_n1_id", "conv_k3_s1_f8_n2_id"):
        assert torch.allclose(logits_after(parent, f"mbconv3_k3_s2_f8_n1-{changed}"), without, rtol=1e-5)


def test_weights_travel_as_a_file_that_holds_those_of_every_training():
    networks = [network_of("mbconv3_k3_s1_f8_n1", seed) for seed in (1, 2)]
    content = pack_weights(networks)
    assert content == pack_weights(networks)
    child = network_of("mbconv3_k3_s1_f8_n1", 3)
    begin_with(child, Ancestor(networks[1].architecture, content), 1)
    assert all(torch.equal(value, networks[1].state_dict()[name]) for name, value in child.state_dict().items())
    with pytest.raises(InputError, match="cannot read a file of weights"):
        begin_with(child, Ancestor(networks[1].architecture, content[:100]), 1)
