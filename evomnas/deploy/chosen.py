"""Which of a run's networks are trained in full, and where they and their scores are kept.

A network's score is kept in the archive by all that it depends on, so that runs share it, and its files are in the
run's folder: `networks/ID`, or `networks/ID-distilled` where a teacher took part.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evomnas.architecture import Architecture
from evomnas.archive import Archive
from evomnas.deploy.card import model_card
from evomnas.deploy.full import FullTask, Teacher
from evomnas.deploy.saving import CARD, FACTS, WEIGHTS, load_network, read_facts, save_network
from evomnas.errors import InputError
from evomnas.evaluation import Failure, FullTraining, Measurement, TrainingDiverged
from evomnas.finished import alias
from evomnas.machine import describe_machine, describe_versions
from evomnas.pareto import knees
from evomnas.runs import Result, Run
from evomnas.shelf import AnyNetwork, cost

CHECKPOINT = "checkpoint.pt"
FOLDER = "networks"
OnProgress = Callable[[str, int, int, float], None]


@dataclass(frozen=True)
class Trained:
    """A finally trained network.

    Attributes:
        network: What it is.
        folder: Its files; those of a failure are missing.
        result: Its test score, or why there is none.
        measurement: Its latency, where it was measured.
        validation: Its accuracy in the search.
    """

    network: AnyNetwork
    folder: Path
    result: FullTraining | Failure
    measurement: Measurement | None = None
    validation: float | None = None


def front_networks(run: Run) -> list[Architecture]:
    """The architectures on a run's front, fastest first.

    Raises:
        InputError: There are none yet.
    """
    assert run.images  # raises where there is nothing to build
    front = [one.evaluation.architecture for one in run.front()]
    if not front:
        raise InputError(f"{run.folder} has no network on its front yet: go on with evomnas resume {run.argument}")
    return [one for one in front if isinstance(one, Architecture)]


def knee_network(run: Run) -> Architecture:
    """The architecture at the most marked knee of a run's front; the fastest of a front without one."""
    networks = front_networks(run)
    return networks[next(iter(knees([one.evaluation.losses for one in run.front() if one.evaluation.losses])), 0)]


def most_accurate(run: Run) -> Architecture:
    """The front's most accurate architecture, by validation."""
    return front_networks(run)[-1]


def network_folder(run: Run, network: AnyNetwork, distilled: bool) -> Path:
    """Where a run keeps a trained network."""
    return run.folder / FOLDER / (f"{network.id}-distilled" if distilled else network.id)


def train_chosen(
    run: Run,
    architectures: Sequence[Architecture],
    *,
    distil: bool = False,
    device: str = "auto",
    on_progress: OnProgress = lambda name, epoch, epochs, loss: None,
) -> Iterator[Trained]:
    """Train some of a run's networks in full, save each and score it on the test images; yields each as it ends.

    What was trained before is not trained again, and an interrupted training goes on.

    Args:
        run: Whose problem gives images and recipe.
        architectures: Of the run, or any that the images fit.
        distil: Let the front's most accurate network, trained first, teach the others.
        device: `auto`, `cpu` or `cuda`.
        on_progress: Told the network's id, the epochs done, all epochs and the last epoch's mean loss.

    Raises:
        InputError: The images cannot be read or have changed, or an architecture does not fit them.
    """
    definition = run.images
    for architecture in architectures:
        architecture.check_resolution(definition.data.resolution)
    taught_by = most_accurate(run) if distil else None
    if taught_by is not None and taught_by in architectures:
        raise InputError(
            f"{taught_by.id} is the front's most accurate network, the teacher: name another one with --teacher"
        )
    task = FullTask(definition, device)
    check_classes(run, task)
    keeper = Keeper(task, run.archive, device_context(run))
    results = {str(one.evaluation.architecture): one for one in run.results()}
    teacher = None
    if taught_by is not None:
        folder = network_folder(run, taught_by, False)
        first = keeper.train(taught_by, folder, _origin(run, results.get(str(taught_by))), on_progress=on_progress)
        yield first
        if isinstance(first.result, Failure):
            return
        teacher = Teacher(taught_by, load_network(folder))
    for architecture in dict.fromkeys(architectures):
        folder = network_folder(run, architecture, distil)
        origin = _origin(run, results.get(str(architecture)))
        yield keeper.train(architecture, folder, origin, teacher, on_progress)


def check_classes(run: Run, task: FullTask) -> None:
    """Raise InputError where a problem's images no longer have the classes or channels that its run searched with."""
    shape = run.shape
    found = {"classes": len(task.training.classes), "channels": task.training.channels}
    for name, value in found.items():
        if value != shape[name]:
            raise InputError(f"{run.folder} searched images with {shape[name]} {name}, its data now have {value}")


def device_context(run: Run) -> tuple[str, dict[str, Any]]:
    """Key and content of what a run measured its networks with."""
    return run.record.device, run.archive.context(run.record.device)


def _origin(run: Run, result: Result | None) -> dict[str, Any]:
    record, manifest = run.record, run.manifest
    search = (
        f"{record.algorithm}, seed {record.seed}, {manifest['evaluations']} networks evaluated, in {run.folder.name}"
    )
    accuracy = None if result is None else result.evaluation.quantities.get("accuracy")
    return {"search": search if result is not None else None, "accuracy": accuracy}


class Keeper:
    """Trains networks of one task, saves them, and keeps their scores in an archive.

    Attributes:
        task: Images and recipe.
        key: The archive's context of the scores.
    """

    def __init__(self, task: FullTask, archive: Archive, device: tuple[str, dict[str, Any]]) -> None:
        self.task, self.archive = task, archive
        self._device, self._device_content = device
        self.key = archive.add_context(task.context())
        archive.add_alias(alias(task.definition), self.key)

    def train(
        self,
        network: AnyNetwork,
        folder: Path,
        origin: dict[str, Any],
        teacher: Teacher | None = None,
        on_progress: OnProgress = lambda name, epoch, epochs, loss: None,
    ) -> Trained:
        """Train a network in full and score it, unless that was done; its files are in `folder` afterwards."""
        key = self.key if teacher is None else self.archive.add_context(self.task.context(teacher))
        known = self.archive.full_training(key, network)
        measured = self.archive.measurement(self._device, network)
        measurement = measured if isinstance(measured, Measurement) else None
        done = Trained(network, folder, known, measurement, origin.get("accuracy")) if known is not None else None
        if done is not None and (isinstance(known, Failure) or _is_there(folder, key) or self._copy(folder, key)):
            return done
        checkpoint = folder / CHECKPOINT
        try:
            classifier, losses, seconds = self.task.train(
                network, checkpoint, teacher,
                lambda epoch, epochs, loss: on_progress(network.id, epoch, epochs, loss),
            )  # fmt: skip
            result: FullTraining | Failure = FullTraining(
                self.task.score(self.task.predictions(classifier)), losses, seconds
            )
        except TrainingDiverged as error:
            result = Failure.of(error)
        self.archive.add_full_training(key, network, result)
        if isinstance(result, FullTraining):
            facts = self._facts(network, folder, key, result, measurement, origin, teacher)
            save_network(folder, classifier, network, facts, model_card(facts, classifier.classes))
        checkpoint.unlink(missing_ok=True)
        return Trained(network, folder, result, measurement, origin.get("accuracy"))

    def _copy(self, folder: Path, key: str) -> bool:
        """Take a network from another run of the archive; False where none has it."""
        if not isinstance(self.archive.path, Path):
            return False
        for path in sorted(self.archive.path.parent.glob(f"*/{FOLDER}/{folder.name}/{FACTS}")):
            if _is_there(path.parent, key):
                folder.mkdir(parents=True, exist_ok=True)
                for name in (WEIGHTS, CARD, FACTS):
                    shutil.copyfile(path.parent / name, folder / f".{name}.part")
                    (folder / f".{name}.part").replace(folder / name)
                return True
        return False

    def _facts(
        self,
        network: AnyNetwork,
        folder: Path,
        key: str,
        result: FullTraining,
        measurement: Measurement | None,
        origin: dict[str, Any],
        teacher: Teacher | None,
    ) -> dict[str, Any]:
        task, score = self.task, result.score
        definition, recipe, size = task.definition, task.context(teacher)["recipe"], task.definition.data.resolution
        counted = cost(network, len(task.training.classes), task.training.channels, size)
        latency = None if measurement is None else _latency(measurement, self._device_content)
        return {
            "title": f"{definition.name} {network.id}" if isinstance(network, Architecture) else str(network),
            "notation": str(network),
            "folder": str(folder),
            "key": key,
            "origin": {"problem": definition.name, "data": definition.summary or definition.data.dataset} | origin,
            "images": f"{'grey' if task.training.channels == 1 else 'RGB'} images of {size}x{size} pixels",
            "cost": {"params": counted.params, "macs": counted.macs, "se_macs": counted.se_macs},
            "test": {
                "accuracy": score.accuracy,
                "interval": list(score.interval),
                "correct": score.correct,
                "images": score.images,
            },
            "latency": latency,
            "latency_said": None if latency is None else _latency_said(latency),
            "trained_on": len(task.training.labels),
            "recipe": recipe,
            "recipe_said": f"{recipe['optimizer']}, batch {recipe['batch']}, learning rate "
            f"{recipe['learning_rate']:g}, label smoothing {recipe['label_smoothing']:g}, an average of the weights",
            "teacher": None if teacher is None else str(teacher.network),
            "losses": list(result.losses),
            "seconds": round(result.seconds, 1),
            "versions": describe_versions(),
            "machine": {name: value for name, value in describe_machine().items() if name != "host"},
        }


def _is_there(folder: Path, key: str) -> bool:
    try:
        return bool(read_facts(folder).get("key") == key and (folder / WEIGHTS).is_file())
    except InputError:
        return False


def _latency(measurement: Measurement, device: dict[str, Any]) -> dict[str, Any]:
    names = ("runtime", "version", "target", "threads", "batch", "resolution", "processor")
    interval = {"ms": measurement.latency_ms, "interval": [measurement.low_ms, measurement.high_ms]}
    return interval | {name: device.get(name) for name in names}


def _latency_said(latency: dict[str, Any]) -> str:
    low, high = latency["interval"]
    return (
        f"{latency['ms']:.4f} ms (95 % interval {low:.4f} to {high:.4f}) at batch {latency['batch']} and "
        f"{latency['resolution']} pixels in {latency['runtime']} {latency['version']}, {latency['threads']} "
        f"thread{'s' * (latency['threads'] != 1)}, {latency['processor']}"
    )
