"""Networks that were trained in full, with their test scores: a run's own, and the baselines."""

from __future__ import annotations

from dataclasses import dataclass

from evomnas.problem.architecture import Architecture
from evomnas.problem.published import PUBLISHED_NETWORKS, fit_to_resolution, published
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
        images: The fingerprint of the test images.
    """

    name: str
    notation: str
    result: FullTraining
    measurement: Measurement | Failure | None
    images: str


def fully_trained(run: Run) -> list[FullyTrained]:
    """Return the networks that were trained in full on a run's images and scored on the latest test split.

    Args:
        run: The run.

    Returns:
        The networks, the one with the best score first.

    Raises:
        InputError: The run searched a table.
    """
    problem = run.trained_problem()
    names = {str(fit_to_resolution(published(name), problem.data.resolution)): name for name in PUBLISHED_NETWORKS}
    device = run.record.measurement_context
    networks = [
        FullyTrained(
            _name(notation, names), notation, result, run.archive.measurement(device, notation), run.reader.test_images
        )
        for notation, result in run.reader.full_trainings().items()
    ]
    return sorted(networks, key=lambda network: network.result.quality(problem.data.test_score) or (0.0,), reverse=True)


def _name(notation: str, names: dict[str, str]) -> str:
    if notation.startswith(TORCHVISION):
        return notation.removeprefix(TORCHVISION)
    return names.get(notation) or Architecture.parse(notation).id
