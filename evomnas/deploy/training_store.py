"""Full trainings that are kept: the networks in folders, the scores in an archive.

The archive stores the score of a network under everything that it depends on, so that all runs of the archive share it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch

from evomnas.core.errors import InputError
from evomnas.core.system.machine import describe_machine, describe_versions
from evomnas.data.images import LabelledImages
from evomnas.data.photographs import describe_images
from evomnas.data.pictures import encode_picture
from evomnas.deploy.cards.card import LatencyDetails, ModelDetails, Origin, ScoreDetails, model_card
from evomnas.deploy.cards.class_card import PICTURE, class_card
from evomnas.deploy.full_training import FullTask, Teacher
from evomnas.deploy.saving import (
    MODEL_MANIFEST,
    ModelManifest,
    load_network,
    read_manifest,
    save_network,
)
from evomnas.networks.classifier import Classifier
from evomnas.networks.layer_costs import count_any_cost
from evomnas.networks.pretrained.weights import PretrainedWeights
from evomnas.networks.torchvision_models import AnyNetwork
from evomnas.problem.architecture import Architecture
from evomnas.problem.definition import ProblemDefinition
from evomnas.problem.pretrained.donors import find_published_weights
from evomnas.problem.sections import Recipe
from evomnas.results.archive import Archive, context_key
from evomnas.results.evaluation import Failure, FullTraining, Measurement, TrainingDiverged
from evomnas.results.readers import full_training_alias, trained_images_alias

CHECKPOINT_FILE = "checkpoint.pt"
NETWORKS_FOLDER = "networks"
OnProgress = Callable[[str, int, int, float], None]


@dataclass(frozen=True)
class TrainedNetwork:
    """A network after its full training.

    Attributes:
        network: The network's description.
        folder: The folder of its files. There are none if the training failed.
        result: Its test score, or why there is none.
        measurement: Its latency; None if it was not measured.
        origin: The search that it comes from; None if it comes from none.
        classes: The names of its classes.
    """

    network: AnyNetwork
    folder: Path
    result: FullTraining | Failure
    measurement: Measurement | None = None
    origin: SearchOrigin | None = None
    classes: tuple[str, ...] = ()

    @property
    def validation(self) -> float | None:
        """Its validation accuracy in the search; None if it was not searched."""
        return None if self.origin is None else self.origin.accuracy


@dataclass(frozen=True, slots=True)
class SearchOrigin:
    """The search that a network comes from.

    Attributes:
        search: The search in words; None if it never evaluated the network.
        accuracy: The network's validation accuracy in it; None if there is none.
        score: How much of what it maximised the network had on the validation images; None if there is none.
        changes: How the images have changed since it, in words; empty if they have not.
    """

    search: str | None
    accuracy: float | None
    score: float | None = None
    changes: str = ""


@dataclass(frozen=True, slots=True)
class MeasurementContext:
    """The device on which latencies were measured, as the archive stores it.

    Attributes:
        key: The key of the context.
        content: The content of the context: runtime, version, threads, processor and so on.
    """

    key: str
    content: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _SavedNetwork:
    """A network that was trained earlier, and its folder."""

    folder: Path
    manifest: ModelManifest
    classifier: Classifier


class TrainingTask(Protocol):
    """The images of a problem, and the recipe by which its networks are trained in full, of whatever kind they are."""

    @property
    def definition(self) -> ProblemDefinition:
        """The problem."""

    @property
    def recipe(self) -> Recipe:
        """The settings of the training."""

    @property
    def training(self) -> LabelledImages:
        """All images that may be trained on."""

    @property
    def device(self) -> torch.device:
        """The device of the trainings."""

    @property
    def search_images_fingerprint(self) -> str:
        """The fingerprint of the images that a search of the problem uses, split as it splits them."""

    def context(self, teacher: str | None = None) -> dict[str, Any]:
        """Return everything that a training depends on beside the network, as the archive stores it.

        Args:
            teacher: The notation of the teacher; None if there is none.
        """

    def remaining_epochs(self, network: Any, checkpoint: Path, teacher: str | None = None) -> int:
        """Return how many epochs a training would train.

        Args:
            network: The network.
            checkpoint: The file of the training's state, which need not exist.
            teacher: The notation of the teacher; None if there is none.
        """

    def time_step(self, network: Any, teacher: Any = None) -> float:
        """Return the seconds of a training step of a network.

        Args:
            network: The network.
            teacher: The network that teaches it; None if none does.
        """


class TrainingStore(ABC):
    """Full trainings of one task, whose networks are saved and whose scores go into an archive.

    Attributes:
        task: The images and the recipe.
        archive: The archive of the scores.
    """

    task: TrainingTask

    def __init__(
        self,
        task: TrainingTask,
        archive: Archive,
        measurement_context: MeasurementContext,
        searched: str | None = None,
    ) -> None:
        """Set the trainings up. Nothing is read or trained yet.

        Args:
            task: The images and the recipe.
            archive: The archive that gets the scores.
            measurement_context: The device whose latencies the model cards show.
            searched: The fingerprint of the images of the search whose report is to find the trainings, if these are
                no longer the task's.
        """
        self.task, self.archive = task, archive
        self._searched, self._measurement_context = searched, measurement_context

    def remaining_epochs(self, network: Any, folder: Path, teacher: str | None = None) -> int:
        """Return how many epochs `train` would train; 0 if all was done before.

        Args:
            network: The network.
            folder: The folder of its files.
            teacher: The notation of its teacher; None if there is none.
        """
        key = context_key(self.task.context(teacher))
        if self.archive.full_training(key, network) is not None or self._is_saved(folder, key, network):
            return 0
        return self.task.remaining_epochs(network, folder / CHECKPOINT_FILE, teacher)

    def train(
        self,
        network: Any,
        folder: Path,
        origin: SearchOrigin | None = None,
        teacher: Teacher | None = None,
        on_progress: OnProgress = lambda name, epoch, epochs, loss: None,
    ) -> TrainedNetwork:
        """Train a network in full, score it and save it, unless all that was done before.

        Args:
            network: The network.
            folder: The folder that holds its files afterwards.
            origin: The search that it comes from; None if it comes from none.
            teacher: The network that teaches it; None if none does.
            on_progress: Called after every epoch with the network's id, the number of epochs so far, the number of all
                epochs, and the mean loss of the last one.

        Returns:
            The trained network, or why its training failed.

        Raises:
            InputError: The test images cannot be read, or do not have the classes of the training images.
        """
        context = self.task.context(teacher.notation if teacher else None)
        measured = self.archive.measurement(self._measurement_context.key, network)
        measurement = measured if isinstance(measured, Measurement) else None
        result = self.archive.full_training(context_key(context), network)  # only of a training that diverged
        if result is None:
            try:
                result = self._complete(network, folder, origin, teacher, measurement, on_progress)
            except TrainingDiverged as error:
                result = Failure.of(error)
                self.archive.add_full_training(self.archive.add_context(context), network, result)
            if (folder / CHECKPOINT_FILE).exists():  # else nothing is written, which a read-only disk allows
                (folder / CHECKPOINT_FILE).unlink()
        return TrainedNetwork(network, folder, result, measurement, origin, self.task.training.classes)

    def _folders(self, folder: Path, network: Any, manifest: str) -> list[Path]:
        """Return where a trained network may be: in this folder, or in those of other runs of the archive."""
        if not isinstance(self.archive.path, Path):
            return [folder]
        manifests = self.archive.path.parent.glob(f"*/{NETWORKS_FOLDER}/{network.id}*/{manifest}")
        return [folder, *sorted(path.parent for path in manifests)]

    @abstractmethod
    def _is_saved(self, folder: Path, key: str, network: Any) -> bool:
        """Return whether a network was trained before, under the key of a context, and its files are whole."""

    @abstractmethod
    def _complete(
        self,
        network: Any,
        folder: Path,
        origin: SearchOrigin | None,
        teacher: Teacher | None,
        measurement: Measurement | None,
        on_progress: OnProgress,
    ) -> FullTraining | Failure:
        """Do what is missing of a network's training, score and files.

        The test images are read when the training has ended.
        """


class FullTrainings(TrainingStore):
    """Full trainings of networks that tell classes apart; see `TrainingStore`."""

    task: FullTask

    def remaining_epochs(self, network: AnyNetwork, folder: Path, teacher: str | None = None) -> int:
        """See `TrainingStore.remaining_epochs`."""
        own = self._own(network)
        return super(FullTrainings, own).remaining_epochs(network, folder, teacher)

    def train(
        self,
        network: AnyNetwork,
        folder: Path,
        origin: SearchOrigin | None = None,
        teacher: Teacher | None = None,
        on_progress: OnProgress = lambda name, epoch, epochs, loss: None,
    ) -> TrainedNetwork:
        """See `TrainingStore.train`."""
        return super(FullTrainings, self._own(network)).train(network, folder, origin, teacher, on_progress)

    def _is_saved(self, folder: Path, key: str, network: AnyNetwork) -> bool:
        return self._find(folder, key, network) is not None

    def _own(self, network: AnyNetwork) -> FullTrainings:
        """Return the trainings of a network: these, or those at the resolution that the network has of its own."""
        task = self.task.for_network(network)
        return self if task is self.task else FullTrainings(task, self.archive, self._measurement_context)

    def _complete(
        self,
        network: AnyNetwork,
        folder: Path,
        origin: SearchOrigin | None,
        teacher: Teacher | None,
        measurement: Measurement | None,
        on_progress: OnProgress,
    ) -> FullTraining | Failure:
        """See `TrainingStore._complete`."""
        task, notation = self.task, teacher.notation if teacher else None
        searched = self._searched or task.search_images_fingerprint
        saved = self._find(folder, context_key(task.context(notation)), network)
        if saved is None:
            classifier, losses, seconds = task.train(
                network, folder / CHECKPOINT_FILE, teacher,
                lambda epoch, epochs, loss: on_progress(network.id, epoch, epochs, loss),
            )  # fmt: skip
        else:
            classifier = saved.classifier.to(task.device)
            losses, seconds = saved.manifest.losses, saved.manifest.seconds
        scored = self.archive.add_context(task.scored_context(notation))
        if teacher is None:
            self.archive.add_alias(full_training_alias(task.definition, searched), scored)
        result = self.archive.full_training(scored, network)
        lacks_answers = isinstance(result, FullTraining) and result.answers is None
        if result is None or saved is None or lacks_answers:
            predictions = task.predictions(classifier)
            answers = task.answers(predictions)
            if isinstance(result, FullTraining) and saved is not None:  # an older version kept none: its score stays
                result = replace(result, answers=answers)
            else:
                result = FullTraining(task.score(predictions), losses, seconds, answers)
            self.archive.add_full_training(scored, network, result)
            self.archive.add_alias(trained_images_alias(searched), scored)
        pictures = self._keep_pictures(result)
        is_complete = saved is not None and (saved.folder, saved.manifest.scored) == (folder, scored)
        if isinstance(result, FullTraining) and not is_complete:
            details = self._details(network, folder, scored, result, measurement, origin, teacher, saved)
            by_class = class_card(result.answers, classifier.classes, pictures)
            card = model_card(details, classifier.classes, classifier.preprocessing, by_class.text)
            for picture in folder.glob(f"{PICTURE}-*"):  # of earlier weights or test images
                picture.unlink()
            save_network(folder, classifier, network, details, card, by_class.files)
        return result

    def _keep_pictures(self, result: FullTraining | Failure) -> dict[int, bytes]:
        """Return small pictures of the worst mistakes by their places, and let the archive have them for reports."""
        if isinstance(result, Failure) or result.answers is None:
            return {}
        test, archive = self.task.known_test, self.archive
        archive.add_class_names(test.fingerprint, test.classes)
        places = [mistake.image for mistake in result.answers.mistakes]
        known = {place: archive.picture(test.fingerprint, place) for place in places}
        new = {place: encode_picture(test.images[place]) for place, content in known.items() if content is None}
        archive.add_pictures(test.fingerprint, new)
        return {place: content for place, content in known.items() if content is not None} | new

    def _find(self, folder: Path, key: str, network: AnyNetwork) -> _SavedNetwork | None:
        """Return a network whose training had the same context, in this folder or of another run of the archive.

        Folders that are damaged or incomplete are passed over.
        """
        expected = (key, str(network), self.task.interface)
        for candidate in self._folders(folder, network, MODEL_MANIFEST):
            try:
                manifest = read_manifest(candidate)
                if (manifest.key, manifest.network, manifest.interface) == expected:
                    return _SavedNetwork(candidate, manifest, load_network(candidate))
            except InputError:
                continue
        return None

    def _details(
        self,
        network: AnyNetwork,
        folder: Path,
        scored: str,
        result: FullTraining,
        measurement: Measurement | None,
        origin: SearchOrigin | None,
        teacher: Teacher | None,
        saved: _SavedNetwork | None,
    ) -> ModelDetails:
        """Return the details of a network. Versions and machine are those of its training, even if that was earlier."""
        task, notation = self.task, teacher.notation if teacher else None
        definition, recipe, resolution = task.definition, task.recipe, task.definition.data.resolution
        context = task.context(notation)
        latency = None if measurement is None else LatencyDetails.of(measurement, self._measurement_context.content)
        if latency is not None and network.resolution is not None:
            latency = latency.model_copy(update={"resolution": network.resolution})
        weights = ", balanced class weights" if recipe.class_weights == "balanced" else ""
        return ModelDetails(
            title=f"{definition.name} {network.id}" if isinstance(network, Architecture) else str(network),
            notation=str(network),
            folder=str(folder),
            key=context_key(context),
            scored=scored,
            origin=_origin_details(definition, origin),
            images=describe_images(task.training.channels, resolution),
            cost=count_any_cost(network, len(task.training.classes), task.training.channels, resolution),
            test=ScoreDetails.of(result, task.training.classes),
            latency=latency,
            latency_text=None if latency is None else latency.describe(),
            trained_on=len(task.training.labels),
            recipe=context["recipe"],
            recipe_text=f"{recipe.optimizer}, batch {recipe.batch}, learning rate {recipe.learning_rate:g}, "
            f"label smoothing {recipe.label_smoothing:g}{weights}, an average of the weights",
            teacher=notation,
            **({} if task.donor is None else {"pretrained": _describe_donor(task.donor)}),
            losses=result.losses,
            seconds=round(result.seconds, 1),
            versions=saved.manifest.versions if saved else describe_versions(),
            machine=saved.manifest.machine if saved else _describe_machine(),
        )


def _describe_donor(donor: PretrainedWeights) -> str:
    terms = find_published_weights(donor.name).terms
    return f"the weights of {donor.name} (SHA-256 {donor.sha256[:16]}...): {terms}"


def _origin_details(definition: ProblemDefinition, origin: SearchOrigin | None) -> Origin:
    problem, data = definition.name, definition.summary or definition.data.dataset
    if origin is None:
        return Origin(problem=problem, data=data)
    found = Origin(problem=problem, data=data, search=origin.search, accuracy=origin.accuracy)
    if origin.changes:
        found = found.model_copy(update={"changes": origin.changes})
    if definition.data.score == "accuracy":
        return found
    return found.model_copy(update={"score_name": definition.data.score, "score": origin.score})


def _describe_machine() -> dict[str, Any]:
    """Return the machine without its host name, since the file is made to be shared."""
    return {name: value for name, value in describe_machine().items() if name != "host"}
