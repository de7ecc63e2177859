"""Full trainings of detectors that a search found: the detectors in folders, the scores in the archive."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from evomnas.core.errors import InputError
from evomnas.data.splits import split_for_search
from evomnas.deploy.cards.card import LatencyDetails
from evomnas.deploy.checkpoint import read_checkpoint
from evomnas.deploy.detection.detection_training import COLOURS, DetectionTraining, Start, TrainedDetector
from evomnas.deploy.detection.detector_card import RANDOM_WEIGHTS, detector_card
from evomnas.deploy.detection.detector_files import (
    DETECTOR_MANIFEST,
    DetectorManifest,
    Latency,
    describe_detector,
    load_detector,
    read_detector_manifest,
    save_detector,
)
from evomnas.deploy.full_training import Teacher
from evomnas.deploy.saving import weights_hash, weights_of
from evomnas.deploy.training_store import (
    CHECKPOINT_FILE,
    OnProgress,
    SearchOrigin,
    TrainingStore,
)
from evomnas.networks.detection.object_detector import ObjectDetector
from evomnas.networks.network import build_network
from evomnas.problem.architecture import Architecture
from evomnas.problem.definition import ProblemDefinition
from evomnas.problem.detection.definition import DetectionDefinition
from evomnas.problem.sections import SCORE_WORDS
from evomnas.results.evaluation import Failure, FullTraining, Measurement
from evomnas.results.readers import full_training_alias, trained_images_alias


class DetectorTask(DetectionTraining):
    """The images of a problem of detection, and the recipe by which its detectors are trained in full.

    Attributes:
        definition: The problem.
    """

    def __init__(self, definition: ProblemDefinition, device: str = "auto") -> None:
        """Read the images that may be trained on.

        Args:
            definition: The problem.
            device: `auto`, `cpu` or `cuda`.

        Raises:
            InputError: The images cannot be read, have no boxes, or no test split; or what scores them is missing.
        """
        assert isinstance(definition, DetectionDefinition)
        self.definition, full = definition, definition.full
        augment = definition.data.augment if full.augment is None else full.augment
        super().__init__(definition.data, definition.full_recipe, device, augment)

    @property
    def search_images_fingerprint(self) -> str:
        """The fingerprint of the images that a search of the problem uses, split as it splits them."""
        return split_for_search(self.training, self.definition.data).fingerprint

    def start(self, architecture: Architecture) -> Start:
        """Return an architecture with random weights, those of the recipe's seed.

        Args:
            architecture: The architecture.
        """
        *_, seed = np.random.SeedSequence(self.recipe.seed).spawn(3)  # the first two are those of the training
        network = build_network(architecture, 1, COLOURS, bn_momentum=self.recipe.bn_momentum, seed=seed)
        return Start(network, None, RANDOM_WEIGHTS, "")

    def context(self, teacher: str | None = None) -> dict[str, Any]:
        """Return everything that a training depends on beside the network, as the archive stores it.

        Args:
            teacher: None: detectors have no teachers.
        """
        return {"task": self.definition.kind, **self.conditions(), "teacher": teacher}

    def scored_context(self) -> dict[str, Any]:
        """Return everything that a test score depends on beside the network. This reads the test images."""
        return self.context() | {"test": self.test.fingerprint}

    def remaining_epochs(self, network: Architecture, checkpoint: Path, teacher: str | None = None) -> int:
        """Return how many epochs a training would train.

        Args:
            network: The architecture.
            checkpoint: The file of the training's state, which need not exist.
            teacher: None: detectors have no teachers.
        """
        state = read_checkpoint(checkpoint, self.key(network))
        return self.recipe.epochs - (0 if state is None else len(state["losses"]))

    def time_step(self, network: Architecture, teacher: None = None) -> float:
        """Return the seconds of a training step of a detector, by doing a few steps that are thrown away.

        Args:
            network: The architecture of its backbone.
            teacher: None, since detectors have none.
        """
        return self.time_start(self.start(network))


class _SavedDetector(NamedTuple):
    """A detector that was trained earlier, and its folder."""

    folder: Path
    manifest: DetectorManifest
    detector: ObjectDetector


class DetectorTrainings(TrainingStore):
    """Full trainings of detectors; see `TrainingStore`."""

    task: DetectorTask

    def _is_saved(self, folder: Path, key: str, network: Architecture) -> bool:
        return self._find(folder, network) is not None

    def _find(self, folder: Path, network: Architecture) -> _SavedDetector | None:
        """Return a detector whose training had the same key, in this folder or of another run of the archive.

        Folders that are damaged or incomplete are passed over.
        """
        for candidate in self._folders(folder, network, DETECTOR_MANIFEST):
            try:
                manifest = read_detector_manifest(candidate)
                if manifest.key == self.task.key(network):
                    return _SavedDetector(candidate, manifest, load_detector(candidate))
            except InputError:
                continue
        return None

    def _complete(
        self,
        network: Architecture,
        folder: Path,
        origin: SearchOrigin | None,
        teacher: Teacher | None,
        measurement: Measurement | None,
        on_progress: OnProgress,
    ) -> FullTraining | Failure:
        """See `TrainingStore._complete`."""
        task, saved = self.task, self._find(folder, network)
        if saved is None:
            trained = task.train(
                task.start(network), folder / CHECKPOINT_FILE,
                lambda epoch, epochs, loss: on_progress(network.id, epoch, epochs, loss),
            )  # fmt: skip
        else:
            trained = TrainedDetector(saved.detector, saved.manifest.losses, saved.manifest.seconds)
        searched = self._searched or task.search_images_fingerprint
        scored = self.archive.add_context(task.scored_context())
        self.archive.add_alias(full_training_alias(task.definition, searched), scored)
        result = self.archive.full_training(scored, network)
        if result is None or saved is None:
            result = FullTraining(None, trained.losses, trained.seconds, findings=task.find(trained.detector))
            self.archive.add_full_training(scored, network, result)
            self.archive.add_alias(trained_images_alias(searched), scored)
        is_complete = saved is not None and (saved.folder, saved.manifest.scored) == (folder, scored)
        if isinstance(result, FullTraining) and result.findings is not None and not is_complete:
            weights = weights_of(trained.detector.detector, str(network))
            manifest = describe_detector(
                trained, RANDOM_WEIGHTS, task.key(network), result.findings, self._latency(network, measurement),
                weights_hash(weights), len(task.training.labels), task.recipe.context, scored,
                self._describe_origin(origin),
            )  # fmt: skip
            if saved is not None:
                manifest = manifest.model_copy(
                    update={"versions": saved.manifest.versions, "machine": saved.manifest.machine}
                )
            title = f"{task.definition.name} {network.id}"
            save_detector(folder, weights, manifest, detector_card(title, task.definition.name, manifest))
        return result

    def _latency(self, network: Architecture, measurement: Measurement | None) -> Latency | None:
        if measurement is None:
            return None
        details = LatencyDetails.of(measurement, self._measurement_context.content)
        if network.resolution is not None:
            details = details.model_copy(update={"resolution": network.resolution})
        setting = f"{details.describe().partition(') ')[2]}, without suppression"
        return Latency(ms=details.ms, interval=details.interval, setting=setting)

    def _describe_origin(self, origin: SearchOrigin | None) -> str | None:
        """Return the search that found a detector's backbone in words; None if none did."""
        if origin is None or origin.search is None:
            return None
        words = SCORE_WORDS[self.task.definition.data.score]
        score = "" if origin.score is None else f"; {words} {origin.score:.1%} on its validation images"
        changes = f"; images changed since then: {origin.changes}" if origin.changes else ""
        return f"{origin.search}{score}{changes}"
