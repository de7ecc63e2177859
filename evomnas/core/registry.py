"""Data sets, runtimes and algorithms by name, from this package and from any other that is installed.

All are entry points of the groups `evomnas.datasets`, `evomnas.runtimes` and `evomnas.algorithms`; this
package declares its own in setup.py in the same way.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any

from evomnas.core.errors import unknown


def available(group: str) -> dict[str, EntryPoint]:
    """The entry points of `evomnas.<group>`, by name, in alphabetic order. Nothing is imported."""
    return {point.name: point for point in sorted(entry_points(group=f"evomnas.{group}"), key=lambda p: p.name)}


def check(group: str, name: str) -> str:
    """`name`, if something of that name is registered; else InputError that lists what is."""
    names = available(group)
    if name not in names:
        raise unknown(group.removesuffix("s"), name, names)
    return name


def load(group: str, name: str) -> Any:
    """What is registered under `name`, imported now.

    Raises:
        InputError: Nothing of that name is registered.
    """
    return available(group)[check(group, name)].load()
