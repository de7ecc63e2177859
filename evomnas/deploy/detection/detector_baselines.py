"""Published networks as backbones of detectors, to compare with those that a search found.

Each is measured and trained as a candidate is and scored on the validation images, so that its point can stand beside
those of a search. Then its detector is trained in full and scored on the test images. All that goes into the archive
that the problem's runs share, where their reports find it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evomnas.core.errors import unknown
from evomnas.core.system import lock
from evomnas.core.system.memory import within_container
from evomnas.data.splits import split_for_search
from evomnas.deploy.baselines import Baseline, OnStep, measure_baselines, with_name
from evomnas.deploy.detection.detector_store import DetectorTask, DetectorTrainings
from evomnas.deploy.durations import Plan
from evomnas.deploy.training_store import MeasurementContext, OnProgress
from evomnas.evaluation.network_evaluator import training_settings
from evomnas.latency.meter import open_meter
from evomnas.latency.setting import problem_setting
from evomnas.networks.torchvision_models import AnyNetwork
from evomnas.problem.architecture import Architecture
from evomnas.problem.definition import ProblemDefinition
from evomnas.problem.detection.plan import plan_detector
from evomnas.problem.published import PUBLISHED_NETWORKS, published
from evomnas.results.archive import Archive
from evomnas.results.evaluation import Failure, FullTraining, NetworkEvaluation, Training
from evomnas.training.detection.detection_task import DetectionTask

REFERENCE = "reference"  # the name of the problem's reference network: MobileNetV2 in the width of the space
DEFAULTS = (REFERENCE, "mnasnet-small")


@dataclass(frozen=True)
class DetectorBaseline(Baseline):
    """A published network as the backbone of a detector.

    Attributes:
        validation: Its training as a candidate's, or why there is none.
    """

    validation: Training | Failure | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the baseline as a row for scripts, in which None stands for what is not known."""
        row = super().to_dict()
        trained = self.validation if isinstance(self.validation, Training) else None
        if row["reason"] is None and isinstance(self.validation, Failure):
            row["reason"] = self.validation.message
        return row | detector_scores(self.result) | {"validation_score": None if trained is None else trained.quality}


def detector_scores(result: FullTraining | Failure | None) -> dict[str, Any]:
    """Return the average precisions of a full training as columns for scripts.

    Args:
        result: The full training, or why there is none.
    """
    found = result.findings if isinstance(result, FullTraining) else None
    intervals = [None if found is None else found.interval(name) for name in ("ap", "ap50")]
    return {
        "test_ap": None if found is None else found.ap,
        "test_ap_interval": None if intervals[0] is None else list(intervals[0]),
        "test_ap50": None if found is None else found.ap50,
        "test_ap50_interval": None if intervals[1] is None else list(intervals[1]),
        "test_images": None if found is None else found.images,
    }


def find_backbone(definition: ProblemDefinition, name: str) -> Architecture:
    """Return the architecture of a baseline.

    Args:
        definition: The problem.
        name: `reference`, or the name of a published network, with a width multiplier if need be.

    Raises:
        InputError: There is no such network, or it does not suit the images.
    """
    if name == REFERENCE:
        return definition.space.reference_network()
    if name.partition("@")[0] not in PUBLISHED_NETWORKS:
        raise unknown("backbone", name, [REFERENCE, *PUBLISHED_NETWORKS])
    architecture = published(name)
    plan_detector(architecture, definition.data.resolution)
    return architecture


def train_detector_baselines(
    definition: ProblemDefinition,
    names: Sequence[str],
    path: Path,
    folder: Path,
    *,
    device: str = "auto",
    on_plan: Callable[[Plan], None] = lambda plan: None,
    on_progress: OnProgress = lambda name, epoch, epochs, loss: None,
    say: OnStep = lambda text: None,
) -> list[DetectorBaseline]:
    """Measure detectors on published networks, train them as candidates are, and in full. What is known is kept.

    Args:
        definition: The problem of detection.
        names: Names of networks, see `find_backbone`; empty for `DEFAULTS`.
        path: The archive of the problem's runs. It is created if need be, once names and images have proven right.
        folder: The folder in which each detector gets a folder of its network's name.
        device: `auto`, `cpu` or `cuda`, for the trainings.
        on_plan: Called before the first training with the time that all are expected to take, by name. For that,
            a few steps of each are timed.
        on_progress: Called after every epoch of a full training with the network's name, the number of epochs so far,
            the number of all epochs, and the mean loss of the last one; and after each training as a candidate's.
        say: Called with a few words when anything else begins.

    Returns:
        The baselines, in the order of their names.

    Raises:
        InputError: A name is wrong, the images cannot be read, or the device cannot be reached.
    """
    networks = {name: find_backbone(definition, name) for name in dict.fromkeys(names or DEFAULTS)}
    say("reading the images")
    task = DetectorTask(definition, device)
    classes, channels = task.training.classes, task.training.channels
    archive = Archive(path, late=True)
    with open_meter(problem_setting(definition, len(classes), channels), archive) as meter:
        archive.establish()
        measure_baselines(meter, archive, dict[str, AnyNetwork](networks), say)
        trainings = DetectorTrainings(task, archive, MeasurementContext(meter.key, meter.context))
        candidates = _Candidates(task, archive, meter.key)
        on_plan(_plan(trainings, candidates, networks, folder, say))
        for name, network in networks.items():
            if candidates.known(network).training is None:
                on_progress(_short(name), 1, 1, candidates.train(network))
        return [
            DetectorBaseline(
                name, network, None,
                trainings.train(network, folder / name, on_progress=with_name(on_progress, name)).result,
                archive.measurement(meter.key, network), classes, candidates.result(network),
            )
            for name, network in networks.items()
        ]  # fmt: skip


class _Candidates:
    """The trainings of baselines as candidates of a search, where its report finds them."""

    def __init__(self, task: DetectorTask, archive: Archive, measurement_context: str) -> None:
        self._task, self._archive, self._device = task, archive, measurement_context
        definition = task.definition
        settings = training_settings(definition, task.search_images_fingerprint, task.device.type, None)
        self._context = archive.add_context(settings)
        dataset = split_for_search(task.training, definition.data)
        self._trainer = DetectionTask(dataset, definition.data, definition.training, task.device.type)
        self.steps = definition.epochs * definition.trainings
        self.steps *= definition.training.batches(len(dataset.split(0).train_labels))[1]

    def known(self, network: Architecture) -> NetworkEvaluation:
        """Return what the archive has of a network."""
        return self._archive.evaluation(self._context, self._device, network, score=self._task.definition.data.score)

    def result(self, network: Architecture) -> Training | Failure | None:
        """Return the training of a network, or why it failed."""
        training = self.known(network).training
        return training if isinstance(training, Training | Failure) else None

    def train(self, network: Architecture) -> float:
        """Train a network as a candidate, and return the last loss; not a number where that failed."""
        try:
            with within_container(), lock.training():
                result = self._trainer.train(network)
        except Exception as error:  # stored, as the failure of a candidate is
            self._archive.add_training(self._context, network, Failure.of(error))
            return float("nan")
        assert isinstance(result, Training)  # without a threshold none is cut off
        self._archive.add_training(self._context, network, result)
        return result.losses[-1]


def _plan(
    trainings: DetectorTrainings,
    candidates: _Candidates,
    networks: Mapping[str, Architecture],
    folder: Path,
    say: OnStep,
) -> Plan:
    """Time a few steps of every network that is not trained yet, and return what the trainings will take."""
    task = trainings.task
    _, steps = task.recipe.batches(len(task.training.labels))
    short, full = {}, {}
    for name, network in networks.items():
        left = trainings.remaining_epochs(network, folder / name) * steps
        first = 0 if candidates.known(network).training is not None else candidates.steps
        seconds = 0.0
        if left or first:
            say(f"timing a step of {name}")
            seconds = task.time_step(network)
        short[_short(name)], full[name] = first * seconds, left * seconds
    return Plan(short | full)


def _short(name: str) -> str:
    """Return the name of the work of training a baseline as a candidate is."""
    return f"{name} as a candidate"
