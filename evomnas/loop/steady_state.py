"""A search in steady state: whenever a worker is free, breed from what is known by then.

Nobody waits for the slowest network of a generation. What is told when depends on how long trainings take, so the
archive keeps the order of events: how many networks had been asked for when each result was told. A run that is resumed
plays them again in that order. A generation is as many networks as were asked for first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any, cast

from numpy.typing import NDArray

from evomnas.algorithms.base import SteadyState
from evomnas.core import registry
from evomnas.core.errors import InputError
from evomnas.loop.loop import BARREN_ASKS, FRUITLESS_ASKS, Loop
from evomnas.results.archive import Ask, Tell
from evomnas.results.evaluation import AnyArchitecture, told


def check_steady(algorithm: str) -> None:
    """Raise InputError where a registered algorithm can only learn from whole generations."""
    if not is_steady(algorithm):
        able = [name for name in registry.available("algorithms") if is_steady(name)]
        raise InputError(f"{algorithm} learns from whole generations: drop --async, or search with {', '.join(able)}")


def is_steady(algorithm: str) -> bool:
    """Whether a registered algorithm can breed while networks are still being evaluated."""
    kind = registry.load("algorithms", algorithm)
    return issubclass(kind, SteadyState) and bool(getattr(kind, "steady", True))


class Steady(Loop):
    """Asks for one network after another, and tells each result when it is there."""

    def run(self) -> None:
        """See `Loop`."""
        self.tells = deque(self.run_.archive.tells(self.run_.record.id))
        self.told = 0
        self.bred: deque[NDArray[Any]] = deque()
        self.pending: dict[int, tuple[NDArray[Any], AnyArchitecture]] = {}  # by the position of the ask
        self.size = 0  # of a generation
        self.starved_at = -1  # as many were told when the algorithm had nothing to ask
        self.fruitless = self.barren = 0
        for architecture in self.evaluator.train(self._to_train(), self.threshold_for):
            self._tell_all(architecture)
        if self.told % max(1, self.size):
            self._check_failures()
            self.generation = self.told // self.size
            self._end_generation(fresh=True)

    def _to_train(self) -> Iterator[AnyArchitecture | None]:
        """What is to be trained next; None where that cannot be said before another has ended."""
        started: set[AnyArchitecture] = set()
        while True:
            self._replay()
            waiting = [one for _, one in self.pending.values() if one not in started or one in self.done]
            if waiting:  # asked for before the run was stopped, or just now
                chosen = waiting[0]
                self.evaluator.measure([chosen])
                if self.evaluator.known(chosen).status == "stopped":
                    started.add(chosen)
                    yield chosen
                else:
                    self._tell_all(chosen)
            elif not self._ask():
                if not self.pending:
                    return
                yield None

    def _replay(self) -> None:
        """Go through what happened before the run was stopped."""
        while self.tells:
            if self.tells[0].asks > self.position:
                if not self._ask():
                    raise InputError(
                        f"cannot resume {self.run_.folder}: its algorithm now asks for fewer networks than it did; "
                        "versions of evomnas, pymoo or numpy may differ from those in run.json"
                    )
            else:
                self._tell(self.tells[0].ask)
        while self.position < len(self.recorded) and self._ask():
            pass

    def _ask(self) -> bool:
        """Ask for the next network; False where there is none, or none before more is told."""
        if self.room() <= len(self.pending) or self.fruitless >= FRUITLESS_ASKS or self.barren >= BARREN_ASKS:
            return False
        if not self.bred and not self._breed():
            return False
        genome = self.bred.popleft()
        architecture = self.space.decode(genome)
        fresh = self.position >= len(self.recorded)
        self.generation = self.position // self.size
        [ask] = self._record([architecture])
        if fresh and architecture not in self.done:
            self._count_reused([architecture])
        self.fruitless = self.fruitless + 1 if architecture in self.done else 0
        self.position += 1
        self.pending[ask.position] = genome, architecture
        return True

    def _breed(self) -> bool:
        if self.starved_at == self.told:
            return False
        self._weigh()
        with self.evaluator.spent.on("algorithm"):
            self.bred.extend(cast(SteadyState, self.algorithm).ask_more())
        self._listen()
        self.size = self.size or len(self.bred)
        self.starved_at = -1 if self.bred else self.told
        return bool(self.bred)

    def _tell_all(self, architecture: AnyArchitecture) -> None:
        """Tell what came of an architecture, as often as it was asked for."""
        for position in [position for position, (_, one) in self.pending.items() if one == architecture]:
            self._tell(position)

    def _tell(self, position: int) -> None:
        """Tell what came of an ask, and note when."""
        genome, architecture = self.pending.pop(position)
        evaluation = self.evaluator.known(architecture)
        if self.tells:
            self.tells.popleft()
        else:
            tell = Tell(self.told, self.position, position)
            self.run_.archive.add_tell(self.run_.record.id, tell)
        ended = self.ended
        if architecture not in self.done:
            self._keep(Ask(position, position // self.size, str(architecture)), evaluation)
        self.barren = 0 if self.ended > ended else self.barren + 1
        losses, violations = told([evaluation])
        with self.evaluator.spent.on("algorithm"):
            cast(SteadyState, self.algorithm).tell_some(genome[None], losses, violations)
        self.told += 1
        self._tick("training")
        if self.told >= self.size:
            self._check_failures()
        if self.told % self.size == 0:
            self.generation = self.told // self.size - 1
            self._end_generation(fresh=not self.tells)
