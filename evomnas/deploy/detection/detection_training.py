"""Images with boxes, the training of detectors on them, and the score on the test images."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from evomnas.core.errors import InputError
from evomnas.core.system import lock
from evomnas.core.system.device import choose_device
from evomnas.core.system.memory import within_container
from evomnas.data.images import LabelledImages
from evomnas.data.splits import load_training_images
from evomnas.deploy.checkpoint import Checkpoint
from evomnas.deploy.detection.starting_weights import COLOURS, Start
from evomnas.deploy.testsplit import check_test_split, load_test_images
from evomnas.networks.detection.detector import Detector, add_detector
from evomnas.networks.detection.object_detector import ObjectDetector
from evomnas.problem.architecture import Architecture
from evomnas.problem.sections import DataSection, Recipe
from evomnas.results.archive import context_key
from evomnas.results.detection.precision import check_scorer, score_detections
from evomnas.results.detection.score import DetectionScore
from evomnas.training.detection.detection_batches import DetectionBatches
from evomnas.training.detection.detector_training import AUGMENT, detector_trainer
from evomnas.training.detection.finding import find_boxes
from evomnas.training.pixels import Pixels
from evomnas.training.trainer import training_mode

OnEpoch = Callable[[int, int, float], None]


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

    def __init__(self, section: DataSection, recipe: Recipe, device: str = "auto") -> None:
        """Read the images that may be trained on.

        Args:
            section: The data set and its settings.
            recipe: The recipe.
            device: `auto`, `cpu` or `cuda`.

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

    def context(self, architecture: Architecture, weights: str) -> dict[str, Any]:
        """Return everything that a training depends on, as its key is made of.

        Args:
            architecture: The architecture.
            weights: The hash of the weights that it starts from.
        """
        return {
            "network": str(architecture),
            "start": weights,
            "train": self.training.fingerprint,
            "recipe": self.recipe.context,
            "augment": list(AUGMENT),
            "device": self.device.type,
        }

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
        architecture, recipe = start.network.architecture, self.recipe
        heads_seed, order_seed = np.random.SeedSequence(recipe.seed).spawn(2)
        detector = add_detector(
            start.network, len(self.training.classes), self.section.resolution, bn_momentum=recipe.bn_momentum,
            seed=heads_seed,
        )  # fmt: skip
        for norm in detector.modules():
            if isinstance(norm, nn.BatchNorm2d):  # the network's own may be that of a long training
                norm.momentum = recipe.bn_momentum
        with within_container(), training_mode(self.device, None):
            batches = self._batches(start, detector)
            trainer = detector_trainer(copy.deepcopy(detector), batches, recipe, order_seed)
            state = Checkpoint(checkpoint, context_key(self.context(architecture, start.weights)), trainer)
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

    def _batches(self, start: Start, detector: Detector) -> DetectionBatches:
        """Return the training images at the size that a detector takes."""
        targets, plan = self.training.targets, detector.plan
        assert targets is not None
        images = self.training.images.resize(plan.resolution)
        return DetectionBatches(
            images, targets.fitted(plan.resolution), plan, AUGMENT, self.device, start.normalisation
        )

    def score(self, detector: ObjectDetector) -> DetectionScore:
        """Return the average precisions on the test images, which are read here.

        Args:
            detector: The detector, on the CPU.

        Raises:
            InputError: The test images cannot be read, or do not have the classes of the training images.
            TrainingDiverged: The detector's answers are not finite.
        """
        test = load_test_images(self.section, self.training)
        assert test.targets is not None
        resolution = detector.detector.plan.resolution
        network = copy.deepcopy(detector).to(self.device)
        found = find_boxes(network, Pixels(test.images.resize(resolution), self.device))
        return score_detections(test.targets, found, resolution, len(self.training.classes))
