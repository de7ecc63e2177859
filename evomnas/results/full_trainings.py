"""What the archive has of full trainings: a run's own networks and those from the shelf, with their test scores."""

from __future__ import annotations

from dataclasses import dataclass

from evomnas.problem.architecture import Architecture
from evomnas.problem.definition import ProblemDefinition
from evomnas.problem.published import PUBLISHED_NETWORKS, fit_to_resolution, published
from evomnas.results.archive import context_key
from evomnas.results.evaluation import Failure, FullTraining, Measurement
from evomnas.results.run import Run

TORCHVISION = "torchvision:"  # begins the notation of a network of torchvision's


@dataclass(frozen=True, slots=True)
class Finished:
    """A network that was trained in full.

    Attributes:
        name: What people call it: a name from the shelf, or an id.
        notation: An architecture's, or `torchvision:` and a name.
        result: Its test score.
        measurement: Its costs and latency; None where it was not measured on the run's device.
    """

    name: str
    notation: str
    result: FullTraining
    measurement: Measurement | Failure | None


def alias(definition: ProblemDefinition, searched: str) -> str:
    """By what those know a problem's full trainings who have not read its images, as a report.

    Args:
        definition: The problem.
        searched: The fingerprint of the images that its searches saw.
    """
    augment = definition.data.model_dump(mode="json", include={"augment"})
    return context_key({"searched": searched, "full": definition.full.model_dump(mode="json")} | augment)


def finished(run: Run) -> list[Finished]:
    """All that were trained in full on a run's images and scored on the latest test split, the most accurate first."""
    found: dict[str, FullTraining] = {}
    keys = run.archive.aliased(alias(run.images, run.searched))
    tests = {key: run.archive.context(key)["test"] for key in keys}
    for key in (one for one in keys if tests[one] == tests[keys[-1]]):
        for notation, result in run.archive.full_trainings(key).items():
            if isinstance(result, FullTraining):
                found.setdefault(notation, result)
    names = {str(fit_to_resolution(published(name), run.images.data.resolution)): name for name in PUBLISHED_NETWORKS}
    networks = [
        Finished(_name(notation, names), notation, result, run.archive.measurement(run.record.device, notation))
        for notation, result in found.items()
    ]
    return sorted(networks, key=lambda one: one.result.score.accuracy, reverse=True)


def _name(notation: str, names: dict[str, str]) -> str:
    if notation.startswith(TORCHVISION):
        return notation.removeprefix(TORCHVISION)
    return names.get(notation) or Architecture.parse(notation).id
