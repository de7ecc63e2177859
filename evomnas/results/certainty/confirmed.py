"""Networks that a run trained once more with another seed, and the mean of their trainings.

A second training has a context of its own, which differs from that of the first one by the seed alone. So no search is
told of it, and no front mixes the two by accident: only the run that chose a network sees the mean. What it chose is in
its archive.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from evomnas.problem.definition import ProblemDefinition
from evomnas.results.archive import Archive, context_key
from evomnas.results.evaluation import Evaluation, NetworkEvaluation, mean_training
from evomnas.results.readers import EvaluationReader


@dataclass(frozen=True, slots=True)
class Choice:
    """The networks that a run chose at one time.

    Attributes:
        asks: How much it had asked for by then.
        networks: Their notations, the first one first.
    """

    asks: int
    networks: tuple[str, ...]


def add_choice(archive: Archive, run: str, choice: Choice) -> None:
    """Keep what a run chose.

    Args:
        archive: The run's archive.
        run: The run's id.
        choice: The networks.
    """
    content = {"trained once more by": run, "asks": choice.asks, "networks": list(choice.networks)}
    archive.add_alias(choices_alias(run), archive.add_context(content))


def choices(archive: Archive, run: str) -> list[Choice]:
    """Return what a run chose, in that order.

    Args:
        archive: The run's archive.
        run: The run's id.
    """
    contents = map(archive.context, archive.alias_contexts(choices_alias(run)))
    return [Choice(content["asks"], tuple(content["networks"])) for content in contents]


def choices_alias(run: str) -> str:
    """Return the key under which the archive lists what a run chose.

    Args:
        run: The run's id.
    """
    return context_key({"trained once more by": run})


def repeat_context(archive: Archive, definition: ProblemDefinition, context: str) -> str:
    """Return the key of the context of second trainings.

    Args:
        archive: The archive.
        definition: The problem.
        context: The context of the first ones.
    """
    return context_key(archive.context(context) | {"training": definition.training.repeated.context})


def evaluations_of_means(reader: EvaluationReader) -> Callable[[Any], Evaluation]:
    """Return what reads evaluations with the mean of all trainings of the networks that a run trained once more.

    Args:
        reader: Reads the run's evaluations.
    """
    chosen = [] if reader.run is None else choices(reader.archive, reader.run)
    if not chosen or not isinstance(reader.definition, ProblemDefinition):
        return reader.evaluation
    problem, networks = reader.definition, {name for choice in chosen for name in choice.networks}
    contexts = reader.all_contexts or (reader.training_context,)
    again = [
        replace(
            reader, training_context=repeat_context(reader.archive, problem, one), all_contexts=(), run=None
        )
        for one in contexts
    ]  # fmt: skip

    def evaluation(architecture: Any) -> Evaluation:
        first = reader.evaluation(architecture)
        if str(architecture) not in networks or not isinstance(first, NetworkEvaluation) or first.trained is None:
            return first
        trainings = [one.trained for one in (other.known(architecture) for other in again) if one.trained is not None]
        return replace(first, training=mean_training(first.trained, *trainings[:1])) if trainings else first

    return evaluation
