"""Single settings as people type them: `training.epochs=8`."""

from __future__ import annotations

import tomllib
from typing import Any

from evomnas.core.errors import InputError

BACKSLASHES = "a backslash in double quotes begins an escape: write paths of Windows as 'C:\\photos' or C:/photos"


def apply_setting(values: dict[str, Any], override: str) -> None:
    """Set one value of a parsed problem file.

    Args:
        values: The parsed file, which is changed.
        override: `section.key=value`; the value is TOML, or else text.

    Raises:
        InputError: The text has no key, or the key leads through a value that is no section.
    """
    key, equals, text = override.partition("=")
    names = key.strip().split(".")
    if not equals or not all(names):
        raise InputError(
            f"cannot read the override {override!r}: write it as section.key=value, as in training.epochs=8"
        )
    section = values
    for name in names[:-1]:
        if name == "space" and section is values and isinstance(section.get(name), str):
            section[name] = {"preset": section[name]}  # the name of a space is short for this
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
