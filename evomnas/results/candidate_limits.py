"""How much time and memory one candidate may take."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from evomnas.core.arguments import checked_fields
from evomnas.core.errors import InputError

MIN_MEMORY_GIB = 1.5  # what a worker needs to import everything, and some more
MAX_MEMORY_GIB = 2**20
MAX_SECONDS = 3.6e7  # ten thousand hours: a limit beyond it means nothing


@checked_fields
@dataclass(frozen=True, slots=True)
class CandidateLimits:
    """The time and memory that one candidate may take in a worker process; beyond them the candidate has failed.

    They belong to a run, since what failed by them was told to its algorithm.

    Attributes:
        seconds: Time in seconds. None: ten times what the longest candidate before took, once there is one.
        memory_gib: Memory in GiB. None: an even share of the machine's, or no limit where a GPU trains.

    Raises:
        InputError: A value is out of range.
    """

    seconds: float | None = None
    memory_gib: float | None = None

    def __post_init__(self) -> None:
        if self.seconds is not None and not 0 < self.seconds <= MAX_SECONDS:
            raise InputError(
                f"a candidate's time must be positive and at most {MAX_SECONDS / 3600:g}h: for example 10m"
            )
        if self.memory_gib is not None and not MIN_MEMORY_GIB <= self.memory_gib < MAX_MEMORY_GIB:
            raise InputError(
                f"a candidate's memory must be at least {MIN_MEMORY_GIB:g} GiB, most of which a worker process takes "
                f"by itself, and below {MAX_MEMORY_GIB:,} GiB, got {self.memory_gib:g}"
            )

    def to_json(self) -> str:
        """Return the limits as the archive keeps them; `from_json` is the inverse."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> CandidateLimits:
        """Return the limits that `to_json` wrote.

        Args:
            text: Its result.
        """
        return cls(**json.loads(text))
