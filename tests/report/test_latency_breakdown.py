"""Latency by part: a fit recovers the coefficients that latencies were computed from, and else gives no answer."""

from __future__ import annotations

import numpy as np
import pytest

from evomnas.problem.counting import count_parts
from evomnas.problem.published import published
from evomnas.report.latency_breakdown import MIN_NETWORKS, fit_breakdown, part_features

SHAPE = {"classes": 10, "channels": 1, "resolution": 8}
TRUE = np.array([3e-6, 9e-6, 1e-7, 0.01, 0.02])  # ms per dense MAC, depthwise MAC, weight, layer, SE


@pytest.fixture(scope="module")
def networks(tiny):
    rng = np.random.default_rng(5)
    return list(dict.fromkeys(tiny.space.decode(genome) for genome in tiny.space.sample(80, rng)))


def latency(network) -> float:
    return float((part_features(network, count_parts(network, **SHAPE)) @ TRUE).sum())


def test_it_finds_what_latencies_are_made_of(networks):
    breakdown = fit_breakdown(networks, [latency(network) for network in networks], SHAPE)
    assert breakdown is not None
    assert breakdown.error < 1e-6
    for network in networks[:10]:
        parts = count_parts(network, **SHAPE)
        assert breakdown.parts_ms(network, parts) == pytest.approx(part_features(network, parts) @ TRUE)
        assert breakdown.parts_ms(network, parts).sum() == pytest.approx(latency(network))


def test_noise_shows_in_its_error_and_no_part_takes_less_than_nothing(networks):
    rng = np.random.default_rng(6)
    breakdown = fit_breakdown(
        networks, [latency(network) * float(rng.lognormal(0, 0.05)) for network in networks], SHAPE
    )
    assert breakdown is not None
    assert 0.02 < breakdown.error < 0.1
    assert breakdown.coefficients.min() >= 0


def test_what_it_cannot_explain_it_does_not_explain(networks):
    rng = np.random.default_rng(7)
    assert fit_breakdown(networks, rng.lognormal(0, 1, len(networks)).tolist(), SHAPE) is None


def test_few_networks_say_nothing(networks):
    few = networks[: MIN_NETWORKS - 1]
    assert fit_breakdown(few, [latency(network) for network in few], SHAPE) is None


def test_features_of_a_published_network_add_up_to_its_published_counts():
    """MnasNet-A1: 311.3 M MACs and 3,887,038 parameters; 16 layers in its blocks, 8 of them with SE."""
    network = published("mnasnet-a1")
    parts = count_parts(network, classes=1000, channels=3, resolution=224)
    dense, depthwise, weights, layers, gates = part_features(network, parts).sum(axis=0)
    assert (dense + depthwise) / 1e6 == pytest.approx(311.3, abs=0.1)
    assert weights == 3_887_038
    assert (layers, gates) == (16 + 3, 8)
    by_hand = 32 * 9 * 112**2  # the depthwise convolution of the first block, SepConv 3x3 on 32 channels
    assert part_features(network, parts)[1, 1] == by_hand
