"""A search by generations: ask for one, evaluate it, tell it; and what all searches share.

A run is a function of its problem, algorithm, seed and archive. Resuming is therefore running again: what
the archive has is told at once, until the run reaches the place where it stopped.
"""

from __future__ import annotations

import itertools

from evomnas.loop.loop import BARREN_ASKS, FRUITLESS_ASKS, Loop
from evomnas.results.archive import Ask
from evomnas.results.evaluation import AnyArchitecture, told


class Generations(Loop):
    """One generation after the other, each told when all of it is known."""

    def run(self) -> None:
        fruitless = barren = 0
        while self.room() and fruitless < FRUITLESS_ASKS and barren < BARREN_ASKS:
            self._weigh()
            with self.evaluator.spent.on("algorithm"):
                genomes = self.algorithm.ask()
            if len(genomes) == 0:
                return
            self._listen()
            asked = [self.space.decode(genome) for genome in genomes]
            new = [one for one in dict.fromkeys(asked) if one not in self.done]
            before, recorded = self.room(), len(self.recorded)
            if not self._evaluate(asked, new):
                self._end_generation(fresh=len(self.recorded) > recorded)
                return
            losses, violations = told([self.done[one] for one in asked])
            with self.evaluator.spent.on("algorithm"):
                self.algorithm.tell(genomes, losses, violations)
            self._end_generation(fresh=len(self.recorded) > recorded)
            fruitless = 0 if new else fruitless + 1
            barren = 0 if self.room() < before else barren + 1
            self.generation += 1

    def _evaluate(self, asked: list[AnyArchitecture], new: list[AnyArchitecture]) -> bool:
        """Evaluate a generation; False where the budget ends within it."""
        fresh = self.position >= len(self.recorded)
        asks: list[Ask] = []
        while self.room() and len(asks) < len(asked):
            self.batch, new = new[: self.room()], new[self.room() :]
            batch = set(self.batch)
            asks = self._record(list(itertools.takewhile(lambda one: one in self.done or one in batch, asked)))  # noqa: B023
            if fresh:
                self._count_reused(self.batch)
            first = {ask.architecture: ask for ask in reversed(asks)}
            evaluations = self.evaluator.evaluate(self.batch, self.threshold_for)
            for architecture, evaluation in zip(self.batch, evaluations, strict=True):
                self._keep(first[str(architecture)], evaluation)
            self.batch = []
        self.position += len(asks)
        self._tick("training")
        self._check_failures()
        return len(asks) == len(asked)
