"""Whose fault it is that workers died: the candidates', nobody's, or that of a machine that is short of memory."""

from __future__ import annotations

import signal
from collections.abc import Collection
from concurrent.futures import Future, wait
from typing import Any, NamedTuple

from evomnas.core.errors import WorkersLost
from evomnas.core.system.machine import kills_for_memory
from evomnas.evaluation.executors.crew import WorkerDied

FROM_OUTSIDE = (None, -signal.SIGTERM, -9)  # exit codes of those who may have been killed; None is not known
SAME_CAUSE_S = 1.0  # workers that are killed within this time are killed by the same hand, for no candidate's fault
MAX_MASSACRES = 5  # times that several workers are killed at once, with no other end of a candidate between


class Verdict(NamedTuple):
    """Which calls have ended, and whose workers died for no fault of theirs.

    Attributes:
        ended: Those that have ended by now.
        innocent: Those of them whose workers were killed together.
        memory_was_short: Whether the system has killed a process since memory was short.
    """

    ended: set[Future[Any]]
    innocent: set[Future[Any]]
    memory_was_short: bool


class Inquest:
    """Looks into the deaths of workers, from its creation on."""

    def __init__(self) -> None:
        """Start to watch."""
        self._massacres, self._kills = 0, kills_for_memory()

    def hold(self, ended: set[Future[Any]], running: Collection[Future[Any]]) -> Verdict:
        """Look into what has ended.

        Args:
            ended: The calls that have ended.
            running: These and all others.

        Returns:
            Whose fault it was. If workers were killed, this takes `SAME_CAUSE_S`.

        Raises:
            WorkersLost: Several workers were killed at once, again and again.
        """
        if not any(map(_was_killed, ended)):
            self._massacres = 0 if ended else self._massacres
            return Verdict(ended, set(), False)
        ended = wait(running, timeout=SAME_CAUSE_S).done
        killed = {one for one in ended if _was_killed(one)}
        if self.memory_was_short():
            return Verdict(ended, set(), True)
        if len(killed) == 1:
            return Verdict(ended, set(), False)
        self._massacres += 1
        if self._massacres > MAX_MASSACRES:
            raise WorkersLost(f"all worker processes were killed, {self._massacres} times in a row")
        return Verdict(ended, killed, False)

    def memory_was_short(self) -> bool:
        """Return whether the system has killed a process since the last time, because memory was short."""
        before, self._kills = self._kills, kills_for_memory()
        return self._kills > before


def _was_killed(call: Future[Any]) -> bool:
    death = call.exception()
    return isinstance(death, WorkerDied) and death.exit_code in FROM_OUTSIDE
