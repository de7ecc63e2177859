"""The errors that people see as one line, and the one way to say which names are allowed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Wrong input: the message says in one line what was wrong, what is allowed and what to type."""


class EverythingFailed(RuntimeError):
    """No candidate of a whole generation gave a result; the message says why most of them did not."""


def unknown(kind: str, name: str, allowed: Iterable[str]) -> InputError:
    """An `InputError` for a `name` of some `kind` that is none of those `allowed`."""
    names = sorted(allowed)
    nearest = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean {nearest[0]}?" if nearest else ""
    return InputError(f"unknown {kind} {name!r}: there are {', '.join(names)}{hint}")
