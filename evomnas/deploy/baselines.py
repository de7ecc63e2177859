"""Networks from the shelf under a problem's own recipe, on its data and its device.

What one would have taken instead of a searched network: the published architectures, fitted to the resolution, and
torchvision's. Test scores and latencies go into the archive that the problem's runs share, under the same contexts as
theirs, so that they are measured on one scale and trained once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evomnas.deploy.full_training import FullTask
from evomnas.deploy.trained_networks import Keeper, OnProgress, Trained
from evomnas.latency.meter import Meter
from evomnas.latency.prepare import prepare_here
from evomnas.latency.runtimes.base import PreparedNetwork
from evomnas.latency.setting import problem_setting
from evomnas.networks.torchvision_models import (
    TORCHVISION_MODELS,
    AnyNetwork,
    baseline_network,
    explain_incompatibility,
)
from evomnas.problem.definition import ProblemDefinition
from evomnas.problem.published import PUBLISHED_NETWORKS
from evomnas.results.archive import Archive
from evomnas.results.evaluation import Cost, Failure, FullTraining, Measurement

Said = Callable[[str], None]


@dataclass(frozen=True)
class Baseline:
    """A network from the shelf.

    Attributes:
        name: As users type it.
        network: What it is.
        reason: Why it cannot take the problem's images; None if it can, and then it was trained and measured.
        result: Its test score, or why there is none.
        measurement: Its costs and latency, or why there are none.
    """

    name: str
    network: AnyNetwork
    reason: str | None = None
    result: FullTraining | Failure | None = None
    measurement: Measurement | Failure | None = None


def default_names() -> list[str]:
    """All networks of the shelf, the published architectures first."""
    return [*PUBLISHED_NETWORKS, *TORCHVISION_MODELS]


def train_baselines(
    definition: ProblemDefinition,
    names: Sequence[str],
    path: Path,
    folder: Path,
    *,
    device: str = "auto",
    on_progress: OnProgress = lambda name, epoch, epochs, loss: None,
    say: Said = lambda text: None,
) -> list[Baseline]:
    """Measure and train networks from the shelf; what the archive has is not done again.

    Args:
        definition: The problem.
        names: Networks of torchvision's, or published ones, with a width multiplier if need be.
        path: The archive of the problem's runs; made if need be, once names and images have proven right.
        folder: Every trained network goes to a folder of its name in here.
        device: `auto`, `cpu` or `cuda`.
        on_progress: Told a network's name, the epochs done, all epochs and the last epoch's mean loss.
        say: Told in words what else is being done.

    Raises:
        InputError: A name is wrong, or the images cannot be read.
    """
    resolution = definition.data.resolution
    networks = {name: baseline_network(name, resolution) for name in dict.fromkeys(names)}
    say("reading the images")
    task = FullTask(definition, device)
    channels, classes = task.training.channels, len(task.training.classes)
    smallest = min(resolution, definition.latency_resolution)
    reasons = {name: explain_incompatibility(one, channels, smallest) for name, one in networks.items()}
    usable = {name: one for name, one in networks.items() if reasons[name] is None}
    path.parent.mkdir(parents=True, exist_ok=True)
    archive = Archive(path)
    meter = Meter(
        problem_setting(definition, classes, channels),
        lambda one: prepare_here(problem_setting(definition, classes, channels), one)[1],
        archive,
    )
    try:
        _measure(meter, archive, usable, say)
        keeper = Keeper(task, archive, (meter.key, meter.context))
        trained = {
            name: keeper.train(one, folder / name, {}, on_progress=_renamed(on_progress, name))
            for name, one in usable.items()
        }
    finally:
        meter.close()
    return [
        Baseline(name, one, reasons[name], *_found(archive, meter.key, one, trained.get(name)))
        for name, one in networks.items()
    ]


def _found(
    archive: Archive, device: str, network: AnyNetwork, trained: Trained | None
) -> tuple[FullTraining | Failure | None, Measurement | Failure | None]:
    return (None, None) if trained is None else (trained.result, archive.measurement(device, network))


def _renamed(on_progress: OnProgress, name: str) -> OnProgress:
    return lambda _, epoch, epochs, loss: on_progress(name, epoch, epochs, loss)


def _measure(meter: Meter, archive: Archive, networks: dict[str, AnyNetwork], say: Said) -> None:
    """Measure what was not measured yet, all in the same rounds."""
    prepared: dict[AnyNetwork, tuple[Cost, PreparedNetwork]] = {}
    for name, network in networks.items():
        if archive.measurement(meter.key, network) is None:
            say(f"preparing {name}")
            try:
                prepared[network] = prepare_here(meter.setting, network)
            except Exception as error:  # a runtime that cannot run it: recorded, as a candidate's failure is
                archive.add_measurement(meter.key, network, Failure.of(error))
    if prepared:
        say("measuring")
        for network, result in meter.measure(prepared, lambda: say("waiting for another training or latency")):
            archive.add_measurement(meter.key, network, result)


def to_dict(one: Baseline) -> dict[str, Any]:
    """A row for scripts; what is not known is None."""
    score = one.result.score if isinstance(one.result, FullTraining) else None
    measured = one.measurement if isinstance(one.measurement, Measurement) else None
    failures = [half.message for half in (one.result, one.measurement) if isinstance(half, Failure)]
    return {
        "name": one.name,
        "network": str(one.network),
        "test_accuracy": None if score is None else score.accuracy,
        "test_interval": None if score is None else list(score.interval),
        "test_images": None if score is None else score.images,
        "latency_ms": None if measured is None else measured.latency_ms,
        "latency_ci": None if measured is None else [measured.low_ms, measured.high_ms],
        "params": None if measured is None else measured.cost.params,
        "macs": None if measured is None else measured.cost.macs,
        "reason": one.reason or (failures[0] if failures else None),
    }
