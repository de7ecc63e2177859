"""Networks that were trained in full, with their test scores: a run's own, and the baselines."""

from __future__ import annotations

from dataclasses import dataclass

from evomnas.problem.architecture import Architecture
from evomnas.problem.definition import ProblemDefinition
from evomnas.problem.published import PUBLISHED_NETWORKS, fit_to_resolution, published
from evomnas.results.archive import context_key
from evomnas.results.evaluation import Failure, FullTraining, Measurement
from evomnas.results.run import Run

TORCHVISION = "torchvision:"  # begins the notation of a network of torchvision


@dataclass(frozen=True, slots=True)
class FullyTrained:
    """A network that was trained in full.

    Attributes:
        name: What people call it: the name of a published network, or an id.
        notation: An architecture's notation, or `torchvision:` and a name.
        result: Its test score.
        measurement: Its costs and latency; None where it was not measured on the run's device.
    """

    name: str
    notation: str
    result: FullTraining
    measurement: Measurement | Failure | None


def full_training_alias(definition: ProblemDefinition, search_images_fingerprint: str) -> str:
    """Return the key under which the archive lists the contexts of a problem's full trainings.

    It follows from what a run knows without reading the images, so that a report can find them.

    Args:
        definition: The problem.
        search_images_fingerprint: The fingerprint of the images that its searches saw.
    """
    augment = definition.data.model_dump(mode="json", include={"augment"})
    return context_key(
        {"searched": search_images_fingerprint, "full": definition.full.model_dump(mode="json")} | augment
    )


def fully_trained(run: Run) -> list[FullyTrained]:
    """Return the networks that were trained in full on a run's images and scored on the latest test split.

    Args:
        run: The run.

    Returns:
        The networks, the most accurate first.

    Raises:
        InputError: The run searched a table.
    """
    problem = run.trained_problem()
    results: dict[str, FullTraining] = {}
    keys = run.archive.alias_contexts(full_training_alias(problem, run.search_images_fingerprint))
    tests = {key: run.archive.context(key)["test"] for key in keys}
    for key in (key for key in keys if tests[key] == tests[keys[-1]]):
        for notation, result in run.archive.full_trainings(key).items():
            if isinstance(result, FullTraining):
                results.setdefault(notation, result)
    names = {str(fit_to_resolution(published(name), problem.data.resolution)): name for name in PUBLISHED_NETWORKS}
    device = run.record.measurement_context
    networks = [
        FullyTrained(_name(notation, names), notation, result, run.archive.measurement(device, notation))
        for notation, result in results.items()
    ]
    return sorted(networks, key=lambda network: network.result.score.accuracy, reverse=True)


def _name(notation: str, names: dict[str, str]) -> str:
    if notation.startswith(TORCHVISION):
        return notation.removeprefix(TORCHVISION)
    return names.get(notation) or Architecture.parse(notation).id
