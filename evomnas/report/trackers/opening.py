"""Trackers by name."""

from __future__ import annotations

from collections.abc import Sequence

from evomnas.core import registry
from evomnas.loop.callbacks.base import Callback


def open_trackers(names: Sequence[str]) -> list[Callback]:
    """Return trackers, each once, in the order of their names.

    Args:
        names: Registered names, such as `tensorboard`.

    Raises:
        InputError: There is no such tracker, or its package is not installed.
    """
    return [registry.load("trackers", name)() for name in dict.fromkeys(names)]
