"""What all searches share: what was evaluated, what is in the archive, how far the run is.

A run is a function of its problem, algorithm, seed and archive. Resuming is therefore running again: what
the archive has is told at once, until the run reaches the place where it stopped.
"""

from __future__ import annotations

import json
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from evomnas.algorithms.base import Choosing, GoalSeeking, Introspective, Weighing, make_algorithm
from evomnas.algorithms.goals import Goal
from evomnas.core.errors import EverythingFailed, InputError
from evomnas.evaluation.interface import AnyEvaluator
from evomnas.loop.run_clock import Clock
from evomnas.problem.pareto import Front, hypervolume
from evomnas.problem.search_space import Space
from evomnas.results.archive import Ask, GenerationRecord
from evomnas.results.evaluation import AnyArchitecture, AnyEvaluation, Evaluation, told
from evomnas.results.run import Result, Run
from evomnas.training.early_stop import EarlyStop, no_threshold

FRUITLESS_ASKS = 50  # generations without a new network after which a space counts as searched through


WRITE_EVERY_S = 1.0  # the run's files, at the end of a generation; the archive has everything at once


NOTE_EVERY_S = 30.0  # where time went, within a generation: so much of it is lost with a killed process


BARREN_ASKS = 1000  # the same for generations without a network that could be trained, all beyond a limit


class TimeUp(BaseException):
    """The time limit was reached in the middle of a generation; no candidate's failure."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a search stands.

    Attributes:
        phase: `starting`, `preparing`, `waiting` (for another run's training or latency), `measuring` or `training`.
        evaluated: Distinct networks evaluated so far, of `budget`.
        budget: Distinct networks in all.
        generation: From 0.
        best_accuracy: On the validation split; None before the first.
        hypervolume: See `evomnas.problem.pareto.hypervolume`.
        failed: How many of the evaluated ones failed.
        cut: How many were cut off after their first epochs.
        reused: How many the archive knew from other runs.
        metrics: What the algorithm said of itself when it asked for the generation.
    """

    phase: str
    evaluated: int
    budget: int
    generation: int = 0
    best_accuracy: float | None = None
    hypervolume: float = 0.0
    failed: int = 0
    cut: int = 0
    reused: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)


OnProgress = Callable[[Progress], None]


OnGeneration = Callable[[Run], None]


class Loop(ABC):
    """What all loops share: what was evaluated, what is in the archive, how far the run is."""

    def __init__(
        self, run: Run, evaluator: AnyEvaluator, clock: Clock, deadline: float | None, on_progress: OnProgress,
        on_generation: OnGeneration,
    ) -> None:  # fmt: skip
        self.run_, self.evaluator, self.clock, self.deadline = run, evaluator, clock, deadline
        self.on_progress, self.on_generation = on_progress, on_generation
        self.space: Space = evaluator.definition.space
        self.budget = int(run.manifest["budget"])
        self.recorded = run.asks
        self.position, self.generation, self.reused = 0, 0, 0
        self.done: dict[AnyArchitecture, AnyEvaluation] = {}
        self.ended, self.failed, self.cut, self.best_accuracy = 0, 0, 0, -math.inf  # of those done
        self.front: Front[Result] = Front()
        self.early_stop = EarlyStop(run.images.training.epochs, self.front) if run.manner.early_stop else None
        self.threshold_for = no_threshold if self.early_stop is None else self.early_stop.threshold
        evaluator.run = run.record.id
        self.batch: list[AnyArchitecture] = []
        self.kept = {one.generation for one in run.archive.generations(run.record.id)}  # by the archive, from before
        self.ended_generations: list[GenerationRecord] = []  # that the archive does not have yet
        self.metrics: dict[str, float] = {}  # what the algorithm said of itself last
        self.written, self.noted = -math.inf, time.perf_counter()
        self._latest: tuple[tuple[int, ...], Progress] | None = None  # as of which state
        record = run.record
        with self.evaluator.spent.on("algorithm"):
            self.algorithm = make_algorithm(record.algorithm, self.space, record.seed, json.loads(record.options))
        explanations = getattr(self.algorithm, "explanations", {})
        run.manifest["explanations"] = dict(explanations)  # a report imports no algorithm
        evaluator.on_progress = self._tick

    @abstractmethod
    def run(self) -> None:
        """Up to the budget, or until there is nothing more to ask."""

    def _weigh(self) -> None:
        """Tell an algorithm that wants to know what candidates cost."""
        if not isinstance(self.algorithm, Weighing):
            return
        price = self.evaluator.price(list(self.done.values()))
        with self.evaluator.spent.on("algorithm"):
            genomes = self.algorithm.consider(price)
        costs = self.evaluator.costs([self.space.decode(genome) for genome in genomes])
        with self.evaluator.spent.on("algorithm"):
            self.algorithm.weigh(genomes, np.array(costs, dtype=np.float64))

    def room(self) -> int:
        """How many networks the budget still has; those beyond a limit were not trained and count for nothing."""
        return self.budget - self.ended

    def conclude(self) -> list[dict[str, Any]]:
        """Per goal of an algorithm that has any: the best network found, and the algorithm's own choice.

        The choice is evaluated beyond the budget, where it was never asked for, and belongs to no front.
        """
        if not isinstance(self.algorithm, GoalSeeking):
            return []
        chosen: list[AnyEvaluation] = []
        if isinstance(self.algorithm, Choosing):
            with self.evaluator.spent.on("algorithm"):
                genomes = self.algorithm.choices()
            self.evaluator.run = None  # a choice is trained to the end, even if it was cut off
            chosen = self.evaluator.evaluate([self.space.decode(genome) for genome in genomes])
        found = [one for one in self.done.values() if one.losses is not None]
        conclusions = []
        for number, goal in enumerate(self.algorithm.goals):
            scores = goal(told(found)[0])
            best = _conclusion(goal, found[int(np.argmax(scores))]) if found else None
            choice = _conclusion(goal, chosen[number]) if chosen else None
            names = {"goal": str(goal), "measure": goal.measure, "target": goal.target}
            conclusions.append(names | {"best": best, "choice": choice})
        return conclusions

    def _listen(self) -> None:
        """Take in what the algorithm says of itself."""
        found = self.algorithm.metrics() if isinstance(self.algorithm, Introspective) else {}
        self.metrics = {name: float(value) for name, value in found.items() if np.isfinite(value)}

    def _end_generation(self, fresh: bool) -> None:
        """Note when the generation ended and what the algorithm says of itself; now and then, write."""
        self._listen()
        seconds = self.clock.note()
        if fresh or self.generation not in self.kept:
            self.ended_generations.append(GenerationRecord(self.generation, seconds, self.metrics))
        if time.perf_counter() - self.written >= WRITE_EVERY_S:
            self.keep_generations()
            self.run_.write(self.ended, self.front.items)
            self.written = self.noted = time.perf_counter()
            if fresh:
                self.on_generation(self.run_)

    def keep_generations(self) -> None:
        """Let the archive have the generations that have ended."""
        self.run_.archive.add_generations(self.run_.record.id, self.ended_generations)
        self.ended_generations.clear()

    def _keep(self, ask: Ask, evaluation: AnyEvaluation) -> None:
        """Count an architecture as done, first asked for by `ask`."""
        self.done[evaluation.architecture] = evaluation
        self.ended += evaluation.ended
        self.failed += evaluation.failure is not None
        self.cut += evaluation.status == "cut"
        if self.early_stop is not None and isinstance(evaluation, Evaluation):
            self.early_stop.learn(evaluation)
        if evaluation.losses is not None:
            self.best_accuracy = max(self.best_accuracy, 1 - evaluation.losses[0])
            self.front.add(evaluation.losses, Result(ask.position, ask.generation, evaluation, on_front=True))

    def _count_reused(self, new: list[AnyArchitecture]) -> None:
        """Note what the archive has of new networks from other runs, and what that would have taken."""
        known = [one for one in map(self.evaluator.known, new) if one.ended]
        self.reused += len(known)
        before = self.run_.manifest.get("reused", {"networks": 0, "seconds": 0.0})
        saved = sum(one.seconds or 0.0 for one in known)
        self.run_.manifest["reused"] = {
            "networks": before["networks"] + len(known),
            "seconds": round(before["seconds"] + saved, 3),
        }

    def _check_failures(self) -> None:
        if self.failed and self.failed == self.ended:
            causes = [one.failure.message for one in self.done.values() if one.failure is not None]
            most = max(set(causes), key=causes.count)
            raise EverythingFailed(f"all candidates failed ({len(causes)}), most often with: {most}")

    def _record(self, asked: list[AnyArchitecture]) -> list[Ask]:
        """Keep what was asked, or check that it is what was asked for before."""
        asks = [Ask(self.position + number, self.generation, str(one)) for number, one in enumerate(asked)]
        recorded = self.recorded[self.position : self.position + len(asks)]
        for before, ask in zip(recorded, asks, strict=False):
            if before.architecture != ask.architecture:
                raise InputError(
                    f"cannot resume {self.run_.folder}: its algorithm now asks for other networks than it did "
                    f"(ask {ask.position}); versions of evomnas, pymoo or numpy may differ from those in run.json"
                )
        self.run_.archive.add_asks(self.run_.record.id, asks[len(recorded) :])
        self.recorded += asks[len(recorded) :]
        return asks

    def _tick(self, phase: str) -> None:
        if self.deadline is not None and time.perf_counter() >= self.deadline:
            raise TimeUp
        if time.perf_counter() - self.noted >= NOTE_EVERY_S:
            self.clock.note()
            self.run_.write(self.ended, self.front.items)
            self.noted = time.perf_counter()
        state = self.run_.archive.changes, self.generation, self.ended, self.reused, len(self.batch)
        if self._latest is None or self._latest[0] != state:  # asked several times a second, and answers take look-ups
            self._latest = state, self._progress(phase)
        self.on_progress(replace(self._latest[1], phase=phase))

    def _progress(self, phase: str) -> Progress:
        batch = [self.evaluator.known(one) for one in self.batch]
        accuracies = [1 - one.losses[0] for one in batch if one.losses is not None]
        points = [one.relative_losses for one in (*(result.evaluation for result in self.front.items), *batch)]
        best = max([self.best_accuracy, *accuracies])
        return Progress(
            phase,
            self.ended + sum(one.ended for one in batch),
            self.budget,
            self.generation,
            best if best > -math.inf else None,
            hypervolume([p for p in points if p is not None], self.run_.definition.hypervolume.reference_point),
            self.failed + sum(one.failure is not None for one in batch),
            self.cut + sum(one.status == "cut" for one in batch),
            self.reused,
            self.metrics,
        )


def _conclusion(goal: Goal, evaluation: AnyEvaluation) -> dict[str, Any]:
    score = float(goal(told([evaluation])[0])[0]) if evaluation.losses is not None else None
    architecture = evaluation.architecture
    losses = None if evaluation.losses is None else list(evaluation.losses)
    return {"id": architecture.id, "architecture": str(architecture), "losses": losses, "score": score}
