"""Data sets, runtimes, algorithms and operations by name, from this package and from any other installed one.

They are entry points of the groups `evomnas.datasets`, `evomnas.testsplits`, `evomnas.runtimes`, `evomnas.algorithms`,
`evomnas.ops` and `evomnas.trackers`. This package declares its own in setup.py in the same way as a plug-in does; its
operations alone are in `evomnas.problem.ops`.
"""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from evomnas.core.errors import InputError, unknown


def available(group: str) -> dict[str, EntryPoint]:
    """Return what is registered in a group. Nothing of it is imported.

    Args:
        group: The group without its prefix, such as `datasets` for `evomnas.datasets`.

    Returns:
        The entry points by name, in alphabetic order.
    """
    return dict(_registered(group, tuple(map(_state, sys.path))))


def _state(folder: str) -> tuple[str, int, int]:
    """Return what differs for a folder of packages after one was installed or removed."""
    try:
        status = os.stat(folder or os.curdir)
    except OSError:
        return folder, 0, 0
    return folder, status.st_ino, status.st_mtime_ns


@lru_cache(maxsize=32)
def _registered(group: str, folders: tuple[tuple[str, int, int], ...]) -> dict[str, EntryPoint]:
    """Return the entry points of a group. To find them, the metadata of every installed package are read."""
    points = entry_points(group=f"evomnas.{group}")
    return {point.name: point for point in sorted(points, key=lambda point: point.name)}


def check(group: str, name: str) -> str:
    """Check that a name is registered.

    Args:
        group: The group without its prefix, such as `datasets`.
        name: The name to look for.

    Returns:
        The name itself.

    Raises:
        InputError: Nothing of that name is registered; the message lists the names that are.
    """
    names = available(group)
    if name not in names:
        raise unknown(group.removesuffix("s"), name, names)
    return name


def load(group: str, name: str) -> Any:
    """Import and return the object that is registered under a name.

    Args:
        group: The group without its prefix, such as `datasets`.
        name: The registered name.

    Returns:
        The function or class that the entry point names.

    Raises:
        InputError: Nothing of that name is registered, or it belongs to another package and cannot be imported.
    """
    point = available(group)[check(group, name)]
    try:
        return point.load()
    except (ImportError, AttributeError) as error:
        package = point.dist.name if point.dist is not None else "evomnas"
        if package == "evomnas":
            raise
        raise InputError(
            f"the plug-in {name} of the package {package} cannot be loaded ({error}): mend it, or uninstall {package}"
        ) from error
