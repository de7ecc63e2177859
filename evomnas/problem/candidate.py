"""A network that a search can ask for, whatever the kind of problem."""

from __future__ import annotations

from typing import Protocol


class Candidate(Protocol):
    """A network as algorithms, the loop and the archive see it.

    It is hashable, and equal to another one exactly if both are the same network. `str` gives its notation, from which
    `Definition.parse` makes it again.
    """

    @property
    def id(self) -> str:
        """Eight hexadecimal digits that stand for the network."""
        ...

    def __hash__(self) -> int:
        """Return the hash of the network."""
        ...
