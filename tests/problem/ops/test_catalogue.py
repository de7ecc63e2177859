"""Operations by name: what there is, what is refused, and an operation of another package."""

from __future__ import annotations

import sys

import pytest

from evomnas.core.errors import InputError
from evomnas.problem.architecture import Architecture, Block
from evomnas.problem.counting import count_architecture
from evomnas.problem.ops.catalogue import operation
from evomnas.problem.search_space import SearchSpace

PLUG_IN = '''
from evomnas.problem.ops.base import Concatenation, Convolution, Gate, Operation, Shuffle


class Bottleneck(Operation):
    """A bottleneck: 1x1 to a half of the output, kxk, 1x1."""

    def __init__(self, number=None):
        self.name, self.label = "neck", "Neck"

    def steps(self, layer):
        inner = -(-layer.filters // 2)
        gate = [Gate(inner)] if layer.gated else []
        return [
            Convolution(layer.in_filters, inner, 1), Convolution(inner, inner, layer.kernel, layer.stride), *gate,
            Convolution(inner, layer.filters, 1, active=False),
        ]


class Leaky(Bottleneck):
    def __init__(self, number=None):
        self.name, self.label = "leaky", "Leaky"

    def steps(self, layer):
        return super().steps(layer)[:-1]


class Blind(Bottleneck):
    def __init__(self, number=None):
        self.name, self.label = "blind", "Blind"

    def steps(self, layer):
        return super().steps(layer._replace(kernel=3))


class Stranger(Bottleneck):
    """Calls itself neck."""


class Torn(Bottleneck):
    def __init__(self, number=None):
        self.name, self.label = "torn", "Torn"

    def steps(self, layer):
        branch = (Convolution(layer.in_filters, layer.filters, layer.kernel, layer.stride),)
        return [Concatenation((branch, (Convolution(layer.in_filters, 1, 1, 3),)))]


class Mixed(Bottleneck):
    def __init__(self, number=None):
        self.name, self.label = "mixed", "Mixed"

    def steps(self, layer):
        return [Shuffle(layer.in_filters, 5), *super().steps(layer)]


class Odd(Bottleneck):
    def __init__(self, number=None):
        self.name, self.label = "odd", "Odd"

    def steps(self, layer):
        return [*super().steps(layer), "relu"]
'''


@pytest.fixture
def plug_in(tmp_path, monkeypatch):
    """Operations of a distribution that is installed for the test."""
    (tmp_path / "peer_ops.py").write_text(PLUG_IN)
    information = tmp_path / "peer_ops-1.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: peer-ops\nVersion: 1\n")
    kinds = ("Leaky", "Blind", "Stranger", "Odd", "Torn", "Mixed")
    names = {"neck": "Bottleneck", **{kind.lower(): kind for kind in kinds}}
    lines = "".join(f"{name} = peer_ops:{kind}\n" for name, kind in names.items())
    (information / "entry_points.txt").write_text(f"[evomnas.ops]\n{lines}")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    operation.cache_clear()
    sys.modules.pop("peer_ops", None)


def test_an_expansion_by_one_is_none():
    assert operation("mbconv1") is operation("dconv")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "conv3",
        "dconv2",
        "mbconv",
        "mbconv0",
        "mbconv01",
        "mbconv100",
        "fmbconv",
        "extradw",
        "Conv",
        "a_b",
        "uib4",
        "uib4a2",
        "uiba3",
        "mbconv4a3",
        "shuffle",
        "shuffle1",
        "pass2",
        "mbconv6a",
    ],
)
def test_what_is_no_operation_is_refused_with_what_there_is(name):
    numbered = "mbconvN, fmbconvN, extradwN, convnextN, ffnN, uibNaK, shuffleN, fireN, condenseN"
    allowed = rf"allowed are conv, dconv, pass, {numbered} \(N up to 99, K odd\)$"
    with pytest.raises(InputError, match=rf"unknown op '{name}': {allowed}"):
        operation(name)


def test_an_operation_of_another_package_joins_by_an_entry_point(plug_in):
    network = Architecture.parse("stem8_s2-neck_k3_s2_f16_n2_se0.25_id-head32")
    assert Architecture.parse(str(network)) == network
    inner, first, second = 8, 8, 16
    # two layers: 1x1, 3x3, gate with a quarter of the layer's input inside, 1x1; a batch norm has two numbers
    layers = [
        inputs * inner + 9 * inner * inner + inner * 16 + 2 * (inner + inner + 16)
        + 2 * inner * (inputs // 4) + inputs // 4 + inner
        for inputs in (first, second)
    ]  # fmt: skip
    ends = 27 * 8 + 16 + 16 * 32 + 64 + 32 * 10 + 10
    assert count_architecture(network, 10, 3, 32).params == sum(layers) + ends
    space = SearchSpace(filters=(8,), layers=(1,), strides=(1,), stem=8, head=8, ops=("neck", "conv"))
    assert Block("neck", 3, 1, 8, 1).op in {block.op for block, _ in space.distinct_blocks(0, 8)}
    with pytest.raises(
        InputError, match="unknown op 'nek': allowed are conv, .*, blind, leaky, mixed, neck, odd, stranger, torn"
    ):
        operation("nek")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("leaky", "the op leaky is faulty: its steps end in 8 channels, have stride 1 and 0 gates, for LayerShape"),
        ("blind", "the op blind is faulty: it does not depend on the kernel size"),
        ("stranger", "the op stranger calls itself 'neck': its name must be stranger"),
        ("torn", "the op torn is faulty: a branch of step 1: its stride is not that of the others"),
        ("mixed", "the op mixed is faulty: step 1 orders 1 channels in 5 groups, not 1"),
        ("odd", "the op odd is faulty: step 4 is a str, which is no step"),
    ],
)
def test_a_faulty_operation_is_refused_before_any_network_has_it(plug_in, name, message):
    with pytest.raises(InputError, match=message):
        Block(name, 3, 1, 8, 1)
