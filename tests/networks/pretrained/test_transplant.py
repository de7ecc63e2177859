"""Transplants of real ImageNet weights: the identity and every growth keep the function, and all else is useful.

The donor is EfficientNet-Lite0 from its package, and the oracle timm's network with the same weights.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from evomnas.core.errors import InputError
from evomnas.networks.network import build_network
from evomnas.networks.pretrained.sorting import sort_channels
from evomnas.networks.pretrained.transplant import plant, transplant
from evomnas.networks.pretrained.weights import DonorWeights, load_donor, read_state_dict
from evomnas.problem.architecture import Architecture
from evomnas.problem.pretrained.donors import find_donor
from evomnas.problem.pretrained.files import read_weights
from evomnas.problem.pretrained.space import space_around

FILE = read_weights(find_donor("efficientnet-lite0"))
DONOR = load_donor(FILE)
LITE0 = DONOR.architecture
SPACE = space_around(find_donor("efficientnet-lite0"), 96)
IMAGES = torch.randn(3, 3, 96, 96, generator=torch.Generator().manual_seed(1)).clamp(-1, 1)


def logits(architecture: Architecture, donor: DonorWeights = DONOR) -> torch.Tensor:
    network = build_network(architecture, len(donor.state["classifier.bias"]), seed=5).eval()
    network.load_state_dict(transplant(donor, architecture))
    with torch.inference_mode():
        return network(IMAGES)


def with_block(number: int, architecture: Architecture = LITE0, **changes: object) -> Architecture:
    """An architecture with another block, counted from 1."""
    blocks = list(architecture.blocks)
    blocks[number - 1] = replace(blocks[number - 1], **changes)
    return replace(architecture, blocks=tuple(blocks))


@pytest.fixture(scope="module")
def expected() -> torch.Tensor:
    """What timm's network answers with the weights of the package, which are in the order of its modules."""
    model = timm.create_model("tf_efficientnet_lite0").eval()
    tensors = read_state_dict(FILE.content).values()
    model.load_state_dict(dict(zip(model.state_dict(), tensors, strict=True)))
    with torch.inference_mode():
        return model(IMAGES)


def test_the_donor_s_own_architecture_gets_its_logits(expected):
    assert expected.std() > 0.5
    assert (logits(LITE0) - expected).abs().max() < 1e-4


@pytest.mark.parametrize(
    "larger",
    [
        replace(LITE0, stem=48),
        replace(LITE0, head=1536),
        with_block(1, layers=2, skip="identity"),
        with_block(2, kernel=5),
        with_block(3, kernel=9),
        with_block(3, layers=4),
        with_block(4, filters=104),
        with_block(4, op="mbconv9"),
        with_block(5, se=0.25),
        with_block(7, filters=400, layers=2, skip="identity"),
        with_block(2, with_block(5, filters=300, se=0.5), kernel=7, layers=3, filters=64, op="mbconv7"),
    ],
    ids=str,
)
def test_growth_keeps_the_function(larger, expected):
    assert (logits(larger) - expected).abs().max() < 1e-4


@pytest.mark.parametrize("number", [2, *(pytest.param(one, marks=pytest.mark.thorough) for one in (3, 4, 5, 6)), 7])
def test_what_growth_adds_is_cut_off_again(number, expected):
    """A donor that has grown is one itself: cut down to Lite0, it computes what Lite0 does."""
    block = LITE0.blocks[number - 1]
    grown = with_block(number, kernel=7, layers=block.layers + 1, op="mbconv8", skip="identity")
    state = transplant(DONOR, grown)
    again = transplant(replace(DONOR, architecture=grown, state=state), LITE0)
    for name, value in transplant(DONOR, LITE0).items():
        assert torch.equal(again[name], value), name


def test_fewer_channels_are_the_most_important_ones_and_kernels_the_middle():
    narrow = transplant(DONOR, with_block(3, filters=24, kernel=3, op="mbconv3"))
    theirs = DONOR.state
    project, depthwise = "blocks.2.1.body.6.weight", "blocks.2.1.body.3.weight"
    assert narrow[project].shape == (24, 72, 1, 1)
    assert torch.equal(narrow[project], theirs[project][:24, :72])
    assert torch.equal(narrow[depthwise], theirs[depthwise][:72, :, 1:4, 1:4])
    read = theirs[project].abs().sum((0, 2, 3))
    assert (read[:-1] >= read[1:]).all()


def test_new_layers_learn_though_they_pass_their_input_on():
    """Their last factor is 0, and has a gradient; so has squeeze-and-excite that is the same for all images."""
    network = build_network(with_block(4, with_block(5, se=0.25), layers=4), 1000)
    plant(network, DONOR)
    network(IMAGES).square().sum().backward()
    assert network.blocks[3][3].body[7].weight.abs().max() == 0
    assert network.blocks[3][3].body[7].weight.grad.abs().max() > 0
    gates = [module for module in network.modules() if type(module).__name__ == "SqueezeExcite"]
    assert gates
    assert all(gate.expand.weight.abs().max() == 0 < gate.expand.weight.grad.abs().max() for gate in gates)


def test_a_transplant_is_a_function_of_its_arguments_and_leaves_them_as_they_are():
    smaller = with_block(4, with_block(5, se=0.25), filters=120, layers=2)
    before = {name: value.clone() for name, value in DONOR.state.items()}
    torch.manual_seed(1)
    first = transplant(DONOR, smaller)
    torch.manual_seed(2)
    second = transplant(DONOR, smaller)
    assert first.keys() == build_network(smaller).state_dict().keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    for value in first.values():
        value.zero_()
    assert all(torch.equal(DONOR.state[name], value) for name, value in before.items())


@given(st.data())
@settings(max_examples=5)
def test_every_genome_of_the_donor_s_space_gets_finite_weights_that_tell_images_apart(data):
    genome = np.array([data.draw(st.integers(0, int(size) - 1)) for size in SPACE.gene_sizes])
    network = build_network(SPACE.decode(genome), 5, seed=1).train()
    plant(network, DONOR)
    assert all(torch.isfinite(value).all() for value in network.state_dict().values())
    images = IMAGES[:, :, :64, :64].contiguous()
    with torch.no_grad():
        features = network.flatten(network.pool(network.head(network.blocks(network.stem(images)))))
    assert torch.isfinite(features).all()
    assert features.std(0).max() > 0.05


def test_grey_images_are_answered_as_images_of_equal_colours():
    grey = build_network(LITE0, 4, channels=1, seed=3).eval()
    colour = build_network(LITE0, 4, channels=3, seed=3).eval()
    plant(grey, DONOR)
    plant(colour, DONOR)
    colour.classifier.load_state_dict(grey.classifier.state_dict())
    images = IMAGES[:, :1]
    with torch.inference_mode():
        assert (grey(images) - colour(images.expand(-1, 3, -1, -1))).abs().max() < 1e-4


def test_the_classifier_stays_the_network_s_own():
    network = build_network(LITE0, 4, seed=3)
    own = network.classifier.weight.clone()
    plant(network, DONOR)
    assert torch.equal(network.classifier.weight, own)


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        (with_block(2, op="conv"), r"block 2 \(conv_k3.* has nothing to inherit from the donor's \(mbconv6_k3"),
        (with_block(2, op="dconv"), "block 2 .dconv_k3.* has nothing to inherit"),
        (with_block(1, op="mbconv3"), "block 1 .mbconv3.* has nothing to inherit"),
        (replace(LITE0, blocks=LITE0.blocks[:6]), "the donor has 7 blocks, and the network 6"),
        (Architecture.parse(str(LITE0).removesuffix("_same")), "work with the traits relu6_same, and .* has relu6"),
        (Architecture.parse(str(LITE0).removesuffix("-relu6_same")), "and the network has the default ones"),
    ],
)
def test_what_has_nothing_to_inherit_is_refused(architecture, message):
    with pytest.raises(InputError, match=message):
        transplant(DONOR, architecture)


@pytest.mark.parametrize(
    "notation",
    [
        "stem16_s2-dconv_k3_s1_f16_n2_id-mbconv3_k5_s2_f24_n2_se0.5_id-mbconv6_k3_s1_f24_n2_id-head40",
        "stem8_s1-mbconv3_k3_s2_f16_n3_id-dconv_k5_s1_f24_n2_se0.25_id-head32-relu6_same_eps0.00001",
    ],
)
def test_sorting_keeps_the_function_of_any_network(notation):
    """Streams that run through several blocks, squeeze-and-excite, and depthwise convolutions on their input."""
    architecture = Architecture.parse(notation)
    network = build_network(architecture, 6, seed=2)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.weight, 1.0, generator=torch.Generator().manual_seed(module.num_features))
            torch.nn.init.normal_(module.bias, 0.5, generator=torch.Generator().manual_seed(module.num_features))
            module.momentum = 1.0
    network.train()(IMAGES)
    state = {name: value.clone() for name, value in network.state_dict().items()}
    network.eval()
    with torch.inference_mode():
        before = network(IMAGES)
        changed = sort_channels(architecture, state)
        network.load_state_dict(changed)
        after = network(IMAGES)
    assert before.std() > 0.001
    assert not torch.equal(changed["classifier.weight"], state["classifier.weight"])
    assert (before - after).abs().max() < 1e-4 * max(1.0, float(before.abs().max()))
