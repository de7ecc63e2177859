"""A check of arguments by their annotations: one line for a value of a wrong kind, before anything else happens.

Without it Python complains late and from somewhere inside: "unhashable type: 'list'" for overrides in the place of the
algorithm. pydantic's `validate_call` was tried. It takes the text "10" for a number or, in its strict mode, refuses
numpy's whole numbers, and for a union it reports one error per member.
"""

from __future__ import annotations

import inspect
import os
import re
import reprlib
import sys
import typing
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, wraps
from numbers import Integral, Real
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, ParamSpec, TypeVar, Union, get_args, get_origin

from evomnas.core.errors import CallError, InputError, unknown

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C", bound=type)

_PLAIN = (str, bytes, Real, list, tuple, set, frozenset, dict, NoneType)  # their repr is what people typed
_NAMED = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
MAX_SHOWN_VALUE = 100  # characters


@dataclass(frozen=True)
class Between:
    """The range of a number, for annotations: `Annotated[int, Between(1)]`.

    Attributes:
        low: The least value allowed.
        high: The largest one; None for no limit.
    """

    low: float
    high: float | None = None

    def holds(self, value: Any) -> bool:
        """Return whether a number lies in the range.

        Args:
            value: The number.
        """
        return bool(self.low <= value and (self.high is None or value <= self.high))

    def __str__(self) -> str:
        return f"of at least {self.low:g}" if self.high is None else f"from {self.low:g} to {self.high:g}"


Count = Annotated[int, Between(1)]
Natural = Annotated[int, Between(0)]
Share = Annotated[float, Between(0, 1)]


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function refuse arguments of a wrong kind.

    Args:
        function: A function whose docstring explains its arguments, or a method.

    Returns:
        The function. It takes whole numbers of any class, such as numpy's, as `int`, real numbers as `float`, and text
        as a `Path`. It raises `InputError` for an argument that is not what its annotation says. Where a sequence is
        wanted, anything but text is taken that can be iterated over. `CallError`, an `InputError`, is for arguments
        that are missing, unknown or too many.
    """
    signature = inspect.signature(function)

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            raise _call_error(signature, args, kwargs, function, error) from None
        hints = _hints(function)
        for name, value in bound.arguments.items():
            if name in hints and signature.parameters[name].kind is inspect.Parameter.VAR_POSITIONAL:
                bound.arguments[name] = tuple(_accept(one, hints[name], name, function) for one in value)
            elif name in hints:
                bound.arguments[name] = _accept(value, hints[name], name, function)
        return function(*bound.args, **bound.kwargs)

    return call


def checked_fields(cls: C) -> C:
    """Let a frozen dataclass refuse fields of a wrong kind.

    Args:
        cls: A dataclass whose docstring explains its attributes, and which has a `__post_init__`.

    Returns:
        The class. It raises `InputError` for a field that is not what its annotation says, and `CallError`, an
        `InputError`, for fields that are missing, unknown or too many.
    """
    check_values, make = vars(cls)["__post_init__"], vars(cls)["__init__"]
    signature = inspect.signature(make)

    @wraps(make)
    def make_all(self: Any, *args: Any, **kwargs: Any) -> None:
        try:
            make(self, *args, **kwargs)
        except TypeError:
            try:
                signature.bind(self, *args, **kwargs)
            except TypeError as error:
                raise _call_error(signature, (self, *args), kwargs, cls, error) from None
            raise

    @wraps(check_values)
    def check_all(self: Any) -> None:
        for name, hint in _hints(cls).items():
            value = getattr(self, name)
            accepted = value if type(value) is hint else _accept(value, hint, name, cls)
            if accepted is not value:
                object.__setattr__(self, name, accepted)
        check_values(self)

    cls.__post_init__ = check_all  # type: ignore[attr-defined]
    setattr(cls, "__init__", make_all)  # noqa: B010 which mypy would not let be assigned
    return cls


def _call_error(
    signature: inspect.Signature, args: tuple[Any, ...], kwargs: Mapping[str, Any], owner: Any, error: TypeError
) -> CallError:
    """Return the error for a call that does not suit a signature, which names the argument and those that there are."""
    name = owner.__qualname__.removesuffix(".__init__")
    names = [one for one in signature.parameters if one not in ("self", "cls")]
    new = next((one for one in kwargs if one not in signature.parameters), None)
    if new is not None:
        return CallError(str(unknown(f"argument of {name}", new, names)))
    required = (
        one.name
        for one in list(signature.parameters.values())[len(args) :]
        if one.default is inspect.Parameter.empty and one.kind in _NAMED and one.name not in kwargs
    )
    missing = next(required, None)
    if missing is not None:
        return CallError(f"{name}: {missing} is missing{_explanation(missing, owner)}; it takes {', '.join(names)}")
    return CallError(f"{name}: {error}; it takes {', '.join(names)}")


@cache
def _hints(owner: Any) -> dict[str, Any]:
    hints = typing.get_type_hints(owner, include_extras=True)
    hints.pop("return", None)
    return hints


def _accept(value: Any, hint: Any, name: str, owner: Any) -> Any:
    """Return an argument, as a number of Python's own or a path if it is one by another name."""
    if isinstance(value, str) and Path in (hint, *get_args(hint)) and str not in get_args(hint):
        value = Path(value)
    if not _fits(value, hint):
        raise InputError(_describe(value, hint, name, owner))
    if isinstance(value, Integral) and not isinstance(value, int):
        return int(value)
    return float(value) if isinstance(value, Real) and not isinstance(value, int | float) else value


def _fits(value: Any, hint: Any) -> bool:
    origin, members = get_origin(hint), get_args(hint)
    if hint is Any or isinstance(hint, TypeVar):
        return True
    if _is_array(hint):
        return _is_numeric(value)
    if origin is Annotated:
        return _fits(value, members[0]) and all(rule.holds(value) for rule in members[1:])
    if origin in (Union, UnionType):
        return any(_fits(value, member) for member in members)
    if origin is Literal:
        return value in members
    if _is_function(hint):
        return callable(value)
    kind = origin or hint
    if members and issubclass(kind, Mapping):
        return isinstance(value, Mapping) and all(_fits(key, members[0]) for key in value)
    if members and issubclass(kind, Iterable):
        fits = isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping)
        return fits and all(_fits(one, members[0]) for one in (value if isinstance(value, Collection) else ()))
    if kind in (int, float):
        return isinstance(value, Integral if kind is int else Real) and not isinstance(value, bool)
    return isinstance(value, os.PathLike if kind is Path else kind)


def _is_function(hint: Any) -> bool:
    return get_origin(hint) is Callable or (getattr(hint, "_is_protocol", False) and "__call__" in vars(hint))


def _is_array(hint: Any) -> bool:
    typing_of_numpy = sys.modules.get("numpy.typing")  # numpy itself is not imported here
    return typing_of_numpy is not None and hint == typing_of_numpy.ArrayLike


def _is_numeric(value: Any) -> bool:
    import numpy as np

    try:
        return np.asarray(value).dtype.kind in "iuf"
    except ValueError:  # rows of different lengths
        return False


_WORDS = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "True or False",
    NoneType: "None",
    Path: "a path",
}


def _words(hint: Any) -> str:
    """Return in words what an annotation allows."""
    origin, members = get_origin(hint), get_args(hint)
    if _is_array(hint):
        return "a number or an array of numbers"
    if origin is Annotated:
        return " ".join([_words(members[0]), *map(str, members[1:])])
    if origin in (Union, UnionType):
        *others, last = (_words(member) for member in members)
        return f"{', '.join(others)} or {last}"
    if origin is Literal:
        return " or ".join(repr(member) for member in members)
    if _is_function(hint):
        return "a function"
    kind = origin or hint
    if members and issubclass(kind, Mapping):
        return "a dict"
    if members and issubclass(kind, Iterable):
        return f"a list of {_plural(members[0])}"
    return _WORDS.get(kind) or f"{'an' if kind.__name__[0] in 'AEIOU' else 'a'} {kind.__name__}"


def _plural(hint: Any) -> str:
    members = get_args(hint) if get_origin(hint) in (Union, UnionType) else [hint]
    return " or ".join(re.sub(r"^an? ", "", _words(member)) + "s" for member in members)


def _describe(value: Any, hint: Any, name: str, owner: Any) -> str:
    """Return the message for an argument of a wrong kind."""
    owner_name = owner.__qualname__.removesuffix(".__init__")
    got = _words(type(value))
    if isinstance(value, _PLAIN):
        got = " ".join(reprlib.repr(value).split())
        got = got if len(got) <= MAX_SHOWN_VALUE else f"{got[:MAX_SHOWN_VALUE]}..."
    if isinstance(value, type):
        got = f"the class {value.__name__}"
    hint_to_wrap = f": write {name}=[{got}]" if isinstance(value, str) and _fits([value], hint) else ""
    explained = _explanation(name, owner)
    return f"{owner_name}: {name} must be {_words(hint)}, not {got}{hint_to_wrap}{explained}"


def _explanation(name: str, owner: Any) -> str:
    """Return the first sentence of the docstring about an argument, in parentheses; empty where there is none."""
    found = re.search(rf"^ +(?:\w+, )*{name}\b[^:\n]*: (.+(?:\n {{8,}}.+)*)", inspect.getdoc(owner) or "", re.M)
    if found is None:
        return ""
    sentence = re.split(r"[.;](?:\s|$)", " ".join(found[1].split()))[0]
    return f" ({sentence if sentence[1:2].isupper() else sentence[0].lower() + sentence[1:]})"
