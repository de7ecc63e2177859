"""Record keeping of a search: asks, tells and generations in the archive, and the files of the run."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

from evomnas.core.errors import InputError
from evomnas.loop.progress import OnGeneration
from evomnas.loop.run_clock import RunClock
from evomnas.loop.tally import Tally
from evomnas.results.evaluation import Evaluation
from evomnas.results.manifest import Reused
from evomnas.results.records import Ask, GenerationRecord, Tell
from evomnas.results.run import Run

WRITE_EVERY_S = 1.0  # the run's files, at the end of a generation; the archive has everything at once
NOTE_EVERY_S = 30.0  # where time went, within a generation: so much of it is lost with a killed process


class Journal:
    """Keeps what a run asks and is told, and compares it with what an earlier session kept.

    Attributes:
        position: How much was asked for so far in this session.
        tells: What was told one by one in earlier sessions, and was not played again yet.
    """

    def __init__(self, run: Run, clock: RunClock, tally: Tally, on_generation: OnGeneration) -> None:
        """Open the journal of a run.

        Args:
            run: The run.
            clock: Knows where its time went.
            tally: What it has evaluated.
            on_generation: Called with the run, its files up to date, after new generations.
        """
        self._run, self._clock, self._tally, self._on_generation = run, clock, tally, on_generation
        self._archive, self._id = run.archive, run.record.id
        self._asks = run.asks
        self._kept = {record.generation for record in self._archive.generations(self._id)}
        self._ended: list[GenerationRecord] = []  # generations that the archive does not have yet
        self._written, self._noted = -math.inf, time.perf_counter()
        self.position = 0
        self.tells = deque(self._archive.tells(self._id))

    @property
    def asked(self) -> int:
        """How much was ever asked for, in this session or earlier ones."""
        return len(self._asks)

    @property
    def is_replaying(self) -> bool:
        """Whether what comes next was asked for in an earlier session."""
        return self.position < len(self._asks)

    def record_asks(self, architectures: Sequence[Any], generation: int) -> list[Ask]:
        """Keep what is asked for from `position` on, or check that an earlier session asked for the same.

        Args:
            architectures: The networks.
            generation: Their generation, from 0.

        Returns:
            One ask per network.

        Raises:
            InputError: An earlier session asked for others.
        """
        asks = [
            Ask(self.position + place, generation, str(architecture))
            for place, architecture in enumerate(architectures)
        ]
        earlier = self._asks[self.position : self.position + len(asks)]
        for before, ask in zip(earlier, asks, strict=False):
            if before.architecture != ask.architecture:
                raise self._cannot_resume(f"other networks than it did (ask {ask.position})")
        self._archive.add_asks(self._id, asks[len(earlier) :])
        self._asks += asks[len(earlier) :]
        return asks

    def check_asked(self, is_asked: bool) -> None:
        """Check that the algorithm asks for something, as it did in an earlier session.

        Args:
            is_asked: Whether it does.

        Raises:
            InputError: It does not.
        """
        if not is_asked:
            raise self._cannot_resume("fewer networks than it did")

    def _cannot_resume(self, difference: str) -> InputError:
        return InputError(
            f"cannot resume {self._run.folder}: its algorithm now asks for {difference}; versions of evomnas, pymoo or "
            "numpy may differ from those in run.json"
        )

    def record_tell(self, ask: int, number: int) -> None:
        """Keep that a result was told, unless an earlier session did.

        Args:
            ask: The position of what it was asked for.
            number: How many results were told before.
        """
        if self.tells:
            self.tells.popleft()
        else:
            self._archive.add_tell(self._id, Tell(number, self.position, ask))

    def count_reused(self, evaluations: Sequence[Evaluation]) -> int:
        """Note what the archive has of new networks from other runs, and what that would have taken.

        Args:
            evaluations: What the archive has of them.

        Returns:
            How many of them it knew.
        """
        known = [evaluation for evaluation in evaluations if evaluation.ended]
        before = self._run.manifest.reused or Reused()
        self._run.manifest.reused = Reused(
            networks=before.networks + len(known),
            seconds=round(before.seconds + sum(evaluation.seconds or 0.0 for evaluation in known), 3),
        )
        return len(known)

    def end_generation(self, number: int, metrics: dict[str, float], is_new: bool) -> None:
        """Keep when a generation ended and what the algorithm says of itself; now and then, write the run's files.

        Args:
            number: The generation, from 0.
            metrics: What the algorithm says of itself.
            is_new: Whether this session asked for some of it.
        """
        seconds = self._clock.note()
        if is_new or number not in self._kept:
            self._ended.append(GenerationRecord(number, seconds, metrics))
        if time.perf_counter() - self._written >= WRITE_EVERY_S:
            self.keep_generations()
            self._run.write(self._tally.spent, self._tally.front.items)
            self._written = self._noted = time.perf_counter()
            if is_new:
                self._on_generation(self._run)

    def keep_generations(self) -> None:
        """Let the archive have the generations that have ended."""
        self._archive.add_generations(self._id, self._ended)
        self._ended.clear()

    def note_time(self) -> None:
        """Write the run's files within a generation, where that was not done for long."""
        if time.perf_counter() - self._noted >= NOTE_EVERY_S:
            self._clock.note()
            self._run.write(self._tally.spent, self._tally.front.items)
            self._noted = time.perf_counter()
