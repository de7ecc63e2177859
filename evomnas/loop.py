"""The loop: ask, evaluate, tell.

A run is a function of its problem, algorithm, seed and archive. Resuming is therefore running again: what
the archive has is told at once, until the run reaches the place where it stopped.
"""

from __future__ import annotations

import itertools
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from evomnas.algorithms import Choosing, GoalSeeking, Introspective, Weighing, make_algorithm, option_names
from evomnas.archive import Archive, Ask, GenerationRecord
from evomnas.clock import Clock
from evomnas.definition import AnyDefinition, TableDefinition, load_definition
from evomnas.early_stop import EarlyStop
from evomnas.errors import InputError
from evomnas.evaluation import AnyArchitecture, AnyEvaluation, Evaluation
from evomnas.evaluator import AnyEvaluator, no_bar, open_evaluator
from evomnas.executors import CandidateLimits, Workers
from evomnas.pareto import Front, hypervolume
from evomnas.problem import told
from evomnas.reward import Goal
from evomnas.runs import Result, Run, check_free, check_place
from evomnas.space import Space

ARCHIVE = "evomnas.sqlite"
FRUITLESS_ASKS = 50  # generations without a new network after which a space counts as searched through
WRITE_EVERY_S = 1.0  # the run's files, at the end of a generation; the archive has everything at once
BARREN_ASKS = 1000  # the same for generations without a network that could be trained, all beyond a limit


class EverythingFailed(RuntimeError):
    """No candidate of a whole generation gave a result."""


class _TimeUp(BaseException):
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
        hypervolume: See `evomnas.pareto.hypervolume`.
        failed: How many of the evaluated ones failed.
        cut: How many were cut off after their first epochs.
        reused: How many the archive knew from other runs.
        metrics: What the algorithm said of itself after the last generation.
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


def search(
    problem: str | Path | AnyDefinition = "digits",
    algorithm: str = "nsga2",
    *,
    options: Mapping[str, Any] | None = None,
    overrides: Sequence[str] = (),
    budget: int = 64,
    seed: int = 1,
    out: Path | str | None = None,
    archive: Path | str | None = None,
    time_limit_s: float | None = None,
    workers: Workers = 0,
    device: str = "auto",
    candidates: CandidateLimits = CandidateLimits(),
    early_stop: bool = True,
    on_progress: OnProgress = lambda progress: None,
    on_generation: OnGeneration = lambda run: None,
) -> Run:
    """Search a problem; every finished evaluation is in the archive, whatever ends the search.

    Args:
        problem: A built-in name, a problem file, or a definition.
        algorithm: A registered algorithm.
        options: Its options, such as `{"target_ms": 0.5}` for `rl-weighted`; where it wants a target and none is
            given, it is the reference network's latency, as in the paper.
        overrides: `section.key=value` strings for the problem.
        budget: Distinct networks to evaluate.
        seed: Of the algorithm.
        out: The run's folder; `runs/PROBLEM-ALGORITHM-sSEED` by default.
        archive: The archive file; `evomnas.sqlite` beside the run's folder by default.
        time_limit_s: Stop after so many seconds.
        workers: Worker processes for the trainings, or a `Cluster`; 0 trains in this process. The command starts
            `default_workers()`. With workers, a script needs the usual `if __name__ == "__main__":` around
            its body, since they import it.
        device: `auto`, `cpu` or `cuda`.
        candidates: Time and memory that one candidate may take in a worker process.
        early_stop: Cut candidates off that their first epochs show to be dominated beyond doubt.
        on_progress: Called whenever something may have changed.
        on_generation: Called with the run, its files up to date, after new generations, at most once a second.

    Returns:
        The run; `run.front()` is its Pareto set.

    Raises:
        InputError: An argument or the data is wrong; nothing was started.
        EverythingFailed: No candidate of a generation gave a result.
    """
    started = time.perf_counter()
    definition = load_definition(problem, overrides) if isinstance(problem, str | Path) else problem
    options = {} if options is None else options
    check_settings(budget, seed, time_limit_s, workers)
    check_options(definition, algorithm, options)
    folder = Path(out) if out is not None else default_folder(definition, algorithm, seed)
    check_free(folder)
    path = archive_path(archive, folder)
    on_progress(Progress("starting", 0, budget))
    path.parent.mkdir(parents=True, exist_ok=True)
    with open_evaluator(definition, Archive(path.resolve()), workers, device, candidates) as evaluator:
        run = begin(evaluator, folder, algorithm, seed, budget, options, early_stop)
        return carry_on(run, evaluator, started, time_limit_s, on_progress, on_generation)


def begin(
    evaluator: AnyEvaluator, folder: Path, algorithm: str, seed: int, budget: int, options: Mapping[str, Any],
    early_stop: bool = False,
) -> Run:  # fmt: skip
    """A new run, with all its options settled; nothing is asked yet. Without a second epoch nothing is cut off.

    Raises:
        InputError: No network can meet the problem's limits.
    """
    evaluator.check_limits()
    manner = {"early_stop": True} if early_stop and _epochs(evaluator.definition) > 1 else {}
    settled = settled_options(evaluator, algorithm, options)
    return Run.create(folder, evaluator, algorithm, seed, budget, settled, manner)


def _epochs(definition: AnyDefinition) -> int:
    """Of a candidate's training; none on tabular problems."""
    return 0 if isinstance(definition, TableDefinition) else definition.training.epochs


def settled_options(evaluator: AnyEvaluator, algorithm: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """`options`, with the reference network's cost as the target where an algorithm wants one and none is given."""
    names = option_names(algorithm)
    default = {"target_ms": evaluator.reference_cost()} if "target_ms" in names and "target_ms" not in options else {}
    return default | dict(options)


def resume(
    folder: Path | str,
    *,
    budget: int | None = None,
    time_limit_s: float | None = None,
    workers: Workers = 0,
    device: str = "auto",
    on_progress: OnProgress = lambda progress: None,
    on_generation: OnGeneration = lambda run: None,
) -> Run:
    """Go on with a run that was stopped, or with a larger budget; arguments as for `search`.

    What a candidate may take belongs to the run, as what failed by it was told to the algorithm.

    Raises:
        InputError: The folder holds no run, the budget is smaller than before, or the images have changed.
    """
    started = time.perf_counter()
    run = Run.open(Path(folder))
    old = int(run.manifest["budget"])
    budget = old if budget is None else budget
    check_settings(budget, 0, time_limit_s, workers)
    if budget < old:
        raise InputError(f"the run's budget is {old} already: --budget can only raise it")
    run.manifest["budget"] = budget

    on_progress(Progress("starting", int(run.manifest["evaluations"]), budget))
    candidates = CandidateLimits.from_json(run.record.candidates)
    with open_evaluator(run.definition, run.archive, workers, device, candidates) as evaluator:
        check_same(run, evaluator)
        return carry_on(run, evaluator, started, time_limit_s, on_progress, on_generation)


def check_same(run: Run, evaluator: AnyEvaluator) -> None:
    """Raise InputError that names the difference where a run's evaluations would not be the same any more."""
    if evaluator.proxy_key != run.record.proxy:
        what = "table" if isinstance(run.definition, TableDefinition) else "images, recipe or kind of device"
        raise InputError(_difference(what, run, "proxy", evaluator.proxy_key))
    if evaluator.device_key != run.record.device:
        raise InputError(_difference("machine or runtime", run, "device", evaluator.device_key))


def default_folder(definition: AnyDefinition, algorithm: str, seed: int) -> Path:
    """Where a run goes that names no folder: `runs/PROBLEM-ALGORITHM-sSEED`."""
    return Path("runs") / f"{definition.name}-{algorithm}-s{seed}"


def archive_path(archive: Path | str | None, folder: Path) -> Path:
    """Where a new run in `folder` keeps its evaluations: `archive`, or else beside the folder.

    Raises:
        InputError: An archive outlives its runs, so it does not lie within one.
    """
    if archive is None:
        return folder.resolve().parent / ARCHIVE
    path = Path(archive)
    check_place(path, "--archive FILE")
    if folder.resolve() in path.resolve().parents:
        raise InputError(f"the archive {path} would lie in the run's own folder: name a file beside it with --archive")
    return path


def check_options(definition: AnyDefinition, algorithm: str, options: Mapping[str, Any]) -> None:
    """Raise InputError where an algorithm lacks an option or a value is wrong."""
    names = option_names(algorithm)
    target = {"target_ms": 1.0} if "target_ms" in names else {}  # the right one is known when the device is
    make_algorithm(algorithm, definition.space, 0, target | dict(options))


def check_budget(budget: int) -> None:
    """Raise InputError where a budget is not positive."""
    if budget < 1:
        raise InputError(f"the budget must be at least 1 evaluation, got {budget}: for example --budget 64")


def check_settings(budget: int, seed: int, time_limit_s: float | None, workers: Workers) -> None:
    """Raise InputError where one of them is out of range."""
    check_budget(budget)
    if not 0 <= seed < 2**63:
        raise InputError(f"the seed must be 0 or more and below 2^63, got {seed}: for example --seed 1")
    if time_limit_s is not None and not time_limit_s > 0:
        raise InputError(f"the time limit must be positive, got {time_limit_s}: for example --time 10m")
    if isinstance(workers, int) and not 0 <= workers <= 1024:
        raise InputError(f"workers must lie between 0 and 1024, got {workers}: for example --workers 2")


def _difference(what: str, run: Run, kind: str, new_key: str) -> str:
    old = run.archive.context(getattr(run.record, kind))
    new = run.archive.context(new_key)
    names = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    parts = ", ".join(f"{name} was {old.get(name)!r} and is {new.get(name)!r}" for name in names)
    return f"cannot resume {run.folder}: its {what} changed ({parts}); start another run with --out DIR"


def carry_on(
    run: Run,
    evaluator: AnyEvaluator,
    started: float,
    time_limit_s: float | None = None,
    on_progress: OnProgress = lambda progress: None,
    on_generation: OnGeneration = lambda run: None,
) -> Run:
    """Take a run up to its budget; its seconds count from `started`, a reading of `time.perf_counter`."""
    deadline = None if time_limit_s is None else started + time_limit_s
    clock = Clock(run, evaluator, started)
    run.manifest["status"] = "interrupted"  # true of what is on disk, until the search has ended
    loop = _Loop(run, evaluator, clock, deadline, on_progress, on_generation)
    try:
        loop.run()
        run.manifest["goals"] = loop.conclude()
        run.manifest["status"] = "finished"
    except _TimeUp:
        run.manifest["status"] = "out of time"
    finally:
        loop.keep_generations()
        clock.note()
        results = run.results()  # with what ended in a generation that did not
        if loop.early_stop is not None:
            run.manifest["cut"] = run.cut_off(results)
        run.write(sum(result.evaluation.ended for result in results), run.front(results))
    return run


class _Loop:
    """One run's loop; it knows what was evaluated and tells how far it is."""

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
        self.early_stop = EarlyStop(_epochs(evaluator.definition), self.front) if run.manner.get("early_stop") else None
        evaluator.run = run.record.id
        self.batch: list[AnyArchitecture] = []
        self.ended_generations: list[GenerationRecord] = []  # that the archive does not have yet
        self.metrics: dict[str, float] = {}  # of the last generation
        self.written = -math.inf
        record = run.record
        with self.clock.algorithm_s_turn():
            self.algorithm = make_algorithm(record.algorithm, self.space, record.seed, json.loads(record.options))
        evaluator.on_progress = self._tick

    def run(self) -> None:
        fruitless = barren = 0
        while self.room() and fruitless < FRUITLESS_ASKS and barren < BARREN_ASKS:
            self._weigh()
            with self.clock.algorithm_s_turn():
                genomes = self.algorithm.ask()
            if len(genomes) == 0:
                return
            asked = [self.space.decode(genome) for genome in genomes]
            new = [one for one in dict.fromkeys(asked) if one not in self.done]
            before, recorded = self.room(), len(self.recorded)
            if not self._evaluate(asked, new):
                return
            losses, violations = told([self.done[one] for one in asked])
            with self.clock.algorithm_s_turn():
                self.algorithm.tell(genomes, losses, violations)
            self._end_generation(fresh=len(self.recorded) > recorded)
            fruitless = 0 if new else fruitless + 1
            barren = 0 if self.room() < before else barren + 1
            self.generation += 1

    def _weigh(self) -> None:
        """Tell an algorithm that wants to know what candidates cost."""
        if not isinstance(self.algorithm, Weighing):
            return
        price = self.evaluator.price(list(self.done.values()))
        with self.clock.algorithm_s_turn():
            genomes = self.algorithm.consider(price)
        costs = self.evaluator.costs([self.space.decode(genome) for genome in genomes])
        with self.clock.algorithm_s_turn():
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
            with self.clock.algorithm_s_turn():
                genomes = self.algorithm.choices()
            self.evaluator.run = None  # a choice is trained in full, even if it was cut off
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

    def _evaluate(self, asked: list[AnyArchitecture], new: list[AnyArchitecture]) -> bool:
        """Evaluate a generation; False where the budget ends within it."""
        fresh = self.position >= len(self.recorded)
        asks: list[Ask] = []
        while self.room() and len(asks) < len(asked):
            self.batch, new = new[: self.room()], new[self.room() :]
            batch = set(self.batch)
            asks = self._record(list(itertools.takewhile(lambda one: one in self.done or one in batch, asked)))  # noqa: B023
            if fresh:
                self._count_reused()
            first = {ask.architecture: ask for ask in reversed(asks)}
            bar_for = no_bar if self.early_stop is None else self.early_stop.bar
            evaluations = self.evaluator.evaluate(self.batch, bar_for)
            for architecture, evaluation in zip(self.batch, evaluations, strict=True):
                self._keep(first[str(architecture)], evaluation)
            self.batch = []
        self.position += len(asks)
        self._tick("training")
        self._check_failures()
        return len(asks) == len(asked)

    def _end_generation(self, fresh: bool) -> None:
        """Note when the generation ended and what the algorithm says of itself; now and then, write."""
        found = self.algorithm.metrics() if isinstance(self.algorithm, Introspective) else {}
        self.metrics = {name: float(value) for name, value in found.items() if np.isfinite(value)}
        self.ended_generations.append(GenerationRecord(self.generation, self.clock.note(), self.metrics))
        if time.perf_counter() - self.written >= WRITE_EVERY_S:
            self.keep_generations()
            self.run_.write(self.ended, self.front.items)
            self.written = time.perf_counter()
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

    def _count_reused(self) -> None:
        """Note what the archive has of this batch from other runs, and what that would have taken."""
        known = [one for one in map(self.evaluator.known, self.batch) if one.ended]
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
            raise _TimeUp
        batch = [self.evaluator.known(one) for one in self.batch]
        accuracies = [1 - one.losses[0] for one in batch if one.losses is not None]
        points = [one.relative_losses for one in (*(result.evaluation for result in self.front.items), *batch)]
        best = max([self.best_accuracy, *accuracies])
        self.on_progress(
            Progress(
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
        )


def _conclusion(goal: Goal, evaluation: AnyEvaluation) -> dict[str, Any]:
    score = float(goal(told([evaluation])[0])[0]) if evaluation.losses is not None else None
    architecture = evaluation.architecture
    losses = None if evaluation.losses is None else list(evaluation.losses)
    return {"id": architecture.id, "architecture": str(architecture), "losses": losses, "score": score}
