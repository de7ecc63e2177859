"""When a search ends."""

from __future__ import annotations

import time
from collections.abc import Callable

from evomnas.loop.tally import Tally

# In a row without a new network, after which a space counts as searched through. Controllers that have converged look
# further afield after 50 of them (evomnas.algorithms.policy.search).
MAX_FRUITLESS_ASKS = 100
MAX_BARREN_ASKS = 1000  # in a row without a network that could be trained, all of them being beyond a limit


class TimeUp(BaseException):
    """The time limit was reached in the middle of a generation; no candidate's failure."""


class Stopping:
    """The budget, the time limit, and the end of a space that is searched through.

    An ask is one network in steady state, and otherwise a generation.
    """

    def __init__(
        self, budget: int, deadline: float | None, tally: Tally, keep: Callable[[int], int] = lambda left: 0
    ) -> None:
        """Take the limits of a search.

        Args:
            budget: Distinct networks to evaluate.
            deadline: A reading of `time.perf_counter` at which it ends; None for no time limit.
            tally: What was evaluated so far.
            keep: Says how many of the evaluations that are left are kept for other things than new networks.
        """
        self._budget, self._deadline, self._tally, self._keep = budget, deadline, tally, keep
        self._fruitless = self._barren = 0

    @property
    def room(self) -> int:
        """How many new networks the budget still has; those beyond a limit were not trained and count for nothing."""
        left = self._budget - self._tally.ended
        return left - self._keep(left)

    @property
    def is_exhausted(self) -> bool:
        """Whether so many asks in a row brought nothing that more of them would not, either."""
        return self._fruitless >= MAX_FRUITLESS_ASKS or self._barren >= MAX_BARREN_ASKS

    def count_ask(self, is_new: bool) -> None:
        """Note what the algorithm asked for.

        Args:
            is_new: Whether a network that was not known is among it.
        """
        self._fruitless = 0 if is_new else self._fruitless + 1

    def count_tell(self, counts: bool) -> None:
        """Note what came of an ask.

        Args:
            counts: Whether something of it counts against the budget.
        """
        self._barren = 0 if counts else self._barren + 1

    def check_time(self) -> None:
        """Check the time limit.

        Raises:
            TimeUp: It was reached.
        """
        if self._deadline is not None and time.perf_counter() >= self._deadline:
            raise TimeUp
