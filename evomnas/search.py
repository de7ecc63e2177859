"""The loop: ask, evaluate, tell.

A run is a function of its problem, algorithm, seed and archive. Resuming is therefore running again: what
the archive has is told at once, until the run reaches the place where it stopped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from evomnas import registry
from evomnas.algorithms import Algorithm
from evomnas.architecture import Architecture
from evomnas.archive import Archive, Ask
from evomnas.data import load_dataset
from evomnas.definition import ProblemDefinition, load_definition
from evomnas.errors import InputError
from evomnas.evaluation import Evaluation
from evomnas.evaluator import Evaluator
from evomnas.executors import make_executor
from evomnas.pareto import hypervolume
from evomnas.problem import told
from evomnas.runs import Run, check_free

ARCHIVE = "evomnas.sqlite"
FRUITLESS_ASKS = 50  # generations without a new network after which a space counts as searched through


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
        reused: How many the archive knew from other runs.
    """

    phase: str
    evaluated: int
    budget: int
    generation: int = 0
    best_accuracy: float | None = None
    hypervolume: float = 0.0
    failed: int = 0
    reused: int = 0


OnProgress = Callable[[Progress], None]


def search(
    problem: str | Path | ProblemDefinition = "digits",
    algorithm: str = "nsga2",
    *,
    overrides: Sequence[str] = (),
    budget: int = 64,
    seed: int = 1,
    out: Path | str | None = None,
    archive: Path | str | None = None,
    time_limit_s: float | None = None,
    workers: int = 0,
    device: str = "auto",
    on_progress: OnProgress = lambda progress: None,
) -> Run:
    """Search a problem; every finished evaluation is in the archive, whatever ends the search.

    Args:
        problem: A built-in name, a problem file, or a definition.
        algorithm: A registered algorithm.
        overrides: `section.key=value` strings for the problem.
        budget: Distinct networks to evaluate.
        seed: Of the algorithm.
        out: The run's folder; `runs/PROBLEM-ALGORITHM-sSEED` by default.
        archive: The archive file; `evomnas.sqlite` beside the run's folder by default.
        time_limit_s: Stop after so many seconds.
        workers: Worker processes for the trainings; 0 trains in this process. The command starts
            `default_workers()`. With workers, a script needs the usual `if __name__ == "__main__":` around
            its body, since they import it.
        device: `auto`, `cpu` or `cuda`.
        on_progress: Called whenever something may have changed.

    Returns:
        The run; `run.front()` is its Pareto set.

    Raises:
        InputError: An argument or the data is wrong; nothing was started.
        EverythingFailed: No candidate of a generation gave a result.
    """
    started = time.perf_counter()
    definition = problem if isinstance(problem, ProblemDefinition) else load_definition(problem, overrides)
    registry.check("algorithms", algorithm)
    _check_budget(budget, seed, time_limit_s, workers)
    folder = Path(out) if out is not None else default_folder(definition, algorithm, seed)
    check_free(folder)
    path = Path(archive) if archive is not None else folder.resolve().parent / ARCHIVE

    def make_run(evaluator: Evaluator) -> Run:
        return Run.create(folder, evaluator, algorithm, seed, budget)

    on_progress(Progress("starting", 0, budget))
    path.parent.mkdir(parents=True, exist_ok=True)
    return _run(definition, Archive(path.resolve()), make_run, started, time_limit_s, workers, device, on_progress)


def resume(
    folder: Path | str,
    *,
    budget: int | None = None,
    time_limit_s: float | None = None,
    workers: int = 0,
    device: str = "auto",
    on_progress: OnProgress = lambda progress: None,
) -> Run:
    """Go on with a run that was stopped, or with a larger budget; arguments as for `search`.

    Raises:
        InputError: The folder holds no run, the budget is smaller than before, or the images have changed.
    """
    started = time.perf_counter()
    run = Run.open(Path(folder))
    old = int(run.manifest["budget"])
    budget = old if budget is None else budget
    _check_budget(budget, 0, time_limit_s, workers)
    if budget < old:
        raise InputError(f"the run's budget is {old} already: --budget can only raise it")
    run.manifest["budget"] = budget

    def make_run(evaluator: Evaluator) -> Run:
        if evaluator.proxy_key != run.record.proxy:
            raise InputError(_difference("images, recipe or kind of device", run, "proxy", evaluator.proxy_key))
        if evaluator.device_key != run.record.device:
            raise InputError(_difference("machine or runtime", run, "device", evaluator.device_key))
        return run

    on_progress(Progress("starting", int(run.manifest["evaluations"]), budget))
    return _run(run.definition, run.archive, make_run, started, time_limit_s, workers, device, on_progress)


def default_folder(definition: ProblemDefinition, algorithm: str, seed: int) -> Path:
    """Where a run goes that names no folder: `runs/PROBLEM-ALGORITHM-sSEED`."""
    return Path("runs") / f"{definition.name}-{algorithm}-s{seed}"


def _check_budget(budget: int, seed: int, time_limit_s: float | None, workers: int) -> None:
    if budget < 1:
        raise InputError(f"the budget must be at least 1 evaluation, got {budget}: for example --budget 64")
    if not 0 <= seed < 2**63:
        raise InputError(f"the seed must be 0 or more and below 2^63, got {seed}: for example --seed 1")
    if time_limit_s is not None and not time_limit_s > 0:
        raise InputError(f"the time limit must be positive, got {time_limit_s}: for example --time 10m")
    if not 0 <= workers <= 1024:
        raise InputError(f"workers must lie between 0 and 1024, got {workers}: for example --workers 2")


def _difference(what: str, run: Run, kind: str, new_key: str) -> str:
    old = run.archive.context(getattr(run.record, kind))
    new = run.archive.context(new_key)
    names = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    parts = ", ".join(f"{name} was {old.get(name)!r} and is {new.get(name)!r}" for name in names)
    return f"cannot resume {run.folder}: its {what} changed ({parts}); start another run with --out DIR"


def _run(
    definition: ProblemDefinition,
    archive: Archive,
    make_run: Callable[[Evaluator], Run],
    started: float,
    time_limit_s: float | None,
    workers: int,
    device: str,
    on_progress: OnProgress,
) -> Run:
    with ExitStack() as stack:
        executor = make_executor(definition, workers, device)  # first: workers import while the images are read
        stack.callback(executor.close)
        dataset = load_dataset(definition.data)
        executor.load(dataset)
        evaluator = Evaluator(definition, dataset, archive, executor, device)
        stack.callback(evaluator.close)
        run = make_run(evaluator)
        deadline = None if time_limit_s is None else started + time_limit_s
        before = dict(run.manifest["seconds"])
        run.manifest["status"] = "interrupted"  # true of what is on disk, until the search has ended
        try:
            _Loop(run, evaluator, deadline, on_progress).run()
            run.manifest["status"] = "finished"
        except _TimeUp:
            run.manifest["status"] = "out of time"
        finally:
            _account(run, evaluator, before, time.perf_counter() - started)
            run.write()
        return run


def _account(run: Run, evaluator: Evaluator, before: dict[str, float], total: float) -> None:
    spent = {"total": total, "training": evaluator.spent.training, "latency": evaluator.spent.latency}
    spent["other"] = total - spent["training"] - spent["latency"]
    run.manifest["seconds"] = {name: round(before[name] + seconds, 3) for name, seconds in spent.items()}


class _Loop:
    """One run's loop; it knows what was evaluated and tells how far it is."""

    def __init__(self, run: Run, evaluator: Evaluator, deadline: float | None, on_progress: OnProgress) -> None:
        self.run_, self.evaluator, self.deadline, self.on_progress = run, evaluator, deadline, on_progress
        self.space, self.budget = run.definition.space, int(run.manifest["budget"])
        self.recorded = run.asks
        self.position, self.generation, self.reused = 0, 0, 0
        self.done: dict[Architecture, Evaluation] = {}
        self.batch: list[Architecture] = []
        evaluator.on_progress = self._tick

    def run(self) -> None:
        algorithm: Algorithm = registry.load("algorithms", self.run_.record.algorithm)(
            self.space, self.run_.record.seed
        )
        fruitless = 0
        while len(self.done) < self.budget and fruitless < FRUITLESS_ASKS:
            genomes = algorithm.ask()
            if len(genomes) == 0:
                return
            asked = [self.space.decode(genome) for genome in genomes]
            new = [one for one in dict.fromkeys(asked) if one not in self.done]
            room = self.budget - len(self.done)
            self._evaluate(asked, new[:room])
            if len(new) > room:
                return
            algorithm.tell(genomes, *told([self.done[one] for one in asked]))
            fruitless = 0 if new else fruitless + 1
            self.generation += 1

    def _evaluate(self, asked: list[Architecture], new: list[Architecture]) -> None:
        self.batch = new
        allowed = self.done.keys() | set(new)
        replayed = self.position < len(self.recorded)
        for architecture in asked:
            if architecture not in allowed:
                break  # the budget ends within this generation
            self._record(architecture)
        if not replayed:
            self.reused += sum(self.evaluator.known(one).status != "stopped" for one in new)
        self.done |= dict(zip(new, self.evaluator.evaluate(new), strict=True))
        self.batch = []
        self._tick("training")
        self.run_.write()
        if all(one.failure is not None for one in self.done.values()):
            causes = [one.failure.message for one in self.done.values() if one.failure is not None]
            most = max(set(causes), key=causes.count)
            raise EverythingFailed(f"all {len(causes)} candidates failed, most often with: {most}")

    def _record(self, architecture: Architecture) -> None:
        if self.position < len(self.recorded):
            if self.recorded[self.position].architecture != architecture:
                raise InputError(
                    f"cannot resume {self.run_.folder}: its algorithm now asks for other networks than it did "
                    f"(ask {self.position}); versions of evomnas, pymoo or numpy may differ from those in run.json"
                )
        else:
            self.run_.archive.add_ask(self.run_.record.id, Ask(self.position, self.generation, architecture))
        self.position += 1

    def _tick(self, phase: str) -> None:
        if self.deadline is not None and time.perf_counter() >= self.deadline:
            raise _TimeUp
        known = [*self.done.values(), *(self.evaluator.known(one) for one in self.batch)]
        losses = [one.losses for one in known if one.losses is not None]
        points = [one.relative_losses for one in known if one.relative_losses is not None]
        self.on_progress(
            Progress(
                phase,
                sum(one.status != "stopped" for one in known),
                self.budget,
                self.generation,
                max((1 - error for error, _ in losses), default=None),
                hypervolume(points, self.run_.definition.hypervolume.reference_point),
                sum(one.failure is not None for one in known),
                self.reused,
            )
        )
