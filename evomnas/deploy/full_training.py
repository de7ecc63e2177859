"""Train a chosen network in full: the paper's recipe on all training images, scored on the test images.

The paper's recipe (section 5 and its released code): RMSProp, a linear warm-up, an exponential decay, label smoothing,
dropout and an average of the weights that follows them; `FullSection` says how its lengths are scaled to a data set.
A training that was interrupted goes on from its checkpoint, and on the CPU ends as it would have without.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from evomnas.core import lock
from evomnas.core.device import choose_device
from evomnas.core.files import write_atomically
from evomnas.core.seeding import torch_generator
from evomnas.data.images import LabelledImages
from evomnas.data.splits import load_training_images, split_for_search
from evomnas.deploy.testsplit import check_test_split, load_test_images
from evomnas.networks.classifier import Classifier
from evomnas.networks.fast_layers import use_fast_layers
from evomnas.networks.torchvision_models import AnyNetwork, build_any_network
from evomnas.problem.definition import ProblemDefinition
from evomnas.problem.sections import FullSection
from evomnas.results.archive import context_key
from evomnas.results.evaluation import Score, TrainingDiverged
from evomnas.training.schedules import CosineSchedule, ExponentialSchedule
from evomnas.training.trainer import LossFunction, Trainer, TrainingBatches, cross_entropy, training_mode

CHECKPOINT_S = 20.0  # an interruption loses at most so much, and an epoch
SCORING_BATCH = 512
STATISTICS = 0.1  # of a short training's steps, over which batch norm's running statistics look back
TEACHING = ("temperature", "teaching")  # of the recipe, what matters where there is a teacher
OnEpoch = Callable[[int, int, float], None]


@dataclass(frozen=True)
class Teacher:
    """A finally trained network whose answers are part of another one's loss, and which network it is."""

    network: AnyNetwork
    classifier: Classifier

    @property
    def notation(self) -> str:
        """How the network is written."""
        return str(self.network)


class FullTask:
    """A problem's training and test images, and the recipe by which chosen networks are trained in full.

    Attributes:
        definition: The problem.
        training: All images that may be trained on, those that validated the search included.
        bn_momentum: The recipe's, or more where so few steps would leave batch norm's statistics at their start.
    """

    def __init__(self, definition: ProblemDefinition, device: str = "auto") -> None:
        """Read the images that may be trained on.

        Raises:
            InputError: They cannot be read, or there is no test split.
        """
        self.definition, self.recipe = definition, definition.full
        check_test_split(definition.data)
        self.training = load_training_images(definition.data)
        self._steps = self.recipe.epochs * max(1, len(self.training.labels) // self.recipe.batch)
        self._least_momentum = min(1.0, 1 / (STATISTICS * self._steps))
        self.bn_momentum = max(self.recipe.bn_momentum, self._least_momentum)
        self.device = torch.device(choose_device(device))
        augment = definition.data.augment if self.recipe.augment is None else self.recipe.augment
        self.batches = TrainingBatches(self.training.images, self.training.labels, augment, self.device)
        self._augment = list(augment)

    @cached_property
    def test(self) -> LabelledImages:
        """The test images, which are read when they are first asked for: once a training has ended.

        Raises:
            InputError: They cannot be read, or their classes are not those of the training images.
        """
        return load_test_images(self.definition.data, self.training)

    @cached_property
    def search_images_fingerprint(self) -> str:
        """The fingerprint of what a search of the problem sees of the images."""
        return split_for_search(self.training, self.definition.data).fingerprint

    @property
    def takes(self) -> tuple[Any, ...]:
        """What its networks are made for, as `Facts.takes` of a saved one: classes, resolution, mean and deviation."""
        mean, std = tuple(self.batches.mean.tolist()), tuple(self.batches.std.tolist())
        return self.training.classes, self.definition.data.resolution, mean, std

    def context(self, teacher: str | None = None) -> dict[str, Any]:
        """All that a training depends on beside the network; `teacher` is the notation of one."""
        recipe = self.recipe.model_dump(mode="json", exclude={"augment"}) | {"bn_momentum": self.bn_momentum}
        return {
            "train": self.training.fingerprint,
            "augment": self._augment,
            "recipe": {name: value for name, value in recipe.items() if teacher is not None or name not in TEACHING},
            "device": self.device.type,
            "teacher": teacher,
        }

    def scored_context(self, teacher: str | None = None) -> dict[str, Any]:
        """All that a test score depends on beside the network; reads the test images."""
        return self.context(teacher) | {"test": self.test.fingerprint}

    def train(
        self,
        network: AnyNetwork,
        checkpoint: Path,
        teacher: Teacher | None = None,
        on_epoch: OnEpoch = lambda epoch, epochs, loss: None,
    ) -> tuple[Classifier, tuple[float, ...], float]:
        """Train a network, or go on with it; returns it, the mean loss of every epoch, and seconds.

        Args:
            network: What is built and trained.
            checkpoint: A file to go on from; it is written every `CHECKPOINT_S` and stays.
            teacher: Whose answers are part of the loss.
            on_epoch: Told the epochs done, all epochs, and the mean loss of the last one.

        Raises:
            TrainingDiverged: The loss became infinite or not a number.
        """
        recipe = self.recipe
        weights, order, dropped = np.random.SeedSequence(recipe.seed).spawn(3)
        with training_mode(self.device, dropped):
            module = self._build(network, weights)
            loss = None if teacher is None else _distilled(recipe, self._ready(teacher.classifier.network).eval())
            decay = max(0.0, 1 - 1 / (recipe.averaging * self._steps))
            averaging = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
            average = AveragedModel(module, multi_avg_fn=averaging, use_buffers=True)
            schedule = partial(ExponentialSchedule, recipe.warmup, recipe.final_rate)
            trainer = Trainer(module, self.batches, recipe, schedule, torch_generator(order), loss, average)
            key = self.context(teacher.notation if teacher else None) | {"network": str(network)}
            saved = _Checkpoint(checkpoint, context_key(key), trainer, average)
            seconds = saved.restore()
            while len(trainer.losses) < recipe.epochs:
                with lock.training():
                    started = time.perf_counter()
                    waited = trainer.waited_seconds
                    last = trainer.train_epoch()
                    seconds += time.perf_counter() - started - (trainer.waited_seconds - waited)
                saved.save(seconds, force=len(trainer.losses) == recipe.epochs)
                on_epoch(len(trainer.losses), recipe.epochs, last)
            final = self._build(network, weights, fast=False)
            final.load_state_dict(average.module.state_dict())
        return self.classifier(final), tuple(trainer.losses), seconds

    def _build(self, network: AnyNetwork, seed: np.random.SeedSequence, fast: bool = True) -> nn.Module:
        recipe, shape = self.recipe, (len(self.training.classes), self.training.channels)
        module = build_any_network(network, *shape, dropout=recipe.dropout, bn_momentum=self.bn_momentum, seed=seed)
        for norm in module.modules():
            if isinstance(norm, nn.BatchNorm2d):  # torchvision's have a momentum of their own
                norm.momentum = max(norm.momentum or 0.0, self._least_momentum)
        return self._ready(module) if fast else module.to(self.device)

    def _ready(self, module: nn.Module) -> nn.Module:
        """A module on the device and in the layout that is fastest there."""
        module = module.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if self.device.type == "cpu":
            use_fast_layers(module)
        return module

    def classifier(self, network: nn.Module) -> Classifier:
        """A network of normalised images as one of pixels, ready for inference."""
        classes, resolution, mean, std = self.takes
        return Classifier(network, mean, std, classes, resolution).to(self.device).eval()

    def fine_tune(self, network: nn.Module, epochs: int, rate: float) -> None:
        """Train a network on for some epochs, in place, from `rate` of the recipe's learning rate down to 0.

        Raises:
            TrainingDiverged: The loss became infinite or not a number.
        """
        recipe = self.recipe.model_copy(update={"epochs": epochs, "learning_rate": rate * self.recipe.learning_rate})
        order, dropped = np.random.SeedSequence(recipe.seed).spawn(5)[3:]
        with training_mode(self.device, dropped):
            trainer = Trainer(
                network.to(self.device),
                self.batches,
                recipe,
                partial(CosineSchedule, recipe.warmup),
                torch_generator(order),
            )
            for _ in range(epochs):
                with lock.training():
                    trainer.train_epoch()
        network.eval()

    @torch.inference_mode()
    def predictions(self, classifier: Classifier) -> NDArray[np.int64]:
        """The classes of the test images by a classifier, shape (n,).

        Raises:
            TrainingDiverged: Its logits are not finite.
        """
        found = []
        with training_mode(self.device, None):
            for start in range(0, len(self.test.labels), SCORING_BATCH):
                images = torch.from_numpy(self.test.images[start : start + SCORING_BATCH]).to(self.device)
                logits = classifier(images)
                if not torch.isfinite(logits).all():
                    raise TrainingDiverged("the trained network's logits are not finite")
                found.append(logits.argmax(1).cpu().numpy())
        return cast("NDArray[np.int64]", np.concatenate(found))

    def score(self, predictions: NDArray[np.int64]) -> Score:
        """How many of the test images are classified correctly."""
        return Score(int((predictions == self.test.labels).sum()), len(self.test.labels))


def _distilled(recipe: FullSection, teacher: nn.Module) -> LossFunction:
    """Cross-entropy with the labels and, at a temperature, with the teacher's answers (Hinton et al. 2015, section 2).

    The teacher's part is multiplied by the temperature's square, which keeps its gradients' size.
    """
    with_labels, temperature = cross_entropy(recipe), recipe.temperature

    def loss(images: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        with torch.no_grad():
            answers = F.log_softmax(teacher(images) / temperature, 1)
        own = F.log_softmax(logits / temperature, 1)
        taught = F.kl_div(own, answers, log_target=True, reduction="batchmean") * temperature**2
        return recipe.teaching * taught + (1 - recipe.teaching) * with_labels(images, logits, labels)

    return loss


class _Checkpoint:
    """The state of a training in a file, replaced in one step; another training's is not read."""

    def __init__(self, path: Path, key: str, trainer: Trainer, average: AveragedModel) -> None:
        self.path, self.key, self.trainer, self.average = path, key, trainer, average
        self._last = time.monotonic()

    def save(self, seconds: float, force: bool = False) -> None:
        """Keep the state, if it is time; `seconds` is what was spent so far."""
        if not force and time.monotonic() - self._last < CHECKPOINT_S:
            return
        trainer = self.trainer
        state = {
            "key": self.key,
            "seconds": seconds,
            "losses": trainer.losses,
            "network": trainer.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": trainer.optimizer.state_dict(),
            "schedule": trainer.schedule.state_dict(),
            "order": trainer.generator.get_state(),
            "dropout": torch.get_rng_state(),
        }
        if torch.cuda.is_available():
            state["dropout-cuda"] = torch.cuda.get_rng_state()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        content = io.BytesIO()
        torch.save(state, content)  # into memory: of a full disk torch says nothing that a user understands
        write_atomically(self.path, content.getvalue())
        self._last = time.monotonic()

    def restore(self) -> float:
        """Go on from the file, if there is one of this training; returns the seconds that were spent."""
        try:
            state = torch.load(self.path, map_location="cpu", weights_only=True)
        except Exception:  # there is none, or whatever a torn or foreign file makes torch raise
            return 0.0
        if not isinstance(state, dict) or state.get("key") != self.key:
            return 0.0
        trainer = self.trainer
        trainer.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        trainer.optimizer.load_state_dict(state["optimizer"])
        trainer.schedule.load_state_dict(state["schedule"])
        trainer.losses[:] = state["losses"]
        trainer.generator.set_state(state["order"])
        torch.set_rng_state(state["dropout"])
        if "dropout-cuda" in state and torch.cuda.is_available():
            torch.cuda.set_rng_state(state["dropout-cuda"])
        return float(state["seconds"])
