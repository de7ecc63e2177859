"""The names of repositories on the Hub, which are checked before torch is loaded."""

from __future__ import annotations

import re

from evomnas.core.errors import InputError

_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)


def check_repository(name: str) -> None:
    """Check the name of a repository, without asking anybody.

    Args:
        name: Its owner and its own name, as `someone/tiny-birds`.

    Raises:
        InputError: The name has another form.
    """
    if not _REPOSITORY.fullmatch(name) or "--" in name or ".." in name or len(name) > 96:
        raise InputError(f"REPO is OWNER/NAME of letters, digits and -_., as someone/tiny-birds, not {name!r}")
