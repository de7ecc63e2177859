"""Say what a search would do: its space, data, trainings, limits and files. Images are read, and nothing is trained."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evomnas.core.resolution import describe_resolution
from evomnas.data.images import Dataset
from evomnas.data.splits import load_training_images, split_for_search
from evomnas.evaluation.executors.base import Cluster, Workers
from evomnas.problem.definition import Definition, ProblemDefinition
from evomnas.problem.target import LOCAL
from evomnas.report.words import format_duration
from evomnas.results.archive import Archive
from evomnas.results.candidate_limits import CandidateLimits
from evomnas.results.manifest import check_free


@dataclass(frozen=True, slots=True)
class SearchPlan:
    """A search as somebody typed it.

    Attributes:
        definition: The problem.
        algorithm: The algorithm.
        options: Its options.
        budget: Networks to evaluate.
        seed: The algorithm's.
        workers: Worker processes, or a cluster.
        folder: The run's folder.
        archive: The archive file.
        time_limit_s: Seconds after which it stops; None for no limit.
        candidates: What a candidate may take.
        early_stop: Whether hopeless candidates are cut off.
        pilot: Whether a pilot chooses the epochs first.
        asynchronous: Whether it breeds while networks are still being evaluated.
        learn_from: An archive, or a run's folder, that it learns from first; None for none.
        confirm: The share of the budget that is kept for second trainings.
    """

    definition: Definition
    algorithm: str
    options: dict[str, Any]
    budget: int
    seed: int
    workers: Workers
    folder: Path
    archive: Path
    time_limit_s: float | None
    candidates: CandidateLimits
    early_stop: bool
    pilot: bool
    asynchronous: bool
    learn_from: Path | None
    confirm: float


def describe_plan(plan: SearchPlan) -> list[tuple[str, str]]:
    """Return what a search would do.

    Args:
        plan: The search.

    Returns:
        Titles and sentences.

    Raises:
        InputError: It could not begin: an argument or the data is wrong, or the folder holds something.
    """
    definition = plan.definition
    _check(plan)
    learns = [] if plan.learn_from is None else [("Learns", _lessons(plan, plan.learn_from))]
    summary = f": {definition.summary}" * bool(definition.summary)
    lines = [("Problem", f"{definition.name}{summary}"), ("Space", _space(definition))]
    if definition.further:
        axes = (*definition.axes, *(axis.label for axis in definition.further))
        lines.append(("Losses", f"{len(axes)}: {', '.join(axes)}"))
    if isinstance(definition, ProblemDefinition):
        images = load_training_images(definition.data)
        dataset = split_for_search(images, definition.data)
        found = [] if images.origin is None else images.origin.found.describe()[:1]
        lines += [("Data", line) for line in (*found, _data(definition, dataset))]
        lines += [("Training", _training(plan, definition, dataset)), ("Latency", _latency(definition))]
    writes = f"{plan.folder}, and its evaluations to {_archive(plan.archive)}"
    return [*lines, ("Search", _search(plan)), *learns, ("Limits", _limits(plan)), ("Writes", writes)]


def _check(plan: SearchPlan) -> None:
    """Refuse what the search would refuse before it reads images or writes."""
    from evomnas.loop.asking import check_steady
    from evomnas.loop.fidelity.pilot import check_pilot
    from evomnas.loop.launch import check_candidates, check_options, check_runtime, check_settings

    definition = plan.definition
    check_settings(plan.budget, plan.seed, plan.time_limit_s, plan.workers)
    check_candidates(plan.candidates, plan.workers)
    check_options(definition, plan.algorithm, plan.options, plan.confirm)
    check_runtime(definition)
    if plan.asynchronous:
        check_steady(plan.algorithm)
    if plan.pilot:
        check_pilot(definition)
    check_free(plan.folder)
    if not (plan.archive.is_file() and plan.archive.stat().st_size == 0):  # an empty file would become an archive
        Archive(plan.archive.resolve(), late=True).close()


def _lessons(plan: SearchPlan, path: Path) -> str:
    from evomnas.loop.launch import find_lessons

    counts = [len(errors) for errors in find_lessons(path, plan.definition, plan.algorithm)["errors"]]
    trainings = f", each in one of {len(counts)} trainings" if len(counts) > 1 else ""
    return f"first from {sum(counts):,} networks in {path}{trainings}"


def _space(definition: Definition) -> str:
    networks = definition.space.networks
    shown = f"{networks:,}" if networks < 10**6 else f"{networks:.1e}"
    named = definition.words.reference
    reference = f"; {named} is the reference" if definition.trains and "reference" not in named else ""
    return f"{shown} distinct networks{reference}"


def _data(problem: ProblemDefinition, dataset: Dataset) -> str:
    trained = sum(len(dataset.split(number).train_labels) for number in range(dataset.trainings)) / dataset.trainings
    some, folds = ("some ", f" in each of {dataset.trainings} folds") if problem.data.folds else ("", "")
    validated, size = len(dataset.validated[1]), describe_resolution(dataset.resolution)
    return f"{some}{trained:,.0f} images to train on{folds}, {validated:,} score a network; {size}"


def _training(plan: SearchPlan, problem: ProblemDefinition, dataset: Dataset) -> str:
    """Return what the trainings would take, counted in images."""
    recipe, trainings = problem.training, dataset.trainings
    passes = sum(recipe.epochs * len(dataset.split(number).train_labels) for number in range(trainings))
    batch, steps = recipe.batches(len(dataset.split(0).train_labels))
    times = f"{trainings} times " if trainings > 1 else ""
    fewer = "are cut off or known already" if plan.early_stop else "are known already"
    pilot = ", unless the pilot before it finds fewer epochs" if plan.pilot else ""
    return (
        f"each network {times}{_count(recipe.epochs, 'epoch')} of {_count(steps, 'step')} of {batch} images{pilot}: "
        f"{passes:,} images through a network, {passes * plan.budget:,} in all, fewer where candidates {fewer}"
    )


def _latency(problem: ProblemDefinition) -> str:
    latency = problem.latency
    images = "one image" if latency.batch == 1 else f"{latency.batch} images"
    size, threads = describe_resolution(problem.latency_resolution), _count(latency.threads, "thread")
    contact = "" if latency.target == LOCAL else "; a dry run does not contact it, and evomnas doctor --target does"
    return f"of {images} of {size}, in {latency.runtime} on {latency.target}, {threads}{contact}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"


def _search(plan: SearchPlan) -> str:
    options = "".join(f", {name} = {value}" for name, value in plan.options.items())
    where = (
        "on a Ray cluster" if isinstance(plan.workers, Cluster)
        else f"by {plan.workers} worker process{'es' * (plan.workers != 1)}" if plan.workers else "in this process"
    )  # fmt: skip
    again = int(plan.confirm * plan.budget)
    kept = f", up to {_count(again, 'training')} of them for networks that are trained once more" if again else ""
    return f"{plan.algorithm}{options}, seed {plan.seed}: {_count(plan.budget, 'network')}{kept}, {where}"


def _limits(plan: SearchPlan) -> str:
    limits = plan.definition.constraints.model_dump(exclude_none=True)
    parts = [f"{name} = {value:,}" for name, value in limits.items()]
    candidates = plan.candidates
    parts += [] if plan.time_limit_s is None else [f"{format_duration(plan.time_limit_s)} for the search"]
    parts += [] if candidates.seconds is None else [f"{format_duration(candidates.seconds)} for a candidate"]
    parts += [] if candidates.memory_gib is None else [f"{candidates.memory_gib:g} GiB for a candidate"]
    return ", ".join(parts) or "none of latency, size or time"


def _archive(path: Path) -> str:
    return f"{path}, which has some already" if path.exists() else str(path)
