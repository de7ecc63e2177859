"""Networks that a run is compared with: those that were trained in full, and the pretrained baselines."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from evomnas.problem.architecture import Architecture
from evomnas.problem.pareto import non_dominated
from evomnas.problem.pretrained.baselines import PretrainedBaseline
from evomnas.problem.published import PUBLISHED_NETWORKS, fit_to_resolution, published
from evomnas.results.evaluation import Failure, FullTraining, Measurement
from evomnas.results.run import Result, Run

# in the notation of an off-the-shelf network that is no architecture, behind its resolution if it has one
OFF_THE_SHELF = re.compile(r"(?:torchvision|reference):")


@dataclass(frozen=True, slots=True)
class FullyTrained:
    """A network that was trained in full.

    Attributes:
        name: What people call it: the name of a published network, or an id.
        notation: An architecture's notation, or `torchvision:` or `reference:` and a name.
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
    names.setdefault(str(problem.space.reference_network()), problem.words.reference)
    records, donor = run.reader.baselines(), problem.weights and problem.weights.donor
    names |= {one.baseline.notation: one.baseline.label for one in records if one.baseline.name == donor}
    device = run.record.measurement_context
    networks = [
        FullyTrained(
            f"pretrained {one.baseline.label}", one.baseline.notation, one.training, one.evaluation.measurement,
            run.reader.test_images,
        )
        for one in records
        if one.training is not None and one.baseline.name != donor
    ]  # fmt: skip
    networks += [
        FullyTrained(
            _name(notation, names), notation, result, run.archive.measurement(device, notation), run.reader.test_images
        )
        for notation, result in run.reader.full_trainings().items()
    ]
    return sorted(networks, key=lambda network: network.result.quality(problem.data.test_score) or (0.0,), reverse=True)


def _name(notation: str, names: dict[str, str]) -> str:
    if OFF_THE_SHELF.search(notation):
        return OFF_THE_SHELF.sub("", notation)
    return names.get(notation) or Architecture.parse(notation).id


@dataclass(frozen=True, slots=True)
class BaselineResult:
    """A pretrained baseline that was evaluated as a candidate is.

    Attributes:
        baseline: The network, its weights and its resolution.
        result: What came of it; its front is that of all pretrained baselines, and its order the place among them.
    """

    baseline: PretrainedBaseline
    result: Result

    def to_dict(self) -> dict[str, Any]:
        """Return the row that `evomnas show --baselines --format json` prints."""
        name = {"name": self.baseline.name, "resolution": self.baseline.resolution}
        return name | self.result.to_dict()


def baseline_results(run: Run) -> list[BaselineResult]:
    """Return the pretrained baselines of a run's problem that were fine-tuned by its recipe and on its images.

    Args:
        run: The run.

    Returns:
        The baselines with both an accuracy and a latency, the fastest first; none where nobody has evaluated any.
    """
    records = [one for one in run.reader.baselines() if one.evaluation.losses is not None]
    records.sort(key=lambda one: (one.evaluation.losses or ())[::-1])
    on_front = non_dominated([one.evaluation.losses or () for one in records])
    return [
        BaselineResult(one.baseline, Result(place, 0, one.evaluation, bool(is_member), one.training))
        for place, (one, is_member) in enumerate(zip(records, on_front, strict=True))
    ]
