"""Values as they are typed behind a key."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from evomnas.problem.typed.settings import parse_value
from evomnas.report.reproduce import format_value, option_arguments

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
scalars = st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=12
)


@given(values)
@example("5")
@example("'")
@example("true")
@example("a # b")
@example("1\nother = 2")
@example("\x7f")
@example("2026-01-01")
@example(float("-inf"))
@example(1e300)
@example({"": {"a b": ["\r\n"]}})
def test_a_formatted_value_is_read_as_the_same_value(value):
    read = parse_value(format_value(value))
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize("value", [None, [None], {"a": None}, object()])
def test_a_value_that_cannot_be_typed_is_refused(value):
    with pytest.raises(ValueError, match="TOML has no word for"):
        option_arguments("depth", value)


@pytest.mark.parametrize(
    ("name", "value", "arguments"),
    [
        ("population", 20, ["--population", "20"]),
        ("population", 0.5, ["--option", "population=0.5"]),
        ("population", True, ["--option", "population=true"]),
        ("population", "20", ["--option", 'population="20"']),
        ("alpha", 0, ["--alpha", "0"]),
        ("alpha", [0.0], ["--option", "alpha=[0.0]"]),
        ("target_ms", 0.5, ["--target-ms", "0.5"]),
        ("target_ms", [0.5, 1], ["--target-ms", "0.5,1"]),
        ("target_ms", [0.5], ["--option", "target_ms=[0.5]"]),
        ("target_ms", [0.5, "x"], ["--option", 'target_ms=[0.5, "x"]']),
        ("target_ms", [], ["--option", "target_ms=[]"]),
        ("depth", 3, ["--option", "depth=3"]),
        ("mode", "fast", ["--option", "mode=fast"]),
        ("reward", "hard", ["--option", "reward=hard"]),
    ],
)
def test_an_option_is_typed_by_its_flag_where_that_reads_the_value(name, value, arguments):
    assert option_arguments(name, value) == arguments
