"""Lessons from archives: errors of a space's networks, from which another search can learn before its own begins."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from evomnas.algorithms.base import Lesson
from evomnas.core.errors import InputError
from evomnas.problem.architecture import Architecture
from evomnas.problem.definition import ProblemDefinition
from evomnas.problem.search_space import SearchSpace
from evomnas.results.archive import Archive
from evomnas.results.records import RunRecord
from evomnas.results.run import Run

MIN_NETWORKS = 10  # of a training; fewer say nothing about forty genes
MAX_NETWORKS = 1000
MAX_TRAININGS = 3  # of those with the most networks


def collect_lessons(path: Path, definition: ProblemDefinition) -> dict[str, Any]:
    """Return what an archive knows of the networks of a problem's space, for `to_lessons`.

    Whatever they were trained on counts: other images, other numbers of epochs, and searches for another device.

    Args:
        path: An archive, or the folder of a run, which stands for its archive.
        definition: The problem.

    Returns:
        The content of a context of an archive: the path, and for each training the errors of networks by notation.

    Raises:
        InputError: There is no archive, or it knows too few networks of the space.
    """
    with closing(Run.open(path).archive if path.is_dir() else Archive(path, create=False)) as archive:
        accuracies = archive.accuracies()
    trainings = _largest(accuracies.values(), definition.space)
    if not trainings:
        raise InputError(
            f"{path} has no {MIN_NETWORKS} networks of the space of {definition.name} that were trained alike: drop "
            "--learn-from, or name the archive of a search with the same [space]"
        )
    return {"learn_from": str(path), "errors": trainings}


def lessons_of_earlier_runs(
    archive: Archive, definition: ProblemDefinition, training_context: str, measurement_context: str
) -> dict[str, Any] | None:
    """Return what earlier runs of an archive found out about the networks of the same space under other conditions.

    Conditions are other where images, recipe or device of the trainings differ, or the device of the latencies does.
    Runs under the same conditions teach nothing: their results are reused as they are, and searches that differ in the
    seed alone stay independent of each other.

    Args:
        archive: The archive that a run is about to begin in.
        definition: Its problem.
        training_context: The context of its trainings.
        measurement_context: The context of its measurements.

    Returns:
        The content of a context of the archive, as of `collect_lessons`, with the runs' ids; None where no other
        training has enough networks.
    """
    records = list(_runs_of_space(archive, definition, (training_context, measurement_context)))
    accuracies = archive.accuracies() if records else {}
    known: dict[str, dict[str, float]] = {}
    for record in records:
        trained = accuracies.get(record.training_context, {})
        asked = dict.fromkeys(ask.architecture for ask in archive.asks(record.id))
        known.setdefault(record.training_context, {}).update({one: trained[one] for one in asked if one in trained})
    trainings = _largest(known.values(), definition.space)
    return {"earlier_runs": [record.id for record in records], "errors": trainings} if trainings else None


def _runs_of_space(archive: Archive, definition: ProblemDefinition, conditions: tuple[str, str]) -> Iterator[RunRecord]:
    """Yield the runs of an archive that trained networks of a problem's space under other conditions than these."""
    for row in archive.rows("runs"):
        if (row["proxy"], row["device"]) == conditions:
            continue  # their problems need not be read
        try:
            record = RunRecord.from_row(row)
        except InputError:  # of a later version, perhaps
            continue
        if record.definition.trains and record.definition.space == definition.space:
            yield record


def _largest(accuracies: Iterable[Mapping[str, float]], space: SearchSpace) -> list[dict[str, float]]:
    """Return the errors of a space's networks by notation, of the trainings that have the most and enough of them."""
    trainings = [dict(_of_space(own, space)) for own in accuracies]
    enough = (one for one in trainings if len(one) >= MIN_NETWORKS)
    return sorted(enough, key=lambda one: (-len(one), min(one)))[:MAX_TRAININGS]


def _of_space(accuracies: Mapping[str, float], space: SearchSpace) -> Iterator[tuple[str, float]]:
    """Yield the errors of networks of a space, at most `MAX_NETWORKS` of them, by notation."""
    found = 0
    for notation, accuracy in sorted(accuracies.items()):
        try:
            space.encode(Architecture.parse(notation))
        except InputError:
            continue
        found += 1
        if found > MAX_NETWORKS:
            return
        yield notation, 1.0 - accuracy


def to_lessons(content: Mapping[str, Any], space: SearchSpace) -> list[Lesson]:
    """Return what an algorithm can learn from.

    Args:
        content: What `collect_lessons` returned.
        space: The search space.

    Returns:
        A lesson for each training.
    """
    return [
        Lesson(
            np.stack([space.encode(Architecture.parse(notation)) for notation in errors]),
            np.array(list(errors.values()), dtype=np.float64),
        )
        for errors in content["errors"]
    ]
