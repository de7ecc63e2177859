"""Traits: their words in a notation, and the values that are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from strategies import traits

from evomnas.core.errors import InputError
from evomnas.problem.architecture import Architecture
from evomnas.problem.pretrained.traits import PLAIN, Traits

PLAIN_NETWORK = "stem8_s2-conv_k3_s1_f8_n1-head16"


@given(traits)
def test_traits_are_read_as_they_are_written(some):
    assert (Traits.parse(str(some)) if str(some) else PLAIN) == some


@pytest.mark.parametrize(
    ("some", "text"),
    [
        (Traits(), ""),
        (Traits("relu6", "same"), "relu6_same"),
        (Traits(padding="same"), "same"),
        (Traits("relu6", epsilon=1e-5), "relu6_eps0.00001"),
        (Traits(epsilon=0.002), "eps0.002"),
    ],
)
def test_only_what_is_not_the_default_is_written(some, text):
    assert str(some) == text
    network = Architecture.parse(PLAIN_NETWORK + (text and f"-{text}"))
    assert network.traits == some
    assert str(network) == PLAIN_NETWORK + (text and f"-{text}")
    assert (network == Architecture.parse(PLAIN_NETWORK)) == (text == "")


def test_a_network_without_traits_has_the_json_of_older_versions():
    assert set(Architecture.parse(PLAIN_NETWORK).to_dict()) == {"stem", "stem_stride", "blocks", "head"}
    assert Architecture.parse(f"{PLAIN_NETWORK}-relu6").to_dict()["traits"] == {
        "activation": "relu6", "padding": "half", "epsilon": 0.001,
    }  # fmt: skip


@pytest.mark.parametrize("part", ["", "relu", "same_relu6", "relu6same", "eps1e-5", "relu6_", "_same", "eps0.001_same"])
def test_other_words_are_refused(part):
    with pytest.raises(InputError, match="cannot read the traits of the architecture: .* is not like relu6_same"):
        Traits.parse(part)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"activation": "swish"}, "unknown activation 'swish': allowed are relu, relu6"),
        ({"padding": "valid"}, "unknown padding 'valid': allowed are half, same"),
        ({"epsilon": 0.0}, "epsilon must lie between 1e-12 and 0.1, got 0.0"),
        ({"epsilon": 1.0}, "epsilon must lie between 1e-12 and 0.1, got 1.0"),
        ({"epsilon": "small"}, "epsilon must be a number"),
    ],
)
def test_other_values_are_refused(values, message):
    with pytest.raises(InputError, match=message):
        Traits(**values)
