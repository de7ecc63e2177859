"""A search by generations: ask for one, evaluate it, tell it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Any

from evomnas.loop.loop import SearchLoop
from evomnas.results.records import Ask


class Generations(SearchLoop):
    """One generation after the other, each told when all of it is known; see `SearchLoop`."""

    def run(self) -> None:
        """See `SearchLoop.run`."""
        while self.stopping.room and not self.stopping.is_exhausted:
            genomes = self.algorithm.ask()
            if len(genomes) == 0:
                return
            self._listen()
            self._note_parents(genomes)
            architectures = [self._space.decode(genome) for genome in genomes]
            asked, room = self.journal.asked, self.stopping.room
            is_complete = self._evaluate(architectures)
            if is_complete:
                self.algorithm.tell(genomes, *self.tally.told(self.tally.of(architectures)))
                self._forget_weights()
            self._end_generation(is_new=self.journal.asked > asked)
            if not is_complete:
                return
            self.stopping.count_tell(self.stopping.room < room)
            self.progress.generation += 1

    def _evaluate(self, architectures: Sequence[Any]) -> bool:
        """Evaluate a generation; returns False where the budget ends within it."""
        new = [one for one in dict.fromkeys(architectures) if one not in self.tally.evaluations]
        self.stopping.count_ask(is_new=bool(new))
        is_replaying = self.journal.is_replaying
        asks: list[Ask] = []
        while self.stopping.room and len(asks) < len(architectures):
            batch, new = new[: self.stopping.room], new[self.stopping.room :]
            asks = self.journal.record_asks(self._beginning(architectures, set(batch)), self.progress.generation)
            self.progress.batch = batch
            if not is_replaying:
                self.progress.reused += self.journal.count_reused([self.evaluator.known(one) for one in batch])
            first = {ask.architecture: ask for ask in reversed(asks)}
            old = {one for one in batch if is_replaying and self.evaluator.known(one).status != "stopped"}
            evaluations = self.evaluator.evaluate(batch, self.tally.threshold_for)
            for architecture, evaluation in zip(batch, evaluations, strict=True):
                self._count(first[str(architecture)], evaluation, is_new=architecture not in old)
            self.progress.batch = []
        self.journal.position += len(asks)
        self._take_notice("training")
        self.tally.check_failures()
        return len(asks) == len(architectures)

    def _beginning(self, architectures: Sequence[Any], batch: set[Any]) -> list[Any]:
        """Return a generation's networks up to the first one that is neither known nor in the batch."""
        known = self.tally.evaluations
        return list(takewhile(lambda architecture: architecture in known or architecture in batch, architectures))
