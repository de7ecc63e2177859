"""Problem files: from TOML and overrides to a checked definition.

`load_definition("digits")` reads a built-in problem, `load_definition("my.toml")` the user's; overrides
such as `training.epochs=8` change single values. Unknown keys and values out of range are errors that
name the place and what is allowed.
"""

from __future__ import annotations

import copy
import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from evomnas.core.arguments import checked
from evomnas.core.errors import InputError, unknown
from evomnas.core.files import editable_folder
from evomnas.problem.definition import DEFINITIONS, Definition
from evomnas.problem.sections import Objective

_BACKSLASHES = "a backslash in double quotes begins an escape: write paths of Windows as 'C:\\photos' or C:/photos"


def builtin_problems() -> dict[str, str]:
    """Return the names and one-line summaries of the built-in problems."""
    return {path.stem: tomllib.loads(path.read_text(encoding="utf-8"))["summary"] for path in _builtin_paths().values()}


def _builtin_paths() -> dict[str, Path]:
    return {path.stem: path for path in sorted(editable_folder("problems").glob("*.toml"))}


@checked
def load_definition(problem: str | Path, overrides: Sequence[str] = ()) -> Definition:
    """Read and check a problem.

    Args:
        problem: A built-in name or a path of a TOML file.
        overrides: `section.key=value` strings; the value is TOML, or else text.

    Returns:
        The checked problem, of the kind that its sections say.

    Raises:
        InputError: No such problem, or its content is wrong; the message lists all faults.
    """
    values, base = _read(problem)
    for override in overrides:
        _apply(values, override)
    for section in ("data", "table"):
        path = values[section].get("path") if isinstance(values.get(section), dict) else None
        if isinstance(path, str) and "\0" in path:
            raise InputError(f"{section}.path holds a null character")
        if isinstance(path, str) and any(ord(character) < 32 for character in path):
            raise InputError(f"{section}.path {path!r} holds a control character; {_BACKSLASHES}")
        if isinstance(path, str):
            given = any(override.partition("=")[0].strip() == f"{section}.path" for override in overrides)
            values[section]["path"] = str(((Path.cwd() if given else base) / Path(os.path.expanduser(path))).resolve())
    return validate_definition(values)


def validate_definition(values: dict[str, Any]) -> Definition:
    """Check the values of a problem file.

    Args:
        values: The parsed file, or what `model_dump(mode="json")` made of a definition.

    Returns:
        The checked problem, of the kind that its sections say.

    Raises:
        InputError: They are wrong; the message lists all faults.
    """
    model = next(definition for definition in DEFINITIONS if definition.describes(values))
    trained = [f"[{name}]" for name in ("data", "training", "full", "latency", "space") if name in values]
    if "table" in values and trained:
        raise InputError(
            f"[table] and {', '.join(trained)} exclude each other: the networks of a table are neither built, trained "
            "nor measured; drop [table], or all of these"
        )
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise InputError("; ".join(_describe(fault, model) for fault in _all_faults(error, values, model))) from None


def _all_faults(error: ValidationError, values: dict[str, Any], model: type[BaseModel]) -> list[ErrorDetails]:
    """Return the faults of an error, and those that hide behind them.

    A section is checked as a whole only when its values are right. So wrong values are removed and the rest is checked
    again, until no new fault comes up.
    """
    values = copy.deepcopy(values)
    faults = error.errors()
    new = faults
    while sum(_take(values, fault["loc"]) for fault in new if fault["type"] != "missing"):
        try:
            model.model_validate(values)
            break
        except ValidationError as further:
            known = {fault["loc"] for fault in faults}
            new = [one for one in further.errors() if one["loc"] not in known and one["type"] != "missing"]
            faults += new
    return faults


def _take(values: Any, location: tuple[int | str, ...]) -> bool:
    """Remove the value at a place; False where there is none."""
    for part in location[:-1]:
        values = values.get(part) if isinstance(values, dict) else None
    return isinstance(values, dict) and bool(location) and values.pop(location[-1], location) is not location


def _read(problem: str | Path) -> tuple[dict[str, Any], Path]:
    builtin = _builtin_paths()
    path = builtin.get(str(problem), Path(os.path.expanduser(problem)))
    if str(problem) not in builtin and path.suffix != ".toml":
        error = unknown("problem", str(problem), builtin)
        raise InputError(f"{error}; or give the path of a .toml file")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8")), path.resolve().parent
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the problem file {path}: {error}") from None
    except (ValueError, RecursionError) as error:
        is_escape = any(sign in str(error) for sign in ("'\\'", "hex value"))
        hint = f"; {_BACKSLASHES}" if is_escape else ""
        raise InputError(f"the problem file {path} is not valid TOML: {str(error)[:200]}{hint}") from None


def _apply(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    names = key.strip().split(".")
    if not equals or not all(names):
        raise InputError(
            f"cannot read the override {override!r}: write it as section.key=value, as in training.epochs=8"
        )
    section = values
    for name in names[:-1]:
        section = section.setdefault(name, {})
        if not isinstance(section, dict):
            raise InputError(f"cannot set {key}: {name} is a value, not a section")
    section[names[-1]] = parse_value(text)


def parse_value(text: str) -> Any:
    """Return the value that somebody typed behind a key.

    Args:
        text: TOML, such as `8`, `[1, 2]` or `"text"`; what is not TOML is a text as it stands, without its quotes.

    Returns:
        The value of the TOML, or the text itself.
    """
    try:
        parsed = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        is_quoted = len(text) > 1 and text[0] == text[-1] == '"' and '"' not in text[1:-1]
        return text[1:-1] if is_quoted else text  # such as "C:\photos", in which TOML sees escapes
    return parsed["value"] if len(parsed) == 1 else text


_EXPECTED = {
    "tuple_type": "a list",
    "model_type": "a section of keys and values",
    "dataclass_type": "a section of keys and values",
    "path_type": "a path in quotes",
}


def _describe(fault: ErrorDetails, model: type[BaseModel]) -> str:
    place = ".".join(str(part) for part in fault["loc"])
    if fault["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return str(unknown("key", place, _known_keys(fault["loc"], model)))
    if fault["type"] == "missing":
        return f"{place} is missing"
    if fault["type"] == "literal_error":
        return str(unknown(place, str(fault["input"])[:80], re.findall("'([^']*)'", fault["ctx"]["expected"])))
    if fault["type"] in _EXPECTED:
        return f"{place}: input should be {_EXPECTED[fault['type']]}, got {str(fault['input'])[:80]!r}"
    message = fault["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    message = message if message[:2].isupper() else message[:1].lower() + message[1:]
    shown = "" if isinstance(fault["input"], dict | BaseModel) else f", got {str(fault['input'])[:80]!r}"
    return f"{place}: {message}{shown}" if place else message


def _known_keys(location: tuple[int | str, ...], problem: type[BaseModel]) -> list[str]:
    model: Any = problem
    for part in location[:-1]:
        model = Objective if isinstance(part, int) else model.model_fields[part].annotation
    fields = getattr(model, "model_fields", None) or model.__dataclass_fields__
    return [".".join(map(str, (*location[:-1], name))) for name in fields]


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Flatten nested settings.

    Args:
        values: The settings.
        prefix: Put before every name.

    Yields:
        Flat names, such as `training.epochs`, and their values.
    """
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
