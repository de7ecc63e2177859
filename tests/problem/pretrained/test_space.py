"""The preset space around a donor, and resolution as a gene."""

from __future__ import annotations

from dataclasses import asdict, replace
from operator import attrgetter

import numpy as np
import pytest
from tiny_problem import TINY as TINY_PROBLEM

from evomnas.algorithms.base import make_algorithm
from evomnas.algorithms.operators import BlockCrossover
from evomnas.algorithms.surrogate.features import NetworkEncoder
from evomnas.core.errors import InputError
from evomnas.problem.architecture import Architecture
from evomnas.problem.counting import count_architecture, smallest_architecture
from evomnas.problem.genes.block_genes import GENES
from evomnas.problem.loading import validate_definition
from evomnas.problem.pretrained.donors import DONORS, find_donor
from evomnas.problem.pretrained.space import space_around
from evomnas.problem.search_space import SearchSpace

SPACE = space_around(find_donor("efficientnet-lite0"), 96)
TINY = SearchSpace(
    filters=(8, 8), layers=(1, 1), strides=(1, 2), stem=8, stem_stride=1, head=8, divisor=4, kernels=(3,),
    se_ratios=(0.0,), skips=("none",), filter_multipliers=(0.5, 1.0), block_ops=(("dconv",), ("mbconv3", "conv")),
    resolutions=(8, 12),
)  # fmt: skip


def every_genome(space: SearchSpace) -> np.ndarray:
    return np.stack(np.meshgrid(*map(np.arange, space.gene_sizes), indexing="ij"), axis=-1).reshape(
        -1, len(space.gene_sizes)
    )


@pytest.mark.parametrize("name", sorted(DONORS))
@pytest.mark.parametrize("resolution", [64, 96, 224])
def test_the_donor_at_the_problem_s_resolution_is_a_point_of_its_space_and_the_reference(name, resolution):
    donor = find_donor(name)
    space = space_around(donor, resolution)
    reference = space.decode(space.reference())
    assert reference == space.reference_network() == replace(donor.architecture, resolution=resolution)
    for chosen in space.resolutions:
        reference.check_resolution(chosen)
    assert all((side % 8 == 0 or side == resolution) and side <= resolution for side in space.resolutions)


def test_a_search_first_tries_the_donor_and_a_shallower_one_at_every_resolution():
    landmarks = [SPACE.decode(genome) for genome in SPACE.landmarks()]
    donor = find_donor("efficientnet-lite0").architecture
    sides = sorted(SPACE.resolutions, reverse=True)
    assert landmarks[:5] == [replace(donor, resolution=side) for side in sides]
    assert [network.resolution for network in landmarks[5:]] == sides
    for network in landmarks[5:]:
        assert [block.layers for block in network.blocks] == [1, 1, 1, 2, 2, 3, 1]
        bare, whole = (  # a single layer has nothing to skip
            [replace(block, layers=1, skip="none") for block in one.blocks] for one in (network, donor)
        )
        assert bare == whole


def test_landmarks_that_a_space_has_no_choice_for_are_left_out():
    space = replace(SPACE, resolutions=(), layer_offsets=(0,))
    assert space.landmarks().tolist() == [space.reference().tolist()]
    lacking = replace(SPACE, block_ops=(("dconv",), *[("mbconv3",)] * 6))
    assert lacking.landmarks().shape == (0, len(lacking.gene_sizes))


@pytest.mark.parametrize("name", ["nsga2-surrogate", "nsga2", "evo-weighted"])
def test_algorithms_begin_with_the_landmarks_and_the_reference_network_is_the_first(name):
    options = {"target_ms": 1.0} if name == "evo-weighted" else {}
    first = [SPACE.decode(genome) for genome in make_algorithm(name, SPACE, 3, options).ask()]
    landmarks = [SPACE.decode(genome) for genome in SPACE.landmarks()]
    assert first[0] == landmarks[0]
    count = min(len(landmarks), len(first) // 2 if name != "nsga2-surrogate" else len(first))
    assert count >= 8
    assert set(landmarks[:count]) <= set(first)


@pytest.mark.parametrize(
    ("resolution", "sizes"),
    [
        ((96, 128), [(48, 64), (64, 85), (72, 96), (80, 107), (96, 128)]),
        ((128, 96), [(64, 48), (85, 64), (96, 72), (107, 80), (128, 96)]),
        ((64, 200), [(32, 100), (40, 125), (48, 150), (56, 175), (64, 200)]),
    ],
)
def test_sizes_of_the_space_have_the_proportions_of_the_problem_s(resolution, sizes):
    space = space_around(find_donor("efficientnet-lite0"), resolution)
    assert list(space.resolutions) == sizes
    values = {**TINY_PROBLEM, "data": {**TINY_PROBLEM["data"], "resolution": resolution}, "space": asdict(space)}
    assert validate_definition(values).space == space  # all of them are allowed
    assert space.reference_network().resolution == resolution


def test_the_space_has_fewer_layers_pixels_expansions_and_filters():
    assert SPACE.resolutions == (48, 64, 72, 80, 96)  # 60 and 84 pixels are rounded to the nearest even multiple of 8
    assert SPACE.choices(4) == (("mbconv3", "mbconv6"), (3, 5), (0.0,), ("identity",), (88, 112), (1, 2, 3, 4))
    assert SPACE.op_choices(0) == ("dconv",)
    assert str(SPACE.decode(np.zeros(len(SPACE.gene_sizes)))).startswith("48px-stem32_s2-dconv_k3_s1_f16_n1-mbconv3")


def test_genomes_and_networks_of_a_space_with_resolutions_go_there_and_back(rng):
    for genome in SPACE.sample(30, rng):
        network = SPACE.decode(genome)
        assert SPACE.decode(SPACE.encode(network)) == network
        assert network.resolution == SPACE.resolutions[genome[-1]]
        assert Architecture.parse(str(network)) == network


def test_a_small_space_is_enumerated_with_every_network_counted_once_and_drawn_alike(rng):
    networks = {TINY.decode(genome) for genome in every_genome(TINY)}
    assert len(networks) == TINY.networks
    drawn = [TINY.decode(TINY.draw(rng)) for _ in range(200 * len(networks))]
    counts = [drawn.count(network) for network in networks]
    assert min(counts) > 130  # of 200: five standard deviations
    for quantity in ("params", "macs"):
        least = min(getattr(count_architecture(network, 3, 1, 12), quantity) for network in networks)
        found = smallest_architecture(TINY, attrgetter(quantity), 3, 1, 12)
        assert getattr(count_architecture(found, 3, 1, 12), quantity) == least
        assert found in networks


def test_neighbours_may_differ_in_resolution_alone():
    reference = TINY.decode(np.array([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]))
    assert replace(reference, resolution=12) in TINY.neighbours(reference)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"traits": find_donor("mobilenet-v2").architecture.traits}, "traits relu6_eps0.00001 differ"),
        ({"resolution": 95}, "resolution 95 is not in this search space, which has 48, "),
        ({"resolution": None}, "resolution None is not in this search space"),
    ],
)
def test_networks_of_another_kind_are_not_in_the_space(changes, message):
    with pytest.raises(InputError, match=message):
        SPACE.encode(replace(SPACE.reference_network(), **changes))


def test_a_space_without_resolutions_has_none_of_them():
    with pytest.raises(InputError, match="resolution 64 is not in this search space, which has none"):
        SearchSpace().encode(replace(SearchSpace().mobilenet_v2(), resolution=64))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"block_ops": (("conv",),)}, "block_ops needs a list for every one of the 7 blocks"),
        ({"block_ops": ((),) * 7}, "block_ops must list at least one choice for every block and none twice"),
        ({"block_ops": (("conv", "conv"),) * 7}, "block_ops must list at least one choice"),
        ({"block_ops": (("pool",),) * 7}, "unknown op 'pool'"),
        ({"resolutions": (64, 64)}, "resolutions must list none twice"),
        ({"resolutions": (0, 64)}, "resolutions must lie between 1 and 4096 pixels"),
    ],
)
def test_wrong_choices_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        SearchSpace(**changes)


def test_the_text_of_a_space_of_older_versions_stays():
    """Tables of layers in the archives of machines are known by it."""
    assert repr(SearchSpace()) == (
        "SearchSpace(filters=(16, 24, 32, 64, 96, 160, 320), layers=(1, 2, 3, 4, 3, 3, 1), strides=(1, 2, 2, 2, 1, 2, "
        "1), stem=32, stem_stride=2, head=1280, width=1.0, divisor=8, ops=('conv', 'dconv', 'mbconv3', 'mbconv6'), "
        "kernels=(3, 5), se_ratios=(0.0, 0.25), skips=('none', 'identity', 'pool'), filter_multipliers=(0.75, 1.0, "
        "1.25), layer_offsets=(-1, 0, 1))"
    )
    assert repr(SPACE) != repr(replace(SPACE, resolutions=(96,)))


def test_crossover_exchanges_the_resolution_as_a_block_of_its_own(rng):
    parents = np.stack([np.zeros((400, 13), int), np.ones((400, 13), int)])
    children = BlockCrossover(len(GENES))._do(None, parents, random_state=rng)
    assert children.shape == parents.shape
    blocks = children[0][:, [0, 6, 12]]
    assert (children[0][:, :6] == blocks[:, :1]).all()
    assert (children[0][:, 6:12] == blocks[:, 1:2]).all()
    assert (blocks.mean(0) > 0.4).all()
    assert (blocks.mean(0) < 0.75).all()
    assert blocks.any(1).all()


def test_predictors_see_the_resolution(rng):
    genomes = SPACE.sample(10, rng)
    half, full = genomes.copy(), genomes.copy()
    half[:, -1], full[:, -1] = 0, len(SPACE.resolutions) - 1
    encoder = NetworkEncoder(SPACE)
    small, large = encoder(half), encoder(full)
    assert set(small.keys).isdisjoint(large.keys)
    assert (small.one_hot != large.one_hot).any(1).all()
    np.testing.assert_allclose(large.sizes[:, 0] - small.sizes[:, 0], 2 * np.log(96 / 48))
    np.testing.assert_array_equal(large.sizes[:, 1:], small.sizes[:, 1:])
