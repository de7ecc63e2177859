"""Arguments of a wrong kind: one line that says which one, what is allowed, and what it is for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Protocol

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import ArrayLike

from evomnas.core.arguments import Between, Count, Share, checked, checked_fields
from evomnas.core.errors import InputError
from evomnas.problem.architecture import Block
from evomnas.results.candidate_limits import CandidateLimits


class Taker(Protocol):
    def __call__(self, value: int, /) -> None: ...


@checked
def takes(
    count: int = 1,
    share: float = 0.5,
    name: str = "a",
    place: Path | str | None = None,
    names: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
    call: Callable[[int], None] | None = None,
    taker: Taker | None = None,
    mode: Literal["fast", "slow"] = "fast",
    flag: bool = True,
    folder: Path | None = None,
    mixed: Sequence[Path | str] = (),
    values: ArrayLike = 0.0,
    anything: Any = None,
    several: Count = 1,
    part: Share = 0.5,
    small: Annotated[int, Between(0, 9)] | str = 0,
) -> dict[str, Any]:
    """Return what it got.

    Args:
        count: So many; no more.
        share: A share.
            It goes on. And on.
        name: `a` or
            `b`: what it is.
    """
    return dict(locals())


def refusal(**arguments: Any) -> str:
    with pytest.raises(InputError, match="must be") as caught:
        takes(**arguments)
    return str(caught.value)


@pytest.mark.parametrize(
    "arguments",
    [
        {"count": 3},
        {"count": np.int64(3)},
        {"share": 1},
        {"share": np.float32(0.25)},
        {"share": Fraction(1, 2)},
        {"place": "x"},
        {"place": PurePosixPath("x")},
        {"names": ["a"]},
        {"names": {"a": 1}.keys()},
        {"names": iter("ab")},
        {"options": {"a": 1}},
        {"call": print},
        {"taker": print},
        {"mode": "slow"},
        {"flag": False},
        {"mixed": [Path("a"), "b"]},
        {"values": [[1, 2.5]]},
        {"values": np.arange(3)},
        {"anything": object},
        {"several": 7},
        {"part": 1},
        {"small": "x"},
        {"small": 9},
    ],
)
def test_an_argument_of_its_kind_is_passed_on(arguments):
    [(name, value)] = arguments.items()
    assert takes(**arguments)[name] is value or takes(**arguments)[name] == value


def test_numbers_and_paths_of_other_classes_become_python_s_own():
    got = takes(count=np.int64(3), share=Fraction(1, 4), folder="images")
    assert [type(got[name]) for name in ("count", "share", "folder")] == [int, float, type(Path("images"))]
    assert (got["count"], got["share"], got["folder"]) == (3, 0.25, Path("images"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"count": "10"}, "count must be a whole number, not '10' (so many)"),
        ({"count": 3.5}, "count must be a whole number, not 3.5"),
        ({"count": True}, "count must be a whole number, not True"),
        ({"count": np.float64(2)}, "count must be a whole number, not"),
        ({"count": None}, "count must be a whole number, not None"),
        ({"share": "x"}, "share must be a number, not 'x' (a share)"),
        ({"name": ["a"]}, "name must be text, not ['a'] (`a` or `b`: what it is)"),
        ({"name": dict}, "name must be text, not the class dict"),
        ({"name": b"a"}, "name must be text, not b'a'"),
        ({"place": 3}, "place must be a path, text or None, not 3"),
        ({"names": "a=1"}, "names must be a list of texts, not 'a=1': write names=['a=1']"),
        ({"names": ["a", 3]}, "names must be a list of texts, not ['a', 3]"),
        ({"names": {"a": 1}}, "names must be a list of texts, not {'a': 1}"),
        ({"options": ["a"]}, "options must be a dict or None, not ['a']"),
        ({"options": {3: 1}}, "options must be a dict or None, not {3: 1}"),
        ({"call": 3}, "call must be a function or None, not 3"),
        ({"taker": "x"}, "taker must be a function or None, not 'x'"),
        ({"mode": "quick"}, "mode must be 'fast' or 'slow', not 'quick'"),
        ({"flag": "no"}, "flag must be True or False, not 'no'"),
        ({"mixed": [3]}, "mixed must be a list of paths or texts, not [3]"),
        ({"values": "x"}, "values must be a number or an array of numbers, not 'x'"),
        ({"values": [[1], [1, 2]]}, "values must be a number or an array of numbers, not [[1], [1, 2]]"),
        ({"several": 0}, "several must be a whole number of at least 1, not 0"),
        ({"part": 1.5}, "part must be a number from 0 to 1, not 1.5"),
        ({"part": float("nan")}, "part must be a number from 0 to 1, not nan"),
        ({"small": 10}, "small must be a whole number from 0 to 9 or text, not 10"),
        ({"count": PurePosixPath("x")}, "count must be a whole number, not a PurePosixPath"),
    ],
)
def test_the_message_says_what_is_allowed_and_what_came(arguments, words):
    assert refusal(**arguments).startswith(f"takes: {words}")


floats = st.floats(allow_subnormal=False)  # ONNX Runtime leaves them switched off in a thread that loaded a network


@given(st.one_of(st.text(), st.lists(st.text()), st.dictionaries(st.text(), st.text()), st.binary(), floats))
def test_the_message_is_one_line_whatever_came(value):
    message = refusal(count=value)
    assert len(message.splitlines()) == 1
    assert len(message) < 200


def test_missing_unknown_and_too_many_arguments_name_those_that_there_are():
    """Such an error is also a TypeError, as Python's own."""
    for error in (InputError, TypeError):
        with pytest.raises(error, match="^unknown argument of takes 'cuont': there are .*; did you mean count"):
            takes(cuont=3)

    @checked
    def pair(first: int, *, second: int) -> int:
        """Return a sum.

        Args:
            first: One of two. There is another.
            second: The other.
        """
        return first - second

    assert pair(3, second=1) == 2
    name = "test_missing_.*pair"
    for call, line in (
        (lambda: pair(), rf"{name}: first is missing \(one of two\); it takes first, second$"),
        (lambda: pair(1), rf"{name}: second is missing \(the other\); it takes first, second$"),
        (lambda: pair(second=1), rf"{name}: first is missing"),
        (lambda: pair(1, 2), rf"{name}: too many positional arguments"),
        (lambda: pair(1, 2, second=3), rf"{name}: too many positional arguments; it takes first, second$"),
        (lambda: pair(1, first=2, second=3), rf"{name}: multiple values for argument 'first'; it takes"),
    ):
        with pytest.raises(InputError, match=f"^{line}"):
            call()


def test_fields_are_named_as_arguments_are():
    with pytest.raises(InputError, match="^CandidateLimits: .*too many positional arguments; it takes seconds"):
        CandidateLimits(1.0, 1.0, 1.0, 1.0)
    with pytest.raises(TypeError, match="^unknown argument of CandidateLimits 'second': .*; did you mean seconds"):
        CandidateLimits(second=1.0)
    with pytest.raises(InputError, match=r"^Block: kernel is missing \(.*\); it takes op, kernel, "):
        Block("conv")


def test_nothing_of_an_iterator_is_used_up():
    def numbers() -> Iterator[str]:
        yield from "abc"

    assert list(takes(names=numbers())["names"]) == ["a", "b", "c"]


@checked_fields
@dataclass(frozen=True, slots=True)
class Point:
    """A point.

    Attributes:
        x: To the right.
        tags: Of the point.
    """

    x: float
    tags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.x < 0:
            raise InputError("x must be positive")


def test_fields_of_a_class_are_checked_before_their_values():
    with pytest.raises(InputError, match=r"^Point: x must be a number, not '1' \(to the right\)$"):
        Point("1")
    with pytest.raises(InputError, match="tags must be a list of texts, not"):
        Point(1.0, (1,))
    with pytest.raises(InputError, match="x must be positive"):
        Point(-1)
    assert type(Point(Fraction(1, 2)).x) is float
