"""The full training of a network: the paper's recipe on all training images, and the score on the test images.

The paper's recipe (section 5 and its released code) is RMSProp, a linear warm-up, an exponential decay, label
smoothing, dropout and a moving average of the weights. `FullSection` says how its lengths are scaled to a data set. A
training that was interrupted goes on from its checkpoint. On the CPU it then ends with the same weights as without the
interruption.

References:
    Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from evomnas.core.errors import InputError
from evomnas.core.resolution import Resolution
from evomnas.core.seeding import torch_generator
from evomnas.core.system import lock
from evomnas.core.system.device import choose_device
from evomnas.core.system.memory import within_container
from evomnas.data.images import LabelledImages
from evomnas.data.splits import load_training_images, split_for_search
from evomnas.deploy.checkpoint import Checkpoint, read_checkpoint
from evomnas.deploy.saving import ClassifierInterface
from evomnas.deploy.testsplit import check_test_split, load_test_images
from evomnas.networks.classifier import Classifier
from evomnas.networks.fast_layers import use_fast_layers
from evomnas.networks.pretrained.planting import load_weights, plant_weights
from evomnas.networks.torchvision_models import AnyNetwork, build_any_network
from evomnas.problem.definition import ProblemDefinition
from evomnas.problem.pretrained.files import donor_file
from evomnas.problem.sections import FLOAT, FullSection
from evomnas.results.answers.mistakes import Answers
from evomnas.results.archive import context_key
from evomnas.results.evaluation import Score
from evomnas.training.batches import TrainingBatches
from evomnas.training.lessons import distil
from evomnas.training.losses import LossFunction, cross_entropy
from evomnas.training.pixels import Pixels
from evomnas.training.quantized.fake_quantization import FakeQuantized
from evomnas.training.schedules import CosineSchedule, ExponentialSchedule
from evomnas.training.scoring import Predictions, calibration_places, classify
from evomnas.training.trainer import Trainer, renew_statistics, training_mode

TIMED_STEPS = 3  # the first one is slow, since memory is set up
STATISTICS_SHARE = 0.1  # of the steps of a short training; batch norm's running statistics look back over so many
QUANTIZED_SHARE = 0.2  # of the epochs of a training for int8, the last ones
CALIBRATION_BATCH = 32  # images
TEACHER_SETTINGS = ("temperature", "teaching")  # of the recipe; they matter only if there is a teacher
OnEpoch = Callable[[int, int, float], None]


@dataclass(frozen=True)
class Teacher:
    """A network that was trained in full, and whose predictions are part of another network's loss.

    Attributes:
        network: The network's description.
        classifier: The trained network.
    """

    network: AnyNetwork
    classifier: Classifier

    @property
    def notation(self) -> str:
        """The network's notation."""
        return str(self.network)


class TrainedClassifier(NamedTuple):
    """The result of a full training.

    Attributes:
        classifier: The trained network, with the averaged weights.
        losses: The mean loss of every epoch.
        seconds: How long the training took, over all its parts if it was interrupted.
    """

    classifier: Classifier
    losses: tuple[float, ...]
    seconds: float


def check_classifies(definition: ProblemDefinition) -> None:
    """Check that the networks of a problem tell classes apart, as trainings in full and what follows need.

    Args:
        definition: The problem.

    Raises:
        InputError: They are backbones of detectors.
    """
    if definition.detects:
        raise InputError(
            f"{definition.name} searched backbones of detectors, and this is for networks that tell classes apart: "
            "evomnas train RUN ARCH trains a detector in full, evomnas export RUN ARCH writes its files"
        )


class FullTask:
    """A problem's training and test images, and the recipe by which networks are trained in full.

    Attributes:
        definition: The problem, with images of the task's resolution.
        donor: The pretrained weights that networks inherit; None for random ones.
        recipe: The settings of the training.
        training: All images that may be trained on, with those that validated the search.
        device: The device of the trainings.
        batches: The training images as batches on that device.
        bn_momentum: The recipe's momentum of batch norm, or a larger one if the training has so few steps that the
            running statistics would hardly leave their initial values.
    """

    def __init__(self, definition: ProblemDefinition, device: str = "auto") -> None:
        """Read the images that may be trained on.

        Args:
            definition: The problem.
            device: `auto`, `cpu` or `cuda`.

        Raises:
            InputError: The images cannot be read, there is no test split, or the problem is one of detection.
        """
        check_classifies(definition)
        check_test_split(definition.data)
        self._start_from(definition)
        self._images: dict[Resolution, LabelledImages] = {}  # by resolution
        self._test_images: dict[Resolution, LabelledImages] = {}
        self._read(device)

    def _start_from(self, definition: ProblemDefinition) -> None:
        """Read the weights that trainings start from; this is then the task of the problem's own resolution."""
        self.definition, self.recipe = definition, definition.full_recipe
        file = donor_file(definition.weights)
        self.donor, self._donor_context = None if file is None else load_weights(file), file and file.context
        self._base = self
        self._others: dict[Resolution, FullTask] = {}  # those of other resolutions

    def fine_tuning(self, name: str) -> FullTask:
        """Return this task with trainings that start from the weights of a published network.

        The images are not read again.

        Args:
            name: The name of a network with pretrained weights.

        Raises:
            InputError: There are no such weights on this machine, or they are not what they should be.
        """
        task = copy.copy(self._base)
        task._start_from(self._base.definition.fine_tuning(name))
        task._read(str(self.device))
        return task

    def for_network(self, network: AnyNetwork) -> FullTask:
        """Return the task of a network: this one, or the same at the resolution that the network has of its own.

        Args:
            network: The network.

        Raises:
            InputError: The images cannot be read.
        """
        base = self._base
        resolution = network.resolution or base.definition.data.resolution
        if resolution == base.definition.data.resolution:
            return base
        if resolution not in base._others:
            task = base._others[resolution] = copy.copy(base)
            task.definition = base.definition.at(resolution)
            task._read(str(base.device))
        return base._others[resolution]

    def _read(self, device: str) -> None:
        """Read the images that may be trained on, unless they were read before at this resolution."""
        definition = self.definition
        if definition.data.resolution not in self._images:
            self._images[definition.data.resolution] = load_training_images(definition.data)
        self.training = self._images[definition.data.resolution]
        self._steps = self.recipe.epochs * self.recipe.batches(len(self.training.labels))[1]
        self._min_bn_momentum = min(1.0, 1 / (STATISTICS_SHARE * self._steps))
        self.bn_momentum = max(self.recipe.bn_momentum, self._min_bn_momentum)
        self.device = torch.device(choose_device(device))
        augment = definition.data.augment if self.recipe.augment is None else self.recipe.augment
        normalisation = None if self.donor is None else self.donor.normalisation(self.training.channels)
        self.batches = TrainingBatches(
            self.training.images, self.training.labels, len(self.training.classes), augment, self.device, normalisation
        )
        self._augment = list(augment)

    @property
    def test(self) -> LabelledImages:
        """The test images. They are read at the first access, which must come after a training has ended.

        Raises:
            InputError: They cannot be read, or the training images lack one of their classes.
        """
        resolution = self.definition.data.resolution
        if resolution not in self._test_images:
            self._test_images[resolution] = load_test_images(self.definition.data, self.training)
        return self._test_images[resolution]

    @property
    def known_test(self) -> LabelledImages:
        """The test images at the problem's own resolution, by whose fingerprint the archive knows them."""
        return self._base.test

    @property
    def search_images_fingerprint(self) -> str:
        """The fingerprint of the images that a search of the problem uses, split as it splits them."""
        return self._base._searched

    @cached_property
    def _searched(self) -> str:
        return split_for_search(self.training, self.definition.data).fingerprint

    @property
    def interface(self) -> ClassifierInterface:
        """The images that networks of this task take, and their classes."""
        mean, std = tuple(self.batches.mean.tolist()), tuple(self.batches.std.tolist())
        return ClassifierInterface(self.training.classes, self.definition.data.resolution, mean, std, self.training.fit)

    def context(self, teacher: str | None = None) -> dict[str, Any]:
        """Return everything that a training depends on beside the network, as the archive stores it.

        Args:
            teacher: The notation of the teacher; None if there is none.

        Returns:
            A JSON-ready mapping. Settings that matter only with a teacher are left out if there is none.
        """
        settings = self.recipe.context | {"bn_momentum": self.bn_momentum}
        unused = ("augment", *(TEACHER_SETTINGS if teacher is None else ()))
        return {
            "train": self._base.training.fingerprint,
            "augment": self._augment,
            "recipe": {name: value for name, value in settings.items() if name not in unused},
            "device": self.device.type,
            "teacher": teacher,
            **({} if self is self._base else {"resolution": self.definition.data.resolution}),
            **({} if self._donor_context is None else {"donor": self._donor_context}),
        }

    def scored_context(self, teacher: str | None = None) -> dict[str, Any]:
        """Return everything that a test score depends on beside the network. This reads the test images.

        Args:
            teacher: The notation of the teacher; None if there is none.

        Returns:
            The context of the training and the fingerprint of the test images, at the problem's own resolution.
        """
        return self.context(teacher) | {"test": self._base.test.fingerprint}

    def train(
        self,
        network: AnyNetwork,
        checkpoint: Path,
        teacher: Teacher | None = None,
        on_epoch: OnEpoch = lambda epoch, epochs, loss: None,
    ) -> TrainedClassifier:
        """Train a network, or go on with a training that was interrupted.

        Args:
            network: The network.
            checkpoint: The file of the training's state. The training goes on from it if it is there and of the same
                training. It is written every 20 seconds and is not removed.
            teacher: The network whose predictions are part of the loss; None for the labels alone.
            on_epoch: Called after every epoch with the number of epochs so far, the number of all epochs, and the mean
                loss of the last one.

        Returns:
            The trained network, the mean loss of every epoch, and the seconds.

        Raises:
            TrainingDiverged: The loss became infinite or not a number.
        """
        recipe = self.recipe
        weight_seed, order_seed, dropout_seed = np.random.SeedSequence(recipe.seed).spawn(3)
        with within_container(), training_mode(self.device, dropout_seed):
            module = self._build(network, weight_seed)
            self._inherit(module)
            trainer, average = self._begin(module, order_seed, None if teacher is None else teacher.classifier.network)
            key = self._checkpoint_key(network, teacher.notation if teacher else None)
            state = Checkpoint(checkpoint, key, trainer, average)
            seconds = state.restore()
            quantized = FakeQuantized(module)
            while len(trainer.losses) < recipe.epochs:
                with lock.training():
                    started = time.perf_counter()
                    waited_before = trainer.waited_seconds
                    if recipe.epochs - len(trainer.losses) <= self._quantized_epochs:
                        quantized.calibrate(self.calibration_parts())
                        trainer.forward = quantized
                    epoch_loss = trainer.train_epoch()
                    seconds += time.perf_counter() - started - (trainer.waited_seconds - waited_before)
                state.save(seconds, force=len(trainer.losses) == recipe.epochs)
                on_epoch(len(trainer.losses), recipe.epochs, epoch_loss)
            final = self._build(network, weight_seed, fast=False)
            final.load_state_dict(average.module.state_dict())
        return TrainedClassifier(self.build_classifier(final), tuple(trainer.losses), seconds)

    def _begin(
        self, module: nn.Module, order_seed: np.random.SeedSequence, teacher: nn.Module | None
    ) -> tuple[Trainer, AveragedModel]:
        """Return the training of a module before its first epoch, and the average of its weights."""
        recipe, loss = self.recipe, None
        if teacher is not None:
            loss = distillation_loss(recipe, self._place(teacher).eval(), self.batches.labels)
        decay = max(0.0, 1 - 1 / (recipe.averaging * self._steps))
        averaging = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        average = AveragedModel(module, multi_avg_fn=averaging, use_buffers=True)
        order = torch_generator(order_seed)
        return Trainer(module, self.batches, recipe, self._schedule, order, loss, average), average

    def remaining_epochs(self, network: AnyNetwork, checkpoint: Path, teacher: str | None = None) -> int:
        """Return how many epochs `train` would train.

        Args:
            network: The network.
            checkpoint: The file of the training's state, which need not exist.
            teacher: The notation of the teacher; None if there is none.
        """
        state = read_checkpoint(checkpoint, self._checkpoint_key(network, teacher))
        return self.recipe.epochs - (0 if state is None else len(state["losses"]))

    @property
    def _schedule(self) -> Callable[[int], ExponentialSchedule | CosineSchedule]:
        if self.recipe.schedule == "cosine":
            return partial(CosineSchedule, self.recipe.warmup)
        return partial(ExponentialSchedule, self.recipe.warmup, self.recipe.final_rate)

    @property
    def _quantized_epochs(self) -> int:
        """The epochs at the end of a training that compute as the network's int8 file does."""
        return 0 if self.recipe.precision == FLOAT else max(1, round(QUANTIZED_SHARE * self.recipe.epochs))

    def calibration_parts(self) -> Iterator[Tensor]:
        """Yield the images that calibrate int8 files, normalised and in parts, each of shape (n, c, h, w)."""
        places = torch.from_numpy(calibration_places(len(self.batches.pixels)))
        for part in torch.split(places, CALIBRATION_BATCH):
            yield self.batches.normalise(self.batches.pixels.take(part))

    def _checkpoint_key(self, network: AnyNetwork, teacher: str | None) -> str:
        return context_key(self.context(teacher) | {"network": str(network)})

    def _build(self, network: AnyNetwork, seed: np.random.SeedSequence, fast: bool = True) -> nn.Module:
        recipe, shape = self.recipe, (len(self.training.classes), self.training.channels)
        module = build_any_network(network, *shape, dropout=recipe.dropout, bn_momentum=self.bn_momentum, seed=seed)
        for norm in module.modules():
            if isinstance(norm, nn.BatchNorm2d):  # torchvision's networks have a momentum of their own
                norm.momentum = max(norm.momentum or 0.0, self._min_bn_momentum)
        return self._place(module) if fast else module.to(self.device)

    def _inherit(self, module: nn.Module) -> None:
        """Give a new module its donor's weights, and the statistics that its recipe asks for."""
        if self.donor is not None:
            plant_weights(module, self.donor)
        if self.recipe.statistics == "frozen":
            renew_statistics(module, self.batches, self.recipe.batch)

    def _place(self, module: nn.Module) -> nn.Module:
        """Move a module to the device, in the layout that is fastest there."""
        module = module.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if self.device.type == "cpu":
            use_fast_layers(module)
        return module

    def build_classifier(self, network: nn.Module) -> Classifier:
        """Return a network with its normalisation, ready for inference.

        Args:
            network: A network that takes normalised images.

        Returns:
            The network that takes pixel values, on the task's device and in evaluation mode.
        """
        interface = self.interface
        return interface.classifier(network).to(self.device).eval()

    def time_step(self, network: AnyNetwork, teacher: AnyNetwork | None = None) -> float:
        """Return the seconds of a training step of a network, by doing a few steps with weights that are thrown away.

        Args:
            network: The network.
            teacher: The network that teaches it; None if none does.
        """
        seed, order = np.random.SeedSequence(self.recipe.seed).spawn(2)
        with within_container(), training_mode(self.device, order), lock.training():
            taught_by = None if teacher is None else self._build(teacher, seed)
            trainer, _ = self._begin(self._build(network, seed), order, taught_by)
            return min(trainer.time_step() for _ in range(TIMED_STEPS))

    def fine_tune(self, network: nn.Module, epochs: int, rate: float) -> None:
        """Train a trained network for some more epochs, in place. The learning rate falls to 0 along a cosine.

        Args:
            network: A network that takes normalised images.
            epochs: The number of epochs.
            rate: The first learning rate after the warm-up, relative to the recipe's.

        Raises:
            TrainingDiverged: The loss became infinite or not a number.
        """
        recipe = self.recipe.model_copy(update={"epochs": epochs, "learning_rate": rate * self.recipe.learning_rate})
        order_seed, dropout_seed = np.random.SeedSequence(recipe.seed).spawn(5)[3:]  # the first three are `train`'s
        with within_container(), training_mode(self.device, dropout_seed):
            trainer = Trainer(
                network.to(self.device),
                self.batches,
                recipe,
                partial(CosineSchedule, recipe.warmup),
                torch_generator(order_seed),
            )
            quantized = FakeQuantized(network)
            for _ in range(epochs):
                with lock.training():
                    if recipe.precision != FLOAT:
                        quantized.calibrate(self.calibration_parts())
                        trainer.forward = quantized
                    trainer.train_epoch()
        network.eval()

    def predictions(self, classifier: Classifier) -> Predictions:
        """Return the classes that a network gives to the test images.

        Args:
            classifier: The network, on the task's device.

        Raises:
            TrainingDiverged: The network's logits are not finite.
        """
        return classify(classifier, Pixels(self.test.images, self.device), self.test.labels, self.device)

    def answers(self, predictions: Predictions) -> Answers:
        """Return the answers to the test images as the archive keeps them.

        Args:
            predictions: The classes that a network gives to the test images.
        """
        found, classes = predictions, len(self.test.classes)
        return Answers.of(self.test.labels, found.classes, found.confidences, classes, losses=found.losses)

    def score(self, predictions: Predictions) -> Score:
        """Return how many of the test images are classified correctly.

        Args:
            predictions: The classes that a network gives to the test images.
        """
        return Score(int((predictions.classes == self.test.labels).sum()), len(self.test.labels))


def distillation_loss(recipe: FullSection, teacher: nn.Module, labels: Tensor) -> LossFunction:
    """Return the loss of a network with a teacher; see `evomnas.training.lessons.distil`.

    Args:
        recipe: The weight of the teacher's part (`teaching`), the temperature, and the label smoothing.
        teacher: The teacher, which takes normalised images and returns logits.
        labels: The classes of all training images, shape (n,); see `cross_entropy`.

    Returns:
        The loss as a function of normalised images (n, c, h, w), logits (n, classes) and labels (n,).
    """
    label_loss = cross_entropy(recipe, labels)

    def loss(images: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        with torch.no_grad():
            taught = teacher(images)
        return distil(label_loss(images, logits, labels), logits, taught, recipe.temperature, recipe.teaching)

    return loss
