"""How long work will take, from what is measured before it begins, and corrected as it goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

# What follows the work itself, in seconds on a core whose `measure_pace` is 1. Nearly all of it is libraries that are
# loaded then: of small and of large networks it is the same.
CARD_S = 1.0  # counting the costs of the first network, and writing its card
REPORT_S = 1.0  # writing the report of the run, and ending

SAMPLE_S = 0.010  # for which a core has the pace 1
_SAMPLE = "\n".join(
    f"def call_{number}(x):\n    return [(x * {number} + y, str(y)) for y in range(12)]" for number in range(150)
)


def measure_pace() -> float:
    """Return how long this core takes for what libraries do, relative to the one on which constants were measured.

    Such constants are what cannot be measured beforehand: to import a library, or to have it convert a network. All of
    that is Python that is read and run, so here a piece of it is read, and as much is run. A core that is half as fast
    takes twice as long for both. Other programs that share the core count as well.

    Returns:
        The factor by which the constants are to be multiplied. It takes `SAMPLE_S` three times to measure it.
    """
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        compile(_SAMPLE, "<sample>", "exec")
        [(x * y, str(y)) for x in range(1000) for y in range(12)]
        seconds.append(time.perf_counter() - began)
    return min(seconds) / SAMPLE_S


class Plan:
    """The expected times of pieces of work, which are corrected as the work goes on.

    Attributes:
        expected: The expected seconds of each piece by its name, in their order; 0 where nothing is to be done.
        afterwards: The seconds of what follows the last piece.
    """

    def __init__(
        self, expected: Mapping[str, float], afterwards: float = 0.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Begin with the first piece.

        Args:
            expected: See the attribute.
            afterwards: See the attribute.
            clock: Returns the time in seconds.
        """
        self.expected, self.afterwards, self._clock = dict(expected), afterwards, clock
        self._piece = _Piece("", clock())
        self._done: list[tuple[float, float]] = []  # of the pieces that are done: seconds taken, and foreseen
        self._begun: set[str] = set()

    @property
    def seconds(self) -> float:
        """The expected seconds of all pieces together, and of what follows; 0 if nothing is to be done."""
        pieces = sum(self.expected.values())
        return pieces + self.afterwards if pieces else 0.0

    def remaining(self, name: str, step: int, steps: int) -> float:
        """Return the seconds that are left, after a step of a piece.

        The rest of the piece takes as long per step as its steps so far. Other pieces take longer or shorter than
        expected by the same factor as those so far. What follows them takes as long as expected.

        Args:
            name: The piece. A name other than before means that the piece before is done.
            step: Its steps so far, those of earlier sessions included. There is a call for every step of this session.
            steps: All its steps.
        """
        if name != self._piece.name:
            self._done.append(self._piece.comparison(self.expected.get(self._piece.name, 0.0), left=0))
            self._piece = _Piece(name, self._piece.latest)
            self._begun.add(name)
        piece, left, expected = self._piece, steps - step, self.expected.get(name, 0.0)
        piece.end_step(self._clock())
        taken, foreseen = (sum(column) for column in zip(*self._done, piece.comparison(expected, left), strict=True))
        factor = taken / foreseen if foreseen else 1.0
        per_step = piece.seconds_per_step(factor * expected / (piece.steps + left))
        others = sum(seconds for other, seconds in self.expected.items() if other not in self._begun)
        return per_step * left + factor * others + self.afterwards


@dataclass
class _Piece:
    """A piece of work. Its first step takes longer than others, since memory is set up, and says nothing of them."""

    name: str
    started: float
    steps: int = 0
    first: float = 0.0  # when its first step ended, and its latest one
    latest: float = 0.0

    def __post_init__(self) -> None:
        self.latest = self.started

    def end_step(self, now: float) -> None:
        """Count a step that has ended now."""
        self.steps, self.latest = self.steps + 1, now
        if self.steps == 1:
            self.first = now

    def seconds_per_step(self, expected: float) -> float:
        """Return the seconds of a step: of those after the first, else what is expected, else of the first."""
        if self.steps > 1:
            return (self.latest - self.first) / (self.steps - 1)
        return expected or self.latest - self.started

    def comparison(self, expected: float, left: int) -> tuple[float, float]:
        """Return the seconds of the steps that can be compared with what was expected, and what was expected of them.

        A piece of one step is compared as a whole.
        """
        total = self.steps + left
        if not expected or not self.steps or (self.steps == 1 and total > 1):
            return 0.0, 0.0
        if total == 1:
            return self.latest - self.started, expected
        return self.latest - self.first, expected * (self.steps - 1) / total
