"""Searches begun, resumed and carried on."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evomnas.algorithms.base import AskAndTell, Inheriting, make_algorithm, option_defaults, rules_version
from evomnas.core import defaults, registry
from evomnas.core.arguments import checked
from evomnas.core.errors import EverythingFailed, InputError
from evomnas.core.files import check_place, write_atomically
from evomnas.core.system.device import choose_device
from evomnas.core.system.memory import check_memory_limit
from evomnas.core.system.shell import quote
from evomnas.data.first_look import check_images
from evomnas.data.gallery.listing import LISTING, to_csv
from evomnas.data.suited import load_definition
from evomnas.evaluation.executors.base import Workers
from evomnas.evaluation.factory import open_evaluator
from evomnas.evaluation.interface import Evaluator
from evomnas.latency.quantization.scoring import quantizer_for
from evomnas.latency.runtimes.base import CPU, open_runtime
from evomnas.latency.setting import problem_setting
from evomnas.loop.asking import check_learning, check_objectives, check_steady, lessons_from_archive, settled_options
from evomnas.loop.callbacks.audience import Audience
from evomnas.loop.callbacks.base import Callback
from evomnas.loop.callbacks.notebook_bar import usual_display
from evomnas.loop.confirming.second_trainings import check_share
from evomnas.loop.generations import Generations
from evomnas.loop.progress import OnGeneration, OnProgress, Progress
from evomnas.loop.run_clock import RunClock
from evomnas.loop.steady_state import SteadyStateLoop
from evomnas.loop.stopping import TimeUp
from evomnas.problem.definition import Definition, ProblemDefinition
from evomnas.problem.target import LOCAL
from evomnas.problem.typed.paths import LISTS, OWN_IMAGES
from evomnas.results.archive import Archive
from evomnas.results.candidate_limits import CandidateLimits
from evomnas.results.database.connection import JOURNAL_SUFFIX
from evomnas.results.lessons import collect_lessons
from evomnas.results.manifest import check_free
from evomnas.results.readers import LIBRARIES
from evomnas.results.records import RunRecord, SearchMode
from evomnas.results.run import Run, changed_images

__all__ = ["EverythingFailed", "Progress", "resume", "search"]
ARCHIVE = "evomnas.sqlite"
MAX_NAME = 60  # characters of a name that becomes a part of a folder's


@checked
def search(
    problem: str | Path | Definition = "digits",
    algorithm: str = defaults.ALGORITHM,
    *,
    options: Mapping[str, Any] | None = None,
    overrides: Sequence[str] = (),
    budget: int = defaults.BUDGET,
    seed: int = 1,
    out: Path | str | None = None,
    archive: Path | str | None = None,
    time_limit_s: float | None = None,
    workers: Workers = 0,
    device: str = "auto",
    candidates: CandidateLimits = CandidateLimits(),
    asynchronous: bool = False,
    early_stop: bool = True,
    learn_from: Path | str | None = None,
    earlier_runs: bool = True,
    confirm: float = 0.0,
    callbacks: Sequence[Callback] = (),
    on_begin: OnGeneration = lambda run: None,
    on_progress: OnProgress | None = None,
    on_generation: OnGeneration = lambda run: None,
) -> Run:
    """Search a problem; every finished evaluation is in the archive, whatever ends the search.

    Args:
        problem: A built-in name, a problem file, or a definition.
        algorithm: The name of a registered algorithm, such as `nsga2`.
        options: Its options, such as `{"target_ms": 0.5}` for `rl-weighted`. Where it wants a target and none is given,
            that is the reference network's latency, as in the paper.
        overrides: `section.key=value` strings for the problem.
        budget: Distinct networks to evaluate.
        seed: The seed of the algorithm.
        out: The run's folder; `runs/PROBLEM-ALGORITHM-sSEED` by default.
        archive: The archive file; `evomnas.sqlite` beside the run's folder by default.
        time_limit_s: Stop after so many seconds.
        workers: Worker processes for the trainings, or a `Cluster`; 0 trains in this process. The command starts
            `default_workers()`.
        device: `cpu`, `cuda`, or `auto` for a GPU unless this machine's cores train such networks far faster.
        candidates: The time and memory that one candidate may take in a worker process.
        asynchronous: Breed the next network as soon as a worker is free, from what is known by then, and do not wait
            for the slowest of a generation.
        early_stop: Cut candidates off that their first epochs show to be dominated beyond doubt.
        learn_from: An archive, or the folder of a run: what its networks of the same space reached, on whatever images,
            teaches the algorithm before its first batch. The search keeps a copy of it.
        earlier_runs: Learn likewise from earlier runs of the search's own archive, where `learn_from` is None and they
            searched the same space with other images, another recipe or another device.
        confirm: The share of the budget, up to a half, that is kept for second trainings of networks that may or may
            not be on the front; 0 trains every network once.
        callbacks: Told of every evaluation and generation, in this order; one that fails is warned of and told no more.
        on_begin: Called with the run when its images were read and nothing was evaluated yet.
        on_progress: Called whenever something may have changed. None shows a bar in a notebook, and nothing elsewhere.
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
    check_candidates(candidates, workers)
    check_options(definition, algorithm, options, confirm)
    check_images(definition)
    check_runtime(definition)
    if asynchronous:
        check_steady(algorithm)
    lessons = None if learn_from is None else find_lessons(Path(learn_from), definition, algorithm)
    audience, on_progress = Audience(callbacks), on_progress or usual_display()
    folder = Path(out) if out is not None else default_folder(definition, algorithm, seed)
    check_free(folder)
    path = archive_path(archive, folder)
    on_progress(Progress("starting", 0, budget))
    store = Archive(path.resolve(), late=True)
    mode = SearchMode(asynchronous, early_stop and definition.epochs > 1, confirm=confirm)
    with open_evaluator(
        definition, store, workers, device, candidates, asynchronous,
        on_phase=lambda phase: on_progress(Progress(phase, 0, budget)),
    ) as evaluator:  # fmt: skip
        run = begin(evaluator, folder, algorithm, seed, budget, options, mode, lessons, earlier_runs)
        on_begin(run)
        return carry_on(run, evaluator, started, time_limit_s, on_progress, on_generation, audience)


def begin(
    evaluator: Evaluator,
    folder: Path,
    algorithm: str,
    seed: int,
    budget: int,
    options: Mapping[str, Any],
    mode: SearchMode = SearchMode(),
    lessons: Mapping[str, Any] | None = None,
    earlier_runs: bool = False,
) -> Run:
    """Begin a run, with all its options settled; nothing is asked yet.

    Args:
        evaluator: An evaluator of its problem.
        folder: The run's folder, empty or new.
        algorithm: A registered algorithm.
        seed: Of the algorithm.
        budget: Distinct networks to evaluate.
        options: Of the algorithm.
        mode: How it searches.
        lessons: What the algorithm learns from elsewhere, as of `evomnas.results.lessons`; None for nothing.
        earlier_runs: Where that is nothing, whether it learns from earlier runs of the evaluator's archive.

    Returns:
        The run, of which nothing was asked yet.

    Raises:
        InputError: No network can keep the problem's limits, or the folder holds something.
    """
    evaluator.check_limits()
    evaluator.archive.establish()
    options = settled_options(evaluator, algorithm, options)
    if inherits(evaluator.definition, algorithm, options):
        mode = replace(mode, inherits=True, early_stop=False)  # losses of children foretell nothing about others
    if lessons is None and earlier_runs:
        lessons = lessons_from_archive(evaluator, algorithm)
    if lessons is not None:
        mode = replace(mode, lessons=evaluator.archive.add_context(lessons))
    record = RunRecord(
        id=uuid.uuid4().hex,
        algorithm=algorithm,
        seed=seed,
        definition=evaluator.definition,
        training_context=evaluator.training_context,
        measurement_context=evaluator.measurement_context,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        options=options,
        candidates=evaluator.candidates,
        mode=mode,
        rules=rules_version(algorithm),
    )
    run = Run.create(folder, evaluator.archive, record, budget, evaluator.describe_data(), evaluator.true_front())
    if evaluator.listing is not None:
        write_atomically(folder / LISTING, to_csv(evaluator.listing.images))
    return run


def find_lessons(path: Path, definition: Definition, algorithm: str) -> dict[str, Any]:
    """Return what an algorithm learns from an archive before it begins.

    Args:
        path: An archive, or the folder of a run.
        definition: The problem.
        algorithm: A registered algorithm.

    Returns:
        The content of a context of an archive; see `evomnas.results.lessons.collect_lessons`.

    Raises:
        InputError: The algorithm learns from its own results alone, or the archive knows nothing of the space.
    """
    check_learning(algorithm)
    problem = definition.trained(
        f"{definition.name} searches a table, of which archives know nothing: drop --learn-from"
    )
    return collect_lessons(path, problem)


@checked
def resume(
    folder: Path | str,
    *,
    budget: int | None = None,
    data: Path | None = None,
    time_limit_s: float | None = None,
    workers: Workers = 0,
    device: str = "auto",
    accept_changes: bool = False,
    callbacks: Sequence[Callback] = (),
    on_progress: OnProgress | None = None,
    on_generation: OnGeneration = lambda run: None,
) -> Run:
    """Go on with a run that was stopped, or with a larger budget.

    What a candidate may take belongs to the run, since what failed by it was told to the algorithm.

    Args:
        folder: The run's folder.
        budget: Distinct networks to evaluate in all; the run's own if None.
        data: Where the images are, if they were moved since; None if they were not.
        time_limit_s: Stop after so many seconds; None for no limit.
        workers: See `search`.
        device: `cpu`, `cuda`, or `auto` for the kind on which the run began, if it is here.
        accept_changes: Go on also if images have changed: what was evaluated stays, and candidates that follow are
            trained on the images of today. The run's files say so.
        callbacks: See `search`; they are told of what this session evaluates.
        on_progress: See `search`.
        on_generation: See `search`.

    Returns:
        The run; as it is where it has reached the budget.

    Raises:
        InputError: The folder holds no run, the budget is smaller than before, the algorithm asks for other networks
            than it did, or the images have changed.
    """
    started = time.perf_counter()
    audience, on_progress = Audience(callbacks), on_progress or usual_display()
    run = Run.open(Path(folder))
    if data is not None:
        run.read_data_from(data)
    old = run.manifest.budget
    budget = old if budget is None else budget
    check_settings(budget, 0, time_limit_s, workers)
    if budget < old:
        raise InputError(f"the run's budget is {old} already: --budget can only raise it")
    if is_complete(run, budget):
        return run
    if not issubclass(registry.load("algorithms", run.record.algorithm), AskAndTell):
        check_rules(run)
    run.manifest.budget = budget

    on_progress(Progress("starting", run.manifest.evaluations, budget))
    candidates, asynchronous, device = run.record.candidates, run.mode.asynchronous, own_device(run, device)
    with open_evaluator(
        run.definition, run.archive, workers, device, candidates, asynchronous,
        on_phase=lambda phase: on_progress(Progress(phase, run.manifest.evaluations, budget)),
    ) as evaluator:  # fmt: skip
        check_same(run, evaluator, accept_changes)
        if run.rules != rules_version(run.record.algorithm):
            run.take_rules(rules_version(run.record.algorithm))
        evaluator.reader = replace(evaluator.reader, all_contexts=run.training_contexts)
        if evaluator.training_context == run.record.training_context:
            run.manifest.data = run.manifest.data | evaluator.describe_data()  # older versions said less of them
        return carry_on(run, evaluator, started, time_limit_s, on_progress, on_generation, audience)


def is_complete(run: Run, budget: int | None) -> bool:
    """Return whether there is nothing to do for a run to reach a budget, so that nothing need be read for it.

    Args:
        run: The run.
        budget: The budget; the run's own if None.
    """
    if run.manifest.status != "finished" or budget not in (None, run.manifest.budget):
        return False
    return all(result.evaluation.status != "stopped" for result in run.results())  # an archive may have lost some


def own_device(run: Run, device: str = "auto") -> str:
    """Return the device with which a run goes on: in place of `auto` the kind on which it began, if it is here.

    Args:
        run: The run.
        device: `auto`, `cpu` or `cuda`.
    """
    if device != "auto":
        return device
    began_on = run.archive.context(run.record.training_context).get("device")
    return str(began_on) if began_on in ("cpu", choose_device()) else device


def check_same(run: Run, evaluator: Evaluator, accept_changes: bool = False) -> None:
    """Check that a run's evaluations would be the same as when it began.

    Args:
        run: The run.
        evaluator: An evaluator of its problem, now.
        accept_changes: Whether images may have changed; the run then keeps that they have.

    Raises:
        InputError: They would not; it names the difference.
    """
    now = evaluator.training_context
    if evaluator.reader.shape != run.shape and now != run.record.training_context:
        raise InputError(
            f"cannot resume {run.folder}: its networks take {run.shape}, and its images are now "
            f"{evaluator.reader.shape}; start another run with --out DIR"
        )
    if now not in run.training_contexts and _differ_in_images(run, now):
        changes = run.describe_changes(None if evaluator.listing is None else evaluator.listing.images)
        if not accept_changes:
            raise InputError(changed_images(run, changes))
        run.accept(str(run.archive.context(now)["data"]), changes, now)
    contexts = (
        (run.definition.words.conditions, run.record.training_context, now),
        ("machine or runtime", run.record.measurement_context, evaluator.measurement_context),
    )
    for name, before, after in contexts:
        if before != after and after not in run.training_contexts:
            differences = _differences(run.archive, before, after)
            raise InputError(
                f"cannot resume {run.folder}: its {name} changed ({differences}); start another run with --out DIR"
            )


def check_rules(run: Run) -> None:
    """Check that a run asks by the rules that its algorithm has in this version.

    Args:
        run: The run.

    Raises:
        InputError: It does not, so it would now ask for other networks than it did.
    """
    name = run.record.algorithm
    if run.rules != rules_version(name):
        raise InputError(
            f"cannot resume {run.folder}: {name} of this version asks for other networks than the one that began it; "
            f"search again with --out DIR --archive {quote(str(run.archive.path))}, which has all of its evaluations"
        )


def _differ_in_images(run: Run, context: str) -> bool:
    """Return whether a context of trainings differs from a run's in the images alone."""
    before, now = (dict(run.archive.context(key)) for key in (run.record.training_context, context))
    return before.pop("data", None) != now.pop("data", None) and before == now


def _differences(archive: Archive, before: str, now: str) -> str:
    """Return in words how two contexts differ."""
    old, new = archive.context(before), archive.context(now)
    names = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    return ", ".join(f"{name} was {old.get(name)!r} and is {new.get(name)!r}" for name in names)


def default_folder(definition: Definition, algorithm: str, seed: int) -> Path:
    """Return the folder of a run that names none: `runs/PROBLEM-ALGORITHM-sSEED`.

    In place of a problem that is made of somebody's images stands the name of their folder or file.

    Args:
        definition: The problem.
        algorithm: The name of the algorithm.
        seed: Its seed.
    """
    return Path(defaults.RUNS) / f"{folder_name(definition)}-{algorithm}-s{seed}"


def folder_name(definition: Definition) -> str:
    """Return a name for folders of a problem: of somebody's images that of their folder or file.

    Args:
        definition: The problem.
    """
    images = definition.data.path if isinstance(definition, ProblemDefinition) else None
    if definition.name != OWN_IMAGES or images is None:
        return definition.name
    resolved = images.resolve()
    name = resolved.stem if resolved.suffix.lower() in (".npz", *LISTS) else resolved.name
    return re.sub(r"[^\w.-]+", "-", name).strip("-.")[:MAX_NAME] or definition.name


def archive_path(archive: Path | str | None, folder: Path) -> Path:
    """Return the archive file of a new run.

    Args:
        archive: The file that was asked for; None for one beside the run's folder.
        folder: The run's folder.

    Raises:
        InputError: The file would lie within the run's folder: an archive outlives its runs. Or it cannot be made.
    """
    if archive is None:
        return folder.resolve().parent / ARCHIVE
    path = Path(archive)
    check_place(path, "--archive FILE", JOURNAL_SUFFIX)
    if folder.resolve() in path.resolve().parents:
        raise InputError(f"the archive {path} would lie in the run's own folder: name a file beside it with --archive")
    return path


def check_options(definition: Definition, algorithm: str, options: Mapping[str, Any], confirm: float = 0.0) -> None:
    """Check the options of an algorithm.

    Args:
        definition: The problem.
        algorithm: The name of the algorithm.
        options: Its options.
        confirm: The share of the budget that is kept for second trainings.

    Raises:
        InputError: It has no such option, lacks one, a value is wrong, the problem has more objectives than it can
            minimise, or nothing can be trained again.
    """
    # A target's default is known when the device is.
    check_objectives(definition, algorithm)
    target = {"target_ms": 1.0} if "target_ms" in option_defaults(algorithm) else {}
    check_share(definition, confirm, inherits(definition, algorithm, target | dict(options)))


def inherits(definition: Definition, algorithm: str, options: Mapping[str, Any]) -> bool:
    """Return whether the networks of a search inherit the weights of others that it trained.

    Args:
        definition: The problem.
        algorithm: The name of the algorithm.
        options: Its options, with a target if it wants one.

    Raises:
        InputError: A value of an option is wrong, or the problem has no networks that can inherit.
    """
    made = make_algorithm(algorithm, definition.space, 0, options)
    if not isinstance(made, Inheriting) or not made.inherits:
        return False
    if definition.kind != "images":
        why = "are looked up in a table" if definition.kind == "table" else "are trained as parts of detectors"
        raise InputError(f"the networks of {definition.name} {why} and cannot inherit weights: drop inherit")
    return True


def check_runtime(definition: Definition) -> None:
    """Check that what a problem needs is installed and suits its device, before any image is read.

    Args:
        definition: The problem.

    Raises:
        InputError: It is not, or does not.
    """
    if definition.kind in LIBRARIES:
        LIBRARIES[definition.kind]()
    if isinstance(definition, ProblemDefinition):
        problem_setting(definition, classes=1, channels=1).check()
        latency = definition.latency
        quantizer_for(definition)
        open_runtime(latency.runtime, latency.provider if latency.target == LOCAL else CPU)


def check_budget(budget: int) -> None:
    """Check a budget.

    Args:
        budget: Distinct networks to evaluate.

    Raises:
        InputError: It is not positive.
    """
    if budget < 1:
        raise InputError(f"the budget must be at least 1 evaluation, got {budget}: for example --budget 64")


def check_settings(budget: int, seed: int, time_limit_s: float | None, workers: Workers) -> None:
    """Check the settings of a search.

    Args:
        budget: Distinct networks to evaluate.
        seed: Of the algorithm.
        time_limit_s: Seconds after which it stops; None for no limit.
        workers: Worker processes, or a cluster.

    Raises:
        InputError: One of them is out of range.
    """
    check_budget(budget)
    if not 0 <= seed < 2**63:
        raise InputError(f"the seed must be 0 or more and below 2^63, got {seed}: for example --seed 1")
    if time_limit_s is not None and not time_limit_s > 0:
        raise InputError(f"the time limit must be positive, got {time_limit_s}: for example --time 10m")
    if isinstance(workers, int) and not 0 <= workers <= 1024:
        raise InputError(f"workers must lie between 0 and 1024, got {workers}: for example --workers 2")


def check_candidates(candidates: CandidateLimits, workers: Workers) -> None:
    """Check that something keeps the limits of candidates: a process does not end itself, and systems differ.

    Args:
        candidates: The limits.
        workers: Worker processes, or a cluster.

    Raises:
        InputError: There are limits, and no worker processes, or no system that keeps them.
    """
    if workers == 0 and candidates != CandidateLimits():
        raise InputError(
            "what a candidate may take (--candidate-time, --candidate-memory) is kept by worker processes: drop it, or "
            "use --workers 1"
        )
    if isinstance(workers, int) and candidates.memory_gib is not None:
        check_memory_limit("--candidate-memory; fewer --workers need less")


def carry_on(
    run: Run,
    evaluator: Evaluator,
    started: float,
    time_limit_s: float | None = None,
    on_progress: OnProgress = lambda progress: None,
    on_generation: OnGeneration = lambda run: None,
    callback: Callback = Callback(),
) -> Run:
    """Take a run up to its budget.

    Args:
        run: The run.
        evaluator: An evaluator of its problem.
        started: When the session began, a reading of `time.perf_counter`; its seconds count from there.
        time_limit_s: Stop after so many seconds; None for no limit.
        on_progress: Called whenever something may have changed.
        on_generation: Called with the run after new generations.
        callback: Told of the session.

    Returns:
        The run.

    Raises:
        EverythingFailed: No candidate of a generation gave a result.
    """

    def on_generations(run: Run) -> None:
        on_generation(run)
        callback.on_generation(run)

    deadline = None if time_limit_s is None else started + time_limit_s
    clock = RunClock(run, evaluator.stopwatch, started)
    callback.on_begin(run)
    with evaluator.stopwatch.on("latency"):
        evaluator.reference_cost()  # now, so that the time of the first networks is their own
    run.manifest.status = "interrupted"  # true of what is on disk, until the search has ended
    kind = SteadyStateLoop if run.mode.asynchronous else Generations
    loop = kind(run, evaluator, clock, deadline, on_progress, on_generations, callback.on_evaluation)
    try:
        loop.run()
        loop.confirm()
        run.manifest.goals = loop.answer_goals()
        run.manifest.status = "finished"
    except TimeUp:
        run.manifest.status = "out of time"
    finally:
        loop.journal.keep_generations()
        clock.note()
        results = run.results()  # with what ended in a generation that did not
        if run.mode.early_stop:
            run.manifest.cut = run.cut_trainings(results)
        ended = sum(result.evaluation.ended for result in results)
        run.write(ended + loop.tally.confirmed, run.front(results))
        evaluator.keep_pictures([result.evaluation.architecture for result in run.explained(results)])
        callback.on_end(run)
    return run
