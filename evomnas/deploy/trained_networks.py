"""Which of a run's networks are trained in full, and where they and their scores are kept.

A network's score is kept in the archive by all that it depends on, so that runs share it, and its files are in the
run's folder: `networks/ID`, or `networks/ID-distilled` where a teacher took part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evomnas.core.errors import InputError
from evomnas.core.machine import describe_machine, describe_versions
from evomnas.deploy.card import model_card
from evomnas.deploy.full_training import FullTask, Teacher
from evomnas.deploy.saving import FACTS, Facts, describe_images, load_network, read_facts, save_network
from evomnas.networks.classifier import Classifier
from evomnas.networks.torchvision_models import AnyNetwork, count_any_cost
from evomnas.problem.architecture import Architecture
from evomnas.problem.pareto import knees
from evomnas.results.archive import Archive, context_key
from evomnas.results.evaluation import Failure, FullTraining, Measurement, TrainingDiverged
from evomnas.results.full_trainings import full_training_alias
from evomnas.results.run import Result, Run

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
    run.trained_problem()  # raises where there is nothing to build
    front = [result.evaluation.architecture for result in run.front()]
    if not front:
        raise InputError(f"{run.folder} has no network on its front yet: go on with evomnas resume {run.argument}")
    return front


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
    definition = run.trained_problem()
    for architecture in architectures:
        architecture.check_resolution(definition.data.resolution)
    taught_by = most_accurate(run) if distil else None
    if taught_by is not None and taught_by in architectures:
        raise InputError(
            f"{taught_by.id} is the front's most accurate network, the teacher: name another one with --teacher"
        )
    task = FullTask(definition, device)
    check_images(run, task)
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


def check_images(run: Run, task: FullTask) -> None:
    """Raise InputError where a problem's images are no longer those that its run searched with."""
    shape = run.network_shape
    found = {"classes": len(task.training.classes), "channels": task.training.channels}
    for name, value in found.items():
        if value != shape[name]:
            raise InputError(f"{run.folder} searched images with {shape[name]} {name}, its data now have {value}")
    if task.search_images_fingerprint != run.search_images_fingerprint:
        raise InputError(
            f"the images of {run.folder} have changed since its search: bring them back, or search them as they are "
            "with evomnas run and another --out DIR"
        )


def device_context(run: Run) -> tuple[str, dict[str, Any]]:
    """Key and content of what a run measured its networks with."""
    return run.record.measurement_context, run.archive.context(run.record.measurement_context)


def _origin(run: Run, result: Result | None) -> dict[str, Any]:
    record, manifest = run.record, run.manifest
    search = f"{record.algorithm}, seed {record.seed}, {manifest.evaluations} networks evaluated, in {run.folder.name}"
    accuracy = None if result is None else result.evaluation.quantities.get("accuracy")
    return {"search": search if result is not None else None, "accuracy": accuracy}


class Keeper:
    """Trains networks of one task, saves them, and keeps their scores in an archive.

    Attributes:
        task: Images and recipe.
    """

    def __init__(self, task: FullTask, archive: Archive, device: tuple[str, dict[str, Any]]) -> None:
        self.task, self.archive = task, archive
        self._device, self._device_content = device

    def train(
        self,
        network: AnyNetwork,
        folder: Path,
        origin: dict[str, Any],
        teacher: Teacher | None = None,
        on_progress: OnProgress = lambda name, epoch, epochs, loss: None,
    ) -> Trained:
        """Train a network in full and score it, unless that was done; its files are in `folder` afterwards."""
        notation = teacher.notation if teacher else None
        context = self.task.context(notation)
        measured = self.archive.measurement(self._device, network)
        measurement = measured if isinstance(measured, Measurement) else None
        result = self.archive.full_training(context_key(context), network)  # there if it diverged
        if result is None:
            try:
                result = self._finish(network, folder, origin, teacher, measurement, on_progress)
            except TrainingDiverged as error:
                result = Failure.of(error)
                self.archive.add_full_training(self.archive.add_context(context), network, result)
            if (folder / CHECKPOINT).exists():  # else nothing is written, which a read-only disk allows
                (folder / CHECKPOINT).unlink()
        return Trained(network, folder, result, measurement, origin.get("accuracy"))

    def _finish(
        self,
        network: AnyNetwork,
        folder: Path,
        origin: dict[str, Any],
        teacher: Teacher | None,
        measurement: Measurement | None,
        on_progress: OnProgress,
    ) -> FullTraining | Failure:
        """The score of a network that is trained now, or was before, here or in another run; writes what is missing.

        The test images are read when the training has ended.
        """
        task, notation = self.task, teacher.notation if teacher else None
        found = self._find(folder, context_key(task.context(notation)), network)
        if found is None:
            classifier, losses, seconds = task.train(
                network, folder / CHECKPOINT, teacher,
                lambda epoch, epochs, loss: on_progress(network.id, epoch, epochs, loss),
            )  # fmt: skip
            before = None
        else:
            source, before, classifier = found
            classifier, losses, seconds = classifier.to(task.device), before.losses, before.seconds
        scored = self.archive.add_context(task.scored_context(notation))
        if teacher is None:
            self.archive.add_alias(full_training_alias(task.definition, task.search_images_fingerprint), scored)
        result = self.archive.full_training(scored, network)
        if result is None or before is None:
            result = FullTraining(task.score(task.predictions(classifier)), losses, seconds)
            self.archive.add_full_training(scored, network, result)
        if isinstance(result, FullTraining) and (before is None or (source, before.scored) != (folder, scored)):
            facts = self._facts(network, folder, scored, result, measurement, origin, teacher, before)
            save_network(folder, classifier, network, facts, model_card(facts, classifier.classes))
        return result

    def _find(self, folder: Path, key: str, network: AnyNetwork) -> tuple[Path, Facts, Classifier] | None:
        """A network that was trained like this, here or in another run of the archive; what is torn counts as none."""
        places = [folder]
        if isinstance(self.archive.path, Path):
            others = self.archive.path.parent.glob(f"*/{FOLDER}/{folder.name}/{FACTS}")
            places += sorted(path.parent for path in others)
        for place in places:
            try:
                facts = read_facts(place)
                if (facts.key, facts.network, facts.takes) == (key, str(network), self.task.takes):
                    return place, facts, load_network(place)
            except InputError:
                continue
        return None

    def _facts(
        self,
        network: AnyNetwork,
        folder: Path,
        scored: str,
        result: FullTraining,
        measurement: Measurement | None,
        origin: dict[str, Any],
        teacher: Teacher | None,
        before: Facts | None,
    ) -> dict[str, Any]:
        task, score, context = self.task, result.score, self.task.context(teacher.notation if teacher else None)
        definition, recipe, size = task.definition, context["recipe"], task.definition.data.resolution
        counted = count_any_cost(network, len(task.training.classes), task.training.channels, size)
        latency = None if measurement is None else _latency(measurement, self._device_content)
        return {
            "title": f"{definition.name} {network.id}" if isinstance(network, Architecture) else str(network),
            "notation": str(network),
            "folder": str(folder),
            "key": context_key(context),
            "scored": scored,
            "origin": {"problem": definition.name, "data": definition.summary or definition.data.dataset} | origin,
            "images": describe_images(task.training.channels, size),
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
            "teacher": teacher.notation if teacher else None,
            "losses": list(result.losses),
            "seconds": round(result.seconds, 1),
            "versions": before.versions if before else describe_versions(),
            "machine": before.machine if before else _machine(),
        }


def _machine() -> dict[str, Any]:
    return {name: value for name, value in describe_machine().items() if name != "host"}


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
