"""The proxy task: a short training that scores a candidate on the validation images (paper section 3).

Its result is a function of the problem, its donor and the architecture alone, see `evomnas.training.trainer`.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from evomnas.core.resolution import Resolution
from evomnas.core.seeding import torch_generator
from evomnas.core.system.device import choose_device
from evomnas.data.images import Dataset
from evomnas.networks.classifier import Normalise
from evomnas.networks.fast_layers import use_fast_layers
from evomnas.networks.network import Network
from evomnas.networks.pretrained.descent import begin_with, pack_weights
from evomnas.networks.pretrained.planting import plant_weights
from evomnas.networks.pretrained.weights import DonorWeights, PretrainedWeights
from evomnas.networks.torchvision_models import AnyNetwork, build_any_network
from evomnas.problem.architecture import Architecture
from evomnas.problem.pretrained.ancestor import Ancestor
from evomnas.problem.sections import FLOAT, DataSection, TrainingSection, WeightsSection
from evomnas.results.answers.mistakes import Answers
from evomnas.results.evaluation import Cut, Training, TrainingDiverged
from evomnas.training.batches import TrainingBatches
from evomnas.training.early_stop import LossThreshold
from evomnas.training.lessons import Lessons
from evomnas.training.parts import Part, Parts
from evomnas.training.schedules import CosineSchedule
from evomnas.training.scoring import SCORING_BATCH, Predictions, calibration_places, classify
from evomnas.training.trainer import Trainer, renew_statistics, training_mode

Quantize = Callable[[nn.Module, NDArray[np.float32]], Callable[[NDArray[np.float32]], NDArray[np.float32]]]
"""From a network that takes pixel values, and calibration images (n, c, h, w), to the function that its int8 file is:
from images (n, c, h, w) to logits (n, classes)."""


class ProxyTask:
    """A data set on a device, and the recipe by which candidates are trained on it.

    Attributes:
        dataset: The training and validation images.
        recipe: The recipe of the short training.
        device: The device on which candidates are trained.
        batches: The training images of the first training on that device.
        lessons: A teacher's answers to the training images of each training; empty without a teacher.
    """

    def __init__(
        self,
        dataset: Dataset,
        data: DataSection,
        recipe: TrainingSection,
        device: str = "auto",
        donor: PretrainedWeights | None = None,
        quantize: Quantize | None = None,
    ) -> None:
        """Copy the images to a device.

        Args:
            dataset: The training and validation images.
            data: The problem's data section, for its augmentations.
            recipe: The recipe of the short training.
            device: `cpu`, `cuda`, or `auto` for a GPU if there is one.
            donor: The pretrained weights that candidates inherit; None for random ones.
            quantize: Makes the int8 files by which networks are scored; None where the recipe scores them in float.

        Raises:
            InputError: The device is unknown, or it is `cuda` and there is no GPU.
        """
        self.dataset = dataset
        self.recipe = recipe
        self.device = torch.device(choose_device(device))
        self._donor, self._quantize = donor, quantize
        self.lessons: tuple[Lessons, ...] = ()
        normalisation = None if donor is None else donor.normalisation(dataset.channels)
        self._parts = Parts(dataset, data.augment, self.device, normalisation)

    @property
    def batches(self) -> TrainingBatches:
        """See the attributes of the class."""
        return self._parts.first.batches

    def with_recipe(self, recipe: TrainingSection) -> ProxyTask:
        """Return this task with another recipe. The images are the same ones.

        Args:
            recipe: The recipe.
        """
        task = copy.copy(self)
        task.recipe = recipe
        return task

    def teach(self, recipe: TrainingSection, number: int) -> NDArray[np.float32]:
        """Fine-tune the donor, and return its answers to the training images, which are not augmented for that.

        Args:
            recipe: The recipe.
            number: Which of the trainings; there are several with folds.

        Returns:
            Its logits, shape (n, classes).

        Raises:
            TrainingDiverged: A loss or a logit became infinite or not a number.
        """
        assert isinstance(self._donor, DonorWeights)
        task, batches = self.with_recipe(recipe), self.part(number, None).batches
        task.lessons = ()
        network = task.fit(self._donor.architecture, number).network.eval()
        parts = []
        with torch.inference_mode(), training_mode(self.device, None):
            for places in torch.chunk(torch.arange(len(batches.pixels)), -(-len(batches.pixels) // SCORING_BATCH)):
                images = batches.pixels.take(places)
                parts.append(network(batches.normalise(images.to(self.device))).float().cpu().numpy())
        logits = np.concatenate(parts)
        if not np.isfinite(logits).all():
            raise TrainingDiverged("the logits of the fine-tuned donor are not finite")
        return logits

    def learn(self, lessons: Sequence[NDArray[np.float32]]) -> None:
        """Take the answers of a teacher, which are part of the loss of all later trainings.

        Args:
            lessons: The logits for the training images of each training, shape (n, classes) each; none without a
                teacher.
        """
        on_device = (torch.from_numpy(np.asarray(logits)).to(self.device) for logits in lessons)
        self.lessons = tuple(Lessons(logits, WeightsSection.temperature, WeightsSection.share) for logits in on_device)

    def part(self, number: int, resolution: Resolution | None) -> Part:
        """Return the images of one of the trainings.

        Args:
            number: Which of the trainings; there are several with folds.
            resolution: The size of the images in pixels; None for the data set's own.
        """
        return self._parts.get(number, resolution)

    def train(self, architecture: AnyNetwork, threshold: LossThreshold | None = None) -> Training | Cut:
        """Train a new network of an architecture and score it on the validation images.

        With folds, a new network is trained for each of them, and each image is answered by the one that was not
        trained on it.

        Args:
            architecture: The architecture, or a network of torchvision's.
            threshold: The losses at which the training stops early; None trains to the end. With folds, the first of
                the trainings may stop, and then there are no others.

        Returns:
            The answers to the validation images, the losses of the first training, and the time of all in seconds; or a
            `Cut` with the losses so far and the predicted error, if the training was stopped early. Time in which it
            gave way to latency measurements does not count.

        Raises:
            TrainingDiverged: A loss or a logit became infinite or not a number.
        """
        return self._train(architecture, threshold, None, [])

    def train_heir(self, architecture: Architecture, ancestor: Ancestor | None) -> tuple[Training, bytes]:
        """Train a network whose weights others may inherit, and which may begin with the weights of another one.

        Args:
            architecture: The architecture.
            ancestor: From whom it inherits; None for random weights, or those of the donor.

        Returns:
            The training, as of `train`, and its weights as in `Ancestor`.

        Raises:
            TrainingDiverged: A loss or a logit became infinite or not a number.
        """
        networks: list[nn.Module] = []
        training = self._train(architecture, None, ancestor, networks)
        assert isinstance(training, Training)  # without a threshold
        return training, pack_weights(cast(list[Network], networks))

    def _train(
        self,
        architecture: AnyNetwork,
        threshold: LossThreshold | None,
        ancestor: Ancestor | None,
        networks: list[nn.Module],
    ) -> Training | Cut:
        """Train a network, see `train`, and add what was trained to `networks`."""
        started = time.perf_counter()
        waited = 0.0
        losses: tuple[float, ...] = ()
        answers = []
        for number in range(self.dataset.trainings):
            trainer = self.fit(architecture, number, None if number else threshold, ancestor)
            networks.append(trainer.network)
            waited += trainer.waited_seconds
            losses = losses or tuple(trainer.losses)
            if threshold is not None and len(trainer.losses) < self.recipe.epochs:
                return Cut(losses, threshold.predict_error(losses), time.perf_counter() - started - waited)
            answers.append(self._answer(trainer.network, number, architecture.resolution))
        joined = Answers.joined(answers)
        accuracy, seconds = joined.confusion.score("accuracy"), time.perf_counter() - started - waited
        return Training(accuracy, losses, seconds, loss=joined.loss, answers=joined)

    def fit(
        self,
        architecture: AnyNetwork,
        number: int = 0,
        threshold: LossThreshold | None = None,
        ancestor: Ancestor | None = None,
    ) -> Trainer:
        """Train a new network, to the end or until it is stopped early.

        Args:
            architecture: The architecture.
            number: Which of the trainings; there are several with folds.
            threshold: The losses at which the training stops early; None trains to the end.
            ancestor: From whom it inherits its weights; None for random ones, or those of the donor.

        Returns:
            The training, with the network.

        Raises:
            TrainingDiverged: A loss became infinite or not a number.
        """
        recipe, part = self.recipe, self.part(number, architecture.resolution)
        seed = (
            np.random.SeedSequence(recipe.seed, spawn_key=(number,)) if number else np.random.SeedSequence(recipe.seed)
        )
        weights_seed, order_seed, dropout_seed = seed.spawn(3)
        with training_mode(self.device, dropout_seed if recipe.dropout > 0 else None):
            network = build_any_network(
                architecture,
                len(self.dataset.classes),
                self.dataset.channels,
                dropout=recipe.dropout,
                bn_momentum=recipe.bn_momentum,
                seed=weights_seed,
            )
            if ancestor is not None:
                begin_with(cast(Network, network), ancestor, number)
            elif self._donor is not None:
                plant_weights(network, self._donor)
            network = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
            if self.device.type == "cpu":
                use_fast_layers(network)
            if recipe.statistics == "frozen":
                renew_statistics(network, part.batches, recipe.batch)
            trainer = Trainer(
                network, part.batches, recipe, partial(CosineSchedule, recipe.warmup), torch_generator(order_seed),
                lessons=self.lessons[number] if self.lessons else None,
            )  # fmt: skip
            for _ in range(recipe.epochs):
                trainer.train_epoch()
                if threshold is not None and threshold.should_stop(trainer.losses):
                    break
        return trainer

    def predict(self, network: nn.Module, number: int = 0, resolution: Resolution | None = None) -> Predictions:
        """Return the answers of a network to the validation images of one of the trainings.

        Args:
            network: The network, on the task's device. It is put into evaluation mode.
            number: Which of the trainings; there are several with folds.
            resolution: The size of the images in pixels; None for the data set's own.

        Raises:
            TrainingDiverged: The network's logits are not finite.
        """
        network.eval()
        part = self.part(number, resolution)
        is_float = self.recipe.precision == FLOAT
        logits_of = partial(_in_float, network, part.batches) if is_float else self._as_int8(network, part.batches)
        return classify(logits_of, part.validation_images, part.validation_labels, self.device)

    def _as_int8(self, network: nn.Module, batches: TrainingBatches) -> Callable[[Tensor], Tensor]:
        """Return the function from pixel values to logits that a network's int8 file is."""
        assert self._quantize is not None
        normalise = Normalise(batches.mean.tolist(), batches.std.tolist())
        whole = nn.Sequential(normalise, copy.deepcopy(network).cpu()).eval()
        places = torch.from_numpy(calibration_places(len(batches.pixels)))
        with torch.no_grad():
            run = self._quantize(whole, batches.pixels.take(places).float().cpu().numpy())
        return lambda images: torch.from_numpy(run(images.float().cpu().numpy())).to(self.device)

    def _answer(self, network: nn.Module, number: int, resolution: Resolution | None) -> Answers:
        """Return the answers to the validation images of a training as the archive keeps them."""
        found, part = self.predict(network, number, resolution), self.part(number, resolution)
        return Answers.of(
            part.validation_labels,
            found.classes,
            found.confidences,
            len(self.dataset.classes),
            part.places,
            found.losses,
        )


def _in_float(network: nn.Module, batches: TrainingBatches, images: Tensor) -> Tensor:
    logits: Tensor = network(batches.normalise(images))
    return logits
