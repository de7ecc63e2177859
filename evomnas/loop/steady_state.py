"""A search in steady state: whenever a worker is free, breed from what is known by then.

Nobody waits for the slowest network of a generation. What is told when depends on how long trainings take. So the
archive keeps the order of events: how many networks had been asked for when each result was told. A run that is resumed
plays them again in that order. A generation is as many networks as were asked for first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from evomnas.loop.loop import SearchLoop
from evomnas.results.records import Ask


@dataclass
class _State:
    """How far a search is.

    Attributes:
        bred: Genomes that the algorithm gave and that were not asked for yet.
        pending: What was asked for and not told yet, genome and network, by the position of the ask.
        told: How many results were told.
        size: Networks of a generation; 0 before the first.
        starved_at: How many results were told when the algorithm last had nothing to ask; -1 where it had.
    """

    bred: deque[NDArray[Any]] = field(default_factory=deque)
    pending: dict[int, tuple[NDArray[Any], Any]] = field(default_factory=dict)
    told: int = 0
    size: int = 0
    starved_at: int = -1


class SteadyStateLoop(SearchLoop):
    """Asks for one network after another, and tells each result when it is there; see `SearchLoop`."""

    def run(self) -> None:
        """See `SearchLoop.run`."""
        self._state = _State()
        for architecture in self.evaluator.train(self._to_train(), self.tally.threshold_for):
            self._tell_all(architecture)
        told, size = self._state.told, self._state.size
        if told % max(1, size):
            self.tally.check_failures()
            self.progress.generation = told // size
            self._end_generation(is_new=True)

    def _to_train(self) -> Iterator[Any | None]:
        """Yield what is to be trained next; None where that cannot be said before another has ended."""
        started: set[Any] = set()
        while True:
            self._replay()
            networks = (architecture for _, architecture in self._state.pending.values())
            waiting = next((one for one in networks if one not in started or one in self.tally.evaluations), None)
            if waiting is not None:  # asked for before the run was stopped, or just now
                self.evaluator.measure([waiting])
                if self.evaluator.known(waiting).status == "stopped":
                    started.add(waiting)
                    yield waiting
                else:
                    self._tell_all(waiting)
            elif not self._ask():
                if not self._state.pending:
                    return
                yield None

    def _replay(self) -> None:
        """Go through what happened before the run was stopped."""
        while self.journal.tells:
            if self.journal.tells[0].asks > self.journal.position:
                self.journal.check_asked(self._ask())
            else:
                self._tell(self.journal.tells[0].ask)
        while self.journal.is_replaying and self._ask():
            pass

    def _ask(self) -> bool:
        """Ask for the next network; returns False where there is none, or none before more is told."""
        state = self._state
        if self.stopping.room <= len(state.pending) or self.stopping.is_exhausted:
            return False
        if not state.bred and not self._breed():
            return False
        genome = state.bred.popleft()
        architecture = self._space.decode(genome)
        is_new, is_replaying = architecture not in self.tally.evaluations, self.journal.is_replaying
        self.progress.generation = self.journal.position // state.size
        [ask] = self.journal.record_asks([architecture], self.progress.generation)
        if is_new and not is_replaying:
            self.progress.reused += self.journal.count_reused([self.evaluator.known(architecture)])
        self.stopping.count_ask(is_new)
        self.journal.position += 1
        state.pending[ask.position] = genome, architecture
        return True

    def _breed(self) -> bool:
        state = self._state
        if state.starved_at == state.told:
            return False
        genomes = self.algorithm.ask_more()
        if len(genomes):
            self._note_parents(genomes)
        state.bred.extend(genomes)
        self._listen()
        state.size = state.size or len(state.bred)
        state.starved_at = -1 if state.bred else state.told
        return bool(state.bred)

    def _tell_all(self, architecture: Any) -> None:
        """Tell what came of a network, as often as it was asked for."""
        pending = self._state.pending.items()
        for position in [position for position, (_, asked) in pending if asked == architecture]:
            self._tell(position)

    def _tell(self, position: int) -> None:
        """Tell what came of an ask, and keep when."""
        state = self._state
        genome, architecture = state.pending.pop(position)
        evaluation = self.evaluator.known(architecture)
        is_new = not self.journal.tells
        self.journal.record_tell(position, state.told)
        ended = self.tally.ended
        if architecture not in self.tally.evaluations:
            self._count(Ask(position, position // state.size, str(architecture)), evaluation, is_new)
        self.stopping.count_tell(self.tally.ended > ended)
        self.algorithm.tell_some(genome[None], *self.tally.told([evaluation]))
        self._forget_weights()
        state.told += 1
        self._take_notice("training")
        if state.told >= state.size:
            self.tally.check_failures()
        if state.told % state.size == 0:
            self.progress.generation = state.told // state.size - 1
            self._end_generation(is_new=not self.journal.tells)
