"""The errors that users see as one line, and one message for all unknown names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Wrong input. The message is one line: what was wrong, what is allowed, and what to type."""


class CallError(InputError, TypeError):
    """Missing, unknown or too many arguments of a call. It is a TypeError as well, as Python's own error is."""


class EverythingFailed(RuntimeError):
    """No candidate of a whole generation gave a result. The message says why most of them failed."""


class WorkersLost(RuntimeError):
    """Worker processes were lost, and no others can be had. The message says why."""


def unknown(kind: str, name: str, allowed: Iterable[str]) -> InputError:
    """Return the error for an unknown name. It lists the allowed names and suggests the most similar one.

    Args:
        kind: The kind of thing that was named, for the message: "device", "algorithm".
        name: The unknown name.
        allowed: All names that exist.

    Returns:
        The error, for the caller to raise.
    """
    names = sorted(allowed)
    nearest = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean {nearest[0]}?" if nearest else ""
    return InputError(f"unknown {kind} {name!r}: there are {', '.join(names)}{hint}")
