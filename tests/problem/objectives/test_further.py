"""Objectives beside error and latency: their names, values, and places in a problem."""

from __future__ import annotations

import pytest

from evomnas.core.errors import InputError
from evomnas.problem.counting import count_architecture
from evomnas.problem.loading import load_definition, validate_definition
from evomnas.problem.memory.file_size import RULES, file_kb
from evomnas.problem.memory.peak import peak_kb
from evomnas.problem.objectives.further import FURTHER

SHAPE = {"classes": 10, "channels": 1, "resolution": 16}
ALL = ["error", "latency_ms", *FURTHER]


def test_values_follow_from_the_architecture(tiny_values):
    problem = validate_definition(tiny_values | {"objectives": ALL})
    network = problem.space.reference_network()
    counts = count_architecture(network, **SHAPE)
    expected = {
        "params": counts.params, "macs": counts.macs, "peak_kb": peak_kb(network, "float", **SHAPE),
        "file_kb": file_kb(network, RULES["onnxruntime"]["float"], **SHAPE),
    }  # fmt: skip
    assert dict(zip(FURTHER, problem.further_values(network, SHAPE), strict=True)) == expected
    assert [axis.name for axis in problem.further] == list(FURTHER)


def test_two_objectives_are_the_usual_ones_and_have_nothing_further(tiny):
    assert tiny.objectives == ("error", "latency_ms")
    assert tiny.further == tiny.further_values(tiny.space.reference_network(), SHAPE) == ()
    assert tiny.reference_point == tiny.hypervolume.reference_point


def test_the_reference_point_names_further_objectives_or_counts_twice_the_reference_network():
    definition = load_definition("digits", ['objectives=["error", "latency_ms", "params", "macs"]'])
    assert definition.reference_point[2:] == (2.0, 2.0)
    named = load_definition("digits", [f"objectives={ALL[:3]}", "hypervolume.reference_point=[0.5, 3.0, 1.5]"])
    assert named.reference_point == (0.5, 3.0, 1.5)


@pytest.mark.parametrize(
    ("objectives", "message"),
    [
        (["error", "latency_ms", "parms"], "unknown objective 'parms': there are .*; did you mean params?"),
        (["error", "params", "latency_ms"], "the first two are always error and latency_ms"),
        (["params"], "the first two are always error and latency_ms"),
        (["error", "latency_ms", "macs", "macs"], "macs is named twice"),
    ],
)
def test_objectives_that_make_no_sense_are_refused(objectives, message, tiny_values):
    with pytest.raises(InputError, match=message):
        validate_definition(tiny_values | {"objectives": objectives})


def test_a_reference_point_of_too_many_values_is_refused(tiny_values):
    with pytest.raises(InputError, match="reference_point has 3 values, and there are 2 objectives"):
        validate_definition(tiny_values | {"hypervolume": {"reference_point": [1.0, 2.0, 3.0]}})
