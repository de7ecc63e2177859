"""Defaults of options that somebody keeps in files: `pyproject.toml` of a project, and one of the user.

`[tool.evomnas]` in `pyproject.toml`, and the user's file itself, hold what all commands have in common. Tables of their
own, such as `[tool.evomnas.run]` or `[run]`, hold the options of a command. What is typed comes first, then the
project, then the user. A path counts from the folder of its file.
"""

from __future__ import annotations

import inspect
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, get_args, get_type_hints

import typer

from evomnas.core.errors import InputError, unknown

PROJECT, TABLE = "pyproject.toml", ("tool", "evomnas")
SHARED = ("device", "workers")  # options that mean the same wherever they are
NEVER = ("help", "quiet", "verbose", "json", "dry-run")  # who wants another one could not take them back
OUTSIDE = ("config", "init")  # commands that have no defaults of this kind


@dataclass(frozen=True, slots=True)
class Setting:
    """A default that a file sets.

    Attributes:
        command: The command.
        option: The option without its dashes, such as `budget`.
        value: Its value, as the command takes it.
        file: The file.
    """

    command: str
    option: str
    value: Any
    file: Path


def config_paths() -> list[Path]:
    """Return the files that are looked for, the user's first; the project's is missing where there is none."""
    user = Path(f"{typer.get_app_dir('evomnas')}.toml")
    folders = (Path.cwd(), *Path.cwd().parents)
    return [user, *(folder / PROJECT for folder in folders if (folder / PROJECT).is_file())][:2]


def read_settings(group: Any) -> list[Setting]:
    """Return all defaults that files set; those of the project take the place of the user's.

    Args:
        group: The commands, as the parser has them.

    Raises:
        InputError: A file cannot be read, or sets what no command has.
    """
    found: dict[tuple[str, str], Setting] = {}
    for path in config_paths():
        for setting in _settings_of(path, group):
            found[setting.command, setting.option] = setting
    return sorted(found.values(), key=lambda setting: (setting.command, setting.option))


def default_map(group: Any) -> dict[str, dict[str, Any]]:
    """Return the defaults by command and parameter, as the parser takes them.

    Args:
        group: The commands.

    Raises:
        InputError: See `read_settings`.
    """
    defaults: dict[str, dict[str, Any]] = {}
    for setting in read_settings(group):
        parameter = options_of(group.commands[setting.command])[setting.option]
        defaults.setdefault(setting.command, {})[parameter.name] = setting.value
    return defaults


def options_of(command: Any) -> dict[str, Any]:
    """Return the options of a command by their long names without dashes.

    Args:
        command: The command, as the parser has it.
    """
    options = (parameter for parameter in command.params if parameter.param_type_name == "option")
    named = ((max(one.opts, key=len).removeprefix("--"), one) for one in options)
    return {name: option for name, option in named if name not in NEVER}


def _settings_of(path: Path, group: Any) -> Iterator[Setting]:
    """Yield the settings of a file: what all commands share first, then those of single ones."""
    options = {name: options_of(command) for name, command in group.commands.items() if name not in OUTSIDE}
    table = _table(path)

    def setting(command: str, key: str, value: Any, place: str) -> Setting:
        checked = _checked(path, place, group.commands[command], options[command][key], value)
        return Setting(command, key, checked, path)

    for key, value in table.items():
        if key in SHARED:
            yield from (setting(command, key, value, key) for command in options if key in options[command])
        elif key not in options:
            raise _wrong(path, f"{unknown('setting', key, SHARED)}; or a table of a command, such as run")
        elif not isinstance(value, Mapping):
            raise _wrong(path, f"{key} must be a table with options of evomnas {key}")
    for command in (key for key in table if key in options):
        for key, value in table[command].items():
            if key not in options[command]:
                raise _wrong(path, str(unknown(f"option of {command}", key, options[command])))
            yield setting(command, key, value, f"{command}.{key}")


def _table(path: Path) -> Mapping[str, Any]:
    """Return the part of a file that is evomnas's; empty where there is none."""
    try:
        values: Any = tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, PermissionError):  # a home may be missing, or somebody else's
        return {}
    except (OSError, ValueError) as error:
        if path.name == PROJECT and b"evomnas" not in _content(path):
            return {}  # whatever is wrong with it, it is not ours
        raise _wrong(path, str(error)) from None
    for name in TABLE if path.name == PROJECT else ():
        values = values.get(name, {}) if isinstance(values, Mapping) else {}
    if not isinstance(values, Mapping):
        raise _wrong(path, "tool.evomnas must be a table")
    return values


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _checked(path: Path, key: str, command: Any, option: Any, value: Any) -> Any:
    """Return a value as an option takes it."""
    if option.is_flag:
        if not isinstance(value, bool):
            raise _wrong(path, f"{key} must be true or false, got {value!r}")
        return value
    if option.multiple and not isinstance(value, list):
        raise _wrong(path, f"{key} must be a list, got {value!r}")
    kind = _kind(command, option)
    converted = [_converted(path, key, kind, one) for one in (value if option.multiple else [value])]
    return converted if option.multiple else converted[0]


def _converted(path: Path, key: str, kind: Any, value: Any) -> str:
    """Return one value of an option, checked by its type; a path counts from its file."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise _wrong(path, f"{key} must be a number or a text, got {value!r}")
    if kind is Path:
        return str((path.parent / Path(str(value)).expanduser()).resolve())
    try:
        kind(str(value))
    except ValueError:
        allowed = f"one of {', '.join(kind)}" if issubclass(kind, StrEnum) else f"a number ({kind.__name__})"
        raise _wrong(path, f"{key} must be {allowed}, got {value!r}") from None
    return str(value)


def _kind(command: Any, option: Any) -> Any:
    """Return the type of an option's values: that of the argument of the function behind the command."""
    kind = get_type_hints(inspect.unwrap(command.callback))[option.name]
    while get_args(kind):
        kind = get_args(kind)[0]
    return kind


def _wrong(path: Path, fault: str) -> InputError:
    return InputError(f"{path}: {fault}")
