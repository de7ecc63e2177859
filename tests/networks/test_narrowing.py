"""Networks with fewer channels compute what the whole ones compute where the dropped channels are 0."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from evomnas.core.errors import InputError
from evomnas.networks.narrowing import narrow_architecture, narrow_network
from evomnas.networks.network import Network, SqueezeExcite, build_network
from evomnas.problem.architecture import Architecture

NETWORKS = {  # by what is in them: each and the same with 60 % of its filters, a multiple of 4 from 8 on
    "identity skips over blocks, squeeze-and-excite, a plain convolution": (
        "stem12_s1-dconv_k3_s1_f12_n1_id-mbconv3_k3_s2_f16_n2_se0.25_id-conv_k3_s1_f16_n1_se0.5_id-head32",
        "stem8_s1-dconv_k3_s1_f8_n1_id-mbconv3_k3_s2_f8_n2_se0.25_id-conv_k3_s1_f8_n1_se0.5_id-head20",
    ),
    "pooling skips that add channels and one that cuts them": (
        "stem12_s1-conv_k3_s2_f12_n2_pool-fmbconv2_k3_s1_f16_n1_pool-extradw2_k5_s2_f24_n2_pool-pass_k1_s1_f20_n1-head20-relu6_same",
        "stem8_s1-conv_k3_s2_f8_n2_pool-fmbconv2_k3_s1_f12_n1_pool-extradw2_k5_s2_f16_n2_pool-pass_k1_s1_f12_n1-head12-relu6_same",
    ),
    "the other universal bottlenecks and a late head": (
        "stem8_s1-uib2a5_k3_s1_f12_n2_id-convnext2_k3_s2_f16_n1-ffn2_k1_s2_f8_n2_id-head32-hswish_late",
        "stem4_s1-uib2a5_k3_s1_f8_n2_id-convnext2_k3_s2_f8_n1-ffn2_k1_s2_f4_n2_id-head20-hswish_late",
    ),
}


@pytest.fixture(scope="module")
def images():
    return torch.randn(6, 3, 9, 9, generator=torch.Generator().manual_seed(0))


def made(notation, images):
    """A network with statistics of a trained one's size, and logits that differ by image."""
    network, generator = build_network(Architecture.parse(notation), 5, 3, seed=1), torch.Generator().manual_seed(3)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
            nn.init.uniform_(module.weight, 0.5, 1.5, generator=generator)
            nn.init.uniform_(module.bias, -0.5, 0.5, generator=generator)
    nn.init.normal_(network.classifier.weight, generator=generator)
    with torch.no_grad():
        network(images)
    return network.eval()


@pytest.mark.parametrize("name", NETWORKS)
def test_dropping_nothing_gives_the_same_network_in_another_order(name, images):
    network = made(NETWORKS[name][0], images)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    same = narrow_network(network, 1e-9, images.split(4))
    assert same.architecture == network.architecture
    torch.testing.assert_close(same(images), network(images), rtol=1e-4, atol=1e-5)
    assert not torch.equal(same.head[0].weight, network.head[0].weight)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not any(module._forward_pre_hooks for module in network.modules())


def silence(network, kept):
    """Let the last channels be 0 everywhere: those behind the stem, each block and the head, and those inside layers.

    A network with `kept` architecture has so many channels at each place.
    """
    smaller = Network(kept, 5, 3, 0.0, 0.1)
    for ours, theirs in zip(network.modules(), smaller.modules(), strict=True):
        if isinstance(ours, nn.BatchNorm2d):
            ours.weight.data[theirs.num_features :] = 0
            ours.bias.data[theirs.num_features :] = 0
        if isinstance(ours, SqueezeExcite):
            count = theirs.reduce.out_channels
            ours.reduce.weight.data[count:], ours.reduce.bias.data[count:] = 0, 0
    network.head[0].weight.data[:, kept.blocks[-1].filters :] = 0  # a skip that cuts channels fills more than are kept


@pytest.mark.parametrize("name", NETWORKS)
def test_channels_that_are_0_are_dropped_first_and_without_any_change(name, images):
    notation, expected = NETWORKS[name]
    kept = narrow_architecture(Architecture.parse(notation), 0.4)
    assert str(kept) == expected
    network = made(notation, images)
    silence(network, kept)
    small = narrow_network(network, 0.4, images.split(4))
    assert small.architecture == kept
    assert {name: value.shape for name, value in small.state_dict().items()} == {
        name: value.shape for name, value in build_network(kept, 5, 3).state_dict().items()
    }
    torch.testing.assert_close(small(images), network(images), rtol=1e-4, atol=1e-5)
    assert not small.training


def test_a_channel_matters_by_its_values_times_the_weights_that_read_it(images):
    network = made("stem4_s1-conv_k1_s1_f6_n1-head8", images)
    head, norm = network.head[0].weight.data, network.blocks[0][0].body[1]
    head.fill_(1.0)
    norm.bias.data[:] = torch.tensor([3.0, 2.0, 1.0, 4.0, 0.5, 0.1])  # large values are large in all images
    norm.weight.data.fill_(0.01)
    head[:, 5] = 100.0
    small = narrow_network(network, 0.5, [images])  # by values alone 0, 1 and 3 would stay
    torch.testing.assert_close(small.blocks[0][0].body[1].bias.data, torch.tensor([0.1, 4.0, 3.0]))


def test_a_narrow_network_has_no_skip_that_the_wide_one_lacks():
    wide = Architecture.parse("stem8_s1-conv_k3_s1_f5_n2_id-conv_k3_s1_f6_n2_id-conv_k3_s1_f6_n1_id-head8")
    narrow = narrow_architecture(wide, 0.7)
    assert str(narrow) == "stem4_s1-conv_k3_s1_f2_n2_id-conv_k3_s1_f3_n2_id-conv_k3_s1_f3_n1_id-head4"
    for one in (wide, narrow):
        layers = [layer for block in Network(one, 5, 3, 0.0, 0.1).blocks for layer in block]
        assert [layer.skip is not None for layer in layers] == [False, True, False, True, True]


@pytest.mark.parametrize("op", ["shuffle2", "fire2", "condense4"])
def test_channels_in_groups_are_not_dropped(op):
    network = Architecture.parse(f"stem16_s1-mbconv2_k3_s1_f16_n1-{op}_k3_s2_f32_n1-head8")
    with pytest.raises(InputError, match=rf"--prune-channels cannot drop channels of {op} in block 2: it groups them"):
        narrow_architecture(network, 0.5)
