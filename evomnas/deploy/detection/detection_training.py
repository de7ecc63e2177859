"""Images with boxes, the training of detectors on them, and the score on the test images."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from evomnas.core.errors import InputError
from evomnas.core.resolution import Resolution
from evomnas.core.system import lock
from evomnas.core.system.device import choose_device
from evomnas.core.system.memory import within_container
from evomnas.data.boxes.detections import Detections
from evomnas.data.images import LabelledImages
from evomnas.data.splits import load_training_images
from evomnas.deploy.checkpoint import Checkpoint
from evomnas.deploy.testsplit import check_test_split, load_test_images
from evomnas.networks.detection.detector import Detector, add_detector
from evomnas.networks.detection.object_detector import ObjectDetector
from evomnas.networks.network import Network
from evomnas.problem.architecture import Architecture
from evomnas.problem.sections import DataSection, Recipe
from evomnas.results.archive import context_key
from evomnas.results.detection.findings import Findings
from evomnas.results.detection.precision import check_scorer, score_detections
from evomnas.training.batches import Normalisation
from evomnas.training.detection.detection_batches import DetectionBatches
from evomnas.training.detection.detector_training import AUGMENT, detector_trainer
from evomnas.training.detection.finding import find_boxes
from evomnas.training.pixels import Pixels
from evomnas.training.trainer import Trainer, training_mode

OnEpoch = Callable[[int, int, float], None]
TIMED_STEPS = 3  # the first one is slow, since memory is set up
COLOURS = 3  # channels of the images in which detectors look


@dataclass(frozen=True, eq=False)
class Start:
    """The network on which the training of a detector starts. It takes colour images.

    Attributes:
        network: The network; a detector takes its modules, so that it can be used once.
        normalisation: The mean and the standard deviation of each channel by which its images are normalised; None for
            those of the training images.
        words: Where its weights come from, for people.
        weights: The SHA-256 of the file of its weights; empty of random ones.
    """

    network: Network
    normalisation: Normalisation | None
    words: str
    weights: str


class TrainedDetector(NamedTuple):
    """The result of a training.

    Attributes:
        detector: The trained detector, on the CPU and in evaluation mode.
        losses: The mean loss of every epoch.
        seconds: How long the training took, over all its parts if it was interrupted.
    """

    detector: ObjectDetector
    losses: tuple[float, ...]
    seconds: float


class DetectionTraining:
    """Images with boxes, and the recipe by which detectors are trained on them.

    Attributes:
        section: The data set and its settings.
        recipe: The recipe.
        device: The device of the trainings.
        training: All images that may be trained on.
    """

    def __init__(
        self, section: DataSection, recipe: Recipe, device: str = "auto", augment: Sequence[str] = AUGMENT
    ) -> None:
        """Read the images that may be trained on.

        Args:
            section: The data set and its settings.
            recipe: The recipe.
            device: `auto`, `cpu` or `cuda`.
            augment: The names of the augmentations, of `BOX_AUGMENTATIONS`.

        Raises:
            InputError: The images cannot be read, have no boxes, or no test split; or what scores them is missing.
        """
        check_scorer()
        check_test_split(section)
        self.section, self.recipe, self.device = section, recipe, torch.device(choose_device(device))
        self.training: LabelledImages = load_training_images(section)
        if self.training.targets is None:
            raise InputError(f"the images of {section.dataset} have no boxes: evomnas detect takes pictures with boxes")
        assert self.training.channels == COLOURS
        self._augment = list(augment)

    def conditions(self, device: str | None = None) -> dict[str, Any]:
        """Return everything that a training depends on beside the network and the weights that it starts from.

        Args:
            device: The kind of device, `cpu` or `cuda`; None for that of these trainings.
        """
        return {
            "train": self.training.fingerprint,
            "recipe": self.recipe.context,
            "augment": self._augment,
            "device": device or self.device.type,
        }

    def key(self, architecture: Architecture, weights: str = "", device: str | None = None) -> str:
        """Return the key of a training.

        Args:
            architecture: The architecture.
            weights: The hash of the weights that it starts from; empty of random ones.
            device: The kind of device, `cpu` or `cuda`; None for that of these trainings.
        """
        return context_key({"network": str(architecture), "start": weights, **self.conditions(device)})

    def train(
        self, start: Start, checkpoint: Path, on_epoch: OnEpoch = lambda epoch, epochs, loss: None
    ) -> TrainedDetector:
        """Train a detector on a network, or go on with a training that was interrupted.

        Args:
            start: The trained network. Its modules become the detector's.
            checkpoint: The file of the training's state. The training goes on from it if it is there and of the same
                training. It is written every 20 seconds and is not removed.
            on_epoch: Called after every epoch with the number of epochs so far, the number of all epochs, and the mean
                loss of the last one.

        Returns:
            The detector, the mean loss of every epoch, and the seconds.

        Raises:
            InputError: The network does not suit the images.
            TrainingDiverged: The loss became infinite or not a number.
        """
        recipe = self.recipe
        with within_container(), training_mode(self.device, None):
            detector, batches, trainer = self._begin(start)
            state = Checkpoint(checkpoint, self.key(start.network.architecture, start.weights), trainer)
            seconds = state.restore()
            while len(trainer.losses) < recipe.epochs:
                with lock.training():
                    started, waited_before = time.perf_counter(), trainer.waited_seconds
                    loss = trainer.train_epoch()
                    seconds += time.perf_counter() - started - (trainer.waited_seconds - waited_before)
                state.save(seconds, force=len(trainer.losses) == recipe.epochs)
                on_epoch(len(trainer.losses), recipe.epochs, loss)
        detector.load_state_dict(trainer.network.state_dict())
        mean, std = batches.mean.tolist(), batches.std.tolist()
        shipped = ObjectDetector(detector, mean, std, self.training.classes, self.training.fit)
        return TrainedDetector(shipped.eval(), tuple(trainer.losses), seconds)

    def time_start(self, start: Start) -> float:
        """Return the seconds of a training step on a network, by doing a few steps that are thrown away.

        Args:
            start: The network. Its modules become a detector's.
        """
        with within_container(), training_mode(self.device, None), lock.training():
            *_, trainer = self._begin(start)
            return min(trainer.time_step() for _ in range(TIMED_STEPS))

    def _begin(self, start: Start) -> tuple[Detector, DetectionBatches, Trainer]:
        """Return a detector on a network, the training images, and the training of a copy before its first epoch."""
        recipe = self.recipe
        heads_seed, order_seed = np.random.SeedSequence(recipe.seed).spawn(2)
        detector = add_detector(
            start.network, len(self.training.classes), self.section.resolution, bn_momentum=recipe.bn_momentum,
            seed=heads_seed,
        )  # fmt: skip
        for norm in detector.modules():
            if isinstance(norm, nn.BatchNorm2d):  # the network's own may be that of a long training
                norm.momentum = recipe.bn_momentum
        batches = self._batches(start, detector)
        return detector, batches, detector_trainer(copy.deepcopy(detector), batches, recipe, order_seed)

    def _batches(self, start: Start, detector: Detector) -> DetectionBatches:
        """Return the training images at the size that a detector takes."""
        targets, plan = self.training.targets, detector.plan
        assert targets is not None
        images = self.training.images.resize(plan.resolution)
        return DetectionBatches(
            images, targets.fitted(plan.resolution), plan, self._augment, self.device, start.normalisation
        )

    @cached_property
    def test(self) -> LabelledImages:
        """The test images. They are read at the first access, which must come after a training has ended.

        Raises:
            InputError: They cannot be read, or do not have the classes of the training images.
        """
        return load_test_images(self.section, self.training)

    def find(self, detector: ObjectDetector) -> Findings:
        """Return what a detector finds in the test images.

        Args:
            detector: The detector, on the CPU.

        Raises:
            InputError: The test images cannot be read, or do not have the classes of the training images.
            TrainingDiverged: The detector's answers are not finite.
        """
        network = copy.deepcopy(detector).to(self.device)
        resolution = detector.detector.plan.resolution
        return self.score(find_boxes(network, Pixels(self.test.images.resize(resolution), self.device)), resolution)

    def score(self, found: Detections, resolution: Resolution) -> Findings:
        """Return the average precisions of boxes that were found in the test images.

        Args:
            found: The boxes.
            resolution: The size of the detector's input in pixels.
        """
        targets = self.test.targets
        assert targets is not None
        return Findings.of(score_detections(targets, found, resolution, len(self.training.classes)), found, resolution)
