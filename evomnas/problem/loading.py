"""Problem files: from TOML and overrides to a checked definition.

`load_definition("digits")` reads a built-in problem, `load_definition("my.toml")` the user's, and
`load_definition("photos")` searches a folder of images; overrides such as `training.epochs=8` change single values.
Unknown keys and values out of range are errors that name the place and what is allowed.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_type_hints

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from evomnas.core import defaults
from evomnas.core.arguments import checked
from evomnas.core.errors import InputError, unknown
from evomnas.core.files import editable_folder
from evomnas.core.system.shell import quote
from evomnas.problem.definition import Definition, ProblemDefinition, TableDefinition
from evomnas.problem.detection.definition import DetectionDefinition
from evomnas.problem.pretrained.preset import start_from
from evomnas.problem.sections import FullSection, Objective
from evomnas.problem.typed.paths import OWN_DATASETS, OWN_IMAGES, is_own_images, list_kind, own_images, read_problem
from evomnas.problem.typed.settings import BACKSLASHES, apply_setting, parse_value

DEFINITIONS: tuple[type[Definition], ...] = (
    TableDefinition,
    DetectionDefinition,
    ProblemDefinition,
)  # kinds of problems


def builtin_problems() -> dict[str, str]:
    """Return the names and one-line summaries of the built-in problems."""
    return {path.stem: tomllib.loads(path.read_text(encoding="utf-8"))["summary"] for path in _builtin_paths().values()}


def _builtin_paths() -> dict[str, Path]:
    return {path.stem: path for path in sorted(editable_folder("problems").glob("*.toml"))}


@checked
def load_definition(
    problem: str | Path | None,
    overrides: Sequence[str] = (),
    *,
    data: str | Path | None = None,
    donor: str | None = None,
) -> Definition:
    """Read and check a problem.

    Args:
        problem: A built-in name, the path of a TOML file, or images of one's own: a folder, a list, an npz file. None
            for the images of `data`.
        overrides: `section.key=value` strings; the value is TOML, or else text.
        data: The path of the images, or of the table, in place of the problem's own; None to leave that as it is.
        donor: A network whose pretrained weights all trainings start from. The space around it and the recipes that
            suit it take the place of the problem's own. None to leave that as it is.

    Returns:
        The checked problem, of the kind that its sections say.

    Raises:
        InputError: No such problem, or its content is wrong; the message lists all faults.
    """
    builtin = _builtin_paths()
    if data is not None and (problem is None or str(problem) == OWN_IMAGES):
        values, base = own_images(Path(data), builtin), Path.cwd()
    else:
        values, base = read_problem(defaults.PROBLEM if problem is None else problem, builtin)
        if data is not None and problem is not None and is_own_images(problem, builtin):
            raise InputError(f"images are named twice, by PROBLEM ({problem}) and by --data ({data}): drop one of them")
    own_paths = {override.partition("=")[0].strip() for override in overrides}
    values = _with_donor(values, overrides, donor)
    if data is not None:
        section = "table" if "table" in values else "data"
        if f"{section}.path" in own_paths:
            raise InputError(f"{section}.path is given twice, by --data and by --set: drop one of them")
        if not isinstance(values.setdefault(section, {}), dict):
            raise InputError(f"{section} must be a section of keys and values")
        values[section]["path"] = str(data)
        if values[section].get("dataset") in OWN_DATASETS:
            values[section]["dataset"] = list_kind(Path(data).expanduser()) or "image-folder"
        own_paths.add(f"{section}.path")
    for override in overrides:
        apply_setting(values, override)
    for section, key in (("data", "path"), ("table", "path"), ("weights", "file")):
        path = values[section].get(key) if isinstance(values.get(section), dict) else None
        if isinstance(path, str) and "\0" in path:
            raise InputError(f"{section}.{key} holds a null character")
        if isinstance(path, str) and any(ord(character) < 32 for character in path):
            raise InputError(f"{section}.{key} {path!r} holds a control character; {BACKSLASHES}")
        if isinstance(path, str):
            place = Path.cwd() if f"{section}.{key}" in own_paths else base
            values[section][key] = str((place / Path(os.path.expanduser(path))).resolve())
    definition = validate_definition(values)
    if "data.path" in own_paths and values["data"].get("dataset") == "digits":
        raise InputError(
            f"{definition.name} searches digits that come with scikit-learn, and nothing at a path: name a folder of "
            f"images alone, as in evomnas run {quote(str(values['data']['path']))}"
        )
    return definition


def _with_donor(values: dict[str, Any], overrides: Sequence[str], donor: str | None) -> dict[str, Any]:
    """Return a problem's values with the donor of `--donor` or of an override, where the problem has none itself."""
    named = [text for key, _, text in (one.partition("=") for one in overrides) if key.strip() == "weights.donor"]
    if donor is not None and named:
        raise InputError("the donor is named twice, by --donor and by --set: drop one of them")
    if "table" in values and (donor is not None or named):
        raise InputError("the networks of a table are not trained, and have no donor")
    if donor is None and (not named or "weights" in values):
        return values
    return start_from(values, donor if donor is not None else str(parse_value(named[-1])))


def change_full_training(problem: ProblemDefinition, settings: Sequence[str]) -> ProblemDefinition:
    """Return a problem with other settings of its full training. What was searched stays the same.

    Args:
        problem: The problem.
        settings: `full.key=value` strings; the value is TOML, or else text.

    Returns:
        The problem with these settings.

    Raises:
        InputError: A setting is none of the full training's, or its value is wrong.
    """
    values = problem.model_dump(mode="json")
    for setting in settings:
        key = setting.partition("=")[0].strip()
        if key in FullSection.model_fields:
            raise InputError(f"write {key} with its section, as in --set full.{setting}")
        if "=" in setting and not key.startswith("full."):
            raise InputError(
                f"{key} belongs to what was searched, and only settings of the full training can change afterwards, as "
                f"in --set full.epochs=20; search again with evomnas run --set {setting}"
            )
        apply_setting(values, setting)
    changed = validate_definition(values)
    assert isinstance(changed, ProblemDefinition)
    return problem.model_copy(update={"full": changed.full})


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
        raise InputError("; ".join(_describe(fault, model) for fault in error.errors())) from None


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
        if isinstance(part, int):
            model = Objective
        else:
            is_section = hasattr(model, "model_fields")
            model = model.model_fields[part].annotation if is_section else get_type_hints(model)[part]
        if isinstance(model, UnionType):  # a section that a problem may lack
            model = get_args(model)[0]
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
