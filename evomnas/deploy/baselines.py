"""Off-the-shelf networks as baselines: trained by a problem's own recipe, on its data, and measured on its device.

Baselines are the networks that one would have taken instead of a searched one: the published architectures, with
strides that suit the resolution, and torchvision's networks. Their test scores and latencies go into the archive that
the problem's runs share, under the same contexts. All networks are therefore on one scale, and none is trained twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evomnas.core.errors import InputError, unknown
from evomnas.core.resolution import Resolution, sides
from evomnas.deploy.cards.class_card import class_scores
from evomnas.deploy.durations import CARD_S, Plan, measure_pace
from evomnas.deploy.full_training import FullTask
from evomnas.deploy.training_store import FullTrainings, MeasurementContext, OnProgress, TrainedNetwork
from evomnas.latency.meter import Meter, open_meter
from evomnas.latency.prepare import prepare_here
from evomnas.latency.runtimes.base import PreparedNetwork
from evomnas.latency.setting import problem_setting
from evomnas.networks.torchvision_models import (
    OFF_THE_SHELF,
    AnyNetwork,
    explain_incompatibility,
    off_the_shelf,
)
from evomnas.problem.architecture import Architecture
from evomnas.problem.definition import ProblemDefinition
from evomnas.problem.pretrained.heritage import check_heritage
from evomnas.problem.published import PUBLISHED_NETWORKS, fit_to_resolution, published
from evomnas.results.archive import Archive
from evomnas.results.evaluation import Cost, Failure, FullTraining, Measurement

OnStep = Callable[[str], None]


@dataclass(frozen=True)
class Baseline:
    """An off-the-shelf network on a problem.

    Attributes:
        name: The name that users type.
        network: The network's description.
        reason: Why the network cannot take the problem's images; None if it can, and then it was trained and measured.
        result: The test score, or why there is none; None if the network cannot take the images.
        measurement: The costs and the latency, or why there are none; None if the network cannot take the images.
        classes: The names of the classes.
    """

    name: str
    network: AnyNetwork
    reason: str | None = None
    result: FullTraining | Failure | None = None
    measurement: Measurement | Failure | None = None
    classes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the baseline as a row for scripts, in which None stands for what is not known."""
        score = self.result.score if isinstance(self.result, FullTraining) else None
        measurement = self.measurement if isinstance(self.measurement, Measurement) else None
        failures = [part.message for part in (self.result, self.measurement) if isinstance(part, Failure)]
        return {
            "name": self.name,
            "network": str(self.network),
            "test_accuracy": None if score is None else score.accuracy,
            "test_interval": None if score is None else list(score.interval),
            "test_images": None if score is None else score.images,
            "latency_ms": None if measurement is None else measurement.latency_ms,
            "latency_ci": None if measurement is None else [measurement.low_ms, measurement.high_ms],
            "params": None if measurement is None else measurement.cost.params,
            "macs": None if measurement is None else measurement.cost.macs,
            "reason": self.reason or (failures[0] if failures else None),
            **class_scores(self.result, self.classes),
        }


def default_baselines() -> list[str]:
    """Return the names of all off-the-shelf networks, the published architectures first."""
    return [*PUBLISHED_NETWORKS, *OFF_THE_SHELF]


def baseline_network(name: str, resolution: Resolution) -> AnyNetwork:
    """Return the off-the-shelf network that has a name, as users type it.

    Args:
        name: A published architecture such as `mnasnet-a1@0.5`, or one of `OFF_THE_SHELF`.
        resolution: The size of the images in pixels. Published architectures get fewer strides if they
            reduce images of that size to less than a pixel.

    Returns:
        The network.

    Raises:
        InputError: There is no such network, or the width multiplier after `@` is wrong.
    """
    if name in OFF_THE_SHELF:
        return off_the_shelf(name)
    if name.partition("@")[0] not in PUBLISHED_NETWORKS:
        raise unknown("reference network", name, default_baselines())
    return fit_to_resolution(published(name), resolution)


def train_baselines(
    definition: ProblemDefinition,
    names: Sequence[str],
    path: Path,
    folder: Path,
    *,
    device: str = "auto",
    on_plan: Callable[[Plan], None] = lambda plan: None,
    on_progress: OnProgress = lambda name, epoch, epochs, loss: None,
    say: OnStep = lambda text: None,
) -> list[Baseline]:
    """Measure off-the-shelf networks and train them in full. Results that the archive has are not made again.

    Args:
        definition: The problem.
        names: Names of published networks, with a width multiplier if need be, or of torchvision's.
        path: The archive of the problem's runs. It is created if need be, once names and images have proven right.
        folder: The folder in which each trained network gets a folder of its name.
        device: `auto`, `cpu` or `cuda`, for the trainings.
        on_plan: Called before the first training with the time that all are expected to take, by name. For that,
            a few steps of each are timed.
        on_progress: Called after every epoch with a network's name, the number of epochs so far, the number of all
            epochs, and the mean loss of the last one.
        say: Called with a few words when anything else begins.

    Returns:
        The baselines, in the order of `names`.

    Raises:
        InputError: A name is wrong, the images cannot be read, or the device cannot be reached.
    """
    resolution = definition.data.resolution
    networks = {name: baseline_network(name, resolution) for name in dict.fromkeys(names)}
    say("reading the images")
    task = FullTask(definition, device)
    channels, classes = task.training.channels, len(task.training.classes)
    smallest = min(resolution, definition.latency_resolution, key=lambda size: min(sides(size)))
    reasons = {
        name: explain_incompatibility(network, channels, smallest) or _explain_heritage(definition, network)
        for name, network in networks.items()
    }
    usable = {name: network for name, network in networks.items() if reasons[name] is None}
    archive = Archive(path, late=True)
    with open_meter(problem_setting(definition, classes, channels), archive) as meter:
        archive.establish()
        measure_baselines(meter, archive, usable, say)
        trainings = FullTrainings(task, archive, MeasurementContext(meter.key, meter.context))
        on_plan(_plan(trainings, usable, folder, say))
        trained = {
            name: trainings.train(network, folder / name, on_progress=with_name(on_progress, name))
            for name, network in usable.items()
        }
        return [
            Baseline(
                name, network, reasons[name], *_results(archive, meter.key, trained.get(name)), task.training.classes
            )
            for name, network in networks.items()
        ]


def _explain_heritage(definition: ProblemDefinition, network: AnyNetwork) -> str | None:
    """Return why a network cannot start from the problem's donor; None if it can, or if there is no donor."""
    donor = definition.donor
    if donor is None:
        return None
    try:
        if not isinstance(network, Architecture):
            raise InputError("its parts are others")
        check_heritage(donor.architecture, network)
    except InputError as error:
        return f"it cannot inherit the weights of {donor.name}: {error}"
    return None


def _plan(trainings: FullTrainings, networks: Mapping[str, AnyNetwork], folder: Path, say: OnStep) -> Plan:
    """Time a few steps of every network that is not trained yet, and return what the trainings will take."""
    task = trainings.task
    _, steps = task.recipe.batches(len(task.training.labels))
    expected: dict[str, float] = {}
    for name, network in networks.items():
        epochs = trainings.remaining_epochs(network, folder / name)
        expected[name] = 0.0
        if epochs:
            say(f"timing a step of {name}")
            expected[name] = epochs * steps * task.time_step(network)
    return Plan(expected, CARD_S * measure_pace())


def _results(
    archive: Archive, measurement_context: str, trained: TrainedNetwork | None
) -> tuple[FullTraining | Failure | None, Measurement | Failure | None]:
    if trained is None:
        return None, None
    return trained.result, archive.measurement(measurement_context, trained.network)


def with_name(on_progress: OnProgress, name: str) -> OnProgress:
    """Return a callback that gets a baseline's name in place of its network's id.

    Args:
        on_progress: The callback that wants the name.
        name: The name.
    """
    return lambda _, epoch, epochs, loss: on_progress(name, epoch, epochs, loss)


def measure_baselines(meter: Meter, archive: Archive, networks: Mapping[str, AnyNetwork], say: OnStep) -> None:
    """Measure the networks that an archive has no measurement of, all in the same rounds.

    Args:
        meter: Measures on the problem's device.
        archive: Keeps the measurements.
        networks: The networks by their names.
        say: Called with a few words before each part of the work.
    """
    prepared: dict[AnyNetwork, tuple[Cost, PreparedNetwork]] = {}
    for name, network in networks.items():
        if archive.measurement(meter.key, network) is None:
            say(f"preparing {name}")
            try:
                prepared[network] = prepare_here(meter.setting, network)
            except Exception as error:  # the runtime cannot run it: stored, as the failure of a candidate is
                archive.add_measurement(meter.key, network, Failure.of(error))
    if prepared:
        say("measuring")
        for network, result in meter.measure(prepared, lambda: say("waiting for another training or latency")):
            archive.add_measurement(meter.key, network, result)
