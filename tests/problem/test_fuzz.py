"""Problem files of any structure: each is either a problem or one clear line, and never a traceback.

The thorough part tries ten times as many.
"""

from __future__ import annotations

import contextlib
import copy
import datetime
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evomnas.core.errors import InputError
from evomnas.problem.definition import Definition, TableDefinition
from evomnas.problem.loading import load_definition, validate_definition

IMAGES = load_definition("digits").model_dump(mode="json")
TABULAR = load_definition("nas-bench-macro").model_dump(mode="json")
BOTH = [IMAGES, TABULAR, IMAGES | {"table": TABULAR["table"]}]

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-3, 300)
    | st.sampled_from([0, -1, 2**31, 2**63, 10**30, math.inf, -math.inf, math.nan, 1e308, 5e-324, 0.25, 1.0])
    | st.sampled_from(
        ["", "conv", "mbconv6", "mbconv0", "digits", "../../etc/passwd", "\0", "a\nb", "{{7*7}}", "--", "é" * 99]
    )
    | st.text(max_size=8)
    | st.just(datetime.date(2019, 6, 15))
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
)
keys = st.sampled_from(
    ["filters", "layers", "strides", "stem", "path", "epochs", "objectives", "column", "x", "", "a.b"]
)


def places(value, here=()):
    yield here
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*here, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from places(inner, (*here, index))


@st.composite
def problem_files(draw):
    """A built-in problem in which some values were replaced, removed or added, anywhere."""
    content = copy.deepcopy(draw(st.sampled_from(BOTH)))
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.sampled_from([one for one in places(content) if one]))
        parent = content
        for part in place[:-1]:
            parent = parent[part]
        change = draw(st.sampled_from(["replace", "remove", "add"]))
        if change == "replace":
            parent[place[-1]] = draw(values)
        elif change == "remove":
            del parent[place[-1]]
        elif isinstance(parent, dict):
            parent[draw(keys)] = draw(values)
        else:
            parent.append(draw(values))
        if not content:
            break
    return content


def use(definition: Definition) -> None:
    """What every search does with a problem before it starts."""
    assert definition.axes
    if isinstance(definition, TableDefinition):
        with contextlib.suppress(InputError):
            _ = definition.lookup_table
        return
    space = definition.space
    assert len(space.gene_sizes) == 6 * space.blocks
    space.mobilenet_v2().check_resolution(definition.latency_resolution)


def read(load, *arguments) -> None:
    """A problem that can be used, or one clear line; any other exception fails the test."""
    try:
        definition = load(*arguments)
    except InputError as error:
        message = str(error)
    else:
        use(definition)
        return
    assert message


@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(problem_files())
def test_any_structure_is_a_problem_or_one_clear_line(content):
    read(validate_definition, content)


@settings(max_examples=20)
@given(st.text(max_size=30), st.text(max_size=12), st.text(max_size=12))
def test_any_override_is_taken_or_refused_with_one_clear_line(text, key, value):
    for override in (text, f"{key}={value}", f"training.{key}={value}", f"space.filters={value}", f"name={value}"):
        read(load_definition, "digits", [override])


@pytest.mark.thorough
@settings(max_examples=3000, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(problem_files())
def test_thousands_of_structures_are_problems_or_one_clear_line(content):
    read(validate_definition, content)


@pytest.mark.thorough
@settings(max_examples=600)
@given(st.text(max_size=30), st.text(max_size=12))
def test_thousands_of_overrides_are_taken_or_refused_with_one_clear_line(key, value):
    for override in (f"{key}={value}", f"training.{key}={value}", f"data.{key}={value}", f"space.layers={value}"):
        read(load_definition, "digits", [override])


@settings(max_examples=60)
@given(st.text(max_size=60) | st.binary(max_size=60))
def test_any_file_is_a_problem_or_one_clear_line(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("fuzz") / "problem.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    read(load_definition, path)
