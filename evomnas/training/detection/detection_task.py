"""The proxy task of detection: a short training of a detector, scored by its average precision on validation images.

Its result is a function of the problem and the architecture alone, see `evomnas.training.trainer`.
"""

from __future__ import annotations

import copy
import time
from typing import cast

import numpy as np
import torch

from evomnas.core.resolution import Resolution
from evomnas.core.system.device import choose_device
from evomnas.data.boxes.detections import Detections
from evomnas.data.boxes.targets import BoxTargets
from evomnas.data.images import Dataset, Split
from evomnas.networks.detection.detector import Detector, build_detector
from evomnas.networks.detection.object_detector import ObjectDetector
from evomnas.problem.architecture import Architecture
from evomnas.problem.detection.definition import DetectionData
from evomnas.problem.detection.plan import DetectorPlan, plan_detector
from evomnas.problem.sections import TrainingSection
from evomnas.results.detection.findings import Findings
from evomnas.results.detection.precision import score_detections
from evomnas.results.evaluation import Cut, Training
from evomnas.training.batches import Normalisation
from evomnas.training.detection.detection_batches import DetectionBatches
from evomnas.training.detection.detector_training import detector_trainer
from evomnas.training.detection.finding import find_boxes
from evomnas.training.early_stop import LossThreshold
from evomnas.training.pixels import Pixels
from evomnas.training.trainer import Trainer, training_mode


class DetectionTask:
    """A data set of images with boxes, and the recipe by which candidates are trained on it.

    Attributes:
        dataset: The training and validation images with their boxes.
        recipe: The recipe of the short training.
        device: The device on which candidates are trained.
    """

    def __init__(self, dataset: Dataset, data: DetectionData, recipe: TrainingSection, device: str = "auto") -> None:
        """Take the images.

        Args:
            dataset: The training and validation images with their boxes.
            data: The problem's data section, for its augmentations and its score.
            recipe: The recipe of the short training.
            device: `cpu`, `cuda`, or `auto` for a GPU if there is one.

        Raises:
            InputError: The device is unknown, or it is `cuda` and there is no GPU.
        """
        self.dataset, self.recipe = dataset, recipe
        self.device = torch.device(choose_device(device))
        self._data = data
        self._normalisations: dict[int, Normalisation] = {}  # by number of the training

    def with_recipe(self, recipe: TrainingSection) -> DetectionTask:
        """Return this task with another recipe. The images are the same ones.

        Args:
            recipe: The recipe.
        """
        task = copy.copy(self)
        task.recipe = recipe
        return task

    def train(self, architecture: Architecture, threshold: LossThreshold | None = None) -> Training | Cut:
        """Train a new detector on an architecture and score it on the validation images.

        With folds, a new one is trained for each of them, and in each image those boxes count that the detector found
        which was not trained on it.

        Args:
            architecture: The architecture.
            threshold: The losses at which the training stops early; None trains to the end. With folds, the first of
                the trainings may stop, and then there are no others.

        Returns:
            What was found in the validation images, the losses of the first training, and the time of all in seconds;
            or a `Cut` with the losses so far and the predicted error, if the training was stopped early. Time in which
            it gave way to latency measurements does not count.

        Raises:
            TrainingDiverged: A loss or an answer became infinite or not a number.
        """
        started, waited = time.perf_counter(), 0.0
        losses: tuple[float, ...] = ()
        found: list[Detections] = []
        for number in range(self.dataset.trainings):
            split = self.dataset.split(number)
            trainer = self._fit(architecture, split, number, None if number else threshold)
            waited += trainer.waited_seconds
            losses = losses or tuple(trainer.losses)
            if threshold is not None and len(trainer.losses) < self.recipe.epochs:
                return Cut(losses, threshold.predict_error(losses), time.perf_counter() - started - waited)
            found.append(self._find(trainer, split))
        findings = self._score(found, architecture.resolution or self.dataset.resolution)
        name, seconds = self._data.score, time.perf_counter() - started - waited
        return Training(
            None, losses, seconds, score=findings.score(name), score_error=findings.error(name), findings=findings
        )

    def _fit(self, architecture: Architecture, split: Split, number: int, threshold: LossThreshold | None) -> Trainer:
        """Train a new detector, to the end or until it is stopped early."""
        seed = np.random.SeedSequence(self.recipe.seed, spawn_key=(number,) if number else ())
        weights_seed, order_seed = seed.spawn(2)
        plan, recipe = plan_detector(architecture, self.dataset.resolution), self.recipe
        with training_mode(self.device, None):
            detector = build_detector(
                architecture, len(self.dataset.classes), self.dataset.resolution, self.dataset.channels,
                bn_momentum=recipe.bn_momentum, seed=weights_seed,
            )  # fmt: skip
            trainer = detector_trainer(detector, self._batches(split, plan, number), recipe, order_seed)
            for _ in range(recipe.epochs):
                trainer.train_epoch()
                if threshold is not None and threshold.should_stop(trainer.losses):
                    break
        return trainer

    def _batches(self, split: Split, plan: DetectorPlan, number: int) -> DetectionBatches:
        """Return the training images of a training, whose mean and standard deviation are computed once."""
        assert split.train_targets is not None
        batches = DetectionBatches(
            split.train_images.resize(plan.resolution), split.train_targets.fitted(plan.resolution), plan,
            self._data.augment, self.device, self._normalisations.get(number),
        )  # fmt: skip
        self._normalisations.setdefault(number, (batches.mean, batches.std))
        return batches

    def _find(self, trainer: Trainer, split: Split) -> Detections:
        """Find boxes in the validation images of a training."""
        batches, detector = trainer.batches, cast("Detector", trainer.network.eval())
        answer = ObjectDetector(detector, batches.mean.tolist(), batches.std.tolist(), self.dataset.classes)
        pixels = Pixels(split.validation_images.resize(detector.plan.resolution), self.device)
        return find_boxes(answer.to(self.device), pixels)

    def _score(self, found: list[Detections], resolution: Resolution) -> Findings:
        """Score the boxes that the detectors of all trainings found."""
        splits = [self.dataset.split(number) for number in range(self.dataset.trainings)]
        places = np.concatenate([split.places for split in splits])
        detections, targets = Detections.joined(found), _validated(self.dataset).select(places)
        score = score_detections(targets, detections, resolution, len(self.dataset.classes))
        return Findings.of(score, detections, resolution, places.tolist())


def _validated(dataset: Dataset) -> BoxTargets:
    """Return the boxes of all images on which networks are validated."""
    targets = dataset.train_targets if len(dataset.folds) else dataset.validation_targets
    assert targets is not None
    return targets
